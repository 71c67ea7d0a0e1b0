//! The writer: one whole stanza, `xmlns` spelled out on every element outside `jabber:client`, no element prefixes.
//!
//! Browsers in the field look for the attribute `xmlns` itself, not for the namespace it resolves to, so an element whose
//! namespace XML would inherit still carries it.

use minidom::rxml::{AttrMap, Namespace, XMLNS_XMLNS};
use minidom::{Element, Node};

use crate::ns;

/// Writes `element` as a stanza of its own.
pub fn write(element: &Element, out: &mut Vec<u8>) {
    write_element(element, None, out);
}

/// [`write()`] into a new string.
#[must_use]
pub fn to_string(element: &Element) -> String {
    let mut out = Vec::with_capacity(256);
    write(element, &mut out);
    // The writer copies `str`s and ASCII only.
    String::from_utf8(out).unwrap_or_default()
}

/// How many bytes [`write()`] makes of `element`.
#[must_use]
pub fn written_len(element: &Element) -> usize {
    let mut size = Count::default();
    write_element(element, None, &mut size);
    size.0
}

/// Where text goes: to memory, or only into a count of its bytes.
pub(super) trait Out {
    fn put(&mut self, text: &str);
}

impl Out for Vec<u8> {
    fn put(&mut self, text: &str) {
        self.extend_from_slice(text.as_bytes());
    }
}

/// Counts bytes instead of writing them.
#[derive(Default)]
pub(super) struct Count(pub(super) usize);

impl Out for Count {
    fn put(&mut self, text: &str) {
        self.0 += text.len();
    }
}

fn write_element(element: &Element, parent_ns: Option<&str>, out: &mut impl Out) {
    let namespace = element.ns();
    start_tag(element.name(), &namespace, element.attrs(), parent_ns, out);
    if element.nodes().next().is_none() {
        out.put("/>");
        return;
    }
    out.put(">");
    for node in element.nodes() {
        match node {
            Node::Element(child) => write_element(child, Some(&namespace), out),
            Node::Text(text) => write_text(text, out),
        }
    }
    out.put("</");
    out.put(element.name());
    out.put(">");
}

/// Namespaces no element can be written in: the one of `xml:lang`, whose prefix is for attributes, and the one of `xmlns`
/// itself, which cannot be declared (Namespaces in XML 1.0, section 3).
pub(super) fn is_reserved(namespace: &Namespace<'_>) -> bool {
    namespace == &Namespace::XML || namespace.as_str() == XMLNS_XMLNS
}

/// A start tag up to its end, which is not written. `parent_ns` is the namespace of the element around it.
pub(super) fn start_tag(
    name: &str,
    namespace: &str,
    attrs: &AttrMap,
    parent_ns: Option<&str>,
    out: &mut impl Out,
) {
    out.put("<");
    out.put(name);
    if namespace != ns::CLIENT || parent_ns != Some(ns::CLIENT) {
        out.put(" xmlns=\"");
        // The reader lets no element of XML's own namespaces in; nobody could read one.
        if !is_reserved(&Namespace::from_str(namespace)) {
            write_value(namespace, out);
        }
        out.put("\"");
    }
    let mut prefixes = Prefixes::default();
    for ((namespace, name), value) in attrs.iter() {
        out.put(" ");
        prefixes.put(namespace, out);
        out.put(name.as_str());
        out.put("=\"");
        write_value(value, out);
        out.put("\"");
    }
}

/// Prefixes of one element's attributes: unlike elements, they cannot have a namespace without one. Attributes come grouped
/// by namespace, so each is declared once.
#[derive(Default)]
struct Prefixes<'a> {
    namespace: Option<&'a str>,
    number: usize,
}

impl<'a> Prefixes<'a> {
    /// Writes the prefix of an attribute in `namespace`, and declares it first if it is new.
    fn put(&mut self, namespace: &'a Namespace<'_>, out: &mut impl Out) {
        if namespace == &Namespace::XML {
            return out.put("xml:");
        }
        if !namespace.is_some() {
            return;
        }
        if self.namespace != Some(namespace.as_str()) {
            self.namespace = Some(namespace.as_str());
            self.number += 1;
            out.put(&format!("xmlns:n{}=\"", self.number));
            write_value(namespace.as_str(), out);
            out.put("\" ");
        }
        out.put(&format!("n{}:", self.number));
    }
}

/// Writes character data. What XML cannot carry becomes U+FFFD.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    write_text(text, out);
}

/// Writes the value of an attribute, without its quotes, which must be double. What XML cannot carry becomes U+FFFD.
pub fn escape_attr(value: &str, out: &mut Vec<u8>) {
    write_value(value, out);
}

pub(super) fn write_text(text: &str, out: &mut impl Out) {
    escape(text, out, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#13;"),
        c if !allowed(c) => Some("\u{FFFD}"),
        _ => None,
    });
}

fn write_value(value: &str, out: &mut impl Out) {
    escape(value, out, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\t' => Some("&#9;"),
        '\n' => Some("&#10;"),
        '\r' => Some("&#13;"),
        c if !allowed(c) => Some("\u{FFFD}"),
        _ => None,
    });
}

/// The `Char` production of XML 1.0.
fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

fn escape(text: &str, out: &mut impl Out, replacement: impl Fn(char) -> Option<&'static str>) {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if let Some(entity) = replacement(c) {
            out.put(text.get(plain..at).unwrap_or_default());
            out.put(entity);
            plain = at + c.len_utf8();
        }
    }
    out.put(text.get(plain..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xml::{Limits, parse};
    use crate::{Build, ElementExt, element};

    #[test]
    fn xmlns_is_written_even_where_it_would_be_inherited() {
        let stanza = element("iq", ns::CLIENT)
            .child(
                element("jingle", ns::JINGLE)
                    .child(element("content", ns::JINGLE))
                    .child(element("body", ns::CLIENT).child(element("inner", ns::CLIENT))),
            )
            .done();
        assert_eq!(
            to_string(&stanza),
            "<iq xmlns=\"jabber:client\"><jingle xmlns=\"urn:xmpp:jingle:1\"><content xmlns=\"urn:xmpp:jingle:1\"/>\
             <body xmlns=\"jabber:client\"><inner/></body></jingle></iq>"
        );
    }

    #[test]
    fn namespaced_attributes_keep_their_namespace() {
        let source = "<a xmlns='x' xml:lang='en' xmlns:p='urn:p' p:version='1.0'/>";
        let element = parse(source, &Limits::CLIENT).expect("valid");
        let text = to_string(&element);
        assert_eq!(parse(&text, &Limits::CLIENT), Ok(element), "{text}");
        assert!(text.contains("xml:lang=\"en\""), "{text}");
    }

    #[test]
    fn a_namespace_of_attributes_is_declared_once() {
        let source = "<a xmlns:p='urn:p' p:b='1' p:c='2' xmlns:q='urn:q' q:b='3' d='4'/>";
        let element = parse(source, &Limits::CLIENT).expect("valid");
        let text = to_string(&element);
        assert_eq!(text.matches("urn:p").count(), 1, "{text}");
        assert_eq!(parse(&text, &Limits::CLIENT), Ok(element));
    }

    #[test]
    fn namespaces_of_xml_itself_are_never_written() {
        for reserved in [
            "http://www.w3.org/XML/1998/namespace",
            "http://www.w3.org/2000/xmlns/",
        ] {
            let stanza = element("iq", ns::CLIENT)
                .child(element("a", reserved))
                .done();
            parse(to_string(&stanza), &Limits::CLIENT).expect("readable");
        }
    }

    #[test]
    fn characters_that_xml_cannot_carry_are_replaced() {
        let element = element("a", ns::CLIENT)
            .attr("k", "\u{1}\u{FFFE}")
            .text("\u{0}\u{B}ok")
            .done();
        let text = to_string(&element);
        assert_eq!(
            text,
            "<a xmlns=\"jabber:client\" k=\"\u{FFFD}\u{FFFD}\">\u{FFFD}\u{FFFD}ok</a>"
        );
        parse(&text, &Limits::CLIENT).expect("well-formed");
    }

    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![
                proptest::char::range(' ', '~'),
                proptest::sample::select(vec![
                    '\t',
                    '\n',
                    '\r',
                    '&',
                    '<',
                    '>',
                    '"',
                    '\'',
                    ']',
                    '\u{FFFD}',
                    '\u{10FFFF}'
                ]),
            ],
            0..12,
        )
        .prop_map(|chars| chars.into_iter().collect())
    }

    fn namespace() -> impl Strategy<Value = &'static str> {
        proptest::sample::select(vec![
            ns::CLIENT,
            ns::JINGLE,
            ns::MUC_USER,
            ns::DATA,
            "a\"<&>'b",
        ])
    }

    fn any_element() -> impl Strategy<Value = Element> {
        let leaf = (
            "[a-z][a-z0-9-]{0,6}",
            namespace(),
            proptest::collection::vec(("[a-z]{1,4}", text()), 0..3),
            text(),
            any::<bool>(),
        )
            .prop_map(|(name, namespace, attrs, text, lang)| {
                let mut element = element(&name, namespace).done();
                for (name, value) in attrs.into_iter().filter(|(name, _)| name != "xmlns") {
                    element.put(&name, value);
                }
                let mut built = Build::from(element);
                if lang {
                    built = built.lang("en");
                }
                if !text.is_empty() {
                    built = built.text(text);
                }
                built.done()
            });
        leaf.prop_recursive(4, 32, 4, |inner| {
            (inner.clone(), proptest::collection::vec(inner, 0..4))
                .prop_map(|(parent, children)| Build::from(parent).children(children).done())
        })
    }

    /// Every start tag in `text` and whether it has an unprefixed `xmlns`, by a scan that knows nothing of the writer.
    fn start_tags(text: &str) -> Vec<(String, Option<String>)> {
        let mut out = Vec::new();
        for tag in text.split('<').skip(1).filter(|tag| !tag.starts_with('/')) {
            let tag = tag.split('>').next().unwrap_or_default();
            let name = tag.split([' ', '/']).next().unwrap_or_default();
            let xmlns = tag
                .split_once(" xmlns=\"")
                .and_then(|(_, rest)| rest.split('"').next())
                .map(str::to_owned);
            out.push((name.to_owned(), xmlns));
        }
        out
    }

    fn in_order<'a>(element: &'a Element, out: &mut Vec<&'a Element>) {
        out.push(element);
        for child in element.children() {
            in_order(child, out);
        }
    }

    proptest! {
        #[test]
        fn every_foreign_element_has_its_own_xmlns_and_trees_survive(element in any_element()) {
            let written = to_string(&element);
            let limits = Limits::CLIENT;
            prop_assert_eq!(written.len(), crate::xml::written_len(&element));
            prop_assert_eq!(&parse(&written, &limits).expect("well-formed"), &element, "{}", written);

            let mut elements = Vec::new();
            in_order(&element, &mut elements);
            let tags = start_tags(&written);
            prop_assert_eq!(tags.len(), elements.len());
            for (index, ((name, xmlns), element)) in tags.iter().zip(elements).enumerate() {
                prop_assert_eq!(name, element.name());
                prop_assert!(!name.contains(':'));
                if index == 0 || element.ns() != ns::CLIENT {
                    prop_assert!(xmlns.is_some(), "{} in {}", name, written);
                }
            }
        }

        #[test]
        fn the_reader_never_panics(input in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&input, &Limits::UNAUTHENTICATED);
            let mut reader = crate::xml::Reader::new(Limits::UNAUTHENTICATED);
            reader.push(&input);
            while let Ok(Some(_)) = reader.next_event() {}
        }
    }
}
