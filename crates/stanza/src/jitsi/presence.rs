//! What participants and the focus say about themselves in room presence.

use std::collections::BTreeMap;

use minidom::Element;
use serde_json::Value;

use crate::build::element;
use crate::{ElementExt, ns};

/// Namespace of the shared-document element.
pub const NS_ETHERPAD: &str = "http://jitsi.org/jitmeet/etherpad";
/// Sources read from one presence.
const MAX_SOURCES: usize = 64;
/// Features read from one presence.
const MAX_FEATURES: usize = 256;

/// One source in `SourceInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// Nothing is sent; the default.
    pub muted: bool,
    /// `camera`, `desktop`.
    pub video_type: Option<String>,
    /// `audio` or `video`, where said.
    pub media_type: Option<String>,
}

impl SourceState {
    /// Whether the source called `name` is audio; `None` where neither the state nor the name says.
    #[must_use]
    pub fn is_audio(&self, name: &str) -> Option<bool> {
        match self.media_type.as_deref() {
            Some("audio") => return Some(true),
            Some("video") => return Some(false),
            _ => {}
        }
        match name.split_once('-')?.1.chars().next()? {
            'a' => Some(true),
            'v' => Some(false),
            _ => None,
        }
    }
}

/// `SourceInfo`: the state of a participant's sources by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceInfo(pub BTreeMap<String, SourceState>);

impl SourceInfo {
    /// Reads the element's text.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else {
            return None;
        };
        let text =
            |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let read = |(name, value): (String, Value)| {
            let state = SourceState {
                muted: value.get("muted").and_then(Value::as_bool).unwrap_or(true),
                video_type: text(&value, "videoType"),
                media_type: text(&value, "mediaType"),
            };
            (name, state)
        };
        Some(Self(
            object.into_iter().take(MAX_SOURCES).map(read).collect(),
        ))
    }

    fn any_unmuted(&self, audio: bool) -> bool {
        self.0
            .iter()
            .any(|(name, state)| !state.muted && state.is_audio(name) == Some(audio))
    }
}

/// What the focus reads from a participant's presence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParticipantInfo {
    /// No audio source is unmuted.
    pub audio_muted: bool,
    /// No video source is unmuted.
    pub video_muted: bool,
    /// `features` in presence; `None` without the element.
    pub features: Option<Vec<String>>,
    /// Region for the choice of a bridge.
    pub region: Option<String>,
    /// Id for statistics.
    pub stats_id: Option<String>,
    /// Video codecs in lower case, best first.
    pub codecs: Vec<String>,
    /// `node#ver` of the entity capabilities, and the hash they use.
    pub caps: Option<(String, String)>,
    /// Several speakers share the microphone.
    pub diarize: bool,
}

impl ParticipantInfo {
    /// Reads an available presence.
    #[must_use]
    pub fn of_presence(presence: &Element) -> Self {
        let text = |name: &str| {
            presence
                .child_text(name, ns::CLIENT)
                .filter(|text| !text.is_empty())
        };
        let sources = text("SourceInfo").and_then(|text| SourceInfo::from_json(&text));
        let muted = |audio: bool, legacy: &str| match &sources {
            Some(sources) => !sources.any_unmuted(audio),
            None => text(legacy).is_none_or(|text| text.trim() != "false"),
        };
        let features = presence
            .children()
            .find(|c| c.name() == "features")
            .map(|features| {
                let each = features.children().filter(|c| c.name() == "feature");
                each.filter_map(|f| f.attr("var"))
                    .take(MAX_FEATURES)
                    .map(str::to_owned)
                    .collect()
            });
        let caps = presence.get_child("c", ns::CAPS).and_then(|c| {
            let node = format!("{}#{}", c.attr("node")?, c.attr("ver")?);
            Some((node, c.attr("hash")?.to_owned()))
        });
        Self {
            audio_muted: muted(true, "audiomuted"),
            video_muted: muted(false, "videomuted"),
            features,
            region: text("jitsi_participant_region"),
            stats_id: text("stats-id"),
            codecs: codecs(
                text("jitsi_participant_codecList"),
                text("jitsi_participant_codecType"),
            ),
            caps,
            diarize: text("jitsi_participant_diarize").is_some_and(|text| text.trim() == "true"),
        }
    }
}

fn codecs(list: Option<String>, single: Option<String>) -> Vec<String> {
    let mut codecs: Vec<String> = list
        .or(single)
        .iter()
        .flat_map(|list| list.split(','))
        .map(|codec| codec.trim().to_ascii_lowercase())
        .filter(|codec| !codec.is_empty())
        .take(16)
        .collect();
    // Everybody can send VP8.
    if !codecs.is_empty() && !codecs.iter().any(|codec| codec == "vp8") {
        codecs.push("vp8".to_owned());
    }
    codecs
}

/// What the focus says about the conference in its own presence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FocusInfo {
    /// Name of the shared document.
    pub etherpad: Option<String>,
    /// Version of the focus.
    pub version: String,
    /// Conference properties; clients take each presence as the whole set.
    pub properties: BTreeMap<String, String>,
    /// No bridge could be found.
    pub bridge_not_available: bool,
}

impl FocusInfo {
    /// The children of the presence.
    pub fn elements(&self) -> impl Iterator<Item = Element> {
        let etherpad = self
            .etherpad
            .as_ref()
            .map(|name| element("etherpad", NS_ETHERPAD).text(name).done());
        let component = element("component", ns::JITMEET)
            .attr("name", "focus")
            .text(&self.version);
        let property = |(key, value): (&String, &String)| {
            element("property", ns::FOCUS)
                .attr("key", key)
                .attr("value", value)
        };
        let properties = element("conference-properties", ns::FOCUS)
            .children(self.properties.iter().map(property))
            .done();
        let missing = self
            .bridge_not_available
            .then(|| element("bridgeNotAvailable", ns::FOCUS).done());
        let versions = element("versions", ns::JITMEET).child(component).done();
        etherpad
            .into_iter()
            .chain([versions, properties])
            .chain(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Limits, parse};

    fn read(inner: &str) -> ParticipantInfo {
        ParticipantInfo::of_presence(
            &parse(format!("<presence>{inner}</presence>"), &Limits::CLIENT).unwrap(),
        )
    }

    #[test]
    fn a_web_client() {
        let info = read(
            "<stats-id>Sabina-q5Y</stats-id><c ver='+mp=' hash='sha-1' node='https://jitsi.org/jitsi-meet' xmlns='http://jabber.org/protocol/caps'/>\
             <jitsi_participant_codecList>AV1, vp9</jitsi_participant_codecList><jitsi_participant_region>eu</jitsi_participant_region>\
             <SourceInfo>{\"aa-a0\":{\"muted\":true},\"aa-v0\":{\"muted\":false},\"aa-v1\":{}}</SourceInfo>",
        );
        assert_eq!(
            info,
            ParticipantInfo {
                audio_muted: true,
                video_muted: false,
                features: None,
                region: Some("eu".into()),
                stats_id: Some("Sabina-q5Y".into()),
                codecs: vec!["av1".into(), "vp9".into(), "vp8".into()],
                caps: Some(("https://jitsi.org/jitsi-meet#+mp=".into(), "sha-1".into())),
                diarize: false,
            }
        );
    }

    #[test]
    fn a_telephone_gateway_has_no_source_info() {
        let info = read(
            "<audiomuted xmlns='jabber:client'>false</audiomuted><features><feature var='http://jitsi.org/protocol/jigasi'/></features>",
        );
        assert!(!info.audio_muted && info.video_muted);
        assert_eq!(
            info.features,
            Some(vec!["http://jitsi.org/protocol/jigasi".into()])
        );
    }

    #[test]
    fn the_medium_of_a_source() {
        let state = |media: Option<&str>| SourceState {
            muted: false,
            video_type: None,
            media_type: media.map(Into::into),
        };
        for (name, media, audio) in [
            ("aa-a0", None, Some(true)),
            ("aa-v1", None, Some(false)),
            ("aa-v1", Some("audio"), Some(true)),
            ("aa-x1", None, None),
            ("plain", None, None),
        ] {
            assert_eq!(state(media).is_audio(name), audio, "{name}");
        }
    }

    #[test]
    fn what_the_focus_publishes() {
        let info = FocusInfo {
            etherpad: None,
            version: "1".into(),
            properties: [("bridge-count".into(), "1".into())].into(),
            bridge_not_available: true,
        };
        let names: Vec<_> = info.elements().map(|e| e.name().to_owned()).collect();
        assert_eq!(
            names,
            ["versions", "conference-properties", "bridgeNotAvailable"]
        );
    }
}
