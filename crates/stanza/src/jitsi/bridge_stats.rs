//! `stats` in the brewery presence of a bridge: its load and state as name-value pairs.

use minidom::Element;

use crate::media::{NS_COLIBRI, children, set};

/// Names that a focus reads.
pub mod stat {
    /// Load, 0 to 1 and beyond.
    pub const STRESS_LEVEL: &str = "stress_level";
    /// Load to expect of one more participant.
    pub const AVERAGE_PARTICIPANT_STRESS: &str = "average_participant_stress";
    /// Takes no new work; a focus assumes `true` until told.
    pub const DRAIN: &str = "drain";
    /// Refuses new conferences.
    pub const GRACEFUL_SHUTDOWN: &str = "graceful_shutdown";
    /// Is going away now.
    pub const SHUTTING_DOWN: &str = "shutting_down";
    /// Version; the same on all bridges that share a conference.
    pub const VERSION: &str = "version";
    /// Appended to the version.
    pub const RELEASE: &str = "release";
    /// Where the bridge is.
    pub const REGION: &str = "region";
    /// Name of the bridge towards other bridges.
    pub const RELAY_ID: &str = "relay_id";
    /// Result of the bridge's own check.
    pub const HEALTHY: &str = "healthy";
    /// Ours: media ports, separated by commas. Who says them answers questions of `jitsi::evidence`.
    pub const MEDIA: &str = "pontoon_media";
    /// Ours, `true`: asks senders for key frames encoding by encoding, naming the SSRC of each.
    pub const EACH_KEY_FRAME: &str = "pontoon_each_key_frame";
    /// People whose media come to this bridge.
    pub const LOCAL_ENDPOINTS: &str = "local_endpoints";
    /// People of its conferences, those on other bridges included.
    pub const PARTICIPANTS: &str = "participants";
}

/// Statistics in the order they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeStats(pub Vec<(String, String)>);

impl BridgeStats {
    /// Adds one value.
    pub fn push(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    /// The value of a statistic.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// A statistic as a number; `None` if absent or not a finite number.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.get(name)
            .and_then(|v| v.trim().parse::<f64>().ok())
            .filter(|v| v.is_finite())
    }

    /// A statistic as a truth value; `None` if absent.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)
            .map(|v| v.trim().eq_ignore_ascii_case("true"))
    }

    /// Finds the statistics in a presence; `None` if the sender is not a bridge.
    pub fn of_presence(presence: &Element) -> Option<Self> {
        presence.get_child("stats", NS_COLIBRI).map(Self::from)
    }
}

impl From<&Element> for BridgeStats {
    fn from(element: &Element) -> Self {
        Self(
            children(element, "stat", NS_COLIBRI)
                .filter_map(|s| Some((s.attr("name")?.to_owned(), s.attr("value")?.to_owned())))
                .collect(),
        )
    }
}

impl From<&BridgeStats> for Element {
    fn from(stats: &BridgeStats) -> Self {
        let mut element = Element::bare("stats", NS_COLIBRI);
        for (name, value) in &stats.0 {
            let mut child = Element::bare("stat", NS_COLIBRI);
            set(&mut child, "name", Some(name));
            set(&mut child, "value", Some(value));
            element.append_child(child);
        }
        element
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_leniently() {
        let presence: Element = "<presence xmlns='jabber:client'><stats xmlns='http://jitsi.org/protocol/colibri'>\
            <stat name='stress_level' value=' 0.4004307695513121'/><stat name='drain' value='FALSE'/>\
            <stat name='healthy'/><stat name='odd' value='NaN'/></stats></presence>"
            .parse()
            .unwrap();
        let stats = BridgeStats::of_presence(&presence).unwrap();
        assert_eq!(
            stats.number(stat::STRESS_LEVEL),
            Some(0.400_430_769_551_312_1)
        );
        assert_eq!(stats.flag(stat::DRAIN), Some(false));
        assert_eq!(
            (stats.flag(stat::HEALTHY), stats.number("odd")),
            (None, None)
        );
        assert_eq!(BridgeStats::from(&Element::from(&stats)), stats);
    }
}
