//! Short ways to read an [`Element`] and to change its attributes.

use jid::Jid;
use minidom::Element;
use minidom::rxml::{Namespace, NcName};

/// Attributes and children without naming the parser's types.
///
/// Attribute names are written by us, never by a peer: a name that is not an XML NCName trips a debug assertion and is
/// otherwise left out.
pub trait ElementExt: Sized {
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

impl ElementExt for Element {
    fn put(&mut self, name: &str, value: impl Into<String>) {
        let Ok(name) = NcName::try_from(name) else {
            debug_assert!(false, "{name:?} is no attribute name");
            return;
        };
        self.attrs_mut().insert(Namespace::NONE, name, value.into());
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
    use crate::element;

    #[test]
    fn attributes_are_replaced_and_removed() {
        let mut e = element("a", "x").attr("k", "1").done();
        e.put("k", "2");
        assert_eq!(e.attr("k"), Some("2"));
        assert_eq!(e.take_attr("k").as_deref(), Some("2"));
        assert_eq!(e.attr("k"), None);
        assert_eq!(e.take_attr("k"), None);
    }

    #[test]
    fn lang_is_kept_apart_from_a_plain_attribute() {
        let e = element("a", "x").lang("de").attr("lang", "en").done();
        assert_eq!(e.lang(), Some("de"));
        assert_eq!(e.attr("lang"), Some("en"));
    }

    #[test]
    fn jid_attributes() {
        let e = element("a", "x")
            .attr("to", "u@h/r")
            .attr("bad", "@@")
            .done();
        assert_eq!(e.jid("to").map(|j| j.to_string()).as_deref(), Some("u@h/r"));
        assert_eq!(e.jid("bad"), None);
        assert_eq!(e.jid("none"), None);
    }
}
