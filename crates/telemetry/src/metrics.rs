//! The registry behind `/metrics`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// The process's metrics; cheap to clone, all clones are one registry.
///
/// Names carry the prefix `pontoon_`. Hosts register their counters once at start and keep the handles.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registry::with_prefix("pontoon"))))
    }

    /// Registers metrics: `metrics.register(|r| r.register("rooms", "Open rooms", gauge.clone()))`.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.lock());
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing to a `String` cannot fail; were it to, a shorter page is better than none.
        let _ = encode(&mut text, &self.lock());
        text
    }

    /// The content type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::Metrics;

    #[test]
    fn a_registered_counter_is_encoded_with_prefix() {
        let metrics = Metrics::new();
        let joins = Counter::<u64>::default();
        metrics
            .clone()
            .register(|r| r.register("joins", "Joins accepted", joins.clone()));
        joins.inc();
        let text = metrics.encode();
        assert!(text.contains("pontoon_joins_total 1\n"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
