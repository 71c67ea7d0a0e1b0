//! The readers: a stream of bytes into stanzas, and one document into one tree.

use minidom::Element;
use minidom::rxml::error::EndOrError;
use minidom::rxml::{AttrMap, Error, Event, Namespace, Options, Parse, Parser, QName, WithOptions};

use super::tree::Tree;
use super::{Limits, XmlError};
use crate::{ElementExt, element, ns};

/// How many times [`Limits::bytes`] a single tag may take in a stanza that is passed over. It is read as a whole, and so
/// needs a limit of its own.
const SKIPPED_TAG: usize = 4;
/// Levels of a stanza that is passed over: each takes memory.
const SKIPPED_DEPTH: usize = 1_000;
/// Longest attribute that is kept of a stanza that is passed over.
const SKIPPED_ATTR: usize = 1_024;

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
    /// One child of the stream that is over a limit. Only with [`Limits::skip`].
    Skipped(Skipped),
    /// `</stream:stream>`.
    Close,
}

/// A stanza that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Which limit it is over.
    pub error: XmlError,
    /// The stanza without its content and with only `type`, `id`, `from` and `to` of its attributes, where they are not too
    /// long; `None` when it is no stanza.
    pub stanza: Option<Element>,
}

impl Skipped {
    /// What is kept of an element, which is a stanza if it is `ours`, in `jabber:client`.
    fn new(error: XmlError, ours: bool, name: &str, attrs: &AttrMap) -> Self {
        let known = ours && matches!(name, "message" | "presence" | "iq");
        let stanza = known.then(|| {
            let mut stanza = element(name, ns::CLIENT).done();
            for name in ["type", "id", "from", "to"] {
                let value = attrs.get(&Namespace::NONE, name);
                if let Some(value) = value.filter(|value| value.len() <= SKIPPED_ATTR) {
                    stanza.put(name, value.as_str());
                }
            }
            stanza
        });
        Self { error, stanza }
    }

    /// What a WebSocket message was that [`parse`] refused.
    #[must_use]
    pub fn of_message(error: XmlError, message: &[u8]) -> Self {
        let longest = longest_token(&Limits::FROM_SERVER);
        let mut parser = parser(longest.min(message.len()));
        let mut rest = message;
        match parser.parse(&mut rest, true) {
            Ok(Some(Event::StartElement(_, name, attrs))) => Self::of_tag(error, &name, &attrs),
            _ => Self {
                error,
                stanza: None,
            },
        }
    }

    fn of_tag(error: XmlError, (namespace, name): &QName, attrs: &AttrMap) -> Self {
        let ours = namespace.is_none() || namespace.as_str() == ns::CLIENT;
        Self::new(error, ours, name.as_str(), attrs)
    }

    fn of_element(error: XmlError, element: &Element) -> Self {
        let ours = element.has_ns(ns::CLIENT);
        Self::new(error, ours, element.name(), element.attrs())
    }
}

/// A stanza on its way past.
struct Skipping {
    depth: usize,
    /// `None` until its start tag is there.
    found: Option<Skipped>,
    error: XmlError,
}

/// A stream of bytes read as stanzas (RFC 6120 section 4).
///
/// Push bytes, then call [`next_event`](Self::next_event) until it returns `None`. After an error the reader only
/// repeats that error. With [`Limits::skip`] a stanza over a limit is no error: the reader goes on behind its end.
pub struct Reader {
    parser: Parser,
    limits: Limits,
    input: Vec<u8>,
    /// Start of the bytes in `input` that are not parsed yet.
    offset: usize,
    /// Bytes parsed since the last boundary between stanzas; in a stanza that is passed over, since the last tag.
    used: usize,
    /// Bytes of the stanza so far that belong to whole tags and texts.
    came: usize,
    open: bool,
    tree: Tree,
    skipping: Option<Skipping>,
    failed: Option<XmlError>,
}

impl Reader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            parser: parser(longest_token(&limits)),
            limits,
            input: Vec::new(),
            offset: 0,
            used: 0,
            came: 0,
            open: false,
            tree: Tree::default(),
            skipping: None,
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
            let most = match self.skipping {
                None => self.limits.bytes,
                Some(_) => longest_token(&self.limits),
            };
            let rest = self.input.get(self.offset..).unwrap_or_default();
            let room = most.saturating_sub(self.used);
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
                Ok(None) | Err(EndOrError::NeedMoreData) if self.used < most => return Ok(None),
                Ok(None) | Err(EndOrError::NeedMoreData) => self.skip_from_inside()?,
                Err(EndOrError::Error(error)) => return Err(classify(error)),
            }
        }
    }

    fn accept(&mut self, event: Event) -> Result<Option<ReaderEvent>, XmlError> {
        if self.skipping.is_some() {
            return self.pass_over(event);
        }
        self.came += event.metrics().len();
        match event {
            Event::XmlDeclaration(..) => Ok(None),
            Event::StartElement(_, name, attrs) if !self.open => {
                self.open = true;
                self.boundary();
                open_stream(&name, &attrs, &self.limits)
                    .map(|header| Some(ReaderEvent::Open(header)))
            }
            Event::StartElement(_, name, mut attrs) => {
                let started = self.tree.start(&name, &mut attrs, &self.limits, self.came);
                match started {
                    Ok(()) => Ok(None),
                    Err(error) => self.skip_from_tag(error, &name, &attrs).map(|()| None),
                }
            }
            Event::Text(_, text) if self.tree.is_empty() => {
                self.boundary();
                if text.bytes().all(|b| b.is_ascii_whitespace()) {
                    Ok(None)
                } else {
                    Err(XmlError::BadFormat)
                }
            }
            Event::Text(_, text) => match self.tree.text(text, &self.limits) {
                Ok(()) => Ok(None),
                Err(_) => self.skip_from_inside().map(|()| None),
            },
            Event::EndElement(_) if self.tree.is_empty() => Ok(Some(ReaderEvent::Close)),
            Event::EndElement(_) => {
                let done = self.tree.end();
                if done.is_some() {
                    self.boundary();
                }
                Ok(done.map(ReaderEvent::Element))
            }
        }
    }

    fn boundary(&mut self) {
        self.used = 0;
        self.came = 0;
    }

    /// The stanza is too large where no tag ends: it ends the stream, or is passed over from here on.
    fn skip_from_inside(&mut self) -> Result<(), XmlError> {
        let error = XmlError::TooLarge;
        if !self.limits.skip || !self.open || self.skipping.is_some() {
            return Err(error);
        }
        let found = self
            .tree
            .root()
            .map(|root| Skipped::of_element(error, root));
        self.begin_skipping(error, self.tree.depth(), found);
        Ok(())
    }

    /// The same at a start tag that was not taken into the stanza.
    fn skip_from_tag(
        &mut self,
        error: XmlError,
        name: &QName,
        attrs: &AttrMap,
    ) -> Result<(), XmlError> {
        if !self.limits.skip {
            return Err(error);
        }
        let found = match self.tree.root() {
            Some(root) => Skipped::of_element(error, root),
            None => Skipped::of_tag(error, name, attrs),
        };
        self.begin_skipping(error, self.tree.depth() + 1, Some(found));
        Ok(())
    }

    fn begin_skipping(&mut self, error: XmlError, depth: usize, found: Option<Skipped>) {
        self.tree.clear();
        self.skipping = Some(Skipping {
            depth,
            found,
            error,
        });
    }

    /// An event inside a stanza that is passed over.
    fn pass_over(&mut self, event: Event) -> Result<Option<ReaderEvent>, XmlError> {
        self.used = 0;
        let Some(skipping) = &mut self.skipping else {
            return Ok(None);
        };
        match event {
            Event::StartElement(_, name, attrs) => {
                skipping.depth += 1;
                if skipping.depth > SKIPPED_DEPTH {
                    return Err(XmlError::TooDeep);
                }
                let error = skipping.error;
                skipping
                    .found
                    .get_or_insert_with(|| Skipped::of_tag(error, &name, &attrs));
            }
            Event::EndElement(_) => {
                skipping.depth = skipping.depth.saturating_sub(1);
                if skipping.depth == 0 {
                    self.came = 0;
                    let found = self.skipping.take().and_then(|skipping| skipping.found);
                    return Ok(found.map(ReaderEvent::Skipped));
                }
            }
            Event::Text(..) | Event::XmlDeclaration(..) => {}
        }
        Ok(None)
    }
}

fn open_stream(name: &QName, attrs: &AttrMap, limits: &Limits) -> Result<StreamHeader, XmlError> {
    let (namespace, local) = name;
    limits.check_tag(name, namespace.as_str(), attrs, None)?;
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
    let mut parser = parser(longest_token(limits).min(rest.len()));
    let mut tree = Tree::default();
    let mut root = None;
    let mut came = 0;
    loop {
        let event = match parser.parse(&mut rest, true) {
            Ok(Some(event)) => event,
            Ok(None) => return root.ok_or(XmlError::NotWellFormed),
            Err(EndOrError::NeedMoreData) => return Err(XmlError::NotWellFormed),
            Err(EndOrError::Error(error)) => return Err(classify(error)),
        };
        came += event.metrics().len();
        match event {
            Event::XmlDeclaration(..) => {}
            Event::StartElement(_, name, mut attrs) => {
                tree.start(&name, &mut attrs, limits, came)?;
            }
            Event::Text(_, text) => tree.text(text, limits)?,
            Event::EndElement(_) => root = tree.end().or(root),
        }
    }
}

/// Reads only the first start tag of a document, of which not everything needs to be there: who it is from decides how much
/// of it is worth reading.
///
/// # Errors
/// When that tag is not complete or not acceptable.
pub fn root(input: impl AsRef<[u8]>, limits: &Limits) -> Result<Element, XmlError> {
    let input = input.as_ref();
    let mut window = input
        .get(..limits.bytes.min(input.len()))
        .unwrap_or_default();
    let mut parser = parser(longest_token(limits).min(window.len()));
    loop {
        match parser.parse(&mut window, false) {
            Ok(Some(Event::StartElement(_, name, mut attrs))) => {
                let mut tree = Tree::default();
                tree.start(&name, &mut attrs, limits, limits.bytes)?;
                return tree.end().ok_or(XmlError::NotWellFormed);
            }
            Ok(Some(_)) => {}
            Ok(None) => return Err(XmlError::NotWellFormed),
            Err(EndOrError::NeedMoreData) if input.len() >= limits.bytes => {
                return Err(XmlError::TooLarge);
            }
            Err(EndOrError::NeedMoreData) => return Err(XmlError::NotWellFormed),
            Err(EndOrError::Error(error)) => return Err(classify(error)),
        }
    }
}

/// The longest token the parser takes in one piece.
fn longest_token(limits: &Limits) -> usize {
    if limits.skip {
        limits.bytes.saturating_mul(SKIPPED_TAG)
    } else {
        limits.bytes
    }
}

/// It takes memory of twice the longest token at once, so a small document is worth a small limit.
fn parser(longest_token: usize) -> Parser {
    let mut parser = Parser::with_options(Options {
        max_token_length: longest_token,
        ..Options::default()
    });
    // Without it white space between stanzas would wait inside the parser and count towards the next stanza.
    parser.set_text_buffering(false);
    parser
}

fn classify(error: Error) -> XmlError {
    match error {
        Error::ReservedNamespacePrefix | Error::ReservedNamespaceName => XmlError::Reserved,
        Error::RestrictedXml(_) | Error::UndeclaredEntity => XmlError::Restricted,
        // `<!` followed by neither a comment nor CDATA: a document type or another declaration.
        Error::InvalidSyntax(_) => XmlError::Restricted,
        _ => XmlError::NotWellFormed,
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
            attributes: 3,
            ..Limits::CLIENT
        };
        let cases = [
            (format!("<a>{}", "x".repeat(400)), XmlError::TooLarge),
            (format!("<a k='{}", "x".repeat(400)), XmlError::TooLarge),
            (format!("<{}", "x".repeat(400)), XmlError::TooLarge),
            ("<a><b><c><d/></c></b></a>".to_owned(), XmlError::TooDeep),
            ("<a><b/><b/><b/><b/><b/></a>".to_owned(), XmlError::TooMany),
            ("<a a='1' b='2' c='3' d='4'/>".to_owned(), XmlError::TooMany),
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

    fn skipping() -> Limits {
        Limits {
            bytes: 400,
            depth: 3,
            elements: 5,
            attributes: 3,
            skip: true,
            ..Limits::CLIENT
        }
    }

    #[test]
    fn stanzas_over_a_limit_are_passed_over_and_the_stream_goes_on() {
        let long = "x".repeat(400);
        let cases = [
            (
                format!("<iq id='7' type='get' from='a'>{long}</iq>"),
                XmlError::TooLarge,
            ),
            (
                format!("<iq type='get' k='{long}' id='7'/>"),
                XmlError::TooLarge,
            ),
            (
                "<iq id='7' from='a' type='get' to='b'/>".to_owned(),
                XmlError::TooMany,
            ),
            (
                "<iq id='7'><b/><b/><b><c/></b><b/><b/></iq>".to_owned(),
                XmlError::TooMany,
            ),
            (
                "<iq id='7'><b><c><d><e/></d></c></b>text</iq>".to_owned(),
                XmlError::TooDeep,
            ),
            (
                "<iq id='7'><xml:a/>text</iq>".to_owned(),
                XmlError::Reserved,
            ),
            (
                format!("<iq id='7'><a xmlns='{}'/></iq>", "n".repeat(257)),
                XmlError::TooLarge,
            ),
            (
                format!("<iq id='7'><{}/></iq>", "n".repeat(257)),
                XmlError::TooLarge,
            ),
        ];
        for (stanza, expected) in cases {
            let input = format!("{OPEN}<a/>{stanza} <b/>");
            let whole = read(&input, skipping()).expect("the stream goes on");
            let mut reader = Reader::new(skipping());
            let mut pieces = Vec::new();
            for byte in input.as_bytes() {
                reader.push(&[*byte]);
                pieces.extend(drain(&mut reader).expect("the stream goes on"));
            }
            assert_eq!(whole, pieces, "{stanza}");
            let [_, a, ReaderEvent::Skipped(skipped), b] = whole.as_slice() else {
                panic!("{stanza}: {whole:?}");
            };
            assert_eq!(a, &ReaderEvent::Element(element("a", ns::CLIENT).done()));
            assert_eq!(b, &ReaderEvent::Element(element("b", ns::CLIENT).done()));
            assert_eq!(skipped.error, expected, "{stanza}");
            let kept = skipped.stanza.as_ref().expect("a stanza");
            assert_eq!(
                (kept.name(), kept.attr("id")),
                ("iq", Some("7")),
                "{stanza}"
            );
            assert_eq!(kept.nodes().count(), 0);
        }
        let foreign = read(&format!("{OPEN}<x:y xmlns:x='z'>{long}</x:y>"), skipping());
        assert!(
            matches!(
                foreign.as_deref(),
                Ok([_, ReaderEvent::Skipped(Skipped { stanza: None, .. })])
            ),
            "{foreign:?}"
        );
    }

    #[test]
    fn what_is_passed_over_must_still_be_well_formed_and_has_an_end() {
        let long = "x".repeat(400);
        let cases = [
            (format!("<iq>{long}</b>"), XmlError::NotWellFormed),
            (format!("<iq>{long}&nbsp;"), XmlError::Restricted),
            (
                format!("<iq>{long}<a k='{}'/>", "x".repeat(2000)),
                XmlError::TooLarge,
            ),
            (format!("<iq>{}", "<a>".repeat(1_001)), XmlError::TooDeep),
        ];
        for (stanza, expected) in cases {
            let ended = read(&format!("{OPEN}{stanza}"), skipping());
            assert_eq!(ended, Err(expected), "{stanza:.20}");
        }
    }

    #[test]
    fn elements_of_one_kind_share_their_namespace() {
        let long = "n".repeat(200);
        let text = format!("<a xmlns='{long}'>{}</a>", "<b/>".repeat(20));
        // Written, each of them repeats it; that is more than a small multiple.
        let many = format!("<a xmlns='{long}'>{}</a>", "<b/>".repeat(700));
        assert_eq!(parse(&many, &Limits::CLIENT), Err(XmlError::TooLarge));
        let few = parse(&text, &Limits::CLIENT).expect("few");
        assert_eq!(few.children().count(), 20);
        assert!(few.children().all(|child| child.has_ns(long.as_str())));
    }

    #[test]
    fn the_root_is_read_without_the_rest() {
        let limits = Limits::UNAUTHENTICATED;
        let sid = |input: &str| {
            root(input, &limits).map(|root| root.attr("sid").unwrap_or_default().to_owned())
        };
        assert_eq!(sid("<body sid='7' rid='1'><iq><unfin").as_deref(), Ok("7"));
        assert_eq!(sid("<body sid='7'"), Err(XmlError::NotWellFormed));
        assert_eq!(
            sid(&format!("<body sid='{}'/>", "7".repeat(9_000))),
            Err(XmlError::TooLarge)
        );
        assert_eq!(sid("<xml:body/>"), Err(XmlError::Reserved));
    }

    #[test]
    fn headers_of_strangers_are_limited() {
        let attrs: String = (0..30).map(|n| format!(" a{n}=''")).collect();
        let open = OPEN.replace(" to=", &format!("{attrs} to="));
        assert_eq!(read(&open, Limits::UNAUTHENTICATED), Err(XmlError::TooMany));
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
