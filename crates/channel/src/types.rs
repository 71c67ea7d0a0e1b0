//! Types that appear in both directions.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// Kind of a video source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum VideoType {
    /// A camera.
    #[default]
    Camera,
    /// A screen, few frames of full resolution.
    Desktop,
    /// A screen with motion, sent like a camera.
    DesktopHighFps,
    /// Muted or switched off. Clients write `none`.
    #[serde(rename = "NONE")]
    Disabled,
}

impl VideoType {
    /// Reads a wire name in any case. `none` and `disabled` are the same. `None` for an unknown name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            ("camera", Self::Camera),
            ("desktop", Self::Desktop),
            ("desktop_high_fps", Self::DesktopHighFps),
            ("disabled", Self::Disabled),
            ("none", Self::Disabled),
        ]
        .into_iter()
        .find_map(|(known, kind)| known.eq_ignore_ascii_case(name).then_some(kind))
    }

    /// The name a client writes (lower case).
    pub fn client_name(self) -> &'static str {
        match self {
            Self::Camera => "camera",
            Self::Desktop => "desktop",
            Self::DesktopHighFps => "desktop_high_fps",
            Self::Disabled => "none",
        }
    }
}

impl<'de> Deserialize<'de> for VideoType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom("unknown videoType"))
    }
}

/// Application data between endpoints; the bridge routes it and sets `from`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointMessage {
    /// The sender. Whatever a client writes here is replaced by the bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// An endpoint id; empty means everybody else in the conference.
    #[serde(default, deserialize_with = "null_as_default")]
    pub to: String,
    /// Every other field, normally `msgPayload`, passed on as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// Statistics of one endpoint for the others; the bridge sets `from`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// The sender. Whatever a client writes here is replaced by the bridge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Every other field, passed on as it came.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
