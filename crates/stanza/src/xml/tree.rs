//! A stanza under construction, held to its limits as it grows.

use minidom::Element;
use minidom::rxml::{AttrMap, Namespace, QName};

use super::write::{Count, write_text};
use super::{Limits, XmlError};
use crate::ns;

/// The namespace of stanzas.
static CLIENT: Namespace<'static> = Namespace::from_str(ns::CLIENT);
/// Kinds of elements remembered to be copied, so that elements of one kind share their namespace.
const KINDS: usize = 16;

/// A stanza under construction.
#[derive(Default)]
pub(super) struct Tree {
    stack: Vec<Element>,
    /// Namespaces of the elements in `stack`: asking an element for its own makes a copy.
    namespaces: Vec<Namespace<'static>>,
    elements: usize,
    /// Bytes of what is there so far when it is written.
    written: usize,
    /// Elements without content: a copy shares its namespace with the original.
    kinds: Vec<(Namespace<'static>, Element)>,
    /// The place of the oldest kind.
    oldest: usize,
}

impl Tree {
    pub(super) fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    pub(super) fn depth(&self) -> usize {
        self.stack.len()
    }

    /// The stanza itself, as far as it is there.
    pub(super) fn root(&self) -> Option<&Element> {
        self.stack.first()
    }

    /// Forgets the stanza.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Opens an element; `came` bytes of the stanza have come, its start tag included. Takes `attrs` unless it fails.
    pub(super) fn start(
        &mut self,
        name: &QName,
        attrs: &mut AttrMap,
        limits: &Limits,
        came: usize,
    ) -> Result<(), XmlError> {
        let namespace = self.effective(name);
        let parent = self.namespaces.last().map(Namespace::as_str);
        let size = limits.check_tag(name, &namespace, attrs, parent)?;
        if self.stack.len() >= limits.depth {
            return Err(XmlError::TooDeep);
        }
        self.elements += 1;
        if self.elements > limits.elements {
            return Err(XmlError::TooMany);
        }
        self.written += size;
        // Nothing but a tag can grow by more than what is allowed, so that only tags need to be checked.
        limits.check_written(self.written, came)?;
        let mut element = self.bare(name.1.as_str(), &namespace);
        *element.attrs_mut() = std::mem::take(attrs);
        self.stack.push(element);
        self.namespaces.push(namespace);
        Ok(())
    }

    /// Elements without a namespace, and inside the body of a BOSH request those in its namespace, are `jabber:client`.
    fn effective(&self, (namespace, _): &QName) -> Namespace<'static> {
        let inherited =
            namespace.is_none() || (!self.stack.is_empty() && namespace.as_str() == ns::HTTP_BIND);
        if inherited {
            CLIENT.clone()
        } else {
            namespace.clone()
        }
    }

    fn bare(&mut self, name: &str, namespace: &Namespace<'static>) -> Element {
        let known = self
            .kinds
            .iter()
            .find(|(of, kind)| of == namespace && kind.name() == name);
        if let Some((_, kind)) = known {
            return kind.clone();
        }
        let element = Element::bare(name, namespace.as_str());
        let kind = (namespace.clone(), element.clone());
        match self.kinds.get_mut(self.oldest) {
            Some(place) => *place = kind,
            None => self.kinds.push(kind),
        }
        self.oldest = (self.oldest + 1) % KINDS;
        element
    }

    pub(super) fn text(&mut self, text: String, limits: &Limits) -> Result<(), XmlError> {
        if text.is_empty() {
            // An empty CDATA section: written, nothing would be left of it.
            return Ok(());
        }
        let mut size = Count::default();
        write_text(&text, &mut size);
        self.written += size.0;
        if self.written > limits.written {
            return Err(XmlError::TooLarge);
        }
        if let Some(top) = self.stack.last_mut() {
            top.append_text(text);
        }
        Ok(())
    }

    /// Closes the innermost element and returns the stanza when that was its last one.
    pub(super) fn end(&mut self) -> Option<Element> {
        let done = self.stack.pop()?;
        self.namespaces.pop();
        match self.stack.last_mut() {
            Some(parent) => {
                parent.append_child(done);
                None
            }
            None => {
                self.clear();
                Some(done)
            }
        }
    }
}
