//! How the parts of a stream are spelled in each framing.

use stanza::xml::{StreamHeader, escape_attr};
use stanza::{Element, ns, xml};

use crate::condition::{SaslFailure, StreamCondition};

/// How stanzas are put on a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// One XML document for the whole stream (RFC 6120).
    Tcp,
    /// One message for each element (RFC 7395).
    WebSocket,
    /// Elements in the bodies of HTTP requests (XEP-0206).
    Bosh,
}

const STREAM_NS: &str = "http://etherx.jabber.org/streams";

fn attr(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"=\"");
        escape_attr(value, out);
        out.push(b'"');
    }
}

/// The start of a stream; `None` where the framing has no such thing.
pub(crate) fn open(framing: Framing, header: &StreamHeader) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(200);
    match framing {
        Framing::Tcp => {
            out.extend_from_slice(
                b"<?xml version=\"1.0\"?><stream:stream xmlns=\"jabber:client\" xmlns:stream=\"",
            );
            out.extend_from_slice(STREAM_NS.as_bytes());
            out.push(b'"');
        }
        // Browsers look for a message that begins with exactly `<open `.
        Framing::WebSocket => {
            out.extend_from_slice(b"<open xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\"")
        }
        Framing::Bosh => return None,
    }
    attr(&mut out, "from", header.from.as_deref());
    attr(&mut out, "to", header.to.as_deref());
    attr(&mut out, "id", header.id.as_deref());
    attr(&mut out, "version", header.version.as_deref());
    attr(&mut out, "xml:lang", header.lang.as_deref());
    out.extend_from_slice(if framing == Framing::Tcp { b">" } else { b"/>" });
    Some(out)
}

/// The end of a stream; `None` where the framing has no such thing.
pub(crate) fn close(framing: Framing) -> Option<Vec<u8>> {
    match framing {
        Framing::Tcp => Some(b"</stream:stream>".to_vec()),
        // Browsers know this spelling only, blank included.
        Framing::WebSocket => {
            Some(b"<close xmlns=\"urn:ietf:params:xml:ns:xmpp-framing\" />".to_vec())
        }
        Framing::Bosh => None,
    }
}

/// Stream features. The prefix is what browsers look for; it is declared so that the element stands alone.
pub(crate) fn features(children: &[Element]) -> Vec<u8> {
    let mut out = Vec::with_capacity(300);
    out.extend_from_slice(b"<stream:features xmlns:stream=\"http://etherx.jabber.org/streams\" xmlns=\"jabber:client\">");
    for child in children {
        xml::write(child, &mut out);
    }
    out.extend_from_slice(b"</stream:features>");
    out
}

/// A stream error.
pub(crate) fn error(condition: StreamCondition, text: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(200);
    out.extend_from_slice(b"<stream:error xmlns:stream=\"http://etherx.jabber.org/streams\">");
    xml::write(
        &Element::bare(condition.as_str(), ns::STREAM_ERRORS),
        &mut out,
    );
    if let Some(text) = text {
        let mut child = Element::bare("text", ns::STREAM_ERRORS);
        child.append_text(text);
        xml::write(&child, &mut out);
    }
    out.extend_from_slice(b"</stream:error>");
    out
}

/// A SASL failure. Browsers find the text by a pattern over the bytes, so its children carry no attribute at all.
pub(crate) fn sasl_failure(failure: &SaslFailure) -> Vec<u8> {
    let mut out = Vec::with_capacity(150);
    out.extend_from_slice(b"<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><");
    out.extend_from_slice(failure.condition.as_str().as_bytes());
    out.extend_from_slice(b"/>");
    if let Some(text) = &failure.text {
        out.extend_from_slice(b"<text>");
        xml::escape_text(text, &mut out);
        out.extend_from_slice(b"</text>");
    }
    out.extend_from_slice(b"</failure>");
    out
}

/// One element on its own.
pub(crate) fn element(element: &Element) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    xml::write(element, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::SaslCondition;

    #[test]
    fn spellings_that_browsers_depend_on() {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let header = StreamHeader {
            from: Some("a&b".into()),
            version: Some("1.0".into()),
            ..StreamHeader::default()
        };
        assert_eq!(
            text(open(Framing::WebSocket, &header).expect("open")),
            r#"<open xmlns="urn:ietf:params:xml:ns:xmpp-framing" from="a&amp;b" version="1.0"/>"#
        );
        assert_eq!(
            text(close(Framing::WebSocket).expect("close")),
            r#"<close xmlns="urn:ietf:params:xml:ns:xmpp-framing" />"#
        );
        let failure = SaslFailure {
            condition: SaslCondition::NotAllowed,
            text: Some("token <expired>".into()),
        };
        assert_eq!(
            text(sasl_failure(&failure)),
            "<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><not-allowed/><text>token &lt;expired&gt;</text></failure>"
        );
        assert!(
            text(features(&[]))
                .starts_with("<stream:features xmlns:stream=\"http://etherx.jabber.org/streams\"")
        );
    }
}
