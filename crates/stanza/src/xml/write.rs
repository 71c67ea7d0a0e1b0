//! The writer: one whole stanza, `xmlns` spelled out on every element outside `jabber:client`, no element prefixes.
//!
//! Browsers in the field look for the attribute `xmlns` itself, not for the namespace it resolves to, so an element whose
//! namespace XML would inherit still carries it.

use minidom::rxml::{Namespace, NcName};
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

fn write_element(element: &Element, parent_ns: Option<&str>, out: &mut Vec<u8>) {
    let namespace = element.ns();
    out.push(b'<');
    out.extend_from_slice(element.name().as_bytes());
    if namespace != ns::CLIENT || parent_ns != Some(ns::CLIENT) {
        out.extend_from_slice(b" xmlns=\"");
        escape_attr(&namespace, out);
        out.push(b'"');
    }
    for (index, ((attr_ns, name), value)) in element.attrs().iter().enumerate() {
        write_attr(index, attr_ns, name, value, out);
    }
    if element.nodes().next().is_none() {
        out.extend_from_slice(b"/>");
        return;
    }
    out.push(b'>');
    for node in element.nodes() {
        match node {
            Node::Element(child) => write_element(child, Some(&namespace), out),
            Node::Text(text) => escape_text(text, out),
        }
    }
    out.extend_from_slice(b"</");
    out.extend_from_slice(element.name().as_bytes());
    out.push(b'>');
}

/// Attributes, unlike elements, cannot have a namespace without a prefix.
fn write_attr(
    index: usize,
    namespace: &Namespace<'_>,
    name: &NcName,
    value: &str,
    out: &mut Vec<u8>,
) {
    out.push(b' ');
    if namespace == &Namespace::XML {
        out.extend_from_slice(b"xml:");
    } else if namespace.is_some() {
        let prefix = format!("n{index}");
        out.extend_from_slice(b"xmlns:");
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b"=\"");
        escape_attr(namespace.as_str(), out);
        out.extend_from_slice(b"\" ");
        out.extend_from_slice(prefix.as_bytes());
        out.push(b':');
    }
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b"=\"");
    escape_attr(value, out);
    out.push(b'"');
}

/// Writes character data. What XML cannot carry becomes U+FFFD.
pub fn escape_text(text: &str, out: &mut Vec<u8>) {
    escape(text, out, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#13;"),
        c if !allowed(c) => Some("\u{FFFD}"),
        _ => None,
    });
}

/// Writes the value of an attribute, without its quotes. What XML cannot carry becomes U+FFFD.
pub fn escape_attr(value: &str, out: &mut Vec<u8>) {
    escape(value, out, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&apos;"),
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

fn escape(text: &str, out: &mut Vec<u8>, replacement: impl Fn(char) -> Option<&'static str>) {
    for c in text.chars() {
        match replacement(c) {
            Some(entity) => out.extend_from_slice(entity.as_bytes()),
            None => {
                let mut buffer = [0; 4];
                out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            }
        }
    }
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
