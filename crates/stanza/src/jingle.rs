//! Jingle sessions (XEP-0166, 0167, 0176, 0338, 0339, 0343) as Jitsi's clients and focus use them.
//!
//! Reading is tolerant: unknown attributes and elements are skipped. It is bounded: a stanza with more contents, sources
//! or groups than a session can have is an error.

use minidom::Element;

use crate::build::element;
use crate::jitsi::compact::CompactSources;
use crate::media::{
    HdrExt, IceTransport, Malformed, NS_HDREXT, NS_ICE, NS_RTP, NS_SSMA, PayloadType, Source,
    SsrcGroup, children, flag, number, string,
};
use crate::ns;

/// Contents one stanza may have.
pub const MAX_CONTENTS: usize = 64;
/// Sources, and likewise groups, that one content may have.
pub const MAX_SOURCES: usize = 256;
/// Payload types, and likewise header extensions, that one content may have.
pub const MAX_PAYLOAD_TYPES: usize = 128;

/// What a Jingle stanza asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Offers a session.
    SessionInitiate,
    /// Answers an offer.
    SessionAccept,
    /// Tells a state or asks for an in-place ICE restart.
    SessionInfo,
    /// Ends a session.
    SessionTerminate,
    /// Brings candidates or credentials.
    TransportInfo,
    /// Offers another transport.
    TransportReplace,
    /// Answers a `transport-replace`.
    TransportAccept,
    /// Refuses a `transport-replace`.
    TransportReject,
    /// Adds sources (also spelled `addsource`).
    SourceAdd,
    /// Removes sources (also spelled `removesource`).
    SourceRemove,
    /// Changes the direction of a content, between two clients.
    ContentModify,
    /// Something this vocabulary does not know.
    Other(String),
}

impl Action {
    /// The name on the wire.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::SessionInitiate => "session-initiate",
            Self::SessionAccept => "session-accept",
            Self::SessionInfo => "session-info",
            Self::SessionTerminate => "session-terminate",
            Self::TransportInfo => "transport-info",
            Self::TransportReplace => "transport-replace",
            Self::TransportAccept => "transport-accept",
            Self::TransportReject => "transport-reject",
            Self::SourceAdd => "source-add",
            Self::SourceRemove => "source-remove",
            Self::ContentModify => "content-modify",
            Self::Other(name) => name,
        }
    }

    /// Reads the name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        match name {
            "session-initiate" => Self::SessionInitiate,
            "session-accept" => Self::SessionAccept,
            "session-info" => Self::SessionInfo,
            "session-terminate" => Self::SessionTerminate,
            "transport-info" => Self::TransportInfo,
            "transport-replace" => Self::TransportReplace,
            "transport-accept" => Self::TransportAccept,
            "transport-reject" => Self::TransportReject,
            "source-add" | "addsource" => Self::SourceAdd,
            "source-remove" | "removesource" => Self::SourceRemove,
            "content-modify" => Self::ContentModify,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Which side made a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creator {
    /// The side that offered the session.
    Initiator,
    /// The side that answered.
    Responder,
}

/// An RTP (or data) description.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// `audio`, `video`, `application`; may be absent in answers.
    pub media: Option<String>,
    /// Longest packet in milliseconds.
    pub maxptime: Option<u32>,
    /// Codecs.
    pub payload_types: Vec<PayloadType>,
    /// Header extensions.
    pub hdr_exts: Vec<HdrExt>,
    /// One-byte and two-byte header extensions may be mixed.
    pub extmap_allow_mixed: bool,
    /// RTP and RTCP share the transport.
    pub rtcp_mux: bool,
    /// Sources.
    pub sources: Vec<Source>,
    /// Groups of sources.
    pub groups: Vec<SsrcGroup>,
}

/// `sctpmap` of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SctpMap {
    /// SCTP port.
    pub number: u16,
    /// `webrtc-datachannel`.
    pub protocol: String,
    /// Number of streams.
    pub streams: u16,
}

/// One content of a session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Who made it.
    pub creator: Option<Creator>,
    /// `audio`, `video`, `data`.
    pub name: String,
    /// `both`, `none`, ...
    pub senders: Option<String>,
    /// What is sent.
    pub description: Option<Description>,
    /// How it is sent.
    pub transport: Option<IceTransport>,
    /// Data channels on the transport.
    pub sctp: Option<SctpMap>,
    /// Number of videos the client wants until it says more on the bridge channel.
    pub initial_last_n: Option<i32>,
    /// Sources directly below the content, without a description.
    pub sources: Vec<Source>,
    /// Groups directly below the content.
    pub groups: Vec<SsrcGroup>,
}

impl Content {
    /// The media type: said by the description, else by the name.
    #[must_use]
    pub fn media(&self) -> &str {
        self.description
            .as_ref()
            .and_then(|d| d.media.as_deref())
            .filter(|media| !media.is_empty())
            .unwrap_or(&self.name)
    }

    /// All sources of the content.
    pub fn all_sources(&self) -> impl Iterator<Item = &Source> {
        self.description
            .iter()
            .flat_map(|d| &d.sources)
            .chain(&self.sources)
    }

    /// All groups of the content.
    pub fn all_groups(&self) -> impl Iterator<Item = &SsrcGroup> {
        self.description
            .iter()
            .flat_map(|d| &d.groups)
            .chain(&self.groups)
    }
}

/// Why a session ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// `success`, `expired`, `connectivity-error`, ...
    pub condition: String,
    /// For people.
    pub text: Option<String>,
}

/// Which stay on a bridge a session belongs to; clients repeat its id in requests about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BridgeSession {
    /// Identifies the stay.
    pub id: String,
    /// Where the bridge is.
    pub region: Option<String>,
    /// In `session-terminate`: a new session is wanted.
    pub restart: Option<bool>,
    /// In `session-info`: new ICE credentials inside the session are wanted.
    pub ice_restart: bool,
}

/// Ours: a session that takes the place of another one without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moving {
    /// In `session-initiate`: this session goes on until the one that is offered carries everything.
    Beside(String),
    /// In `session-initiate`: the one that is offered carries nothing before this session ends, or before it is said to go on.
    Spare(String),
    /// In `session-info` of a client: the session carries everything, and the former one is not needed any more. Of the focus: a
    /// spare one shall carry everything.
    Done,
}

/// What a client shall mute when it joins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartMuted {
    /// The microphone.
    pub audio: bool,
    /// The camera.
    pub video: bool,
}

/// A `jingle` element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jingle {
    /// What it asks for.
    pub action: Action,
    /// The session.
    pub sid: String,
    /// Who offered the session, as text: clients compare nothing else.
    pub initiator: Option<String>,
    /// Who answered.
    pub responder: Option<String>,
    /// Contents, in order.
    pub contents: Vec<Content>,
    /// Names of the bundled contents.
    pub bundle: Option<Vec<String>>,
    /// Why the session ends.
    pub reason: Option<Reason>,
    /// The stay on the bridge.
    pub bridge_session: Option<BridgeSession>,
    /// State of ICE at the client (`failed`).
    pub ice_state: Option<String>,
    /// Begin muted.
    pub start_muted: Option<StartMuted>,
    /// Sources in compact form.
    pub sources: Option<CompactSources>,
    /// It takes the place of another one without a gap.
    pub moving: Option<Moving>,
}

impl Jingle {
    /// A stanza for `sid` with nothing in it yet.
    #[must_use]
    pub fn new(action: Action, sid: &str) -> Self {
        Self {
            action,
            sid: sid.to_owned(),
            initiator: None,
            responder: None,
            contents: Vec::new(),
            bundle: None,
            reason: None,
            bridge_session: None,
            ice_state: None,
            start_muted: None,
            sources: None,
            moving: None,
        }
    }

    /// Finds the Jingle payload of an IQ.
    #[must_use]
    pub fn element_of(iq: &Element) -> Option<&Element> {
        iq.get_child("jingle", ns::JINGLE)
    }
}

fn bounded<'a, T: TryFrom<&'a Element, Error = Malformed>>(
    parent: &'a Element,
    name: &'static str,
    ns: &'static str,
    limit: usize,
) -> Result<Vec<T>, Malformed> {
    let mut all = Vec::new();
    for child in children(parent, name, ns) {
        if all.len() >= limit {
            return Err(Malformed::new(name, "too many"));
        }
        all.push(T::try_from(child)?);
    }
    Ok(all)
}

impl TryFrom<&Element> for Description {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        if !element.is("description", NS_RTP) {
            return Err(Malformed::new("description", "not an RTP description"));
        }
        Ok(Self {
            media: string(element, "media"),
            maxptime: number(element, "maxptime"),
            payload_types: bounded(element, "payload-type", NS_RTP, MAX_PAYLOAD_TYPES)?,
            hdr_exts: bounded(element, "rtp-hdrext", NS_HDREXT, MAX_PAYLOAD_TYPES)?,
            extmap_allow_mixed: element.has_child("extmap-allow-mixed", NS_HDREXT),
            rtcp_mux: element.has_child("rtcp-mux", NS_RTP),
            sources: bounded(element, "source", NS_SSMA, MAX_SOURCES)?,
            groups: bounded(element, "ssrc-group", NS_SSMA, MAX_SOURCES)?,
        })
    }
}

impl From<&Description> for Element {
    fn from(d: &Description) -> Self {
        element("description", NS_RTP)
            .attr_opt("media", d.media.as_ref())
            .attr_opt("maxptime", d.maxptime)
            .children(d.payload_types.iter().map(Element::from))
            .children(d.sources.iter().map(Element::from))
            .children(d.groups.iter().map(Element::from))
            .children(d.hdr_exts.iter().map(Element::from))
            .children(
                d.extmap_allow_mixed
                    .then(|| element("extmap-allow-mixed", NS_HDREXT)),
            )
            .children(d.rtcp_mux.then(|| element("rtcp-mux", NS_RTP)))
            .done()
    }
}

impl From<&SctpMap> for Element {
    fn from(map: &SctpMap) -> Self {
        element("sctpmap", ns::JINGLE_DTLS_SCTP)
            .attr("number", map.number)
            .attr("protocol", &map.protocol)
            .attr("streams", map.streams)
            .done()
    }
}

impl TryFrom<&Element> for Content {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let transport = element.get_child("transport", NS_ICE);
        let sctp = transport
            .and_then(|t| t.get_child("sctpmap", ns::JINGLE_DTLS_SCTP))
            .map(|map| SctpMap {
                number: number(map, "number").unwrap_or(5000),
                protocol: string(map, "protocol").unwrap_or_default(),
                streams: number(map, "streams").unwrap_or(0),
            });
        Ok(Self {
            creator: match element.attr("creator") {
                Some("initiator") => Some(Creator::Initiator),
                Some("responder") => Some(Creator::Responder),
                _ => None,
            },
            name: string(element, "name").ok_or(Malformed::new("content", "no name"))?,
            senders: string(element, "senders"),
            description: element
                .get_child("description", NS_RTP)
                .map(Description::try_from)
                .transpose()?,
            transport: transport.map(IceTransport::try_from).transpose()?,
            sctp,
            initial_last_n: element
                .get_child("initial-last-n", ns::COLIBRI2)
                .and_then(|n| number(n, "value")),
            sources: bounded(element, "source", NS_SSMA, MAX_SOURCES)?,
            groups: bounded(element, "ssrc-group", NS_SSMA, MAX_SOURCES)?,
        })
    }
}

impl From<&Content> for Element {
    fn from(c: &Content) -> Self {
        let transport = c.transport.as_ref().map(|transport| {
            let mut transport = Element::from(transport);
            if let Some(sctp) = &c.sctp {
                transport.append_child(sctp.into());
            }
            transport
        });
        element("content", ns::JINGLE)
            .attr_opt(
                "creator",
                c.creator.map(|creator| match creator {
                    Creator::Initiator => "initiator",
                    Creator::Responder => "responder",
                }),
            )
            .attr("name", &c.name)
            .attr_opt("senders", c.senders.as_ref())
            .children(
                c.initial_last_n
                    .map(|n| element("initial-last-n", ns::COLIBRI2).attr("value", n)),
            )
            .children(c.description.as_ref().map(Element::from))
            .children(transport)
            .children(c.sources.iter().map(Element::from))
            .children(c.groups.iter().map(Element::from))
            .done()
    }
}

impl From<&Reason> for Element {
    fn from(reason: &Reason) -> Self {
        element("reason", ns::JINGLE)
            .child(element(&reason.condition, ns::JINGLE))
            .children(
                reason
                    .text
                    .as_ref()
                    .map(|text| element("text", ns::JINGLE).text(text)),
            )
            .done()
    }
}

impl From<&BridgeSession> for Element {
    fn from(session: &BridgeSession) -> Self {
        element("bridge-session", ns::FOCUS)
            .attr("id", &session.id)
            .attr_opt("region", session.region.as_ref())
            .attr_opt("restart", session.restart)
            .flag("ice-restart", session.ice_restart)
            .done()
    }
}

impl TryFrom<&Element> for Jingle {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        if !element.is("jingle", ns::JINGLE) {
            return Err(Malformed::new("jingle", "another element"));
        }
        let action = element
            .attr("action")
            .ok_or(Malformed::new("jingle", "no action"))?;
        let sid = string(element, "sid").filter(|sid| !sid.is_empty());
        Ok(Self {
            action: Action::from_name(action),
            sid: sid.ok_or(Malformed::new("jingle", "no sid"))?,
            initiator: string(element, "initiator"),
            responder: string(element, "responder"),
            contents: bounded(element, "content", ns::JINGLE, MAX_CONTENTS)?,
            bundle: element
                .children()
                .find(|c| c.is("group", ns::JINGLE_GROUPING))
                .map(|group| {
                    group
                        .children()
                        .filter(|c| c.name() == "content")
                        .filter_map(|c| string(c, "name"))
                        .collect()
                }),
            reason: element.get_child("reason", ns::JINGLE).map(read_reason),
            bridge_session: element
                .get_child("bridge-session", ns::FOCUS)
                .map(|session| BridgeSession {
                    id: string(session, "id").unwrap_or_default(),
                    region: string(session, "region"),
                    restart: session.attr("restart").map(|_| flag(session, "restart")),
                    ice_restart: flag(session, "ice-restart"),
                }),
            ice_state: element
                .get_child("ice-state", ns::FOCUS)
                .map(|state| state.text().trim().to_owned()),
            start_muted: element
                .get_child("startmuted", ns::JITMEET_START_MUTED)
                .map(|muted| StartMuted {
                    audio: flag(muted, "audio"),
                    video: flag(muted, "video"),
                }),
            sources: element
                .get_child("json-message", ns::JITMEET)
                .map(|message| CompactSources::from_json(&message.text()))
                .transpose()
                .map_err(|_| Malformed::new("json-message", "not compact sources"))?,
            moving: element
                .get_child("move", ns::MOVES)
                .map(|moving| match moving.attr("sid") {
                    Some(sid) if flag(moving, "spare") => Moving::Spare(sid.to_owned()),
                    Some(sid) => Moving::Beside(sid.to_owned()),
                    None => Moving::Done,
                }),
        })
    }
}

fn read_reason(reason: &Element) -> Reason {
    Reason {
        condition: reason
            .children()
            .find(|c| c.name() != "text")
            .map_or_else(|| "general-error".to_owned(), |c| c.name().to_owned()),
        text: reason.get_child("text", ns::JINGLE).map(Element::text),
    }
}

impl From<&Jingle> for Element {
    fn from(j: &Jingle) -> Self {
        let bundle = j.bundle.as_ref().map(|names| {
            element("group", ns::JINGLE_GROUPING)
                .attr("semantics", "BUNDLE")
                .children(
                    names
                        .iter()
                        .map(|name| element("content", ns::JINGLE_GROUPING).attr("name", name)),
                )
        });
        let muted = j.start_muted.map(|muted| {
            element("startmuted", ns::JITMEET_START_MUTED)
                .attr("audio", muted.audio)
                .attr("video", muted.video)
        });
        element("jingle", ns::JINGLE)
            .attr("action", j.action.name())
            .attr("sid", &j.sid)
            .attr_opt("initiator", j.initiator.as_ref())
            .attr_opt("responder", j.responder.as_ref())
            .children(j.reason.as_ref().map(Element::from))
            .children(j.contents.iter().map(Element::from))
            .children(bundle)
            .children(j.bridge_session.as_ref().map(Element::from))
            .children(
                j.ice_state
                    .as_ref()
                    .map(|state| element("ice-state", ns::FOCUS).text(state)),
            )
            .children(muted)
            .children(j.moving.as_ref().map(|moving| {
                let sid = match moving {
                    Moving::Beside(sid) | Moving::Spare(sid) => Some(sid),
                    Moving::Done => None,
                };
                let spare = matches!(moving, Moving::Spare(_));
                let element = element("move", ns::MOVES).attr_opt("sid", sid);
                element.flag("spare", spare)
            }))
            .children(
                j.sources
                    .as_ref()
                    .map(|s| element("json-message", ns::JITMEET).text(s.to_json())),
            )
            .done()
    }
}

#[cfg(test)]
#[path = "jingle_tests.rs"]
mod tests;
