//! Messages from the bridge to a client.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::json::{self, ParseError};
use crate::types::{EndpointMessage, EndpointStats, VideoType, null_as_default};

/// A message from the bridge.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "colibriClass")]
pub enum BridgeMessage {
    /// First message on a WebSocket and the answer to `ClientHello`.
    ServerHello(ServerHello),
    /// The list of recent speakers changed.
    #[serde(rename = "DominantSpeakerEndpointChangeEvent")]
    DominantSpeaker(DominantSpeaker),
    /// An endpoint stopped or resumed to be heard of by the bridge.
    #[serde(rename = "EndpointConnectivityStatusChangeEvent")]
    ConnectivityStatus(ConnectivityStatus),
    /// All video sources that are being forwarded to the receiver now.
    ForwardedSources(ForwardedSources),
    /// What is wanted of one of the receiver's own sources.
    SenderSourceConstraints(SenderSourceConstraints),
    /// Which source is on which of the receiver's video SSRCs, from now on.
    VideoSourcesMap(VideoSourcesMap),
    /// Which source is on which of the receiver's audio SSRCs, from now on.
    AudioSourcesMap(AudioSourcesMap),
    /// The bridge's view of the receiver's connection.
    ConnectionStats(ConnectionStats),
    /// A synthetic source starts or stops.
    #[serde(rename = "SyntheticSourceSendingChangeEvent")]
    SyntheticSourceSending(SyntheticSourceSending),
    /// Application data of another endpoint.
    EndpointMessage(EndpointMessage),
    /// Statistics of another endpoint.
    EndpointStats(EndpointStats),
    /// A class this reader does not know. Never written.
    #[serde(skip)]
    Unknown(String),
}

/// Greeting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerHello {
    /// Version of the bridge, if it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DominantSpeaker {
    /// Endpoint id of the dominant speaker.
    pub dominant_speaker_endpoint: String,
    /// Endpoint ids of those before, the latest first; at most ten.
    #[serde(default, deserialize_with = "null_as_default")]
    pub previous_speakers: Vec<String>,
    /// Nobody speaks at the moment.
    #[serde(default)]
    pub silence: bool,
}

/// Whether the bridge hears of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectivityStatus {
    /// Endpoint id.
    pub endpoint: String,
    /// On the wire a string: clients take a JSON boolean for `false`.
    #[serde(
        serialize_with = "bool_as_string",
        deserialize_with = "bool_from_string"
    )]
    pub active: bool,
}

fn bool_as_string<S: Serializer>(value: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *value { "true" } else { "false" })
}

fn bool_from_string<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(String::deserialize(deserializer)? == "true")
}

/// The complete list of video sources being forwarded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardedSources {
    /// Source names.
    pub forwarded_sources: Vec<String>,
}

/// The largest resolution anybody wants of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderSourceConstraints {
    /// Name of one of the receiver's own sources.
    pub source_name: String,
    /// In pixels of the smaller dimension; 0: nobody wants it; -1: no limit.
    pub max_height: i32,
}

/// New or changed video slots of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoSourcesMap {
    /// Slots.
    pub mapped_sources: Vec<VideoMapping>,
}

/// One video slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoMapping {
    /// Source name.
    pub source: String,
    /// Endpoint id of the source's owner.
    pub owner: String,
    /// SSRC the receiver gets.
    pub ssrc: u32,
    /// SSRC of its retransmissions.
    pub rtx: u32,
    /// Kind of the source.
    pub video_type: VideoType,
    /// MID stamped on the packets, if that was negotiated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
}

/// New or changed audio slots of a receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AudioSourcesMap {
    /// Slots.
    pub mapped_sources: Vec<AudioMapping>,
}

/// One audio slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioMapping {
    /// Source name.
    pub source: String,
    /// Endpoint id of the source's owner.
    pub owner: String,
    /// SSRC the receiver gets.
    pub ssrc: u32,
    /// MID stamped on the packets, if that was negotiated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mid: Option<String>,
}

/// Connection statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionStats {
    /// In bit/s.
    pub estimated_downlink_bandwidth: u64,
}

/// A synthetic source starts or stops a talk spurt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyntheticSourceSending {
    /// Source name.
    pub source_name: String,
    /// Starts or stops.
    pub sending: bool,
    /// RTP time of the change.
    pub timestamp: u32,
}

impl BridgeMessage {
    /// Reads a message of the bridge, as clients do.
    ///
    /// # Errors
    /// Not an acceptable message.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (class, fields) = json::read(text)?;
        Ok(match class.as_str() {
            "ServerHello" => Self::ServerHello(json::fields("ServerHello", fields)?),
            "DominantSpeakerEndpointChangeEvent" => {
                Self::DominantSpeaker(json::fields("DominantSpeakerEndpointChangeEvent", fields)?)
            }
            "EndpointConnectivityStatusChangeEvent" => Self::ConnectivityStatus(json::fields(
                "EndpointConnectivityStatusChangeEvent",
                fields,
            )?),
            "ForwardedSources" => Self::ForwardedSources(json::fields("ForwardedSources", fields)?),
            "SenderSourceConstraints" => {
                Self::SenderSourceConstraints(json::fields("SenderSourceConstraints", fields)?)
            }
            "VideoSourcesMap" => Self::VideoSourcesMap(json::fields("VideoSourcesMap", fields)?),
            "AudioSourcesMap" => Self::AudioSourcesMap(json::fields("AudioSourcesMap", fields)?),
            "ConnectionStats" => Self::ConnectionStats(json::fields("ConnectionStats", fields)?),
            "SyntheticSourceSendingChangeEvent" => Self::SyntheticSourceSending(json::fields(
                "SyntheticSourceSendingChangeEvent",
                fields,
            )?),
            "EndpointMessage" => Self::EndpointMessage(json::fields("EndpointMessage", fields)?),
            "EndpointStats" => Self::EndpointStats(json::fields("EndpointStats", fields)?),
            _ => Self::Unknown(class),
        })
    }

    /// The message as it goes to clients. An [`BridgeMessage::Unknown`] gives an empty string.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Byte for byte what the original bridge wrote, without the spaces of the log.
    const RECORDED: &[&str] = &[
        r#"{"colibriClass":"ServerHello"}"#,
        r#"{"colibriClass":"SenderSourceConstraints","sourceName":"fa640d1f-v0","maxHeight":0}"#,
        r#"{"colibriClass":"ForwardedSources","forwardedSources":[]}"#,
        r#"{"colibriClass":"VideoSourcesMap","mappedSources":[{"source":"2905496c-v0","owner":"2905496c","ssrc":1224120601,"rtx":321935884,"videoType":"CAMERA"}]}"#,
        r#"{"colibriClass":"DominantSpeakerEndpointChangeEvent","dominantSpeakerEndpoint":"fa640d1f","previousSpeakers":["9771fcc8"],"silence":false}"#,
        r#"{"colibriClass":"AudioSourcesMap","mappedSources":[{"source":"2905496c-a0","owner":"2905496c","ssrc":3869582241}]}"#,
        r#"{"colibriClass":"ConnectionStats","estimatedDownlinkBandwidth":3325426}"#,
        r#"{"colibriClass":"EndpointStats","from":"2905496c","connectionQuality":100,"jvbRTT":2}"#,
        r#"{"colibriClass":"EndpointMessage","from":"fa640d1f","to":"","msgPayload":{"tag":"t","type":"harness"}}"#,
        r#"{"colibriClass":"EndpointConnectivityStatusChangeEvent","endpoint":"a","active":"false"}"#,
        r#"{"colibriClass":"SyntheticSourceSendingChangeEvent","sourceName":"a","sending":true,"timestamp":4294967295}"#,
    ];

    #[test]
    fn recorded_messages_are_read_and_written_alike() {
        for text in RECORDED {
            let message = BridgeMessage::parse(text).unwrap();
            assert!(!matches!(message, BridgeMessage::Unknown(_)), "{text}");
            assert_eq!(message.to_json(), *text);
        }
    }

    #[test]
    fn active_is_a_string() {
        let json = BridgeMessage::ConnectivityStatus(ConnectivityStatus {
            endpoint: "e".into(),
            active: true,
        })
        .to_json();
        assert!(json.contains(r#""active":"true""#), "{json}");
    }

    #[test]
    fn video_types_leave_in_upper_case() {
        let map = |video_type| {
            BridgeMessage::VideoSourcesMap(VideoSourcesMap {
                mapped_sources: vec![VideoMapping {
                    source: "s".into(),
                    owner: "o".into(),
                    ssrc: u32::MAX,
                    rtx: 1,
                    video_type,
                    mid: None,
                }],
            })
            .to_json()
        };
        assert!(map(VideoType::DesktopHighFps).contains(r#""videoType":"DESKTOP_HIGH_FPS""#));
        assert!(
            map(VideoType::Desktop).contains(r#""ssrc":4294967295,"rtx":1,"videoType":"DESKTOP"}"#)
        );
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = BridgeMessage::parse(&text);
            let _ = crate::ClientMessage::parse(&text, "e");
        }

        #[test]
        fn any_fields_of_known_classes(class in proptest::sample::select(vec![
            "ReceiverVideoConstraints", "LastNChangedEvent", "ReceiverAudioSubscription", "SourceVideoTypeMessage",
            "VideoTypeMessage", "EndpointMessage", "EndpointStats"]), key in proptest::sample::select(vec![
            "lastN", "to", "videoType", "constraints", "maxHeight", "all", "mode", "list", "defaultConstraints"]),
            value in proptest::sample::select(vec!["1e400", "-1", "null", "[]", "{}", "\"x\"", "1.9", "[1]", "true"])) {
            let text = format!(r#"{{"colibriClass":"{class}","{key}":{value}}}"#);
            let _ = crate::ClientMessage::parse(&text, "e");
        }
    }
}
