//! Messages from a client to the bridge.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::json::{self, ParseError, integer, optional_integer};
use crate::types::{EndpointMessage, EndpointStats, VideoType, null_as_default};

/// A message from a client.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "colibriClass")]
pub enum ClientMessage {
    /// Asks for a `ServerHello` on the same transport.
    ClientHello,
    /// What video the client wants.
    ReceiverVideoConstraints(ReceiverVideoConstraints),
    /// How many video sources the client wants; the older form of `lastN`.
    #[serde(rename = "LastNChangedEvent")]
    LastN(LastN),
    /// Which audio sources the client wants.
    #[serde(rename = "ReceiverAudioSubscription")]
    AudioSubscription(AudioSubscription),
    /// The kind of one of the client's own video sources.
    #[serde(rename = "SourceVideoTypeMessage")]
    SourceVideoType(SourceVideoType),
    /// Application data for others.
    EndpointMessage(EndpointMessage),
    /// Statistics for others.
    EndpointStats(EndpointStats),
    /// A class this bridge does not know; to be counted and ignored. Never written.
    #[serde(skip)]
    Unknown(String),
}

/// Replaces each group that is present, leaves the others as they were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiverVideoConstraints {
    /// Largest number of video sources; -1 for no limit.
    #[serde(
        default,
        deserialize_with = "optional_integer",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_n: Option<i32>,
    /// Sources to prefer after those on stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selected_sources: Option<Vec<String>>,
    /// Sources to prefer over all others, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_stage_sources: Option<Vec<String>>,
    /// Applies to sources without an entry in `constraints`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_constraints: Option<VideoConstraints>,
    /// By source name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub constraints: Option<BTreeMap<String, VideoConstraints>>,
    /// A positive value (bit/s) replaces the bandwidth estimate; for tests.
    #[serde(
        default,
        deserialize_with = "optional_integer",
        skip_serializing_if = "Option::is_none"
    )]
    pub assumed_bandwidth_bps: Option<i64>,
}

/// Limits on one video source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoConstraints {
    /// In pixels of the smaller dimension; 0 means do not send, -1 no limit.
    pub max_height: i32,
    /// In frames per second; -1 means no limit.
    #[serde(skip_serializing_if = "unlimited_rate")]
    pub max_frame_rate: f64,
}

impl VideoConstraints {
    /// Neither height nor rate is limited.
    pub const UNLIMITED: Self = Self {
        max_height: -1,
        max_frame_rate: -1.0,
    };

    /// A limit on the height only.
    pub const fn height(max_height: i32) -> Self {
        Self {
            max_height,
            max_frame_rate: -1.0,
        }
    }
}

fn unlimited_rate(rate: &f64) -> bool {
    *rate < 0.0
}

impl<'de> Deserialize<'de> for VideoConstraints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw {
            #[serde(default)]
            max_height: Value,
            #[serde(default)]
            max_frame_rate: Value,
        }
        let raw = Raw::deserialize(deserializer)?;
        let max_height = match &raw.max_height {
            Value::Null => -1,
            v => integer(v)
                .and_then(|n| i32::try_from(n).ok())
                .filter(|n| *n >= -1)
                .ok_or_else(|| D::Error::custom("maxHeight must be -1, 0 or positive"))?,
        };
        let max_frame_rate = match &raw.max_frame_rate {
            Value::Null => -1.0,
            v => v
                .as_f64()
                .filter(|f| *f >= 0.0 || *f == -1.0)
                .ok_or_else(|| D::Error::custom("maxFrameRate must be -1, 0 or positive"))?,
        };
        Ok(Self {
            max_height,
            max_frame_rate,
        })
    }
}

/// The older form of `lastN`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LastN {
    /// Largest number of video sources; -1 for no limit.
    pub last_n: i32,
}

impl<'de> Deserialize<'de> for LastN {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Raw {
            #[serde(default, deserialize_with = "optional_integer")]
            last_n: Option<i32>,
        }
        let last_n = Raw::deserialize(deserializer)?
            .last_n
            .ok_or_else(|| serde::de::Error::missing_field("lastN"))?;
        Ok(Self { last_n })
    }
}

/// Which audio sources a receiver gets. A name in `exclude` is never sent, whatever else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AudioSubscription {
    /// All regular sources. Synthetic ones come by `include` only.
    pub all: bool,
    /// Source names to send besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Source names not to send.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl<'de> Deserialize<'de> for AudioSubscription {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Raw {
            #[serde(default, deserialize_with = "null_as_default")]
            all: bool,
            #[serde(default, deserialize_with = "null_as_default")]
            include: Vec<String>,
            #[serde(default, deserialize_with = "null_as_default")]
            exclude: Vec<String>,
            #[serde(default)]
            mode: Option<String>,
            #[serde(default, deserialize_with = "null_as_default")]
            list: Vec<String>,
        }
        let raw = Raw::deserialize(deserializer)?;
        let none = Vec::new;
        Ok(match raw.mode.as_deref() {
            None => Self {
                all: raw.all,
                include: raw.include,
                exclude: raw.exclude,
            },
            Some("All") => Self {
                all: true,
                include: none(),
                exclude: none(),
            },
            Some("None") => Self::default(),
            Some("Include") => Self {
                all: false,
                include: raw.list,
                exclude: none(),
            },
            Some("Exclude") => Self {
                all: true,
                include: none(),
                exclude: raw.list,
            },
            Some(_) => return Err(serde::de::Error::custom("unknown mode")),
        })
    }
}

/// The kind of a video source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceVideoType {
    /// Name of one of the sender's sources.
    pub source_name: String,
    /// Its kind now.
    #[serde(serialize_with = "lower_case")]
    pub video_type: VideoType,
}

fn lower_case<S: serde::Serializer>(kind: &VideoType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.client_name())
}

impl ClientMessage {
    /// Reads a message that the endpoint `sender` sent.
    ///
    /// # Errors
    /// Not an acceptable message. The channel stays open; the message is dropped.
    pub fn parse(text: &str, sender: &str) -> Result<Self, ParseError> {
        let (class, fields) = json::read(text)?;
        Ok(match class.as_str() {
            "ClientHello" => Self::ClientHello,
            "ReceiverVideoConstraints" => {
                Self::ReceiverVideoConstraints(json::fields("ReceiverVideoConstraints", fields)?)
            }
            "LastNChangedEvent" => Self::LastN(json::fields("LastNChangedEvent", fields)?),
            "ReceiverAudioSubscription" => {
                Self::AudioSubscription(json::fields("ReceiverAudioSubscription", fields)?)
            }
            "SourceVideoTypeMessage" => {
                Self::SourceVideoType(json::fields("SourceVideoTypeMessage", fields)?)
            }
            "VideoTypeMessage" => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Raw {
                    video_type: VideoType,
                }
                let raw: Raw = json::fields("VideoTypeMessage", fields)?;
                // Single-source clients have exactly one video source, by convention of this name.
                Self::SourceVideoType(SourceVideoType {
                    source_name: format!("{sender}-v0"),
                    video_type: raw.video_type,
                })
            }
            "EndpointMessage" => {
                let mut message: EndpointMessage = json::fields("EndpointMessage", fields)?;
                message.from = Some(sender.to_owned());
                Self::EndpointMessage(message)
            }
            "EndpointStats" => {
                let mut stats: EndpointStats = json::fields("EndpointStats", fields)?;
                stats.from = Some(sender.to_owned());
                Self::EndpointStats(stats)
            }
            _ => Self::Unknown(class),
        })
    }

    /// The message as a client writes it. An [`ClientMessage::Unknown`] gives an empty string.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ClientMessage {
        ClientMessage::parse(text, "fa640d1f").unwrap()
    }

    #[test]
    fn messages_of_a_real_client() {
        let ClientMessage::ReceiverVideoConstraints(c) = parse(
            r#"{"colibriClass":"ReceiverVideoConstraints","lastN":-1,"defaultConstraints":{"maxHeight":720}}"#,
        ) else {
            panic!()
        };
        assert_eq!(
            (c.last_n, c.default_constraints),
            (Some(-1), Some(VideoConstraints::height(720)))
        );
        assert_eq!(
            (c.constraints, c.on_stage_sources, c.selected_sources),
            (None, None, None)
        );
        assert_eq!(
            parse(
                r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"fa640d1f-v0","videoType":"none"}"#
            ),
            ClientMessage::SourceVideoType(SourceVideoType {
                source_name: "fa640d1f-v0".into(),
                video_type: VideoType::Disabled
            })
        );
        let ClientMessage::EndpointStats(stats) = parse(
            r#"{"colibriClass":"EndpointStats","from":"forged","connectionQuality":29.428571428571427,"jvbRTT":2}"#,
        ) else {
            panic!()
        };
        assert_eq!(stats.from.as_deref(), Some("fa640d1f"));
        assert_eq!(
            stats.other["connectionQuality"].as_f64(),
            Some(29.428571428571427)
        );
        assert_eq!(
            parse(r#"{"colibriClass":"LastNChangedEvent","lastN":4.0}"#),
            ClientMessage::LastN(LastN { last_n: 4 })
        );
        assert_eq!(
            parse(r#"{"colibriClass":"ClientHello","new":1}"#),
            ClientMessage::ClientHello
        );
        assert_eq!(
            parse(r#"{"colibriClass":"Zzz"}"#),
            ClientMessage::Unknown("Zzz".into())
        );
    }

    #[test]
    fn constraints_groups_and_ranges() {
        let text = r#"{"colibriClass":"ReceiverVideoConstraints","lastN":20,"assumedBandwidthBps":-1,
            "onStageSources":["b-v1"],"selectedSources":[],"newField":true,
            "constraints":{"b-v1":{"maxHeight":1080,"maxFrameRate":15,"x":1},"b-v0":{"maxFrameRate":30}}}"#;
        let ClientMessage::ReceiverVideoConstraints(c) = parse(text) else {
            panic!()
        };
        let map = c.constraints.unwrap();
        assert_eq!(
            map["b-v1"],
            VideoConstraints {
                max_height: 1080,
                max_frame_rate: 15.0
            }
        );
        assert_eq!(
            map["b-v0"],
            VideoConstraints {
                max_height: -1,
                max_frame_rate: 30.0
            }
        );
        assert_eq!(c.selected_sources, Some(vec![]));
        for bad in [
            r#"{"colibriClass":"ReceiverVideoConstraints","defaultConstraints":{"maxHeight":-2}}"#,
            r#"{"colibriClass":"ReceiverVideoConstraints","defaultConstraints":{"maxHeight":"720"}}"#,
            r#"{"colibriClass":"ReceiverVideoConstraints","defaultConstraints":{"maxHeight":1,"maxFrameRate":-3}}"#,
            r#"{"colibriClass":"ReceiverVideoConstraints","lastN":"all"}"#,
            r#"{"colibriClass":"ReceiverVideoConstraints","lastN":99999999999}"#,
            r#"{"colibriClass":"LastNChangedEvent"}"#,
            r#"{"colibriClass":"SourceVideoTypeMessage","sourceName":"a","videoType":"hologram"}"#,
            r#"{"colibriClass":"EndpointMessage","to":7}"#,
        ] {
            assert!(
                matches!(
                    ClientMessage::parse(bad, "a"),
                    Err(ParseError::Field { .. })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn audio_subscription_forms() {
        let sub = |text: &str| match parse(text) {
            ClientMessage::AudioSubscription(s) => (s.all, s.include, s.exclude),
            other => panic!("{other:?}"),
        };
        let s = |v: &[&str]| v.iter().map(|s| s.to_string()).collect::<Vec<_>>();
        let class = r#""colibriClass":"ReceiverAudioSubscription""#;
        assert_eq!(sub(&format!("{{{class}}}")), (false, s(&[]), s(&[])));
        assert_eq!(
            sub(&format!(r#"{{{class},"all":true,"exclude":["a"]}}"#)),
            (true, s(&[]), s(&["a"]))
        );
        assert_eq!(
            sub(&format!(
                r#"{{{class},"mode":"Include","list":["a"],"all":true}}"#
            )),
            (false, s(&["a"]), s(&[]))
        );
        assert_eq!(
            sub(&format!(r#"{{{class},"mode":"Exclude","list":["a"]}}"#)),
            (true, s(&[]), s(&["a"]))
        );
        assert!(ClientMessage::parse(&format!(r#"{{{class},"mode":"all"}}"#), "a").is_err());
    }

    #[test]
    fn the_older_video_type_names_the_first_source() {
        assert_eq!(
            parse(r#"{"colibriClass":"VideoTypeMessage","videoType":"DESKTOP"}"#),
            ClientMessage::SourceVideoType(SourceVideoType {
                source_name: "fa640d1f-v0".into(),
                video_type: VideoType::Desktop
            })
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let messages = [
            ClientMessage::ClientHello,
            ClientMessage::LastN(LastN { last_n: 3 }),
            ClientMessage::AudioSubscription(AudioSubscription {
                all: true,
                include: vec!["t".into()],
                exclude: vec![],
            }),
            ClientMessage::SourceVideoType(SourceVideoType {
                source_name: "x".into(),
                video_type: VideoType::DesktopHighFps,
            }),
            ClientMessage::ReceiverVideoConstraints(ReceiverVideoConstraints {
                last_n: Some(2),
                constraints: Some([("a".to_owned(), VideoConstraints::height(180))].into()),
                ..Default::default()
            }),
        ];
        for message in messages {
            assert_eq!(parse(&message.to_json()), message);
        }
    }
}
