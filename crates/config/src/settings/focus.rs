//! Section `focus`.

use telemetry::Redacted;

use crate::certificate::Mistake;
use crate::kind::{Listen, Value};

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
    /// Bridges of one meeting that have relays to each other.
    pub max_mesh: Option<usize>,
    /// Spare connections on another bridge.
    pub standby: bool,
    /// Load from which a bridge is avoided; 1 is all it can carry.
    pub overloaded: f64,
    /// Spread meetings over bridges of several versions.
    pub mix_versions: bool,
    /// Plain HTTP of the focus, for monitoring.
    pub http: Listen,
    /// Whoever is told of bridges and their load.
    pub webhook: Option<WebhookSettings>,
}

/// Whoever is told of bridges and their load.
#[derive(Clone, Debug)]
pub struct WebhookSettings {
    /// Where it is told, an `https://` or `http://` address.
    pub url: String,
    /// What it knows the sender by.
    pub token: Option<Redacted<String>>,
    /// Mean load from which more bridges should be there; 1 is all that they can carry.
    pub high: f64,
    /// Mean load below which fewer would do.
    pub low: f64,
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
            max_mesh: limit("focus.max_mesh"),
            standby: matches!(value("focus.standby"), Some(Value::Bool(true))),
            // Percents are small numbers.
            overloaded: number("focus.overloaded") as f64 / 100.0,
            http: text("focus.http").parse().unwrap_or(Listen::Off),
            webhook: Some(text("focus.webhook"))
                .filter(|url| !url.is_empty())
                .map(|url| WebhookSettings {
                    url,
                    token: Some(text("focus.webhook_token"))
                        .filter(|token| !token.is_empty())
                        .map(Redacted::new),
                    high: number("focus.webhook_high") as f64 / 100.0,
                    low: number("focus.webhook_low") as f64 / 100.0,
                }),
            mix_versions: matches!(value("focus.mix_versions"), Some(Value::Bool(true))),
        }
    }

    /// What is wrong with the values together, if anything.
    pub(super) fn mistake(&self) -> Option<Mistake> {
        let webhook = self.webhook.as_ref()?;
        let address = webhook.url.strip_prefix("https://");
        let address = address.or_else(|| webhook.url.strip_prefix("http://"));
        if address.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
            return Some((
                "focus.webhook",
                "is not an https:// or http:// address".to_owned(),
                "write it like \"https://scaler.example.com/pontoon\"",
            ));
        }
        (webhook.low >= webhook.high).then(|| {
            (
                "focus.webhook_low",
                "is not below focus.webhook_high".to_owned(),
                "leave some room between the two",
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_has_an_address_and_limits_that_leave_room() {
        let with = |url: &str, low: i64| {
            let value = |key| match key {
                "focus.webhook" => Some(Value::Text(url.to_owned())),
                "focus.webhook_high" => Some(Value::Integer(60)),
                "focus.webhook_low" => Some(Value::Integer(low)),
                _ => None,
            };
            let read = FocusSettings::read(&value);
            read.mistake().map(|(key, ..)| key)
        };
        assert_eq!(with("", 90), None, "there is none");
        assert_eq!(with("https://scaler.example.com/x", 20), None);
        assert_eq!(with("http://10.0.0.5:8000", 20), None);
        assert_eq!(with("scaler.example.com", 20), Some("focus.webhook"));
        assert_eq!(with("https:///x", 20), Some("focus.webhook"));
        assert_eq!(with("https://a.b", 60), Some("focus.webhook_low"));
    }
}
