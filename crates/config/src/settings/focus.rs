//! Section `focus`.

use crate::kind::Value;

/// Section `focus`.
#[derive(Clone, Debug)]
pub struct FocusSettings {
    /// Which bridge a participant gets: one of the words of the option.
    pub strategy: String,
    /// With the strategy `visitor`, that of participants.
    pub participant_strategy: String,
    /// With the strategy `visitor`, that of visitors.
    pub visitor_strategy: String,
    /// Groups of regions near each other.
    pub near_regions: Vec<Vec<String>>,
    /// People on one bridge.
    pub max_people_per_bridge: Option<usize>,
    /// People of one meeting on one bridge.
    pub max_people_of_meeting_per_bridge: Option<usize>,
    /// Load from which a bridge is avoided; 1 is all it can carry.
    pub overloaded: f64,
    /// Spread meetings over bridges of several versions.
    pub mix_versions: bool,
}

impl FocusSettings {
    /// What the values mean.
    pub(super) fn read(value: &dyn Fn(&'static str) -> Option<Value>) -> Self {
        let text = |key| match value(key) {
            Some(Value::Text(text)) => text,
            _ => String::new(),
        };
        let number = |key| match value(key) {
            Some(Value::Integer(number)) => number,
            _ => 0,
        };
        let limit = |key| usize::try_from(number(key)).ok().filter(|&most| most > 0);
        let group = |text: String| -> Vec<String> {
            let names = text.split(',').map(str::trim);
            let names = names.filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        };
        let groups = match value("focus.near_regions") {
            Some(Value::List(groups)) => groups,
            _ => Vec::new(),
        };
        Self {
            strategy: text("focus.strategy"),
            participant_strategy: text("focus.participant_strategy"),
            visitor_strategy: text("focus.visitor_strategy"),
            near_regions: groups.into_iter().map(group).collect(),
            max_people_per_bridge: limit("focus.max_people_per_bridge"),
            max_people_of_meeting_per_bridge: limit("focus.max_people_of_meeting_per_bridge"),
            // Percents are small numbers.
            overloaded: number("focus.overloaded") as f64 / 100.0,
            mix_versions: matches!(value("focus.mix_versions"), Some(Value::Bool(true))),
        }
    }
}
