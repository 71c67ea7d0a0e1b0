//! Multi-user chat (XEP-0045): join requests, room presence, administration, ownership, invitations.

use std::fmt;
use std::str::FromStr;

use jid::{BareJid, Jid};
use minidom::Element;
use thiserror::Error;

use crate::build::element;
use crate::data_form::{self, DataForm};

/// Namespace of join requests.
pub const NS: &str = "http://jabber.org/protocol/muc";
/// Namespace of what a room adds to stanzas.
pub const NS_USER: &str = "http://jabber.org/protocol/muc#user";
/// Namespace of administration.
pub const NS_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// Namespace of configuration.
pub const NS_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// Form type of the configuration form.
pub const NS_ROOM_CONFIG: &str = "http://jabber.org/protocol/muc#roomconfig";
/// Form type of a room's information form.
pub const NS_ROOM_INFO: &str = "http://jabber.org/protocol/muc#roominfo";

/// Status codes this system reads or writes (XEP-0045 §15.6).
pub mod status {
    /// Everybody sees real addresses.
    pub const NON_ANONYMOUS: u16 = 100;
    /// The configuration changed.
    pub const CONFIG_CHANGED: u16 = 104;
    /// The presence is the receiver's own.
    pub const SELF: u16 = 110;
    /// The room was created by this join.
    pub const CREATED: u16 = 201;
    /// Banned.
    pub const BANNED: u16 = 301;
    /// Kicked.
    pub const KICKED: u16 = 307;
    /// Left because of an error or a lost connection.
    pub const LOST: u16 = 333;
}

/// Why an element is not the payload it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MucError {
    /// Another element.
    #[error("not the expected element")]
    WrongElement,
    /// A role or affiliation that does not exist.
    #[error("unknown role or affiliation")]
    UnknownWord,
    /// An address that is none.
    #[error("malformed address")]
    BadJid,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The word used on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = MucError;

            fn from_str(word: &str) -> Result<Self, MucError> {
                match word { $($word => Ok(Self::$variant),)* _ => Err(MucError::UnknownWord) }
            }
        }
    };
}

words! {
    /// Long-lived standing of an account in a room, from least to most.
    Affiliation {
        /// Banned.
        Outcast = "outcast",
        /// None.
        None = "none",
        /// Member.
        Member = "member",
        /// Administrator.
        Admin = "admin",
        /// Owner.
        Owner = "owner",
    }
}

words! {
    /// What an occupant may do now, from least to most.
    Role {
        /// Not in the room.
        None = "none",
        /// May listen.
        Visitor = "visitor",
        /// May speak.
        Participant = "participant",
        /// May kick and change roles.
        Moderator = "moderator",
    }
}

fn word<T: FromStr<Err = MucError>>(element: &Element, name: &str) -> Result<Option<T>, MucError> {
    element.attr(name).map(str::parse).transpose()
}

fn address(element: &Element, name: &str) -> Result<Option<Jid>, MucError> {
    element
        .attr(name)
        .map(|text| Jid::new(text).map_err(|_| MucError::BadJid))
        .transpose()
}

fn child_text(element: &Element, name: &str, ns: &str) -> Option<String> {
    element.get_child(name, ns).map(Element::text)
}

/// How much of the past a joiner wants (XEP-0045 §7.2.13). Absent limits do not limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistoryRequest {
    /// Most messages.
    pub max_stanzas: Option<u32>,
    /// Most characters of XML; only zero is told from the rest here.
    pub max_chars: Option<u32>,
    /// Only messages of the last so many seconds.
    pub seconds: Option<u32>,
}

/// `<x xmlns='http://jabber.org/protocol/muc'>`: the presence is a request to join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Join {
    /// Password of the room.
    pub password: Option<String>,
    /// Wish about history.
    pub history: HistoryRequest,
}

impl TryFrom<&Element> for Join {
    type Error = MucError;

    fn try_from(element: &Element) -> Result<Self, MucError> {
        if !element.is("x", NS) {
            return Err(MucError::WrongElement);
        }
        let mut history = HistoryRequest::default();
        if let Some(wish) = element.get_child("history", NS) {
            let number = |name: &str| wish.attr(name).and_then(|text| text.parse().ok());
            history = HistoryRequest {
                max_stanzas: number("maxstanzas"),
                max_chars: number("maxchars"),
                seconds: number("seconds"),
            };
        }
        Ok(Self {
            password: child_text(element, "password", NS),
            history,
        })
    }
}

impl From<Join> for Element {
    fn from(join: Join) -> Self {
        let history = (join.history != HistoryRequest::default()).then(|| {
            element("history", NS)
                .attr_opt("maxstanzas", join.history.max_stanzas)
                .attr_opt("maxchars", join.history.max_chars)
                .attr_opt("seconds", join.history.seconds)
        });
        element("x", NS)
            .children(
                join.password
                    .map(|password| element("password", NS).text(password)),
            )
            .children(history)
            .done()
    }
}

/// `<item/>` in room presence, administration and its answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// Affiliation.
    pub affiliation: Option<Affiliation>,
    /// Role.
    pub role: Option<Role>,
    /// Real address.
    pub jid: Option<Jid>,
    /// Nickname.
    pub nick: Option<String>,
    /// Nickname of who caused the change.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

impl Item {
    /// Reads an item of either namespace.
    pub fn read(item: &Element, ns: &str) -> Result<Self, MucError> {
        if !item.is("item", ns) {
            return Err(MucError::WrongElement);
        }
        let actor = item
            .get_child("actor", ns)
            .and_then(|actor| actor.attr("nick"));
        Ok(Self {
            affiliation: word(item, "affiliation")?,
            role: word(item, "role")?,
            jid: address(item, "jid")?,
            nick: item.attr("nick").map(str::to_owned),
            actor: actor.map(str::to_owned),
            reason: child_text(item, "reason", ns),
        })
    }

    /// The item as an element of `ns`.
    #[must_use]
    pub fn write(self, ns: &str) -> Element {
        element("item", ns)
            .attr_opt("affiliation", self.affiliation)
            .attr_opt("role", self.role)
            .attr_opt("jid", self.jid)
            .attr_opt("nick", self.nick)
            .children(
                self.actor
                    .map(|nick| element("actor", ns).attr("nick", nick)),
            )
            .children(self.reason.map(|reason| element("reason", ns).text(reason)))
            .done()
    }
}

/// A mediated invitation (XEP-0045 §7.8.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invite {
    /// Who is invited; towards the room.
    pub to: Option<Jid>,
    /// Who invites; from the room.
    pub from: Option<Jid>,
    /// Why.
    pub reason: Option<String>,
}

/// The room is gone (XEP-0045 §10.9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Destroy {
    /// Where to go instead.
    pub jid: Option<BareJid>,
    /// Why.
    pub reason: Option<String>,
}

impl Destroy {
    /// Reads it in either namespace.
    pub fn read(destroy: &Element, ns: &str) -> Result<Self, MucError> {
        if !destroy.is("destroy", ns) {
            return Err(MucError::WrongElement);
        }
        let jid = address(destroy, "jid")?.map(Jid::into_bare);
        Ok(Self {
            jid,
            reason: child_text(destroy, "reason", ns),
        })
    }

    /// It as an element of `ns`.
    #[must_use]
    pub fn write(self, ns: &str) -> Element {
        element("destroy", ns)
            .attr_opt("jid", self.jid)
            .children(self.reason.map(|reason| element("reason", ns).text(reason)))
            .done()
    }
}

/// `<x xmlns='http://jabber.org/protocol/muc#user'>`: what the room says about a stanza.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Status codes, in order.
    pub status: Vec<u16>,
    /// The occupant.
    pub item: Option<Item>,
    /// Invitations.
    pub invites: Vec<Invite>,
    /// The room's end.
    pub destroy: Option<Destroy>,
    /// Password that goes with an invitation.
    pub password: Option<String>,
}

impl User {
    /// The one inside a stanza, if there is one that can be read.
    #[must_use]
    pub fn of(stanza: &Element) -> Option<Self> {
        stanza
            .get_child("x", NS_USER)
            .and_then(|x| Self::try_from(x).ok())
    }

    /// Whether status `code` is set.
    #[must_use]
    pub fn has(&self, code: u16) -> bool {
        self.status.contains(&code)
    }
}

impl TryFrom<&Element> for User {
    type Error = MucError;

    fn try_from(x: &Element) -> Result<Self, MucError> {
        if !x.is("x", NS_USER) {
            return Err(MucError::WrongElement);
        }
        let mut user = Self {
            password: child_text(x, "password", NS_USER),
            ..Self::default()
        };
        for child in x.children().filter(|child| child.has_ns(NS_USER)) {
            match child.name() {
                "status" => user
                    .status
                    .extend(child.attr("code").and_then(|code| code.parse::<u16>().ok())),
                "item" => user.item = Some(Item::read(child, NS_USER)?),
                "invite" => user.invites.push(Invite {
                    to: address(child, "to")?,
                    from: address(child, "from")?,
                    reason: child_text(child, "reason", NS_USER),
                }),
                "destroy" => user.destroy = Some(Destroy::read(child, NS_USER)?),
                _ => {}
            }
        }
        Ok(user)
    }
}

impl From<User> for Element {
    fn from(user: User) -> Self {
        let invites = user.invites.into_iter().map(|invite| {
            element("invite", NS_USER)
                .attr_opt("to", invite.to)
                .attr_opt("from", invite.from)
                .children(
                    invite
                        .reason
                        .map(|reason| element("reason", NS_USER).text(reason)),
                )
        });
        element("x", NS_USER)
            .children(user.destroy.map(|destroy| destroy.write(NS_USER)))
            .children(user.item.map(|item| item.write(NS_USER)))
            .children(invites)
            .children(
                user.password
                    .map(|password| element("password", NS_USER).text(password)),
            )
            .children(
                user.status
                    .into_iter()
                    .map(|code| element("status", NS_USER).attr("code", code)),
            )
            .done()
    }
}

/// `<query xmlns='http://jabber.org/protocol/muc#admin'>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Items, in order.
    pub items: Vec<Item>,
}

impl TryFrom<&Element> for Admin {
    type Error = MucError;

    fn try_from(query: &Element) -> Result<Self, MucError> {
        if !query.is("query", NS_ADMIN) {
            return Err(MucError::WrongElement);
        }
        let items = query.children().filter(|child| child.is("item", NS_ADMIN));
        Ok(Self {
            items: items
                .map(|item| Item::read(item, NS_ADMIN))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<Admin> for Element {
    fn from(admin: Admin) -> Self {
        element("query", NS_ADMIN)
            .children(admin.items.into_iter().map(|item| item.write(NS_ADMIN)))
            .done()
    }
}

/// `<query xmlns='http://jabber.org/protocol/muc#owner'>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The form is wanted.
    Query,
    /// The form, filled in or to be filled in.
    Form(DataForm),
    /// The room is to end.
    Destroy(Destroy),
}

impl TryFrom<&Element> for Owner {
    type Error = MucError;

    fn try_from(query: &Element) -> Result<Self, MucError> {
        if !query.is("query", NS_OWNER) {
            return Err(MucError::WrongElement);
        }
        if let Some(destroy) = query.get_child("destroy", NS_OWNER) {
            return Destroy::read(destroy, NS_OWNER).map(Self::Destroy);
        }
        match query.get_child("x", data_form::NS) {
            Some(form) => DataForm::try_from(form)
                .map(Self::Form)
                .map_err(|_| MucError::UnknownWord),
            None => Ok(Self::Query),
        }
    }
}

impl From<Owner> for Element {
    fn from(owner: Owner) -> Self {
        let query = element("query", NS_OWNER);
        match owner {
            Owner::Query => query.done(),
            Owner::Form(form) => query.child(Element::from(form)).done(),
            Owner::Destroy(destroy) => query.child(destroy.write(NS_OWNER)).done(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Element {
        text.parse().unwrap()
    }

    #[test]
    fn join_request() {
        let x = parse(
            "<x xmlns='http://jabber.org/protocol/muc'><password>s3</password><billingid>b</billingid>\
             <history maxstanzas='2' maxchars='x'/></x>",
        );
        let join = Join::try_from(&x).unwrap();
        assert_eq!(join.password.as_deref(), Some("s3"));
        assert_eq!(
            join.history,
            HistoryRequest {
                max_stanzas: Some(2),
                ..HistoryRequest::default()
            }
        );
        assert_eq!(Join::try_from(&Element::from(join.clone())), Ok(join));
    }

    #[test]
    fn presence_of_a_kicked_occupant() {
        let x = parse(
            "<x xmlns='http://jabber.org/protocol/muc#user'><status code='307'/>\
             <item role='none' affiliation='none' jid='a@b/c'><actor nick='mod'/><reason>why</reason></item>\
             <status code='110'/><unknown/></x>",
        );
        let user = User::try_from(&x).unwrap();
        assert!(user.has(status::KICKED) && user.has(status::SELF) && !user.has(status::CREATED));
        let item = user.item.clone().unwrap();
        assert_eq!(item.actor.as_deref(), Some("mod"));
        assert_eq!(item.reason.as_deref(), Some("why"));
        assert_eq!(item.jid, Some(Jid::new("a@b/c").unwrap()));
        assert_eq!(User::try_from(&Element::from(user.clone())), Ok(user));
    }

    #[test]
    fn unknown_words_are_errors() {
        let query = parse(
            "<query xmlns='http://jabber.org/protocol/muc#admin'><item role='king'/></query>",
        );
        assert_eq!(Admin::try_from(&query), Err(MucError::UnknownWord));
        let query = parse(
            "<query xmlns='http://jabber.org/protocol/muc#admin'><item role='none' jid='@'/></query>",
        );
        assert_eq!(Admin::try_from(&query), Err(MucError::BadJid));
    }

    #[test]
    fn owner_requests() {
        let query = parse("<query xmlns='http://jabber.org/protocol/muc#owner'/>");
        assert_eq!(Owner::try_from(&query), Ok(Owner::Query));
        let query = parse(
            "<query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='n@e'><reason>r</reason></destroy></query>",
        );
        let owner = Owner::try_from(&query).unwrap();
        assert!(
            matches!(&owner, Owner::Destroy(destroy) if destroy.reason.as_deref() == Some("r"))
        );
        assert_eq!(Element::from(owner), query);
    }

    #[test]
    fn ranks_are_ordered() {
        assert!(
            Affiliation::Owner > Affiliation::Member && Affiliation::None > Affiliation::Outcast
        );
        assert!(Role::Moderator > Role::Participant && Role::Participant > Role::Visitor);
    }
}
