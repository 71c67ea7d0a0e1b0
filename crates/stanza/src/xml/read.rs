//! The readers: a stream of bytes into stanzas, and one document into one tree.

use minidom::Element;
use minidom::rxml::error::EndOrError;
use minidom::rxml::{AttrMap, Error, Event, Namespace, Options, Parse, Parser, QName, WithOptions};

use super::{Limits, XmlError};
use crate::{ElementExt, ns};

/// The attributes of an opening `<stream:stream>` that matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamHeader {
    /// The host the stream is for.
    pub to: Option<String>,
    /// Who opens it.
    pub from: Option<String>,
    /// The stream id, given by servers.
    pub id: Option<String>,
    /// `1.0` today.
    pub version: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
}

impl StreamHeader {
    /// Reads the same attributes from an element of another framing (`<open>`, `<body>`).
    #[must_use]
    pub fn from_element(element: &Element) -> Self {
        let text = |name: &str| element.attr(name).map(str::to_owned);
        Self {
            to: text("to"),
            from: text("from"),
            id: text("id"),
            version: text("version"),
            lang: element.lang().map(str::to_owned),
        }
    }
}

/// What a [`Reader`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReaderEvent {
    /// `<stream:stream …>`.
    Open(StreamHeader),
    /// One child of the stream, whole.
    Element(Element),
    /// `</stream:stream>`.
    Close,
}

/// A stream of bytes read as stanzas (RFC 6120 section 4).
///
/// Push bytes, then call [`next_event`](Self::next_event) until it returns `None`. After an error the reader only
/// repeats that error.
pub struct Reader {
    parser: Parser,
    limits: Limits,
    input: Vec<u8>,
    /// Start of the bytes in `input` that are not parsed yet.
    offset: usize,
    /// Bytes parsed since the last boundary between stanzas.
    used: usize,
    open: bool,
    tree: Tree,
    failed: Option<XmlError>,
}

impl Reader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            parser: parser(&limits),
            limits,
            input: Vec::new(),
            offset: 0,
            used: 0,
            open: false,
            tree: Tree::default(),
            failed: None,
        }
    }

    /// Changes the limits from the next stanza on. The longest single token stays what it was when the stream opened.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Starts a new stream with what is pushed but not parsed yet, as after SASL (RFC 6120 section 6.4.6).
    pub fn restart(&mut self) {
        let rest = self.input.split_off(self.offset.min(self.input.len()));
        *self = Self::new(self.limits);
        self.input = rest;
    }

    /// Starts a new stream and forgets what is not parsed yet, as after STARTTLS: what came before the handshake is not
    /// protected (RFC 6120 section 5.4.3.3).
    pub fn restart_discarding(&mut self) {
        *self = Self::new(self.limits);
    }

    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.offset == self.input.len() {
            self.input.clear();
            self.offset = 0;
        }
        self.input.extend_from_slice(bytes);
    }

    /// The next event, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not acceptable; the stream cannot go on.
    pub fn next_event(&mut self) -> Result<Option<ReaderEvent>, XmlError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.advance();
        if let Err(error) = result {
            self.failed = Some(error);
            self.input = Vec::new();
            self.offset = 0;
        }
        result
    }

    fn advance(&mut self) -> Result<Option<ReaderEvent>, XmlError> {
        loop {
            // A stanza may not make the parser look further than its limit allows.
            let rest = self.input.get(self.offset..).unwrap_or_default();
            let room = self.limits.bytes.saturating_sub(self.used);
            let mut window = rest.get(..room.min(rest.len())).unwrap_or_default();
            let before = window.len();
            let result = self.parser.parse(&mut window, false);
            let consumed = before - window.len();
            self.offset += consumed;
            self.used += consumed;
            match result {
                Ok(Some(event)) => {
                    if let Some(event) = self.accept(event)? {
                        return Ok(Some(event));
                    }
                }
                // Both mean that the bytes at hand are used up: the parser ends a document only at the end of input.
                Ok(None) | Err(EndOrError::NeedMoreData) => {
                    return if self.used >= self.limits.bytes {
                        Err(XmlError::TooLarge)
                    } else {
                        Ok(None)
                    };
                }
                Err(EndOrError::Error(error)) => return Err(classify(error)),
            }
        }
    }

    fn accept(&mut self, event: Event) -> Result<Option<ReaderEvent>, XmlError> {
        match event {
            Event::XmlDeclaration(..) => Ok(None),
            Event::StartElement(_, name, attrs) if !self.open => {
                self.open = true;
                self.used = 0;
                open_stream(&name, &attrs).map(|header| Some(ReaderEvent::Open(header)))
            }
            Event::StartElement(_, name, attrs) => {
                self.tree.start(name, attrs, &self.limits)?;
                Ok(None)
            }
            Event::Text(_, text) if self.tree.is_empty() => {
                self.used = 0;
                if text.bytes().all(|b| b.is_ascii_whitespace()) {
                    Ok(None)
                } else {
                    Err(XmlError::BadFormat)
                }
            }
            Event::Text(_, text) => {
                self.tree.text(text);
                Ok(None)
            }
            Event::EndElement(_) if self.tree.is_empty() => Ok(Some(ReaderEvent::Close)),
            Event::EndElement(_) => {
                let done = self.tree.end();
                if done.is_some() {
                    self.used = 0;
                }
                Ok(done.map(ReaderEvent::Element))
            }
        }
    }
}

fn open_stream(name: &QName, attrs: &AttrMap) -> Result<StreamHeader, XmlError> {
    let (namespace, local) = name;
    if namespace.as_str() != ns::STREAM || local.as_str() != "stream" {
        return Err(XmlError::BadFormat);
    }
    let text = |name: &str| attrs.get(&Namespace::NONE, name).cloned();
    Ok(StreamHeader {
        to: text("to"),
        from: text("from"),
        id: text("id"),
        version: text("version"),
        lang: attrs.get(&Namespace::XML, "lang").cloned(),
    })
}

/// Reads one whole document: a WebSocket message or the body of a BOSH request.
///
/// Elements without a namespace, and inside the body of a BOSH request those in its namespace, read as `jabber:client`.
///
/// # Errors
/// When `input` is not exactly one acceptable element.
pub fn parse(input: impl AsRef<[u8]>, limits: &Limits) -> Result<Element, XmlError> {
    let mut rest = input.as_ref();
    if rest.len() > limits.bytes {
        return Err(XmlError::TooLarge);
    }
    let mut parser = parser(limits);
    let mut tree = Tree::default();
    let mut root = None;
    loop {
        match parser.parse(&mut rest, true) {
            Ok(Some(Event::XmlDeclaration(..))) => {}
            Ok(Some(Event::StartElement(_, name, attrs))) => tree.start(name, attrs, limits)?,
            Ok(Some(Event::Text(_, text))) => tree.text(text),
            Ok(Some(Event::EndElement(_))) => root = tree.end().or(root),
            Ok(None) => return root.ok_or(XmlError::NotWellFormed),
            Err(EndOrError::NeedMoreData) => return Err(XmlError::NotWellFormed),
            Err(EndOrError::Error(error)) => return Err(classify(error)),
        }
    }
}

fn parser(limits: &Limits) -> Parser {
    let mut parser = Parser::with_options(Options {
        max_token_length: limits.bytes,
        ..Options::default()
    });
    // Without it white space between stanzas would wait inside the parser and count towards the next stanza.
    parser.set_text_buffering(false);
    parser
}

fn classify(error: Error) -> XmlError {
    match error {
        Error::RestrictedXml(_) | Error::UndeclaredEntity => XmlError::Restricted,
        // `<!` followed by neither a comment nor CDATA: a document type or another declaration.
        Error::InvalidSyntax(_) => XmlError::Restricted,
        _ => XmlError::NotWellFormed,
    }
}

/// A stanza under construction.
#[derive(Default)]
struct Tree {
    stack: Vec<Element>,
    elements: usize,
}

impl Tree {
    fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    fn start(&mut self, name: QName, attrs: AttrMap, limits: &Limits) -> Result<(), XmlError> {
        let (namespace, local) = name;
        if self.stack.len() >= limits.depth {
            return Err(XmlError::TooDeep);
        }
        self.elements += 1;
        if self.elements > limits.elements || attrs.len() > limits.attributes {
            return Err(XmlError::TooMany);
        }
        let inherited =
            namespace.is_none() || (!self.stack.is_empty() && namespace.as_str() == ns::HTTP_BIND);
        let namespace = if inherited {
            ns::CLIENT
        } else {
            namespace.as_str()
        };
        let mut element = Element::bare(local.as_str(), namespace);
        *element.attrs_mut() = attrs;
        self.stack.push(element);
        Ok(())
    }

    fn text(&mut self, text: String) {
        if let Some(top) = self.stack.last_mut() {
            top.append_text(text);
        }
    }

    /// Closes the innermost element and returns the stanza when that was its last one.
    fn end(&mut self) -> Option<Element> {
        let done = self.stack.pop()?;
        match self.stack.last_mut() {
            Some(parent) => {
                parent.append_child(done);
                None
            }
            None => {
                self.elements = 0;
                Some(done)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element;

    const OPEN: &str = "<?xml version='1.0'?><stream:stream to='example.com' version='1.0' xml:lang='en' \
                        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

    fn drain(reader: &mut Reader) -> Result<Vec<ReaderEvent>, XmlError> {
        let mut out = Vec::new();
        while let Some(event) = reader.next_event()? {
            out.push(event);
        }
        Ok(out)
    }

    fn read(input: &str, limits: Limits) -> Result<Vec<ReaderEvent>, XmlError> {
        let mut reader = Reader::new(limits);
        reader.push(input.as_bytes());
        drain(&mut reader)
    }

    #[test]
    fn a_stream_byte_by_byte_equals_the_stream_at_once() {
        let input = format!(
            "{OPEN} <message><body>hi &amp; \u{1F44B}</body></message>\n<r xmlns='urn:xmpp:sm:3'/></stream:stream>"
        );
        let whole = read(&input, Limits::CLIENT).expect("valid");
        let mut reader = Reader::new(Limits::CLIENT);
        let mut pieces = Vec::new();
        for byte in input.as_bytes() {
            reader.push(&[*byte]);
            pieces.extend(drain(&mut reader).expect("valid"));
        }
        assert_eq!(whole, pieces);
        assert_eq!(
            whole,
            [
                ReaderEvent::Open(StreamHeader {
                    to: Some("example.com".into()),
                    version: Some("1.0".into()),
                    lang: Some("en".into()),
                    ..StreamHeader::default()
                }),
                ReaderEvent::Element(
                    element("message", ns::CLIENT)
                        .child(element("body", ns::CLIENT).text("hi & \u{1F44B}"))
                        .done()
                ),
                ReaderEvent::Element(element("r", ns::SM).done()),
                ReaderEvent::Close,
            ]
        );
    }

    #[test]
    fn what_streams_may_not_contain() {
        let cases = [
            ("<!DOCTYPE a>", XmlError::Restricted),
            (
                "<!DOCTYPE l [<!ENTITY a 'x'><!ENTITY b '&a;&a;'>]><l>&b;</l>",
                XmlError::Restricted,
            ),
            ("<stream xmlns='jabber:client'>", XmlError::BadFormat),
            ("<a></a>", XmlError::BadFormat),
            ("garbage", XmlError::NotWellFormed),
            ("\u{0}", XmlError::NotWellFormed),
        ];
        for (input, expected) in cases {
            assert_eq!(read(input, Limits::CLIENT), Err(expected), "{input:?}");
        }
        let inside = [
            ("<a></b>", XmlError::NotWellFormed),
            ("<a b='1' b='2'/>", XmlError::NotWellFormed),
            ("<x:a/>", XmlError::NotWellFormed),
            ("<!-- c -->", XmlError::Restricted),
            ("<a>&nbsp;</a>", XmlError::Restricted),
            ("<?php ?>", XmlError::Restricted),
            ("words", XmlError::BadFormat),
            ("<a>\u{1}</a>", XmlError::NotWellFormed),
        ];
        for (input, expected) in inside {
            assert_eq!(
                read(&format!("{OPEN}{input}"), Limits::CLIENT),
                Err(expected),
                "{input:?}"
            );
        }
    }

    #[test]
    fn limits_hold_whether_the_stanza_is_complete_or_not() {
        let limits = Limits {
            bytes: 400,
            depth: 3,
            elements: 5,
            attributes: 2,
        };
        let cases = [
            (format!("<a>{}", "x".repeat(400)), XmlError::TooLarge),
            (format!("<a k='{}", "x".repeat(400)), XmlError::TooLarge),
            (format!("<{}", "x".repeat(400)), XmlError::TooLarge),
            ("<a><b><c><d/></c></b></a>".to_owned(), XmlError::TooDeep),
            ("<a><b/><b/><b/><b/><b/></a>".to_owned(), XmlError::TooMany),
            ("<a a='1' b='2' c='3'/>".to_owned(), XmlError::TooMany),
        ];
        for (input, expected) in cases {
            assert_eq!(
                read(&format!("{OPEN}{input}"), limits),
                Err(expected),
                "{input:.40}"
            );
        }
        let fits = format!("{OPEN}{}", "<a><b><c/></b></a> ".repeat(100));
        assert_eq!(read(&fits, limits).expect("within limits").len(), 101);
    }

    #[test]
    fn a_failed_reader_stays_failed() {
        let mut reader = Reader::new(Limits::CLIENT);
        reader.push(b"<<");
        assert!(reader.next_event().is_err());
        reader.push(OPEN.as_bytes());
        assert!(reader.next_event().is_err());
    }

    #[test]
    fn restarts_keep_or_forget_what_follows() {
        let input = format!("{OPEN}<a/>{OPEN}<b/>");
        for (discard, expected) in [(false, 2), (true, 0)] {
            let mut reader = Reader::new(Limits::CLIENT);
            reader.push(input.as_bytes());
            assert!(matches!(
                reader.next_event(),
                Ok(Some(ReaderEvent::Open(_)))
            ));
            assert!(matches!(
                reader.next_event(),
                Ok(Some(ReaderEvent::Element(_)))
            ));
            if discard {
                reader.restart_discarding();
            } else {
                reader.restart();
            }
            assert_eq!(drain(&mut reader).expect("valid").len(), expected);
        }
    }

    #[test]
    fn documents() {
        let limits = Limits::CLIENT;
        let open = parse(
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a'/>",
            &limits,
        )
        .expect("valid");
        assert!(open.is("open", ns::FRAMING));
        assert!(parse("<iq/>", &limits).expect("valid").is("iq", ns::CLIENT));
        let body = parse(
            "<body xmlns='http://jabber.org/protocol/httpbind'><presence><x xmlns='y'/></presence></body>",
            &limits,
        )
        .expect("valid");
        assert!(body.is("body", ns::HTTP_BIND));
        let presence = body.get_child("presence", ns::CLIENT).expect("presence");
        assert!(presence.has_child("x", "y"));
        for bad in ["", " ", "<a>", "<a/><b/>", "<a/>x", "text", "<a></b>"] {
            assert_eq!(parse(bad, &limits), Err(XmlError::NotWellFormed), "{bad:?}");
        }
        assert_eq!(
            parse(vec![b' '; limits.bytes + 1], &limits),
            Err(XmlError::TooLarge)
        );
    }
}
