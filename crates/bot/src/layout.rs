//! How a participant arranges the pictures of others, and what it asks the bridge for.

use std::collections::BTreeMap;

use channel::{ReceiverVideoConstraints, VideoConstraints};

/// An arrangement of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// All of the same height.
    Tiles {
        /// Height in pixels at most; 0 for no pictures, -1 for no limit.
        height: i32,
        /// Pictures at most; -1 for no limit.
        last_n: i32,
    },
    /// The dominant speaker large, the others small.
    Stage {
        /// Height of the speaker, pixels.
        height: i32,
        /// Height of the others, pixels; 0 for none.
        others: i32,
        /// Pictures at most; -1 for no limit.
        last_n: i32,
    },
}

impl Layout {
    /// All pictures in this height.
    pub(crate) fn tiles(height: i32) -> Self {
        Self::Tiles { height, last_n: -1 }
    }

    /// Whether it changes with the speaker.
    pub(crate) fn follows_speaker(self) -> bool {
        matches!(self, Self::Stage { .. })
    }

    /// What the bridge is asked for.
    pub(crate) fn constraints(self, speaker: Option<&str>) -> ReceiverVideoConstraints {
        let (last_n, default) = match self {
            Self::Tiles { height, last_n } => (last_n, height),
            Self::Stage { others, last_n, .. } => (last_n, others),
        };
        let on_stage = match self {
            // A camera is named after its owner.
            Self::Stage { height, .. } => speaker.map(|id| (format!("{id}-v0"), height)),
            Self::Tiles { .. } => None,
        };
        let constraint =
            |(source, height)| BTreeMap::from([(source, VideoConstraints::height(height))]);
        ReceiverVideoConstraints {
            last_n: Some(last_n),
            default_constraints: Some(VideoConstraints::height(default)),
            on_stage_sources: on_stage.as_ref().map(|(source, _)| vec![source.clone()]),
            constraints: on_stage.map(constraint),
            ..ReceiverVideoConstraints::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speaker_is_on_stage() {
        let stage = Layout::Stage {
            height: 720,
            others: 180,
            last_n: 9,
        };
        let asked = stage.constraints(Some("ada"));
        assert_eq!(asked.last_n, Some(9));
        assert_eq!(asked.on_stage_sources, Some(vec!["ada-v0".to_owned()]));
        assert_eq!(asked.constraints.unwrap()["ada-v0"].max_height, 720);
        assert_eq!(asked.default_constraints.unwrap().max_height, 180);
        assert!(stage.constraints(None).constraints.is_none());
    }
}
