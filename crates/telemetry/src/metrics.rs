//! The registry behind `/metrics`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use crate::page::{Form, json, plain, wanted};

/// The process's metrics; cheap to clone, all clones are one registry.
///
/// Names carry the prefix `pontoon_`, but for those under which other programs know the same figures. Hosts register their
/// counters once at start and keep the handles.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registries>>);

struct Registries {
    own: Registry,
    foreign: Registry,
}

impl Metrics {
    /// An empty registry.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Registries {
            own: Registry::with_prefix("pontoon"),
            foreign: Registry::default(),
        })))
    }

    /// Registers metrics: `metrics.register(|r| r.register("rooms", "Open rooms", gauge.clone()))`.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.lock().own);
    }

    /// Registers metrics whose names are whole: they carry no prefix of ours.
    pub fn register_as_named(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.lock().foreign);
    }

    /// Everything in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let all = self.lock();
        // Writing to a `String` cannot fail; were it to, a shorter page is better than none.
        let _ = encode_registry(&mut text, &all.own)
            .and_then(|()| encode_registry(&mut text, &all.foreign))
            .and_then(|()| encode_eof(&mut text));
        text
    }

    /// Everything in the form that an `Accept` header wants most, with its content type: OpenMetrics, the text format of
    /// Prometheus before it, or JSON. `None` if it wants none of these.
    pub fn page(&self, accept: Option<&str>) -> Option<(&'static str, String)> {
        let page = self.encode();
        Some(match wanted(accept)? {
            Form::OpenMetrics => (Self::CONTENT_TYPE, page),
            Form::Plain => ("text/plain; version=0.0.4; charset=utf-8", plain(&page)),
            Form::Json => ("application/json", json(&page)),
        })
    }

    /// The content type of [`Metrics::encode`].
    pub const CONTENT_TYPE: &'static str =
        "application/openmetrics-text; version=1.0.0; charset=utf-8";

    fn lock(&self) -> MutexGuard<'_, Registries> {
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
