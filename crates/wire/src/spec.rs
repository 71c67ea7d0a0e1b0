//! What is asked for, and what is answered.

use std::time::Duration;

use serde::Deserialize;
use sim::{LinkSpec, LinkStats, Loss, Queue};

/// A line of standard input.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) down: Option<Spec>,
    pub(crate) up: Option<Spec>,
}

/// One direction; what is not named does nothing.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Spec {
    /// Bits per second.
    rate: Option<u64>,
    /// How long a frame may wait for the rate.
    queue_ms: u64,
    delay_ms: u64,
    jitter_ms: u64,
    /// Share of frames lost, 0 to 1.
    loss: f64,
    /// Frames lost in a row, on average.
    burst: f64,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            rate: None,
            queue_ms: 250,
            delay_ms: 0,
            jitter_ms: 0,
            loss: 0.0,
            burst: 1.0,
        }
    }
}

impl Spec {
    pub(crate) fn link(self) -> LinkSpec {
        let loss = match self.loss {
            share if share <= 0.0 => Loss::None,
            share if self.burst > 1.0 => Loss::bursts(share, self.burst),
            share => Loss::Random(share),
        };
        LinkSpec {
            rate: self.rate,
            queue: Queue::Time(Duration::from_millis(self.queue_ms)),
            delay: Duration::from_millis(self.delay_ms),
            jitter: Duration::from_millis(self.jitter_ms),
            loss,
            ..LinkSpec::default()
        }
    }
}

pub(crate) fn counts(stats: LinkStats) -> serde_json::Value {
    serde_json::json!({
        "sent": stats.sent,
        "dropped": stats.dropped,
        "lost": stats.lost,
        "bytes": stats.bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_names_what_it_changes() {
        let order: Order =
            serde_json::from_str(r#"{"down":{"rate":700000,"loss":0.1,"burst":5}}"#).unwrap();
        assert!(order.up.is_none());
        let link = order.down.unwrap().link();
        assert_eq!(link.rate, Some(700_000));
        assert_eq!(link.loss, Loss::bursts(0.1, 5.0));
        assert_eq!(link.queue, Queue::Time(Duration::from_millis(250)));
        assert!(serde_json::from_str::<Order>(r#"{"down":{"speed":1}}"#).is_err());
    }
}
