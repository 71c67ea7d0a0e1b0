//! Sources as compact JSON, the content of a `json-message` in Jingle stanzas.
//!
//! ```json
//! {"sources":{"a1b2c3d4":[[{"s":201,"n":"a1b2c3d4-v0","m":"msid"}],[["f",201,301]],[{"s":101,"n":"a1b2c3d4-a0"}]]}}
//! ```
//! Per owner: video sources, video groups, audio sources, audio groups; empty arrays at the end may be left out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use thiserror::Error;

/// Owners in one message.
pub const MAX_OWNERS: usize = 4096;
/// Sources, and likewise groups, of one owner and medium.
pub const MAX_SOURCES: usize = 256;

/// The text is not of the form described above.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("compact sources: {0}")]
pub struct CompactError(pub &'static str);

/// One source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactSource {
    /// SSRC, not 0.
    pub ssrc: u32,
    /// Source name.
    pub name: Option<String>,
    /// Media stream and track id.
    pub msid: Option<String>,
    /// A shared screen and not a camera.
    pub desktop: bool,
}

/// Semantics of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GroupKind {
    /// `FID`: media and its retransmission.
    Fid,
    /// `SIM`: simulcast layers, lowest first.
    Sim,
}

impl GroupKind {
    /// The name in XML.
    #[must_use]
    pub const fn semantics(self) -> &'static str {
        match self {
            Self::Fid => "FID",
            Self::Sim => "SIM",
        }
    }

    /// Reads the name in XML.
    #[must_use]
    pub fn from_semantics(name: &str) -> Option<Self> {
        match name {
            "FID" => Some(Self::Fid),
            "SIM" => Some(Self::Sim),
            _ => None,
        }
    }
}

/// A group of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactGroup {
    /// How they belong together.
    pub kind: GroupKind,
    /// The members, in order.
    pub ssrcs: Vec<u32>,
}

/// What one owner sends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerSources {
    /// Video sources.
    pub video: Vec<CompactSource>,
    /// Groups of video sources.
    pub video_groups: Vec<CompactGroup>,
    /// Audio sources.
    pub audio: Vec<CompactSource>,
    /// Groups of audio sources.
    pub audio_groups: Vec<CompactGroup>,
}

/// Sources by owner: an endpoint id, or `jvb` for the bridge's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompactSources(pub BTreeMap<String, OwnerSources>);

impl CompactSources {
    /// The text of the `json-message`.
    #[must_use]
    pub fn to_json(&self) -> String {
        let owners: Map<String, Value> = self
            .0
            .iter()
            .map(|(owner, sources)| (owner.clone(), write_owner(sources)))
            .collect();
        json!({ "sources": owners }).to_string()
    }

    /// Reads the text of a `json-message`.
    ///
    /// # Errors
    /// If it is not JSON of this form, an SSRC is not 1 to 2^32-1, or there are more entries than allowed.
    pub fn from_json(text: &str) -> Result<Self, CompactError> {
        let value: Value = serde_json::from_str(text).map_err(|_| CompactError("not JSON"))?;
        let owners = value
            .get("sources")
            .and_then(Value::as_object)
            .ok_or(CompactError("no object `sources`"))?;
        if owners.len() > MAX_OWNERS {
            return Err(CompactError("too many owners"));
        }
        let read = |(owner, value): (&String, &Value)| Ok((owner.clone(), read_owner(value)?));
        owners.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

fn write_owner(owner: &OwnerSources) -> Value {
    let mut parts = vec![
        owner.video.iter().map(write_source).collect::<Value>(),
        owner.video_groups.iter().map(write_group).collect(),
        owner.audio.iter().map(write_source).collect(),
    ];
    if !owner.audio_groups.is_empty() {
        parts.push(owner.audio_groups.iter().map(write_group).collect());
    }
    Value::Array(parts)
}

fn write_source(source: &CompactSource) -> Value {
    let mut object = Map::new();
    object.insert("s".into(), source.ssrc.into());
    if let Some(name) = &source.name {
        object.insert("n".into(), name.clone().into());
    }
    if let Some(msid) = &source.msid {
        object.insert("m".into(), msid.clone().into());
    }
    if source.desktop {
        object.insert("v".into(), "d".into());
    }
    object.into()
}

fn write_group(group: &CompactGroup) -> Value {
    let kind = match group.kind {
        GroupKind::Fid => "f",
        GroupKind::Sim => "s",
    };
    std::iter::once(Value::from(kind))
        .chain(group.ssrcs.iter().map(|&ssrc| ssrc.into()))
        .collect()
}

fn read_owner(value: &Value) -> Result<OwnerSources, CompactError> {
    let parts = value
        .as_array()
        .ok_or(CompactError("an owner is not an array"))?;
    Ok(OwnerSources {
        video: read_list(parts.first(), read_source)?,
        video_groups: read_list(parts.get(1), read_group)?,
        audio: read_list(parts.get(2), read_source)?,
        audio_groups: read_list(parts.get(3), read_group)?,
    })
}

fn read_list<T>(
    value: Option<&Value>,
    read: impl Fn(&Value) -> Result<T, CompactError>,
) -> Result<Vec<T>, CompactError> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let list = value
        .as_array()
        .ok_or(CompactError("sources or groups are not an array"))?;
    if list.len() > MAX_SOURCES {
        return Err(CompactError("too many sources or groups"));
    }
    list.iter().map(read).collect()
}

fn read_ssrc(value: Option<&Value>) -> Result<u32, CompactError> {
    let ssrc = value
        .and_then(Value::as_u64)
        .and_then(|ssrc| u32::try_from(ssrc).ok());
    ssrc.filter(|&ssrc| ssrc != 0)
        .ok_or(CompactError("an SSRC is not 1 to 4294967295"))
}

fn read_source(value: &Value) -> Result<CompactSource, CompactError> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(CompactSource {
        ssrc: read_ssrc(value.get("s"))?,
        name: text("n"),
        msid: text("m"),
        desktop: value.get("v").and_then(Value::as_str) == Some("d"),
    })
}

fn read_group(value: &Value) -> Result<CompactGroup, CompactError> {
    let parts = value
        .as_array()
        .ok_or(CompactError("a group is not an array"))?;
    let kind = match parts.first().and_then(Value::as_str) {
        Some("f") => GroupKind::Fid,
        Some("s") => GroupKind::Sim,
        _ => return Err(CompactError("a group is neither `f` nor `s`")),
    };
    if parts.len() > MAX_SOURCES {
        return Err(CompactError("too many sources in a group"));
    }
    let ssrcs = parts
        .iter()
        .skip(1)
        .map(|ssrc| read_ssrc(Some(ssrc)))
        .collect::<Result<_, _>>()?;
    Ok(CompactGroup { kind, ssrcs })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OFFERED: &str = r#"{"sources":{"jvb":[[{"m":"mixedmslabel mixedlabelvideo0","n":"jvb-v0","s":1943892353}],[],[{"m":"mixedmslabel mixedlabelaudio0","n":"jvb-a0","s":169720827}]]}}"#;

    #[test]
    fn feedback_sources_round_trip() {
        let sources = CompactSources::from_json(OFFERED).unwrap();
        let jvb = sources.0.get("jvb").unwrap();
        assert_eq!(jvb.video.first().map(|s| s.ssrc), Some(1_943_892_353));
        assert_eq!(
            jvb.audio.first().and_then(|s| s.name.as_deref()),
            Some("jvb-a0")
        );
        assert_eq!(sources.to_json(), OFFERED);
    }

    #[test]
    fn shapes_that_are_refused() {
        for (text, why) in [
            ("", "not JSON"),
            ("[]", "no object `sources`"),
            (r#"{"sources":{"a":{}}}"#, "an owner is not an array"),
            (
                r#"{"sources":{"a":[[{"s":0}]]}}"#,
                "an SSRC is not 1 to 4294967295",
            ),
            (
                r#"{"sources":{"a":[[{"s":4294967296}]]}}"#,
                "an SSRC is not 1 to 4294967295",
            ),
            (
                r#"{"sources":{"a":[[],[["x",1,2]]]}}"#,
                "a group is neither `f` nor `s`",
            ),
            (
                r#"{"sources":{"a":[7]}}"#,
                "sources or groups are not an array",
            ),
        ] {
            assert_eq!(
                CompactSources::from_json(text),
                Err(CompactError(why)),
                "{text}"
            );
        }
    }

    fn source() -> impl Strategy<Value = CompactSource> {
        (
            1u32..,
            proptest::option::of(".{0,12}"),
            proptest::option::of(".{0,12}"),
            any::<bool>(),
        )
            .prop_map(|(ssrc, name, msid, desktop)| CompactSource {
                ssrc,
                name,
                msid,
                desktop,
            })
    }

    fn group() -> impl Strategy<Value = CompactGroup> {
        (any::<bool>(), proptest::collection::vec(1u32.., 0..4)).prop_map(|(fid, ssrcs)| {
            CompactGroup {
                kind: if fid { GroupKind::Fid } else { GroupKind::Sim },
                ssrcs,
            }
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            owner in ".{0,10}",
            video in proptest::collection::vec(source(), 0..5),
            video_groups in proptest::collection::vec(group(), 0..4),
            audio in proptest::collection::vec(source(), 0..3),
            audio_groups in proptest::collection::vec(group(), 0..2),
        ) {
            let owned = OwnerSources { video, video_groups, audio, audio_groups };
            let all = CompactSources([(owner, owned)].into());
            prop_assert_eq!(CompactSources::from_json(&all.to_json()), Ok(all));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = CompactSources::from_json(&text);
        }
    }
}
