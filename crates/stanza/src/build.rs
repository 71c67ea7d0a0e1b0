//! A short way to write elements: names are text, values are anything that displays.
use std::fmt::Display;

use minidom::rxml::{Namespace, NcName};
use minidom::{Element, Node};

/// An element under construction.
#[derive(Debug, Clone)]
#[must_use]
pub struct Build(Element);

/// Begins an element called `name` in the namespace `ns`.
pub fn element(name: &str, ns: &str) -> Build {
    Build(Element::bare(name, ns))
}

impl Build {
    /// Sets an attribute. `name` is a constant of ours: one that XML does not allow is left out.
    pub fn attr(mut self, name: &str, value: impl Display) -> Self {
        debug_assert!(
            NcName::try_from(name).is_ok(),
            "{name} is no attribute name"
        );
        if let Ok(name) = NcName::try_from(name) {
            self.0.set_attr(Namespace::NONE, name, value.to_string());
        }
        self
    }

    /// Sets an attribute where there is a value.
    pub fn attr_opt(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.attr(name, value),
            None => self,
        }
    }

    /// Sets an attribute to `true`, or leaves it out: absent means false almost everywhere.
    pub fn flag(self, name: &str, value: bool) -> Self {
        if value { self.attr(name, "true") } else { self }
    }

    /// Sets `xml:lang`.
    pub fn lang(mut self, lang: impl Display) -> Self {
        if let Ok(name) = NcName::try_from("lang") {
            let attributes = self.0.attrs_mut();
            attributes.insert(Namespace::XML, name, lang.to_string());
        }
        self
    }

    /// Appends a child element or a text node.
    pub fn child(mut self, child: impl Into<Node>) -> Self {
        self.0.append_node(child.into());
        self
    }

    /// Appends what there is of children.
    pub fn children<T: Into<Node>>(mut self, children: impl IntoIterator<Item = T>) -> Self {
        for child in children {
            self.0.append_node(child.into());
        }
        self
    }

    /// Appends text.
    pub fn text(mut self, text: impl Display) -> Self {
        self.0.append_text(text.to_string());
        self
    }

    /// The finished element.
    #[must_use]
    pub fn done(self) -> Element {
        self.0
    }
}

/// Goes on with an element that is there already.
impl From<Element> for Build {
    fn from(element: Element) -> Self {
        Self(element)
    }
}

impl From<Build> for Element {
    fn from(build: Build) -> Self {
        build.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builds_attributes_children_and_text() {
        let built = element("a", "ns:a")
            .attr("n", 7)
            .attr_opt("o", None::<u8>)
            .flag("yes", true)
            .flag("no", false)
            .child(element("b", "ns:b").text("t<"))
            .done();
        assert_eq!(built.attr("n"), Some("7"));
        assert_eq!(built.attr("o"), None);
        assert_eq!(built.attr("yes"), Some("true"));
        assert_eq!(built.attr("no"), None);
        assert_eq!(
            built.get_child("b", "ns:b").map(Element::text).as_deref(),
            Some("t<")
        );
    }
}
