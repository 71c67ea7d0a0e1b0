//! RTP, source and transport descriptions that Jingle and colibri2 share (XEP-0167, 0176, 0293, 0294, 0320, 0339).

use minidom::Element;
use rxml::{Namespace, NcName};
use thiserror::Error;

use crate::ns::{SNAP as NS_SNAP, SPED as NS_SPED};

/// `urn:xmpp:jingle:apps:rtp:1`
pub const NS_RTP: &str = "urn:xmpp:jingle:apps:rtp:1";
/// `urn:xmpp:jingle:apps:rtp:rtcp-fb:0`
pub const NS_RTCP_FB: &str = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0";
/// `urn:xmpp:jingle:apps:rtp:rtp-hdrext:0`
pub const NS_HDREXT: &str = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0";
/// `urn:xmpp:jingle:apps:rtp:ssma:0`
pub const NS_SSMA: &str = "urn:xmpp:jingle:apps:rtp:ssma:0";
/// `urn:xmpp:jingle:transports:ice-udp:1`
pub const NS_ICE: &str = "urn:xmpp:jingle:transports:ice-udp:1";
/// `urn:xmpp:jingle:apps:dtls:0`
pub const NS_DTLS: &str = "urn:xmpp:jingle:apps:dtls:0";
/// `http://jitsi.org/protocol/colibri`
pub const NS_COLIBRI: &str = "http://jitsi.org/protocol/colibri";
/// `http://jitsi.org/jitmeet`
pub const NS_JITMEET: &str = "http://jitsi.org/jitmeet";

/// A payload lacks something required or has a value outside its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed {element}: {problem}")]
pub struct Malformed {
    /// Name of the element.
    pub element: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl Malformed {
    pub(crate) const fn new(element: &'static str, problem: &'static str) -> Self {
        Self { element, problem }
    }
}

/// Sets an attribute; does nothing for `None`.
pub(crate) fn set(element: &mut Element, name: &'static str, value: Option<impl ToString>) {
    if let (Some(value), Ok(name)) = (value, NcName::try_from(name)) {
        element
            .attrs_mut()
            .insert(Namespace::NONE, name, value.to_string());
    }
}

/// Sets a boolean attribute when it is true; absence means false.
pub(crate) fn set_true(element: &mut Element, name: &'static str, value: bool) {
    set(element, name, value.then_some("true"));
}

/// Reads a boolean attribute; absent or unknown means false.
pub(crate) fn flag(element: &Element, name: &str) -> bool {
    matches!(element.attr(name), Some("true" | "1"))
}

pub(crate) fn number<T: std::str::FromStr>(element: &Element, name: &str) -> Option<T> {
    element.attr(name).and_then(|v| v.trim().parse().ok())
}

pub(crate) fn string(element: &Element, name: &str) -> Option<String> {
    element.attr(name).map(str::to_owned)
}

pub(crate) fn children<'a>(
    element: &'a Element,
    name: &'static str,
    ns: &'static str,
) -> impl Iterator<Item = &'a Element> + 'a {
    element.children().filter(move |c| c.is(name, ns))
}

/// Audio or video.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MediaType {
    /// `audio`
    Audio,
    /// `video`
    Video,
}

impl MediaType {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// Reads the name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "audio" => Some(Self::Audio),
            "video" => Some(Self::Video),
            _ => None,
        }
    }
}

/// A `parameter` of a payload type or of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Empty for a format parameter without a name.
    pub name: String,
    /// May be empty.
    pub value: String,
}

impl Parameter {
    fn read(element: &Element) -> Self {
        Self {
            name: string(element, "name").unwrap_or_default(),
            value: string(element, "value").unwrap_or_default(),
        }
    }

    fn write(&self, ns: &str) -> Element {
        let mut element = Element::bare("parameter", ns);
        set(
            &mut element,
            "name",
            (!self.name.is_empty()).then_some(&self.name),
        );
        set(&mut element, "value", Some(&self.value));
        element
    }
}

/// An `rtcp-fb` (XEP-0293).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtcpFb {
    /// `ccm`, `nack`, `transport-cc`, `goog-remb`
    pub kind: String,
    /// `fir`, `pli`
    pub subtype: Option<String>,
}

/// A `payload-type` (XEP-0167).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadType {
    /// 0..=127
    pub id: u8,
    /// Codec name, as written (`VP8`, `opus`, `rtx`).
    pub name: String,
    /// In Hz; 0 if not said.
    pub clockrate: u32,
    /// 0 if not said, which means 1.
    pub channels: u8,
    /// Format parameters.
    pub parameters: Vec<Parameter>,
    /// Feedback.
    pub rtcp_fb: Vec<RtcpFb>,
}

impl PayloadType {
    /// The value of a format parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|p| p.name == name)
            .map(|p| p.value.as_str())
    }

    /// Whether feedback of this kind is in the description.
    pub fn has_fb(&self, kind: &str, subtype: Option<&str>) -> bool {
        self.rtcp_fb
            .iter()
            .any(|fb| fb.kind == kind && fb.subtype.as_deref() == subtype)
    }
}

impl TryFrom<&Element> for PayloadType {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let id = number::<u8>(element, "id")
            .filter(|id| *id < 128)
            .ok_or(Malformed::new("payload-type", "id must be 0 to 127"))?;
        Ok(Self {
            id,
            name: string(element, "name").unwrap_or_default(),
            clockrate: number(element, "clockrate").unwrap_or(0),
            channels: number(element, "channels").unwrap_or(0),
            parameters: children(element, "parameter", NS_RTP)
                .map(Parameter::read)
                .collect(),
            rtcp_fb: children(element, "rtcp-fb", NS_RTCP_FB)
                .filter_map(|fb| {
                    Some(RtcpFb {
                        kind: string(fb, "type")?,
                        subtype: string(fb, "subtype").filter(|s| !s.is_empty()),
                    })
                })
                .collect(),
        })
    }
}

impl From<&PayloadType> for Element {
    fn from(pt: &PayloadType) -> Self {
        let mut element = Element::bare("payload-type", NS_RTP);
        set(&mut element, "id", Some(pt.id));
        set(
            &mut element,
            "name",
            (!pt.name.is_empty()).then_some(&pt.name),
        );
        set(
            &mut element,
            "clockrate",
            (pt.clockrate > 0).then_some(pt.clockrate),
        );
        set(
            &mut element,
            "channels",
            (pt.channels > 0).then_some(pt.channels),
        );
        for parameter in &pt.parameters {
            element.append_child(parameter.write(NS_RTP));
        }
        for fb in &pt.rtcp_fb {
            let mut child = Element::bare("rtcp-fb", NS_RTCP_FB);
            set(&mut child, "type", Some(&fb.kind));
            set(&mut child, "subtype", fb.subtype.as_ref());
            element.append_child(child);
        }
        element
    }
}

/// An `rtp-hdrext` (XEP-0294).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HdrExt {
    /// 1..=255
    pub id: u8,
    /// What the extension is.
    pub uri: String,
}

impl TryFrom<&Element> for HdrExt {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let id = number::<u8>(element, "id")
            .filter(|id| *id > 0)
            .ok_or(Malformed::new("rtp-hdrext", "id must be 1 to 255"))?;
        let uri = string(element, "uri").ok_or(Malformed::new("rtp-hdrext", "no uri"))?;
        Ok(Self { id, uri })
    }
}

impl From<&HdrExt> for Element {
    fn from(ext: &HdrExt) -> Self {
        let mut element = Element::bare("rtp-hdrext", NS_HDREXT);
        set(&mut element, "id", Some(ext.id));
        set(&mut element, "uri", Some(&ext.uri));
        element
    }
}

/// DTLS role in a fingerprint's `setup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Setup {
    /// Either role; the other side chooses.
    Actpass,
    /// DTLS client.
    Active,
    /// DTLS server.
    Passive,
}

impl Setup {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Actpass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
        }
    }

    /// Reads the name on the wire.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Actpass, Self::Active, Self::Passive]
            .into_iter()
            .find(|s| s.name() == name)
    }
}

/// A `fingerprint` (XEP-0320).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// `sha-256`, ...
    pub hash: String,
    /// The role of the side that wrote it; absent or unknown is `None`.
    pub setup: Option<Setup>,
    /// RTP header encryption is supported.
    pub cryptex: bool,
    /// Hexadecimal bytes with colons.
    pub value: String,
}

impl From<&Fingerprint> for Element {
    fn from(fingerprint: &Fingerprint) -> Self {
        let mut element = Element::bare("fingerprint", NS_DTLS);
        set(&mut element, "hash", Some(&fingerprint.hash));
        set(&mut element, "setup", fingerprint.setup.map(Setup::name));
        set_true(&mut element, "cryptex", fingerprint.cryptex);
        element.append_text(fingerprint.value.clone());
        element
    }
}

/// A `candidate` (XEP-0176, XEP-0371).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Opaque.
    pub id: String,
    /// Groups candidates of one base.
    pub foundation: String,
    /// 1 for RTP.
    pub component: u8,
    /// `udp` or `tcp`.
    pub protocol: String,
    /// RFC 8445 priority.
    pub priority: u32,
    /// An address; may be a name.
    pub ip: String,
    /// Port.
    pub port: u16,
    /// `host`, `srflx`, `prflx`, `relay`.
    pub kind: String,
    /// Base of a reflexive candidate.
    pub related: Option<(String, u16)>,
    /// ICE generation of the candidate.
    pub generation: u32,
    /// Network index.
    pub network: u32,
    /// `active`, `passive`, `so` for TCP.
    pub tcptype: Option<String>,
}

impl TryFrom<&Element> for Candidate {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let related = string(element, "rel-addr")
            .map(|address| (address, number(element, "rel-port").unwrap_or(0)));
        Ok(Self {
            id: string(element, "id").unwrap_or_default(),
            foundation: string(element, "foundation").unwrap_or_default(),
            component: number(element, "component").unwrap_or(1),
            protocol: string(element, "protocol")
                .map(|p| p.to_ascii_lowercase())
                .unwrap_or_else(|| "udp".to_owned()),
            priority: number(element, "priority").unwrap_or(0),
            ip: string(element, "ip").ok_or(Malformed::new("candidate", "no ip"))?,
            port: number(element, "port").ok_or(Malformed::new("candidate", "no port"))?,
            kind: string(element, "type").unwrap_or_else(|| "host".to_owned()),
            related,
            generation: number(element, "generation").unwrap_or(0),
            network: number(element, "network").unwrap_or(0),
            tcptype: string(element, "tcptype"),
        })
    }
}

impl From<&Candidate> for Element {
    fn from(c: &Candidate) -> Self {
        let mut element = Element::bare("candidate", NS_ICE);
        set(&mut element, "component", Some(c.component));
        set(&mut element, "foundation", Some(&c.foundation));
        set(&mut element, "generation", Some(c.generation));
        set(&mut element, "id", Some(&c.id));
        set(&mut element, "network", Some(c.network));
        set(&mut element, "priority", Some(c.priority));
        set(&mut element, "protocol", Some(&c.protocol));
        set(&mut element, "type", Some(&c.kind));
        set(&mut element, "ip", Some(&c.ip));
        set(&mut element, "port", Some(c.port));
        set(&mut element, "rel-addr", c.related.as_ref().map(|r| &r.0));
        set(&mut element, "rel-port", c.related.as_ref().map(|r| r.1));
        set(&mut element, "tcptype", c.tcptype.as_ref());
        element
    }
}

/// A Jingle ICE `transport` with Jitsi's additions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IceTransport {
    /// ICE user name fragment.
    pub ufrag: Option<String>,
    /// ICE password.
    pub pwd: Option<String>,
    /// Number of an in-place ICE restart; absent on an ordinary transport.
    pub ice_generation: Option<i32>,
    /// RTP and RTCP share the transport.
    pub rtcp_mux: bool,
    /// It takes DTLS inside of connectivity checks (draft-hancke-webrtc-sped).
    pub sped: bool,
    /// The INIT chunk of its SCTP, base64 (draft-hancke-tsvwg-snap).
    pub sctp_init: Option<String>,
    /// DTLS fingerprints.
    pub fingerprints: Vec<Fingerprint>,
    /// Candidates.
    pub candidates: Vec<Candidate>,
    /// URLs of bridge-channel WebSockets.
    pub web_sockets: Vec<String>,
}

impl TryFrom<&Element> for IceTransport {
    type Error = Malformed;

    /// Candidates that cannot be read are left out.
    fn try_from(element: &Element) -> Result<Self, Malformed> {
        if !element.is("transport", NS_ICE) {
            return Err(Malformed::new("transport", "not an ICE transport"));
        }
        let fingerprints = children(element, "fingerprint", NS_DTLS)
            .map(|fp| Fingerprint {
                hash: string(fp, "hash").unwrap_or_default().to_ascii_lowercase(),
                setup: fp.attr("setup").and_then(Setup::from_name),
                cryptex: flag(fp, "cryptex"),
                value: fp.text().trim().to_owned(),
            })
            .filter(|fp| !fp.value.is_empty())
            .collect();
        Ok(Self {
            ufrag: string(element, "ufrag").filter(|s| !s.is_empty()),
            pwd: string(element, "pwd").filter(|s| !s.is_empty()),
            ice_generation: number(element, "ice-generation"),
            rtcp_mux: element.has_child("rtcp-mux", NS_ICE),
            sped: element.has_child("sped", NS_SPED),
            sctp_init: element
                .get_child("sctp-init", NS_SNAP)
                .map(|init| init.text().trim().to_owned())
                .filter(|init| !init.is_empty()),
            fingerprints,
            candidates: children(element, "candidate", NS_ICE)
                .filter_map(|c| Candidate::try_from(c).ok())
                .collect(),
            web_sockets: children(element, "web-socket", NS_COLIBRI)
                .filter_map(|ws| string(ws, "url"))
                .collect(),
        })
    }
}

impl From<&IceTransport> for Element {
    fn from(t: &IceTransport) -> Self {
        let mut element = Element::bare("transport", NS_ICE);
        set(&mut element, "ufrag", t.ufrag.as_ref());
        set(&mut element, "pwd", t.pwd.as_ref());
        set(&mut element, "ice-generation", t.ice_generation);
        if t.rtcp_mux {
            element.append_child(Element::bare("rtcp-mux", NS_ICE));
        }
        if t.sped {
            element.append_child(Element::bare("sped", NS_SPED));
        }
        if let Some(init) = &t.sctp_init {
            let mut child = Element::bare("sctp-init", NS_SNAP);
            child.append_text(init);
            element.append_child(child);
        }
        for fingerprint in &t.fingerprints {
            element.append_child(fingerprint.into());
        }
        for candidate in &t.candidates {
            element.append_child(candidate.into());
        }
        for url in &t.web_sockets {
            let mut child = Element::bare("web-socket", NS_COLIBRI);
            set(&mut child, "url", Some(url));
            element.append_child(child);
        }
        element
    }
}

/// A `source` (XEP-0339 with Jitsi's attributes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Synchronisation source.
    pub ssrc: u32,
    /// Source name, the same for all SSRCs of one source.
    pub name: Option<String>,
    /// `camera`, `desktop`.
    pub video_type: Option<String>,
    /// `msid` and other SDP attributes.
    pub parameters: Vec<Parameter>,
    /// `ssrc-info`: the owner's address, as sent to clients.
    pub owner: Option<String>,
}

impl TryFrom<&Element> for Source {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        Ok(Self {
            ssrc: number(element, "ssrc")
                .ok_or(Malformed::new("source", "ssrc must be a 32-bit number"))?,
            name: string(element, "name"),
            video_type: string(element, "videoType"),
            parameters: children(element, "parameter", NS_SSMA)
                .map(Parameter::read)
                .collect(),
            owner: element
                .get_child("ssrc-info", NS_JITMEET)
                .and_then(|i| string(i, "owner")),
        })
    }
}

impl From<&Source> for Element {
    fn from(source: &Source) -> Self {
        let mut element = Element::bare("source", NS_SSMA);
        set(&mut element, "ssrc", Some(source.ssrc));
        set(&mut element, "name", source.name.as_ref());
        set(&mut element, "videoType", source.video_type.as_ref());
        if let Some(owner) = &source.owner {
            let mut info = Element::bare("ssrc-info", NS_JITMEET);
            set(&mut info, "owner", Some(owner));
            element.append_child(info);
        }
        for parameter in &source.parameters {
            element.append_child(parameter.write(NS_SSMA));
        }
        element
    }
}

/// An `ssrc-group` (XEP-0339).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcGroup {
    /// `SIM`, `FID`.
    pub semantics: String,
    /// `SIM`: lowest layer first. `FID`: media, retransmission.
    pub ssrcs: Vec<u32>,
}

impl TryFrom<&Element> for SsrcGroup {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let semantics =
            string(element, "semantics").ok_or(Malformed::new("ssrc-group", "no semantics"))?;
        let ssrcs = children(element, "source", NS_SSMA)
            .map(|s| {
                number(s, "ssrc").ok_or(Malformed::new("source", "ssrc must be a 32-bit number"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { semantics, ssrcs })
    }
}

impl From<&SsrcGroup> for Element {
    fn from(group: &SsrcGroup) -> Self {
        let mut element = Element::bare("ssrc-group", NS_SSMA);
        set(&mut element, "semantics", Some(&group.semantics));
        for ssrc in &group.ssrcs {
            let mut source = Element::bare("source", NS_SSMA);
            set(&mut source, "ssrc", Some(ssrc));
            element.append_child(source);
        }
        element
    }
}
