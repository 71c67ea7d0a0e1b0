//! Parts of colibri2 requests and responses: endpoints, relays, media, transports, sources.

use minidom::Element;

use super::NS_COLIBRI2;
use crate::media::{
    HdrExt, IceTransport, Malformed, MediaType, NS_HDREXT, NS_ICE, NS_RTP, NS_SSMA, PayloadType,
    Source, SsrcGroup, children, flag, number, set, set_true, string,
};

/// Codecs and header extensions of one kind of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Audio or video.
    pub media: MediaType,
    /// Codecs.
    pub payload_types: Vec<PayloadType>,
    /// Header extensions.
    pub hdr_exts: Vec<HdrExt>,
    /// One-byte and two-byte header extensions may be mixed.
    pub extmap_allow_mixed: bool,
}

impl TryFrom<&Element> for Media {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let media = element
            .attr("type")
            .and_then(MediaType::from_name)
            .ok_or(Malformed::new("media", "type must be audio or video"))?;
        Ok(Self {
            media,
            payload_types: children(element, "payload-type", NS_RTP)
                .map(PayloadType::try_from)
                .collect::<Result<_, _>>()?,
            hdr_exts: children(element, "rtp-hdrext", NS_HDREXT)
                .map(HdrExt::try_from)
                .collect::<Result<_, _>>()?,
            extmap_allow_mixed: element.has_child("extmap-allow-mixed", NS_HDREXT),
        })
    }
}

impl From<&Media> for Element {
    fn from(media: &Media) -> Self {
        let mut element = Element::bare("media", NS_COLIBRI2);
        set(&mut element, "type", Some(media.media.name()));
        for pt in &media.payload_types {
            element.append_child(pt.into());
        }
        for ext in &media.hdr_exts {
            element.append_child(ext.into());
        }
        if media.extmap_allow_mixed {
            element.append_child(Element::bare("extmap-allow-mixed", NS_HDREXT));
        }
        element
    }
}

/// SCTP role of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SctpRole {
    /// Opens the association.
    Client,
    /// Waits for it.
    Server,
}

/// `sctp` of a transport.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sctp {
    /// Role of the bridge, if said.
    pub role: Option<SctpRole>,
    /// Only 5000 is accepted by bridges.
    pub port: Option<u16>,
}

/// The colibri2 wrapper around an ICE transport.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// The bridge's ICE agent is controlling. Read on create.
    pub ice_controlling: bool,
    /// Use a UDP port of its own. Read on create, for relays.
    pub use_unique_port: bool,
    /// Ask for an in-place ICE restart.
    pub ice_restart: bool,
    /// The description of one side.
    pub ice: Option<IceTransport>,
    /// Wanted on create; described in the answer.
    pub sctp: Option<Sctp>,
}

impl TryFrom<&Element> for Transport {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let sctp = match element.get_child("sctp", NS_COLIBRI2) {
            None => None,
            Some(sctp) => Some(Sctp {
                role: match sctp.attr("role") {
                    None => None,
                    Some("client") => Some(SctpRole::Client),
                    Some("server") => Some(SctpRole::Server),
                    Some(_) => {
                        return Err(Malformed::new("sctp", "role must be client or server"));
                    }
                },
                port: match sctp.attr("port") {
                    None => None,
                    Some(port) => Some(
                        port.parse()
                            .map_err(|_| Malformed::new("sctp", "port must be 0 to 65535"))?,
                    ),
                },
            }),
        };
        Ok(Self {
            ice_controlling: flag(element, "ice-controlling"),
            use_unique_port: flag(element, "use-unique-port"),
            ice_restart: flag(element, "ice-restart"),
            ice: element
                .get_child("transport", NS_ICE)
                .map(IceTransport::try_from)
                .transpose()?,
            sctp,
        })
    }
}

impl From<&Transport> for Element {
    fn from(t: &Transport) -> Self {
        let mut element = Element::bare("transport", NS_COLIBRI2);
        set_true(&mut element, "ice-controlling", t.ice_controlling);
        set_true(&mut element, "use-unique-port", t.use_unique_port);
        set_true(&mut element, "ice-restart", t.ice_restart);
        if let Some(ice) = &t.ice {
            element.append_child(ice.into());
        }
        if let Some(sctp) = &t.sctp {
            let mut child = Element::bare("sctp", NS_COLIBRI2);
            set(&mut child, "port", sctp.port);
            let role = sctp.role.map(|r| match r {
                SctpRole::Client => "client",
                SctpRole::Server => "server",
            });
            set(&mut child, "role", role);
            element.append_child(child);
        }
        element
    }
}

/// One named source with all its SSRCs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaSource {
    /// Audio or video.
    pub media: MediaType,
    /// The source name, by which receivers subscribe.
    pub id: String,
    /// Injected by a server; forwarded to explicit subscribers only.
    pub synthetic: bool,
    /// SSRCs.
    pub sources: Vec<Source>,
    /// `SIM` and `FID` groups. Groups of fewer than two are left out when read.
    pub groups: Vec<SsrcGroup>,
}

impl TryFrom<&Element> for MediaSource {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let media = element
            .attr("type")
            .and_then(MediaType::from_name)
            .ok_or(Malformed::new(
                "media-source",
                "type must be audio or video",
            ))?;
        let id = string(element, "id").ok_or(Malformed::new("media-source", "no id"))?;
        let mut groups = children(element, "ssrc-group", NS_SSMA)
            .map(SsrcGroup::try_from)
            .collect::<Result<Vec<_>, _>>()?;
        groups.retain(|g| g.ssrcs.len() >= 2);
        Ok(Self {
            media,
            id,
            synthetic: flag(element, "synthetic"),
            sources: children(element, "source", NS_SSMA)
                .map(Source::try_from)
                .collect::<Result<_, _>>()?,
            groups,
        })
    }
}

impl From<&MediaSource> for Element {
    fn from(ms: &MediaSource) -> Self {
        let mut element = Element::bare("media-source", NS_COLIBRI2);
        set(&mut element, "type", Some(ms.media.name()));
        set(&mut element, "id", Some(&ms.id));
        set_true(&mut element, "synthetic", ms.synthetic);
        for source in &ms.sources {
            element.append_child(source.into());
        }
        for group in &ms.groups {
            element.append_child(group.into());
        }
        element
    }
}

pub(super) fn read_sources(element: &Element) -> Result<Option<Vec<MediaSource>>, Malformed> {
    element
        .get_child("sources", NS_COLIBRI2)
        .map(|s| {
            children(s, "media-source", NS_COLIBRI2)
                .map(MediaSource::try_from)
                .collect()
        })
        .transpose()
}

pub(super) fn write_sources(sources: &[MediaSource]) -> Element {
    let mut element = Element::bare("sources", NS_COLIBRI2);
    for source in sources {
        element.append_child(source.into());
    }
    element
}

/// Which media of an endpoint the bridge drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForceMute {
    /// Drop audio.
    pub audio: bool,
    /// Drop video.
    pub video: bool,
}

/// A participant on the bridge (or, inside a relay, behind it).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Unique in the conference.
    pub id: String,
    /// Create it.
    pub create: bool,
    /// Remove it; wins over everything else.
    pub expire: bool,
    /// Display id for statistics.
    pub stats_id: Option<String>,
    /// `visitor` means: never sends.
    pub muc_role: Option<String>,
    /// Several speakers share the audio.
    pub diarize: bool,
    /// Codecs and extensions, added to those known.
    pub media: Vec<Media>,
    /// Required on create.
    pub transport: Option<Transport>,
    /// The complete new set of sources; `Some(empty)` clears them.
    pub sources: Option<Vec<MediaSource>>,
    /// The complete new mute state.
    pub force_mute: Option<ForceMute>,
    /// Names of capabilities. Read on create.
    pub capabilities: Vec<String>,
    /// lastN until the client says its own.
    pub initial_last_n: Option<i32>,
}

impl Endpoint {
    /// An endpoint element with nothing but its id.
    pub fn bare(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// Whether the capability was signalled.
    pub fn has_capability(&self, name: &str) -> bool {
        self.capabilities.iter().any(|c| c == name)
    }

    /// The endpoint may receive but never send.
    pub fn is_visitor(&self) -> bool {
        self.muc_role
            .as_deref()
            .is_some_and(|role| role.eq_ignore_ascii_case("visitor"))
    }
}

impl TryFrom<&Element> for Endpoint {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let id = string(element, "id")
            .filter(|id| !id.is_empty())
            .ok_or(Malformed::new("endpoint", "no id"))?;
        Ok(Self {
            id,
            create: flag(element, "create"),
            expire: flag(element, "expire"),
            stats_id: string(element, "stats-id"),
            muc_role: string(element, "muc-role"),
            diarize: flag(element, "diarize"),
            media: children(element, "media", NS_COLIBRI2)
                .map(Media::try_from)
                .collect::<Result<_, _>>()?,
            transport: element
                .get_child("transport", NS_COLIBRI2)
                .map(Transport::try_from)
                .transpose()?,
            sources: read_sources(element)?,
            force_mute: element
                .get_child("force-mute", NS_COLIBRI2)
                .map(|m| ForceMute {
                    audio: flag(m, "audio"),
                    video: flag(m, "video"),
                }),
            capabilities: children(element, "capability", NS_COLIBRI2)
                .filter_map(|c| string(c, "name"))
                .collect(),
            initial_last_n: element
                .get_child("initial-last-n", NS_COLIBRI2)
                .and_then(|n| number(n, "value")),
        })
    }
}

impl From<&Endpoint> for Element {
    fn from(e: &Endpoint) -> Self {
        let mut element = Element::bare("endpoint", NS_COLIBRI2);
        set(&mut element, "id", Some(&e.id));
        set_true(&mut element, "create", e.create);
        set_true(&mut element, "expire", e.expire);
        set(&mut element, "stats-id", e.stats_id.as_ref());
        set(&mut element, "muc-role", e.muc_role.as_ref());
        set_true(&mut element, "diarize", e.diarize);
        for media in &e.media {
            element.append_child(media.into());
        }
        if let Some(transport) = &e.transport {
            element.append_child(transport.into());
        }
        if let Some(sources) = &e.sources {
            element.append_child(write_sources(sources));
        }
        if let Some(mute) = e.force_mute {
            let mut child = Element::bare("force-mute", NS_COLIBRI2);
            set_true(&mut child, "audio", mute.audio);
            set_true(&mut child, "video", mute.video);
            element.append_child(child);
        }
        for name in &e.capabilities {
            let mut child = Element::bare("capability", NS_COLIBRI2);
            set(&mut child, "name", Some(name));
            element.append_child(child);
        }
        if let Some(n) = e.initial_last_n {
            let mut child = Element::bare("initial-last-n", NS_COLIBRI2);
            set(&mut child, "value", Some(n));
            element.append_child(child);
        }
        element
    }
}

/// This bridge's end of a link to one other bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relay {
    /// Relay id of the other bridge.
    pub id: String,
    /// Create it.
    pub create: bool,
    /// Remove it.
    pub expire: bool,
    /// Name of the mesh the link belongs to.
    pub mesh_id: Option<String>,
    /// Codecs and extensions.
    pub media: Vec<Media>,
    /// Required on create.
    pub transport: Option<Transport>,
    /// Participants behind the link.
    pub endpoints: Vec<Endpoint>,
}

impl TryFrom<&Element> for Relay {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        let endpoints = match element.get_child("endpoints", NS_COLIBRI2) {
            None => Vec::new(),
            Some(list) => children(list, "endpoint", NS_COLIBRI2)
                .map(Endpoint::try_from)
                .collect::<Result<_, _>>()?,
        };
        Ok(Self {
            id: string(element, "id").ok_or(Malformed::new("relay", "no id"))?,
            create: flag(element, "create"),
            expire: flag(element, "expire"),
            mesh_id: string(element, "mesh-id"),
            media: children(element, "media", NS_COLIBRI2)
                .map(Media::try_from)
                .collect::<Result<_, _>>()?,
            transport: element
                .get_child("transport", NS_COLIBRI2)
                .map(Transport::try_from)
                .transpose()?,
            endpoints,
        })
    }
}

impl From<&Relay> for Element {
    fn from(r: &Relay) -> Self {
        let mut element = Element::bare("relay", NS_COLIBRI2);
        set(&mut element, "id", Some(&r.id));
        set_true(&mut element, "create", r.create);
        set_true(&mut element, "expire", r.expire);
        set(&mut element, "mesh-id", r.mesh_id.as_ref());
        for media in &r.media {
            element.append_child(media.into());
        }
        if let Some(transport) = &r.transport {
            element.append_child(transport.into());
        }
        if !r.endpoints.is_empty() {
            let mut list = Element::bare("endpoints", NS_COLIBRI2);
            for endpoint in &r.endpoints {
                list.append_child(endpoint.into());
            }
            element.append_child(list);
        }
        element
    }
}
