//! Counters of the front.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

/// The front's metrics; clones count together.
#[derive(Clone, Default)]
pub(crate) struct Counters {
    refused: Family<Reason, Counter<u64, AtomicU64>>,
    foreign_proxies: Counter<u64, AtomicU64>,
    compressed: Counter<u64, AtomicU64>,
    relays: Gauge,
    relay_dropped: Counter<u64, AtomicU64>,
    told: Arc<AtomicBool>,
}

impl Counters {
    pub(crate) fn register(metrics: &telemetry::Metrics) -> Self {
        let counters = Self::default();
        metrics.register(|r| {
            r.register(
                "front_refused",
                "Requests for pages and files refused, by reason",
                counters.refused.clone(),
            );
            r.register(
                "front_untrusted_proxies",
                "Requests that came through a proxy which front.trusted_proxies does not name",
                counters.foreign_proxies.clone(),
            );
            r.register(
                "front_compressed",
                "Files of the web tree compressed; what was compressed before is sent again from memory",
                counters.compressed.clone(),
            );
            r.register(
                "front_relays",
                "Clients that use the relay (TURN) beside HTTPS",
                counters.relays.clone(),
            );
        });
        counters
    }

    /// Those of a relay with ports of its own, which is no front's.
    pub(crate) fn register_turn(metrics: &telemetry::Metrics) -> Self {
        let counters = Self::default();
        metrics.register(|r| {
            r.register(
                "turn_refused",
                "Clients of the relay (TURN) refused since there were too many, of one address or at all",
                counters.refused.clone(),
            );
            r.register(
                "turn_clients",
                "Clients that use the relay (TURN) at bridge.turn",
                counters.relays.clone(),
            );
            r.register(
                "turn_dropped",
                "Datagrams of clients that came faster than the relay (TURN) could pass them on",
                counters.relay_dropped.clone(),
            );
        });
        counters
    }

    /// Counts a datagram of a client of the relay that found no room.
    pub(crate) fn relay_dropped(&self) {
        self.relay_dropped.inc();
    }

    /// Counts a request that is not answered with what it asks for.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a request of a proxy nobody vouched for, and tells the operator once.
    pub(crate) fn untrusted_proxy(&self) {
        self.foreign_proxies.inc();
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "requests come through a proxy that front.trusted_proxies does not name: limits by address count all its \
                 people as one, and its X-Forwarded-Proto is not looked at"
            );
        }
    }

    /// A client of the relay came.
    pub(crate) fn relay_opened(&self) {
        self.relays.inc();
    }

    /// One went.
    pub(crate) fn relay_closed(&self) {
        self.relays.dec();
    }

    /// Counts a file compressed.
    pub(crate) fn compressed(&self) {
        self.compressed.inc();
    }

    /// How many files were compressed.
    #[cfg(test)]
    pub(crate) fn compressions(&self) -> u64 {
        self.compressed.get()
    }
}
