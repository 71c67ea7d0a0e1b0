//! The figures of the focus under the names that Jitsi's focus has for them, so that dashboards and alarms made for it work;
//! and those of each bridge under names of ours.

use std::collections::BTreeSet;
use std::fmt;

use focus::{BridgeStatus, Figures};
use telemetry::prometheus_client::collector::Collector;
use telemetry::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use telemetry::prometheus_client::metrics::counter::{ConstCounter, Counter};
use telemetry::prometheus_client::metrics::family::Family;
use telemetry::prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use telemetry::prometheus_client::metrics::info::Info;

use crate::seen::{Last, Seen};

/// Registers them.
pub(crate) fn register(metrics: &telemetry::Metrics, seen: &Seen) {
    let (jitsi, bridges) = (JitsiCollector(seen.clone()), BridgesCollector(seen.clone()));
    metrics.register_as_named(|r| r.register_collector(Box::new(jitsi)));
    metrics.register(|r| r.register_collector(Box::new(bridges)));
}

/// Threads of this process.
pub(crate) fn threads() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"));
    line.and_then(|count| count.trim().parse().ok())
        .unwrap_or(0)
}

/// Sum of the squares of the sizes.
pub(crate) fn pairs(sizes: &[usize]) -> usize {
    sizes.iter().map(|size| size * size).sum()
}

/// Different versions of bridges.
pub(crate) fn versions(bridges: &[BridgeStatus]) -> usize {
    let all: BTreeSet<_> = bridges.iter().map(|bridge| &bridge.version).collect();
    all.len()
}

struct JitsiCollector(Seen);

impl fmt::Debug for JitsiCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JitsiCollector")
    }
}

impl Collector for JitsiCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let last = self.0.look();
        let mut one = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            put(&mut encoder, &format!("jitsi_jicofo_{name}"), help, metric)
        };
        for (name, help, value) in gauges(&last) {
            one(name, help, &ConstGauge::new(value))?;
        }
        for (name, help, value) in counters(&last) {
            one(name, help, &ConstCounter::new(value))?;
        }
        for (counts, way) in [
            (&last.stats.jingle_sent, "sent"),
            (&last.stats.jingle_received, "received"),
        ] {
            for (action, count) in counts.iter() {
                let name = format!("jingle_{action}_{way}");
                one(&name, "Jingle requests", &ConstCounter::new(count))?;
            }
        }
        let people = of_bridges("jvb", &last.figures.bridges, |b| b.people as f64);
        one("bridge_endpoints", "Endpoints on a bridge", &people)?;
        let failing = of_bridges("jvb", &last.figures.bridges, |b| flag(b.suspect));
        one(
            "bridge_failing_ice",
            "Whether a bridge does not serve its people",
            &failing,
        )?;
        let none = Family::<Labels, Counter>::default();
        one(
            "bridge_restart_requests",
            "Not counted for each bridge here",
            &none,
        )?;
        one(
            "bridge_endpoints_moved",
            "Load is not moved about here",
            &none,
        )?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let version = Info::new(vec![("version".to_owned(), version)]);
        one("version", "Version", &version)
    }
}

/// What is so now.
fn gauges(last: &Last) -> Vec<(&'static str, &'static str, f64)> {
    let (f, s) = (&last.figures, &last.stats);
    let count = |name, help, count: usize| (name, help, count as f64);
    let ending = f.bridges.iter().filter(|b| b.ending).count();
    let largest = f.sizes.iter().max().copied().unwrap_or(0);
    vec![
        count("conferences", "Conferences", s.conferences),
        count(
            "conferences_with_visitors",
            "There are no visitors' rooms here",
            0,
        ),
        count(
            "largest_conference",
            "People of the largest conference",
            largest,
        ),
        count(
            "participants_current",
            "People in conferences",
            s.participants,
        ),
        count("visitors_current", "There are no visitors' rooms here", 0),
        count(
            "participants_pairs",
            "Sum of the squares of conferences' sizes",
            pairs(&f.sizes),
        ),
        (
            "conferences_seconds",
            "Seconds of conferences that are over",
            s.conferences_lasted.as_secs_f64(),
        ),
        (
            "endpoint_seconds",
            "Seconds of people in conferences that they have left",
            s.people_lasted.as_secs_f64(),
        ),
        count("bridge_selector_bridge_count", "Bridges", f.bridges.len()),
        count(
            "bridge_selector_bridge_count_operational",
            "Bridges that may be chosen",
            s.bridges_usable,
        ),
        count(
            "bridge_selector_bridge_count_in_shutdown",
            "Bridges about to end",
            ending,
        ),
        count(
            "bridge_selector_bridge_version_count",
            "Versions of bridges",
            versions(&f.bridges),
        ),
        ("threads", "Threads", threads() as f64),
        (
            "healthy",
            "Whether meetings can be held",
            flag(last.online && f.health().is_ok()),
        ),
        count("jibri_instances", "There are no recorders here", 0),
        count(
            "jibri_instances_available",
            "There are no recorders here",
            0,
        ),
        count("sip_jibri_instances", "There are no recorders here", 0),
        count(
            "sip_jibri_instances_available",
            "There are no recorders here",
            0,
        ),
        count("jibri_recording_active", "There are no recorders here", 0),
        count(
            "jibri_live_streaming_active",
            "There are no recorders here",
            0,
        ),
        count("jibri_sip_active", "There are no recorders here", 0),
    ]
}

/// What was counted since the start.
fn counters(last: &Last) -> Vec<(&'static str, &'static str, u64)> {
    let s = &last.stats;
    let restarts = &s.ice_restarts;
    let reinvites = |reason: focus::Reinvite| {
        let count = s.reinvites_total.get(reason as usize);
        count.copied().unwrap_or(0)
    };
    let recorders = "There are no recorders here";
    vec![
        ("conferences_created", "Conferences", s.conferences_total),
        (
            "participants",
            "People in conferences",
            s.participants_total,
        ),
        ("participants_no_start_muted_rmd", "Not counted here", 0),
        (
            "participants_moved",
            "Sessions replaced because of a bridge",
            s.moves_total,
        ),
        (
            "bridges_removed",
            "Times a conference left a bridge that does not work",
            s.bridges_removed_total,
        ),
        (
            "participants_ice_failed",
            "Participants who said that ICE failed",
            reinvites(focus::Reinvite::IceFailed),
        ),
        (
            "participants_restart_requested",
            "Participants who asked for another session",
            reinvites(focus::Reinvite::Restart),
        ),
        (
            "conference_requests",
            "Requests for conferences",
            s.requests_total,
        ),
        (
            "conference_requests_new",
            "Requests for new conferences",
            s.requests_new_total,
        ),
        (
            "ice_restarts_requested",
            "ICE restarts asked for",
            restarts.requested,
        ),
        (
            "ice_restarts_relayed",
            "ICE restarts passed on",
            restarts.relayed,
        ),
        (
            "ice_restarts_not_needed",
            "ICE restarts that bridges need not make",
            restarts.not_needed,
        ),
        (
            "ice_restarts_failed",
            "ICE restarts refused or failed",
            restarts.failed,
        ),
        (
            "bridge_selector_lost_bridges",
            "Bridges lost",
            s.bridges_lost_total,
        ),
        (
            "bridge_selection_rate_limited",
            "Bridges are not chosen by rate here",
            0,
        ),
        (
            "load_redistributor_endpoints_moved",
            "Load is not moved about here",
            0,
        ),
        (
            "xmpp_disconnects",
            "Times the stream to the server was lost",
            last.disconnects,
        ),
        ("jibri_recording_failures", recorders, 0),
        ("jibri_live_streaming_failures", recorders, 0),
        ("jibri_sip_failures", recorders, 0),
        ("jibri_no_instance_failures", recorders, 0),
    ]
}

struct BridgesCollector(Seen);

impl fmt::Debug for BridgesCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BridgesCollector")
    }
}

impl Collector for BridgesCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let last = self.0.look();
        let f: &Figures = &last.figures;
        let mut one = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            put(&mut encoder, &format!("focus_{name}"), help, metric)
        };
        let totals: [(&str, &str, f64); 5] = [
            (
                "healthy",
                "Whether meetings can be held",
                flag(last.online && f.health().is_ok()),
            ),
            (
                "participants",
                "People in meetings",
                last.stats.participants as f64,
            ),
            (
                "conferences_waiting",
                "Conferences whose people were told that no bridge can be had",
                f.waiting as f64,
            ),
            (
                "bridges_mean_load",
                "Mean load of the bridges that take meetings; 1 is all they can carry",
                f.mean_load(),
            ),
            (
                "room_for_people",
                "People who still find room on all bridges",
                f.room_for() as f64,
            ),
        ];
        for (name, help, value) in totals {
            one(name, help, &ConstGauge::new(value))?;
        }
        for (name, help, value) in [
            (
                "moves",
                "Sessions replaced because of a bridge",
                last.stats.moves_total,
            ),
            (
                "bridges_lost",
                "Bridges lost",
                last.stats.bridges_lost_total,
            ),
            (
                "requests_refused",
                "Requests of clients refused",
                last.stats.refused_total,
            ),
            (
                "conferences_created",
                "Conferences",
                last.stats.conferences_total,
            ),
            (
                "participants_seen",
                "People in meetings",
                last.stats.participants_total,
            ),
        ] {
            one(name, help, &ConstCounter::new(value))?;
        }
        type Of = fn(&BridgeStatus) -> f64;
        let each: [(&str, &str, Of); 9] = [
            (
                "bridge_load",
                "Load, reported and promised; 1 is all it can carry",
                |b| b.load,
            ),
            ("bridge_stress", "Load it reports", |b| b.stress),
            ("bridge_meetings", "Meetings on it", |b| b.meetings as f64),
            ("bridge_people", "People on it", |b| b.people as f64),
            (
                "bridge_unheard",
                "People on it from whom it hears nothing",
                |b| b.unheard as f64,
            ),
            ("bridge_usable", "Whether it may be chosen", |b| {
                flag(b.usable)
            }),
            ("bridge_healthy", "Whether it says that it is well", |b| {
                flag(b.healthy)
            }),
            ("bridge_draining", "Whether it is being emptied", |b| {
                flag(b.drain)
            }),
            (
                "bridge_room_for_people",
                "People who still find room on it",
                |b| b.room_for as f64,
            ),
        ];
        for (name, help, of) in each {
            one(name, help, &of_bridges("bridge", &f.bridges, of))?;
        }
        let states = Family::<Labels, Gauge>::default();
        for bridge in &f.bridges {
            let label = vec![("state".to_owned(), bridge.state.to_owned())];
            states.get_or_create(&label).inc();
        }
        one("bridges", "Bridges by state", &states)
    }
}

type Labels = Vec<(String, String)>;
type Level = Gauge<f64, std::sync::atomic::AtomicU64>;

fn flag(value: bool) -> f64 {
    if value { 1.0 } else { 0.0 }
}

/// A figure of each bridge.
fn of_bridges(
    label: &str,
    bridges: &[BridgeStatus],
    of: impl Fn(&BridgeStatus) -> f64,
) -> Family<Labels, Level> {
    let all = Family::<Labels, Level>::default();
    for bridge in bridges {
        let labels = vec![(label.to_owned(), bridge.name.clone())];
        all.get_or_create(&labels).set(of(bridge));
    }
    all
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &dyn EncodeMetric,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}
