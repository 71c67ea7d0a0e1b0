//! Service discovery (XEP-0030) and entity capabilities (XEP-0115).

use jid::Jid;
use minidom::Element;
use thiserror::Error;

use crate::build::element;
use crate::data_form::DataForm;

/// Namespace of information queries.
pub const NS_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Namespace of item queries.
pub const NS_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Namespace of entity capabilities.
pub const NS_CAPS: &str = "http://jabber.org/protocol/caps";

/// What an entity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// `server`, `component`, `conference`, `client`, ...
    pub category: String,
    /// Type within the category.
    pub kind: String,
    /// Name; Jitsi's component identities carry the component's address here.
    pub name: Option<String>,
}

impl Identity {
    /// An identity.
    #[must_use]
    pub fn new(category: &str, kind: &str, name: Option<&str>) -> Self {
        Self {
            category: category.to_owned(),
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
        }
    }
}

/// Answer to an information query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// Node asked about.
    pub node: Option<String>,
    /// Identities.
    pub identities: Vec<Identity>,
    /// Features.
    pub features: Vec<String>,
    /// Extended information (XEP-0128).
    pub forms: Vec<DataForm>,
}

/// The element is no disco payload of the wanted kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a disco query")]
pub struct NotDisco;

impl Info {
    /// Whether `feature` is among the features.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|have| have == feature)
    }

    /// Adds features.
    #[must_use]
    pub fn features<'a>(mut self, features: impl IntoIterator<Item = &'a str>) -> Self {
        self.features
            .extend(features.into_iter().map(str::to_owned));
        self
    }

    /// Adds an identity.
    #[must_use]
    pub fn identity(mut self, category: &str, kind: &str, name: Option<&str>) -> Self {
        self.identities.push(Identity::new(category, kind, name));
        self
    }
}

impl TryFrom<&Element> for Info {
    type Error = NotDisco;

    fn try_from(element: &Element) -> Result<Self, NotDisco> {
        if !element.is("query", NS_INFO) {
            return Err(NotDisco);
        }
        let mut info = Self {
            node: element.attr("node").map(str::to_owned),
            ..Self::default()
        };
        for child in element.children() {
            if child.is("identity", NS_INFO) {
                let (category, kind) = (child.attr("category"), child.attr("type"));
                info.identities.push(Identity::new(
                    category.unwrap_or_default(),
                    kind.unwrap_or_default(),
                    child.attr("name"),
                ));
            } else if child.is("feature", NS_INFO) {
                info.features.extend(child.attr("var").map(str::to_owned));
            } else if let Ok(form) = DataForm::try_from(child) {
                info.forms.push(form);
            }
        }
        Ok(info)
    }
}

impl From<Info> for Element {
    fn from(info: Info) -> Self {
        let identities = info.identities.into_iter().map(|identity| {
            element("identity", NS_INFO)
                .attr("category", identity.category)
                .attr("type", identity.kind)
                .attr_opt("name", identity.name)
        });
        let features = info
            .features
            .into_iter()
            .map(|feature| element("feature", NS_INFO).attr("var", feature));
        element("query", NS_INFO)
            .attr_opt("node", info.node)
            .children(identities)
            .children(features)
            .children(info.forms.into_iter().map(Element::from))
            .done()
    }
}

/// One item of an items answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Address.
    pub jid: Jid,
    /// Name.
    pub name: Option<String>,
}

/// Answer to an items query. Items without a valid address are dropped when it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Items {
    /// Node asked about.
    pub node: Option<String>,
    /// Items, in order.
    pub items: Vec<Item>,
}

impl TryFrom<&Element> for Items {
    type Error = NotDisco;

    fn try_from(element: &Element) -> Result<Self, NotDisco> {
        if !element.is("query", NS_ITEMS) {
            return Err(NotDisco);
        }
        let items = element
            .children()
            .filter(|child| child.is("item", NS_ITEMS))
            .filter_map(|child| {
                let jid = Jid::new(child.attr("jid")?).ok()?;
                Some(Item {
                    jid,
                    name: child.attr("name").map(str::to_owned),
                })
            });
        Ok(Self {
            node: element.attr("node").map(str::to_owned),
            items: items.collect(),
        })
    }
}

impl From<Items> for Element {
    fn from(items: Items) -> Self {
        let children = items.items.into_iter().map(|item| {
            element("item", NS_ITEMS)
                .attr("jid", item.jid)
                .attr_opt("name", item.name)
        });
        element("query", NS_ITEMS)
            .attr_opt("node", items.node)
            .children(children)
            .done()
    }
}

/// Entity capabilities in a presence: a promise of what an information query would answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caps {
    /// Hash function, `sha-1` in practice.
    pub hash: String,
    /// Software.
    pub node: String,
    /// The hash.
    pub ver: String,
}

impl TryFrom<&Element> for Caps {
    type Error = NotDisco;

    fn try_from(element: &Element) -> Result<Self, NotDisco> {
        if !element.is("c", NS_CAPS) {
            return Err(NotDisco);
        }
        let text = |name: &str| element.attr(name).map(str::to_owned).ok_or(NotDisco);
        Ok(Self {
            hash: text("hash")?,
            node: text("node")?,
            ver: text("ver")?,
        })
    }
}

impl From<Caps> for Element {
    fn from(caps: Caps) -> Self {
        element("c", NS_CAPS)
            .attr("hash", caps.hash)
            .attr("node", caps.node)
            .attr("ver", caps.ver)
            .done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_form::FormKind;

    #[test]
    fn information_reads_what_it_writes() {
        let mut info = Info::default()
            .identity("component", "lobbyrooms", Some("lobby.example.com"))
            .features(["urn:xmpp:ping", "muc_open"]);
        info.node = Some("n".to_owned());
        info.forms
            .push(DataForm::new(FormKind::Result, "urn:example").field("a", "", "", Some("1")));
        let element = Element::from(info.clone());
        assert_eq!(Info::try_from(&element), Ok(info.clone()));
        assert!(info.has("muc_open") && !info.has("muc"));
    }

    #[test]
    fn items_drop_bad_addresses() {
        let element: Element = format!(
            "<query xmlns='{NS_ITEMS}'><item jid='a@b' name='A'/><item jid='@'/><item name='none'/></query>"
        )
        .parse()
        .unwrap();
        let items = Items::try_from(&element).unwrap();
        assert_eq!(
            items.items,
            vec![Item {
                jid: Jid::new("a@b").unwrap(),
                name: Some("A".to_owned())
            }]
        );
    }

    #[test]
    fn capabilities_need_all_three_attributes() {
        let element: Element = format!("<c xmlns='{NS_CAPS}' hash='sha-1' node='n' ver='v='/>")
            .parse()
            .unwrap();
        let caps = Caps::try_from(&element).unwrap();
        assert_eq!(Element::from(caps), element);
        let element: Element = format!("<c xmlns='{NS_CAPS}' hash='sha-1' node='n'/>")
            .parse()
            .unwrap();
        assert_eq!(Caps::try_from(&element), Err(NotDisco));
    }
}
