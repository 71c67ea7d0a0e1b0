//! Counters of the signalling node.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use focus::{FocusStats, Reinvite};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use stream::StreamCondition;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Transport {
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Condition {
    condition: &'static str,
}

type Count = Counter<u64, AtomicU64>;
type Level = Gauge<i64, AtomicI64>;

/// The node's metrics; clones count together.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Arc<Inner>);

#[derive(Default)]
struct Inner {
    accepted: Family<Transport, Count>,
    open: Family<Transport, Level>,
    refused: Family<Reason, Count>,
    stream_errors: Family<Condition, Count>,
    connections: Level,
    sessions: Level,
    hibernating: Level,
    rooms: Level,
    occupants: Level,
    received: Count,
    sent: Count,
    serialised: Count,
    resumed: Count,
    stanzas_refused: Count,
    stanzas_refused_full: Count,
    requests_unanswered: Count,
    guesses_wrong: Count,
    guesses_refused: Count,
    kept_bytes: Level,
}

impl Metrics {
    pub(crate) fn register(registry: &telemetry::Metrics) -> Self {
        let metrics = Self::default();
        let m = &metrics.0;
        registry.register(|r| {
            r.register("xmpp_accepted", "Connections accepted", m.accepted.clone());
            r.register("xmpp_open", "Connections open", m.open.clone());
            r.register(
                "xmpp_refused",
                "Connections, logins and requests refused",
                m.refused.clone(),
            );
            r.register(
                "xmpp_stream_errors",
                "Streams ended with an error, by condition",
                m.stream_errors.clone(),
            );
            r.register(
                "xmpp_connections",
                "Connections known to the server",
                m.connections.clone(),
            );
            r.register(
                "xmpp_sessions",
                "Sessions, hibernating ones included",
                m.sessions.clone(),
            );
            r.register(
                "xmpp_hibernating",
                "Sessions without a connection",
                m.hibernating.clone(),
            );
            r.register("xmpp_rooms", "Meetings", m.rooms.clone());
            r.register("xmpp_occupants", "People in meetings", m.occupants.clone());
            r.register(
                "xmpp_stanzas_received",
                "Stanzas received",
                m.received.clone(),
            );
            r.register("xmpp_stanzas_sent", "Stanzas sent", m.sent.clone());
            r.register(
                "xmpp_stanzas_serialised",
                "Stanzas serialised; copies share one",
                m.serialised.clone(),
            );
            r.register("xmpp_resumed", "Sessions resumed", m.resumed.clone());
            r.register(
                "xmpp_stanzas_refused",
                "Stanzas answered with an error or dropped",
                m.stanzas_refused.clone(),
            );
            r.register(
                "xmpp_stanzas_refused_full",
                "Of those, stanzas refused because their sender, or all, had too much waiting",
                m.stanzas_refused_full.clone(),
            );
            r.register(
                "xmpp_requests_unanswered",
                "Requests that got an error because nobody answered in time",
                m.requests_unanswered.clone(),
            );
            r.register(
                "xmpp_room_passwords_wrong",
                "Wrong passwords of rooms",
                m.guesses_wrong.clone(),
            );
            r.register(
                "xmpp_room_passwords_refused",
                "Passwords of rooms not looked at after too many wrong ones",
                m.guesses_refused.clone(),
            );
            r.register(
                "xmpp_kept_bytes",
                "Bytes kept for requests and joins that wait",
                m.kept_bytes.clone(),
            );
        });
        metrics
    }

    /// Sessions when they were last counted.
    pub(crate) fn sessions(&self) -> usize {
        usize::try_from(self.0.sessions.get()).unwrap_or_default()
    }

    /// Counts a connection; it is open until the result is dropped.
    pub(crate) fn connection(&self, transport: &'static str) -> OpenConnection {
        let label = Transport { transport };
        self.0.accepted.get_or_create(&label).inc();
        self.0.open.get_or_create(&label).inc();
        OpenConnection {
            metrics: self.clone(),
            label,
        }
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.0.refused.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn stream_error(&self, condition: StreamCondition) {
        let condition = condition.as_str();
        self.0
            .stream_errors
            .get_or_create(&Condition { condition })
            .inc();
    }

    pub(crate) fn update(&self, stats: &xmpp::Stats, connections: usize) {
        let level = |gauge: &Level, value: u64| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let count = |counter: &Count, value: u64| {
            counter.inc_by(value.saturating_sub(counter.get()));
        };
        let m = &self.0;
        level(&m.connections, connections as u64);
        level(&m.sessions, stats.sessions);
        level(&m.hibernating, stats.hibernating);
        level(&m.rooms, stats.rooms);
        level(&m.occupants, stats.occupants);
        count(&m.received, stats.received);
        count(&m.sent, stats.sent);
        count(&m.serialised, stats.serialised);
        count(&m.resumed, stats.resumed);
        count(&m.stanzas_refused, stats.refused);
        count(&m.stanzas_refused_full, stats.refused_full);
        count(&m.requests_unanswered, stats.unanswered);
        count(&m.guesses_wrong, stats.guesses_wrong);
        count(&m.guesses_refused, stats.guesses_refused);
        level(&m.kept_bytes, stats.kept_bytes);
    }
}

/// The metrics of the focus.
#[derive(Clone, Default)]
pub(crate) struct FocusMetrics {
    conferences: Level,
    sessions: Level,
    bridges_usable: Level,
    restarts: Count,
    adopted: Count,
    reinvites: Family<Reason, Count>,
    given_up: Count,
    relays_failed: Count,
    ignored: Family<Reason, Count>,
}

impl FocusMetrics {
    pub(crate) fn register(registry: &telemetry::Metrics) -> Self {
        let m = Self::default();
        // What never happened is told too: rates are reckoned from the first time on.
        for reason in Reinvite::ALL {
            let reason = reason.name();
            drop(m.reinvites.get_or_create(&Reason { reason }));
        }
        registry.register(|r| {
            r.register("focus_conferences", "Conferences", m.conferences.clone());
            r.register("focus_sessions", "Sessions of people", m.sessions.clone());
            r.register(
                "focus_bridges_usable",
                "Bridges that may be chosen",
                m.bridges_usable.clone(),
            );
            r.register(
                "focus_restarts",
                "Times the focus began anew after a defect",
                m.restarts.clone(),
            );
            r.register(
                "focus_adopted_conferences",
                "Conferences that went on after the focus had lost its stream or its memory",
                m.adopted.clone(),
            );
            r.register(
                "focus_reinvites",
                "Sessions that replaced another, by reason",
                m.reinvites.clone(),
            );
            r.register(
                "focus_given_up",
                "Participants that got no further session since none worked",
                m.given_up.clone(),
            );
            r.register(
                "focus_relays_failed",
                "Relays between two bridges of a conference that failed",
                m.relays_failed.clone(),
            );
            r.register(
                "focus_ignored",
                "Stanzas that the focus could not read and passed over",
                m.ignored.clone(),
            );
        });
        m
    }

    pub(crate) fn ignored(&self, reason: &'static str) {
        self.ignored.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn restarted(&self) {
        self.restarts.inc();
    }

    /// Takes over what the focus counted. A focus that began anew counts from zero; metrics only grow.
    pub(crate) fn update(&self, before: &FocusStats, stats: &FocusStats) {
        let level = |gauge: &Level, value: usize| {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        let grow = |counter: &Count, before: u64, now: u64| {
            counter.inc_by(now.saturating_sub(before));
        };
        level(&self.conferences, stats.conferences);
        level(&self.sessions, stats.sessions);
        level(&self.bridges_usable, stats.bridges_usable);
        grow(&self.adopted, before.adopted_total, stats.adopted_total);
        grow(&self.given_up, before.given_up_total, stats.given_up_total);
        grow(
            &self.relays_failed,
            before.relays_failed_total,
            stats.relays_failed_total,
        );
        let pairs = before.reinvites_total.iter().zip(stats.reinvites_total);
        for (reason, (before, now)) in Reinvite::ALL.into_iter().zip(pairs) {
            if now > *before {
                let reason = reason.name();
                let counter = self.reinvites.get_or_create(&Reason { reason });
                grow(&counter, *before, now);
            }
        }
    }
}

/// A connection that is counted as open.
pub(crate) struct OpenConnection {
    metrics: Metrics,
    label: Transport,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.metrics.0.open.get_or_create(&self.label).dec();
    }
}
