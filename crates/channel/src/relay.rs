//! Messages between bridges that have relays to each other.

use serde::{Deserialize, Serialize};

use crate::bridge::{ConnectivityStatus, ServerHello, SyntheticSourceSending};
use crate::client::VideoConstraints;
use crate::json::{self, ParseError};
use crate::types::{EndpointMessage, EndpointStats, VideoType};

/// A message from one bridge to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "colibriClass")]
pub enum RelayMessage {
    /// Asks for a `ServerHello`.
    ClientHello,
    /// Greeting.
    ServerHello(ServerHello),
    /// What the sender's people want of a source of the receiver's.
    AddReceiver(AddReceiver),
    /// The kind of a video source of the sender's people.
    #[serde(rename = "SourceVideoTypeMessage")]
    SourceVideoType(RelayedVideoType),
    /// Something is heard of an endpoint, or no more.
    #[serde(rename = "EndpointConnectivityStatusChangeEvent")]
    ConnectivityStatus(ConnectivityStatus),
    /// A synthetic source starts or stops.
    #[serde(rename = "SyntheticSourceSendingChangeEvent")]
    SyntheticSourceSending(SyntheticSourceSending),
    /// Application data of an endpoint; `from` tells of which.
    EndpointMessage(EndpointMessage),
    /// Statistics of an endpoint; `from` tells of which.
    EndpointStats(EndpointStats),
    /// A class this bridge does not know; to be counted and ignored. Never written.
    #[serde(skip)]
    Unknown(String),
}

/// What a bridge wants of a source: the most that any of its people wants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AddReceiver {
    /// Relay id of the bridge that wants it.
    #[serde(default)]
    pub bridge_id: String,
    /// Name of the source.
    pub source_name: String,
    /// How much of it; a height of 0 is nothing.
    #[serde(serialize_with = "in_full")]
    pub video_constraints: VideoConstraints,
}

/// The kind of a source of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RelayedVideoType {
    /// Its kind now.
    pub video_type: VideoType,
    /// Name of the source.
    pub source_name: String,
    /// Its endpoint.
    pub endpoint_id: String,
}

/// Bridges write both fields, unlimited ones too.
fn in_full<S: serde::Serializer>(c: &VideoConstraints, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Full {
        max_height: i32,
        max_frame_rate: f64,
    }
    Full {
        max_height: c.max_height,
        max_frame_rate: c.max_frame_rate,
    }
    .serialize(serializer)
}

impl RelayMessage {
    /// Reads a message of another bridge.
    ///
    /// # Errors
    /// Not an acceptable message. The channel stays open; the message is dropped.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let (class, fields) = json::read(text)?;
        Ok(match class.as_str() {
            "ClientHello" => Self::ClientHello,
            "ServerHello" => Self::ServerHello(json::fields("ServerHello", fields)?),
            "AddReceiver" => Self::AddReceiver(json::fields("AddReceiver", fields)?),
            "SourceVideoTypeMessage" => {
                Self::SourceVideoType(json::fields("SourceVideoTypeMessage", fields)?)
            }
            "EndpointConnectivityStatusChangeEvent" => Self::ConnectivityStatus(json::fields(
                "EndpointConnectivityStatusChangeEvent",
                fields,
            )?),
            "SyntheticSourceSendingChangeEvent" => Self::SyntheticSourceSending(json::fields(
                "SyntheticSourceSendingChangeEvent",
                fields,
            )?),
            "EndpointMessage" => Self::EndpointMessage(json::fields("EndpointMessage", fields)?),
            "EndpointStats" => Self::EndpointStats(json::fields("EndpointStats", fields)?),
            _ => Self::Unknown(class),
        })
    }

    /// The message as it goes to the other bridge. A [`RelayMessage::Unknown`] gives an empty string.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Byte for byte what the original bridges wrote to each other.
    const RECORDED: &[&str] = &[
        r#"{"colibriClass":"AddReceiver","bridgeId":"jvb1","sourceName":"75a3560e-v0","videoConstraints":{"maxHeight":720,"maxFrameRate":-1.0}}"#,
        r#"{"colibriClass":"AddReceiver","bridgeId":"jvb2","sourceName":"bfe1d416-v0","videoConstraints":{"maxHeight":0,"maxFrameRate":-1.0}}"#,
        r#"{"colibriClass":"SourceVideoTypeMessage","videoType":"DESKTOP","sourceName":"75a3560e-v1","endpointId":"75a3560e"}"#,
    ];
    /// The same, where the order of fields is another one than ours.
    const REORDERED: &[&str] = &[
        r#"{"colibriClass":"EndpointMessage","to":"bfe1d416","from":"75a3560e","msgPayload":{"type":"harness","tag":"em-1795562923159-one"}}"#,
        r#"{"colibriClass":"EndpointStats","from":"75a3560e","bitrate":{"download":0,"upload":0},"connectionQuality":100,"jvbRTT":170}"#,
    ];

    #[test]
    fn recorded_messages_are_read_and_written_alike() {
        for text in RECORDED {
            let message = RelayMessage::parse(text).unwrap();
            assert!(!matches!(message, RelayMessage::Unknown(_)), "{text}");
            assert_eq!(message.to_json(), *text);
        }
        for text in REORDERED {
            let message = RelayMessage::parse(text).unwrap();
            assert!(!matches!(message, RelayMessage::Unknown(_)), "{text}");
            let (ours, theirs): (serde_json::Value, serde_json::Value) = (
                serde_json::from_str(&message.to_json()).unwrap(),
                serde_json::from_str(text).unwrap(),
            );
            assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn what_lacks_a_name_or_has_a_wrong_height_is_refused() {
        for text in [
            r#"{"colibriClass":"AddReceiver","bridgeId":"b","videoConstraints":{"maxHeight":720}}"#,
            r#"{"colibriClass":"AddReceiver","bridgeId":"b","sourceName":"s","videoConstraints":{"maxHeight":-2}}"#,
            r#"{"colibriClass":"AddReceiver","bridgeId":"b","sourceName":"s"}"#,
            r#"{"colibriClass":"SourceVideoTypeMessage","videoType":"DESKTOP","sourceName":"s"}"#,
            r#"{"colibriClass":"SourceVideoTypeMessage","videoType":"x","sourceName":"s","endpointId":"e"}"#,
        ] {
            assert!(RelayMessage::parse(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let _ = RelayMessage::parse(&text);
        }

        #[test]
        fn what_is_read_is_written_and_read_alike(class in proptest::sample::select(vec![
            "AddReceiver", "SourceVideoTypeMessage", "EndpointConnectivityStatusChangeEvent", "EndpointMessage",
            "EndpointStats", "ServerHello"]), key in proptest::sample::select(vec![
            "bridgeId", "videoType", "endpoint", "maxHeight", "from", "to", "active", "endpointId", "version"]),
            height in -3i64..5000, value in proptest::sample::select(vec![
            "1e400", "-1", "null", "[]", "{}", "\"x\"", "1.9", "[1]", "true", "\"CAMERA\""])) {
            let text = format!(r#"{{"colibriClass":"{class}","sourceName":"s","{key}":{value},"videoConstraints":{{"maxHeight":{height}}}}}"#);
            if let Ok(message) = RelayMessage::parse(&text) {
                let again = RelayMessage::parse(&message.to_json()).unwrap();
                proptest::prop_assert_eq!(again.to_json(), message.to_json());
            }
        }
    }
}
