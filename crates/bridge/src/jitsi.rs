//! The bridge's figures under the names that Jitsi's bridge has for them, so that dashboards and alarms made for it work.
#![allow(
    clippy::disallowed_methods,
    reason = "the start is told by the wall clock"
)]

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use sfu::DropReason;
use telemetry::Metrics;
use telemetry::prometheus_client::collector::Collector;
use telemetry::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use telemetry::prometheus_client::metrics::counter::ConstCounter;
use telemetry::prometheus_client::metrics::gauge::ConstGauge;
use telemetry::prometheus_client::metrics::histogram::Histogram;
use telemetry::prometheus_client::metrics::info::Info;

use crate::health;
use crate::shared::Shared;
use crate::totals::Totals;

/// Bounds of the histograms of meetings.
const PEOPLE: u32 = 20;

/// Registers them.
pub(crate) fn register(metrics: &Metrics, shared: &Arc<Shared>) {
    let collector = JitsiCollector(Arc::downgrade(shared));
    metrics.register_as_named(|r| r.register_collector(Box::new(collector)));
}

struct JitsiCollector(Weak<Shared>);

impl fmt::Debug for JitsiCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JitsiCollector")
    }
}

impl Collector for JitsiCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(shared) = self.0.upgrade() else {
            return Ok(());
        };
        let t = Totals::of(&shared.snapshots());
        for (name, help, value) in gauges(&t).into_iter().chain(state(&shared)) {
            one(&mut encoder, name, help, &ConstGauge::new(value))?;
        }
        for (name, help, value) in counters(&t)
            .into_iter()
            .chain(failures(&t))
            .chain(queues(&t, &shared))
        {
            one(&mut encoder, name, help, &ConstCounter::new(value))?;
        }
        for (at, name, help) in [
            (0, "conferences_by_size", "Conferences by their endpoints"),
            (
                1,
                "conferences_by_audio_sender",
                "Conferences by endpoints that send audio",
            ),
            (
                2,
                "conferences_by_video_sender",
                "Conferences by endpoints that send video",
            ),
        ] {
            let histogram = Histogram::new((0..=PEOPLE).map(f64::from));
            // Counts of people are far below 2^52.
            let counts = t.sizes.iter().filter_map(|size| size.get(at));
            counts.for_each(|count| histogram.observe(*count as f64));
            one(&mut encoder, name, help, &histogram)?;
        }
        if let Some(region) = &shared.region {
            let info = Info::new(vec![("region".to_owned(), region.clone())]);
            one(&mut encoder, "region", "Region of the bridge", &info)?;
        }
        Ok(())
    }
}

type Gauge = (&'static str, &'static str, f64);
type Counter = (&'static str, &'static str, u64);

/// What is so now.
fn gauges(t: &Totals) -> Vec<Gauge> {
    let (now, [incoming, outgoing, overall]) = (&t.now, t.loss());
    let count = |name, help, count: usize| (name, help, count as f64);
    let rate = |name, help, rate: u64| (name, help, rate as f64);
    vec![
        count("conferences", "Conferences", t.conferences),
        count(
            "conferences_inactive",
            "Conferences in which nobody sends anything",
            t.inactive_conferences,
        ),
        count(
            "conferences_p2p",
            "Inactive conferences of two",
            t.direct_conferences,
        ),
        count(
            "conferences_with_relay",
            "Conferences with relays to other bridges",
            t.relayed_conferences,
        ),
        count(
            "largest_conference",
            "Endpoints of the largest conference",
            t.largest,
        ),
        count("local_endpoints", "Endpoints here", now.endpoints),
        count(
            "current_endpoints",
            "Endpoints here and on other bridges",
            now.endpoints + now.relayed,
        ),
        count(
            "endpoints_relayed",
            "Endpoints of other bridges",
            now.relayed,
        ),
        count("current_visitors", "Visitors", now.visitors),
        count(
            "active_endpoints",
            "Endpoints in conferences that are not inactive",
            now.endpoints - t.inactive_here,
        ),
        count(
            "endpoints_inactive",
            "Endpoints in inactive conferences",
            t.inactive_endpoints,
        ),
        count(
            "endpoints_recvonly",
            "Endpoints that send nothing",
            t.receiving_only,
        ),
        count(
            "endpoints_sending_audio",
            "Endpoints that send audio",
            now.sending_audio,
        ),
        count(
            "endpoints_sending_video",
            "Endpoints that send video",
            now.sending_video,
        ),
        count(
            "endpoints_oversending",
            "Endpoints sent more than their line carries",
            now.oversent,
        ),
        count(
            "endpoints_with_high_outgoing_loss",
            "Endpoints to which more than a tenth is lost",
            t.lossy,
        ),
        count("endpoints_with_spurious_remb", "Not counted here", 0),
        count(
            "endpoints_with_suspended_sources",
            "Endpoints without a video that they want, for want of bandwidth",
            now.suspended,
        ),
        rate("incoming_bitrate", "Received, bit/s", now.bitrate_received),
        rate("outgoing_bitrate", "Sent, bit/s", now.bitrate_sent),
        rate(
            "incoming_packet_rate",
            "Packets received per second",
            now.packet_rate_received,
        ),
        rate(
            "outgoing_packet_rate",
            "Packets sent per second",
            now.packet_rate_sent,
        ),
        rate(
            "relay_incoming_bitrate",
            "Received from other bridges, bit/s",
            now.relay_bitrate_received,
        ),
        rate(
            "relay_outgoing_bitrate",
            "Sent to other bridges, bit/s",
            now.relay_bitrate_sent,
        ),
        rate(
            "relay_incoming_packet_rate",
            "Packets received from other bridges per second",
            now.relay_packet_rate_received,
        ),
        rate(
            "relay_outgoing_packet_rate",
            "Packets sent to other bridges per second",
            now.relay_packet_rate_sent,
        ),
        (
            "incoming_loss_fraction",
            "Part lost on the way here",
            incoming,
        ),
        (
            "outgoing_loss_fraction",
            "Part lost on the way from here",
            outgoing,
        ),
        ("loss_fraction", "Part lost both ways", overall),
        ("average_rtt", "Mean round trip, ms", t.round_trip_ms()),
        rate(
            "tcc_unmatched_feedback",
            "Feedback about packets that were not sent",
            now.feedback_unmatched,
        ),
    ]
}

/// The bridge itself.
fn state(shared: &Shared) -> Vec<Gauge> {
    let flag = |name, help, flag: &AtomicBool| {
        let value = if flag.load(Ordering::SeqCst) {
            1.0
        } else {
            0.0
        };
        (name, help, value)
    };
    let count = |name, help, count: u64| (name, help, count as f64);
    let (nodes, process) = (shared.nodes(), &shared.process);
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let began = wall
        .unwrap_or_default()
        .saturating_sub(shared.started.elapsed());
    let healthy = health::of(shared).is_ok();
    vec![
        ("stress", "Load; 1 is full", shared.stress()),
        (
            "healthy",
            "Whether it can serve",
            if healthy { 1.0 } else { 0.0 },
        ),
        flag("drain_mode", "Whether it is drained", &shared.drain),
        flag(
            "graceful_shutdown",
            "Whether it takes no new conferences and ends",
            &shared.graceful,
        ),
        flag("shutting_down", "Whether it ends", &shared.shutting_down),
        (
            "cpu_steal",
            "Part of the processors' time that other machines took",
            process.steal(),
        ),
        (
            "startup_time",
            "When it began, ms since 1970",
            began.as_millis() as f64,
        ),
        count("thread_count", "Threads", process.threads()),
        count("jvm_open_fd_count", "Open files", process.files()),
        count(
            "jvm_heap_used",
            "Memory in use, bytes; there is no Java",
            process.memory(),
        ),
        count(
            "jvm_heap_committed",
            "Memory in use, bytes; there is no Java",
            process.memory(),
        ),
        count("jvm_gc_count", "There is none", 0),
        count("jvm_gc_time", "There is none", 0),
        count(
            "muc_clients_configured",
            "Signalling nodes it knows of",
            nodes.configured as u64,
        ),
        count(
            "muc_clients_connected",
            "Signalling nodes in reach",
            nodes.connected as u64,
        ),
        count(
            "mucs_connected",
            "Rooms of bridges it knows of",
            nodes.configured as u64,
        ),
        count(
            "mucs_joined",
            "Rooms of bridges it is in",
            nodes.attached as u64,
        ),
    ]
}

/// What was counted since the start. Packets and bytes of endpoints do not include those of relays.
fn counters(t: &Totals) -> Vec<Counter> {
    let (s, r) = (&t.stats, &t.stats.relayed);
    vec![
        (
            "conferences_created",
            "Conferences created",
            s.conferences_created,
        ),
        (
            "conferences_completed",
            "Conferences ended",
            s.conferences_completed,
        ),
        (
            "conference_seconds",
            "Seconds of ended conferences",
            s.conference_seconds,
        ),
        ("endpoints", "Endpoints created", s.endpoints_created),
        ("visitors", "Visitors created", s.visitors_created),
        ("relays", "Relays created", s.relays_created),
        (
            "endpoints_disconnected",
            "Endpoints that fell silent",
            s.endpoints_disconnected,
        ),
        (
            "endpoints_reconnected",
            "Endpoints that came back",
            s.endpoints_reconnected,
        ),
        (
            "packets_received",
            "Packets received from endpoints",
            s.packets_received.saturating_sub(r.packets_received),
        ),
        (
            "packets_sent",
            "Packets sent to endpoints",
            s.packets_sent.saturating_sub(r.packets_sent),
        ),
        (
            "bytes_received",
            "Bytes received from endpoints",
            s.bytes_received.saturating_sub(r.bytes_received),
        ),
        (
            "bytes_sent",
            "Bytes sent to endpoints",
            s.bytes_sent.saturating_sub(r.bytes_sent),
        ),
        (
            "relay_packets_received",
            "Packets received from bridges",
            r.packets_received,
        ),
        (
            "relay_packets_sent",
            "Packets sent to bridges",
            r.packets_sent,
        ),
        (
            "relay_bytes_received",
            "Bytes received from bridges",
            r.bytes_received,
        ),
        ("relay_bytes_sent", "Bytes sent to bridges", r.bytes_sent),
        (
            "data_channel_messages_received",
            "Messages on data channels received",
            s.channel_messages_received,
        ),
        (
            "data_channel_messages_sent",
            "Messages on data channels sent",
            s.channel_messages_sent,
        ),
        ("rejected_data_channels", "None is rejected", 0),
        (
            "colibri_web_socket_messages_received",
            "Messages on WebSockets received",
            t.web_socket_received,
        ),
        (
            "colibri_web_socket_messages_sent",
            "Messages on WebSockets sent",
            t.web_socket_sent,
        ),
        (
            "keyframes_received",
            "Key frames received",
            s.keyframes_received,
        ),
        (
            "layering_changes_received",
            "Times that layers of a source began or ceased",
            s.layering_changes,
        ),
        (
            "video_milliseconds_received",
            "Time for which encodings of videos came in",
            s.video_ms_received,
        ),
        (
            "dominant_speaker_changes",
            "Changes of the dominant speaker",
            s.dominant_speaker_changes,
        ),
        (
            "preemptive_keyframe_requests_sent",
            "Key frames asked for as somebody began to speak",
            s.keyframes_ahead,
        ),
        (
            "preemptive_keyframe_requests_suppressed",
            "The same, not asked for as nobody would show them",
            s.keyframes_not_ahead,
        ),
    ]
}

/// What did not work, or had to be done again.
fn failures(t: &Totals) -> Vec<Counter> {
    let s = &t.stats;
    let (ice, dtls, restarts) = (s.ice_failed, s.dtls_failed, s.ice_restarts);
    vec![
        ("ice_succeeded", "Transports established", s.ice_succeeded),
        (
            "ice_succeeded_relayed",
            "Not counted here: relays look like anybody",
            0,
        ),
        (
            "ice_failed",
            "Endpoints and relays that found no path",
            ice.clients + ice.relays,
        ),
        (
            "endpoints_ice_failed",
            "Endpoints that found no path",
            ice.clients,
        ),
        ("relays_ice_failed", "Relays that found no path", ice.relays),
        (
            "endpoints_dtls_failed",
            "Endpoints with a path and no DTLS",
            dtls.clients,
        ),
        (
            "relays_dtls_failed",
            "Relays with a path and no DTLS",
            dtls.relays,
        ),
        (
            "ice_restarts_started",
            "ICE restarts begun",
            restarts.started,
        ),
        (
            "ice_restarts_succeeded",
            "ICE restarts done",
            restarts.succeeded,
        ),
        (
            "ice_restarts_failed",
            "ICE restarts given up",
            restarts.failed,
        ),
        ("ice_restarts_superseded", "Included in those given up", 0),
        ("ice_restarts_rejected", "None is rejected", 0),
        (
            "ice_restarts_not_established",
            "Those of endpoints without a path begin nothing",
            0,
        ),
        ("ice_restarts_agent_creation_failed", "This cannot fail", 0),
        (
            "endpoints_no_message_transport_after_delay",
            "Endpoints without a bridge channel after 30 s",
            t.endpoints_without_channel,
        ),
        (
            "relays_no_message_transport_after_delay",
            "Relays without a channel after 30 s",
            t.relays_without_channel,
        ),
    ]
}

/// What found a queue full, each under the name of the queue of Jitsi's bridge that does the same work; what ended in a
/// defect.
fn queues(t: &Totals, shared: &Shared) -> Vec<Counter> {
    let receiver = t.handover_dropped + t.exchange_dropped;
    let sender = t.udp.send_dropped;
    let srtp = t.stats.dropped(DropReason::QueueFull);
    let requests = shared.requests_dropped.load(Ordering::Relaxed);
    let messages = t.channel_limited;
    let closed = &shared.web_sockets_closed;
    let (help, defects) = ("Dropped for want of room", "Defects");
    vec![
        ("rtp_receiver_dropped_packets", help, receiver),
        ("rtp_receiver_exceptions", defects, t.panics),
        ("rtp_sender_dropped_packets", help, sender),
        ("rtp_sender_exceptions", defects, 0),
        ("srtp_send_queue_dropped_packets", help, srtp),
        ("srtp_send_queue_exceptions", defects, 0),
        ("relay_srtp_send_queue_dropped_packets", "Included above", 0),
        ("relay_srtp_send_queue_exceptions", defects, 0),
        (
            "relay_endpoint_srtp_send_queue_dropped_packets",
            "Included above",
            0,
        ),
        ("relay_endpoint_srtp_send_queue_exceptions", defects, 0),
        ("colibri_queue_dropped_packets", help, requests),
        ("colibri_queue_exceptions", defects, 0),
        (
            "endpoint_receive_message_queue_dropped_packets",
            help,
            messages,
        ),
        ("endpoint_receive_message_queue_exceptions", defects, 0),
        (
            "queue_dropped_packets",
            "Sum of what queues dropped",
            receiver + sender + srtp + requests + messages,
        ),
        ("queue_exceptions", "Sum of the defects", t.panics),
        (
            "xmpp_disconnects",
            "Streams to signalling nodes that were lost",
            shared.streams_lost.load(Ordering::Relaxed),
        ),
        (
            "colibri_web_socket_close_normal",
            "WebSockets that somebody closed",
            closed.0.load(Ordering::Relaxed),
        ),
        (
            "colibri_web_socket_close_abnormal",
            "WebSockets that broke",
            closed.1.load(Ordering::Relaxed),
        ),
        (
            "colibri_web_socket_error",
            "WebSockets refused",
            shared.web_sockets_refused.load(Ordering::Relaxed),
        ),
    ]
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let name = format!("jitsi_jvb_{name}");
    let encoder = encoder.encode_descriptor(&name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}
