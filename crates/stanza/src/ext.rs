//! Short ways to build and read an [`Element`].

use jid::Jid;
use minidom::Element;
use minidom::rxml::{Namespace, NcName};

/// An empty element `name` in namespace `ns`.
#[must_use]
pub fn el(name: &str, ns: &str) -> Element {
    Element::bare(name, ns)
}

/// Building and reading attributes and children without naming the parser's types.
///
/// Attribute names are written by us, never by a peer: a name that is not an XML NCName trips a debug assertion and is
/// otherwise left out.
pub trait ElementExt: Sized {
    /// Adds or replaces the attribute `name`.
    #[must_use]
    fn with_attr(self, name: &str, value: impl Into<String>) -> Self;
    /// Adds or replaces the attribute `name` when there is a value; leaves the element as it is otherwise.
    #[must_use]
    fn with_opt(self, name: &str, value: Option<impl Into<String>>) -> Self;
    /// Appends a child element.
    #[must_use]
    fn with_child(self, child: impl Into<Element>) -> Self;
    /// Appends child elements in order.
    #[must_use]
    fn with_children<E: Into<Element>>(self, children: impl IntoIterator<Item = E>) -> Self;
    /// Appends text.
    #[must_use]
    fn with_text(self, text: impl Into<String>) -> Self;
    /// Adds or replaces `xml:lang`.
    #[must_use]
    fn with_lang(self, lang: impl Into<String>) -> Self;
    /// Adds or replaces the attribute `name` in place.
    fn put(&mut self, name: &str, value: impl Into<String>);
    /// Removes the attribute `name` and returns its value.
    fn take_attr(&mut self, name: &str) -> Option<String>;
    /// `xml:lang`, when set on this very element.
    fn lang(&self) -> Option<&str>;
    /// The first child element, which in an IQ is its payload.
    fn payload(&self) -> Option<&Element>;
    /// The attribute `name` as a JID; `None` when absent or malformed.
    fn jid(&self, name: &str) -> Option<Jid>;
    /// The text of the first child `name` in namespace `ns`.
    fn child_text(&self, name: &str, ns: &str) -> Option<String>;
}

fn insert(element: &mut Element, ns: Namespace<'static>, name: &str, value: String) {
    let Ok(name) = NcName::try_from(name) else {
        debug_assert!(false, "{name:?} is no attribute name");
        return;
    };
    element.attrs_mut().insert(ns, name, value);
}

impl ElementExt for Element {
    fn with_attr(mut self, name: &str, value: impl Into<String>) -> Self {
        self.put(name, value);
        self
    }

    fn with_opt(mut self, name: &str, value: Option<impl Into<String>>) -> Self {
        if let Some(value) = value {
            self.put(name, value);
        }
        self
    }

    fn with_child(mut self, child: impl Into<Element>) -> Self {
        self.append_child(child.into());
        self
    }

    fn with_children<E: Into<Element>>(mut self, children: impl IntoIterator<Item = E>) -> Self {
        for child in children {
            self.append_child(child.into());
        }
        self
    }

    fn with_text(mut self, text: impl Into<String>) -> Self {
        self.append_text(text);
        self
    }

    fn with_lang(mut self, lang: impl Into<String>) -> Self {
        insert(&mut self, Namespace::XML, "lang", lang.into());
        self
    }

    fn put(&mut self, name: &str, value: impl Into<String>) {
        insert(self, Namespace::NONE, name, value.into());
    }

    fn take_attr(&mut self, name: &str) -> Option<String> {
        self.attrs_mut().remove(&Namespace::NONE, name)
    }

    fn lang(&self) -> Option<&str> {
        self.attrs()
            .get(&Namespace::XML, "lang")
            .map(String::as_str)
    }

    fn payload(&self) -> Option<&Element> {
        self.children().next()
    }

    fn jid(&self, name: &str) -> Option<Jid> {
        Jid::new(self.attr(name)?).ok()
    }

    fn child_text(&self, name: &str, ns: &str) -> Option<String> {
        self.get_child(name, ns).map(Element::text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_replaced_and_removed() {
        let mut e = el("a", "x").with_attr("k", "1").with_attr("k", "2");
        assert_eq!(e.attr("k"), Some("2"));
        assert_eq!(e.take_attr("k").as_deref(), Some("2"));
        assert_eq!(e.attr("k"), None);
        assert_eq!(e.take_attr("k"), None);
    }

    #[test]
    fn lang_is_kept_apart_from_a_plain_attribute() {
        let e = el("a", "x").with_lang("de").with_attr("lang", "en");
        assert_eq!(e.lang(), Some("de"));
        assert_eq!(e.attr("lang"), Some("en"));
    }

    #[test]
    fn jid_attributes() {
        let e = el("a", "x").with_attr("to", "u@h/r").with_attr("bad", "@@");
        assert_eq!(e.jid("to").map(|j| j.to_string()).as_deref(), Some("u@h/r"));
        assert_eq!(e.jid("bad"), None);
        assert_eq!(e.jid("none"), None);
    }
}
