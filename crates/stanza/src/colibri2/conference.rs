//! `conference-modify` and `conference-modified`.

use minidom::Element;

use super::parts::{Endpoint, MediaSource, Relay, read_sources, write_sources};
use super::{Malformed, NS_COLIBRI2};
use crate::media::{children, flag, set, set_true, string};

/// A request of the focus about one conference.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConferenceModify {
    /// Key of the conference on the bridge.
    pub meeting_id: String,
    /// Address of the room; said on create.
    pub name: Option<String>,
    /// Create the conference; an error if it exists.
    pub create: bool,
    /// Remove the conference after the answer.
    pub expire: bool,
    /// The meeting may be reported to a statistics service. Written on create only; absent means yes.
    pub rtcstats_enabled: bool,
    /// Endpoints, in order.
    pub endpoints: Vec<Endpoint>,
    /// Relays, in order.
    pub relays: Vec<Relay>,
    /// The `connects` element as it came, if any.
    pub connects: Option<Element>,
}

impl TryFrom<&Element> for ConferenceModify {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        if !element.is("conference-modify", NS_COLIBRI2) {
            return Err(Malformed::new("conference-modify", "another element"));
        }
        Ok(Self {
            meeting_id: string(element, "meeting-id")
                .filter(|id| !id.is_empty())
                .ok_or(Malformed::new("conference-modify", "no meeting-id"))?,
            name: string(element, "name"),
            create: flag(element, "create"),
            expire: flag(element, "expire"),
            rtcstats_enabled: !matches!(element.attr("rtcstats-enabled"), Some("false" | "0")),
            endpoints: children(element, "endpoint", NS_COLIBRI2)
                .map(Endpoint::try_from)
                .collect::<Result<_, _>>()?,
            relays: children(element, "relay", NS_COLIBRI2)
                .map(Relay::try_from)
                .collect::<Result<_, _>>()?,
            connects: element.get_child("connects", NS_COLIBRI2).cloned(),
        })
    }
}

impl From<&ConferenceModify> for Element {
    fn from(c: &ConferenceModify) -> Self {
        let mut element = Element::bare("conference-modify", NS_COLIBRI2);
        set(&mut element, "meeting-id", Some(&c.meeting_id));
        set(&mut element, "name", c.name.as_ref());
        set_true(&mut element, "create", c.create);
        set_true(&mut element, "expire", c.expire);
        if c.create {
            set(&mut element, "rtcstats-enabled", Some(c.rtcstats_enabled));
        }
        for endpoint in &c.endpoints {
            element.append_child(endpoint.into());
        }
        for relay in &c.relays {
            element.append_child(relay.into());
        }
        if let Some(connects) = &c.connects {
            element.append_child(connects.clone());
        }
        element
    }
}

/// The bridge's answer to [`ConferenceModify`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConferenceModified {
    /// One for each endpoint of the request.
    pub endpoints: Vec<Endpoint>,
    /// One for each relay of the request.
    pub relays: Vec<Relay>,
    /// The bridge's own feedback sources, after any create.
    pub sources: Option<Vec<MediaSource>>,
}

impl TryFrom<&Element> for ConferenceModified {
    type Error = Malformed;

    fn try_from(element: &Element) -> Result<Self, Malformed> {
        if !element.is("conference-modified", NS_COLIBRI2) {
            return Err(Malformed::new("conference-modified", "another element"));
        }
        Ok(Self {
            endpoints: children(element, "endpoint", NS_COLIBRI2)
                .map(Endpoint::try_from)
                .collect::<Result<_, _>>()?,
            relays: children(element, "relay", NS_COLIBRI2)
                .map(Relay::try_from)
                .collect::<Result<_, _>>()?,
            sources: read_sources(element)?,
        })
    }
}

impl From<&ConferenceModified> for Element {
    fn from(c: &ConferenceModified) -> Self {
        let mut element = Element::bare("conference-modified", NS_COLIBRI2);
        for endpoint in &c.endpoints {
            element.append_child(endpoint.into());
        }
        for relay in &c.relays {
            element.append_child(relay.into());
        }
        if let Some(sources) = &c.sources {
            element.append_child(write_sources(sources));
        }
        element
    }
}
