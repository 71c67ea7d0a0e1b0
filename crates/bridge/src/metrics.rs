//! The bridge's figures for `/metrics`, taken from the workers' snapshots when the page is asked for.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use sfu::DropReason;
use telemetry::Metrics;
use telemetry::prometheus_client::collector::Collector;
use telemetry::prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use telemetry::prometheus_client::metrics::counter::{ConstCounter, Counter};
use telemetry::prometheus_client::metrics::family::Family;
use telemetry::prometheus_client::metrics::gauge::ConstGauge;

use crate::health;
use crate::latency::LatencySum;
use crate::shared::Shared;
use crate::totals::Totals;

/// Registers the figures of a bridge.
pub(crate) fn register(metrics: &Metrics, shared: &Arc<Shared>) {
    let collector = BridgeCollector(Arc::downgrade(shared));
    metrics.register(|r| r.register_collector(Box::new(collector)));
}

struct BridgeCollector(Weak<Shared>);

impl fmt::Debug for BridgeCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BridgeCollector")
    }
}

impl Collector for BridgeCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(shared) = self.0.upgrade() else {
            return Ok(());
        };
        let t = Totals::of(&shared.snapshots());
        for (name, help, value) in gauges(&t, &shared) {
            one(&mut encoder, name, help, &ConstGauge::new(value))?;
        }
        for (name, help, value) in counters(&t, &shared) {
            one(&mut encoder, name, help, &ConstCounter::new(value))?;
        }
        let latencies = shared.workers.iter().map(|worker| &worker.latencies);
        one(
            &mut encoder,
            "forwarding_latency_seconds",
            "From the kernel's receiving a packet to its being sent on, for each receiver",
            &LatencySum::of(latencies),
        )?;
        let dropped = Family::<Vec<(String, String)>, Counter>::default();
        for (reason, name) in DropReason::ALL {
            let labels = vec![("reason".to_owned(), name.to_owned())];
            dropped
                .get_or_create(&labels)
                .inc_by(t.stats.dropped(reason));
        }
        one(
            &mut encoder,
            "packets_dropped",
            "Packets that went no further",
            &dropped,
        )
    }
}

/// What is so now.
fn gauges(t: &Totals, shared: &Shared) -> Vec<(&'static str, &'static str, f64)> {
    let flag = |flag: &AtomicBool| {
        if flag.load(Ordering::SeqCst) {
            1.0
        } else {
            0.0
        }
    };
    let healthy = if health::report(shared).is_ok() {
        1.0
    } else {
        0.0
    };
    let loss = t.loss();
    vec![
        ("conferences", "Conferences", t.conferences as f64),
        (
            "endpoints",
            "Endpoints, visitors included",
            t.endpoints() as f64,
        ),
        (
            "largest_conference",
            "Endpoints of the largest conference, those of other bridges included",
            t.largest as f64,
        ),
        (
            "endpoints_sending_audio",
            "Endpoints that send audio",
            t.now.sending_audio as f64,
        ),
        (
            "endpoints_sending_video",
            "Endpoints that send video",
            t.now.sending_video as f64,
        ),
        (
            "incoming_bitrate",
            "Media received, bit/s",
            t.now.bitrate_received as f64,
        ),
        (
            "outgoing_bitrate",
            "Media sent, bit/s",
            t.now.bitrate_sent as f64,
        ),
        (
            "incoming_packet_rate",
            "Packets received per second",
            t.now.packet_rate_received as f64,
        ),
        (
            "outgoing_packet_rate",
            "Packets sent per second",
            t.now.packet_rate_sent as f64,
        ),
        ("stress", "Load; 1 is full", shared.stress()),
        (
            "media_connections",
            "TCP connections that carry media",
            shared.streams.open.load(Ordering::Relaxed) as f64,
        ),
        ("relays", "Relays to other bridges", t.now.relays as f64),
        (
            "endpoints_relayed",
            "Endpoints of other bridges",
            t.now.relayed as f64,
        ),
        (
            "relay_incoming_bitrate",
            "Media received from other bridges, bit/s",
            t.now.relay_bitrate_received as f64,
        ),
        (
            "relay_outgoing_bitrate",
            "Media sent to other bridges, bit/s",
            t.now.relay_bitrate_sent as f64,
        ),
        (
            "healthy",
            "Whether it serves: its threads live, its ports answer, it is attached",
            healthy,
        ),
        ("drain", "Whether it is being emptied", flag(&shared.drain)),
        (
            "attached_nodes",
            "Signalling nodes that have it",
            shared.nodes().attached as f64,
        ),
        (
            "incoming_loss",
            "Part lost on the way here, over the last second",
            loss[0],
        ),
        (
            "outgoing_loss",
            "Part lost on the way from here, over the last second",
            loss[1],
        ),
        (
            "round_trip_seconds",
            "Mean round trip to endpoints",
            t.round_trip_ms() / 1_000.0,
        ),
        (
            "endpoints_lossy",
            "Endpoints to which more than a tenth is lost",
            t.lossy as f64,
        ),
        (
            "endpoints_short",
            "Endpoints without a video that they want, for want of bandwidth",
            t.now.suspended as f64,
        ),
    ]
}

/// What was counted since the start.
fn counters(t: &Totals, shared: &Shared) -> Vec<(&'static str, &'static str, u64)> {
    let s = &t.stats;
    vec![
        (
            "relays_created",
            "Relays to other bridges created",
            s.relays_created,
        ),
        ("packets_received", "Datagrams received", s.packets_received),
        ("bytes_received", "Bytes received", s.bytes_received),
        ("packets_sent", "Datagrams sent", s.packets_sent),
        ("bytes_sent", "Bytes sent", s.bytes_sent),
        (
            "packets_forwarded",
            "RTP packets forwarded, one for each receiver",
            s.packets_forwarded,
        ),
        (
            "send_messages",
            "Messages handed to the kernel",
            t.udp.send_messages,
        ),
        ("send_calls", "Calls to send messages", t.udp.send_calls),
        (
            "receive_calls",
            "Calls to receive datagrams",
            t.udp.receive_calls,
        ),
        (
            "receive_calls_empty",
            "Calls to receive that found nothing",
            t.udp.receive_empty,
        ),
        ("waits", "Times a media thread went to sleep", t.waits),
        (
            "send_dropped",
            "Datagrams the kernel did not take",
            t.udp.send_dropped,
        ),
        (
            "segmentation_refused",
            "Segmented sends that a path refused and that went one by one",
            t.udp.segmentation_refused,
        ),
        (
            "packets_retransmitted",
            "Packets sent again after a NACK",
            s.retransmitted,
        ),
        (
            "retransmissions_refused",
            "Packets not sent again: too often, too old, or beyond the receiver's share",
            s.retransmit_refused,
        ),
        (
            "audio_not_loudest",
            "Audio packets not sent because louder sources have all slots of the receiver",
            s.audio_not_loudest,
        ),
        (
            "audio_restored",
            "Audio packets that did not come and were had from the redundancy of later ones",
            s.audio_restored,
        ),
        (
            "packets_paced",
            "Video packets that waited for their turn on a slow line",
            s.paced,
        ),
        (
            "video_interrupted",
            "Times that video which waited too long was given up until the next key frame",
            s.interrupted,
        ),
        (
            "probe_packets",
            "Packets sent to find out what lines carry",
            s.probe_packets,
        ),
        (
            "layers_lowered",
            "Times that a receiver got less of a source because its line carried less",
            s.layers_lowered,
        ),
        (
            "layers_raised",
            "Times that a receiver got more of a source because its line carried more",
            s.layers_raised,
        ),
        (
            "estimates_told",
            "Times that a sender which measures nothing itself was told what its path carries (REMB)",
            s.estimates_told,
        ),
        ("packets_nacked", "Packets asked for again", s.nacked),
        (
            "keyframe_requests",
            "Key frames asked for",
            s.keyframe_requests,
        ),
        (
            "keyframe_requests_deferred",
            "Times that a key frame was not asked for yet, since only the line of one receiver was the reason",
            s.keyframe_requests_deferred,
        ),
        (
            "keyframe_replays",
            "Key frames replayed from the store",
            s.keyframe_replays,
        ),
        (
            "keyframes_received",
            "Key frames received",
            s.keyframes_received,
        ),
        (
            "conferences_created",
            "Conferences created",
            s.conferences_created,
        ),
        (
            "endpoints_created",
            "Endpoints created",
            s.endpoints_created,
        ),
        ("ice_succeeded", "Transports established", s.ice_succeeded),
        ("transports_failed", "Transports failed", s.transport_failed),
        (
            "dominant_speaker_changes",
            "Changes of the dominant speaker",
            s.dominant_speaker_changes,
        ),
        ("colibri_requests", "Colibri2 requests", t.requests),
        (
            "colibri_errors",
            "Colibri2 requests refused",
            t.request_errors,
        ),
        (
            "channel_invalid",
            "Bridge-channel messages that are no acceptable JSON",
            t.channel_invalid,
        ),
        (
            "channel_unknown",
            "Bridge-channel messages of an unknown class",
            t.channel_unknown,
        ),
        (
            "channel_limited",
            "Bridge-channel messages beyond their sender's rate",
            t.channel_limited,
        ),
        (
            "packets_handed_over",
            "Datagrams handed to another media thread",
            t.handed_over,
        ),
        (
            "handover_dropped",
            "Datagrams for another media thread that had too many waiting",
            t.handover_dropped,
        ),
        (
            "part_exchanges",
            "Batches that media threads with parts of one conference gave each other",
            t.exchanges,
        ),
        (
            "part_packets_dropped",
            "Packets for a part of a conference on a media thread that was behind",
            t.exchange_dropped,
        ),
        (
            "shard_panics",
            "Defects that ended the conferences of a shard",
            t.panics,
        ),
        (
            "stun_unanswered",
            "Times that no STUN server of bridge.advertise said which address it sees",
            shared.stun_unanswered.load(Ordering::Relaxed),
        ),
        (
            "media_connections_refused",
            "TCP connections that were one too many or carried no media of anybody here",
            shared.streams.refused.load(Ordering::Relaxed),
        ),
        (
            "media_connections_dropped",
            "Datagrams that a TCP connection did not take in time",
            shared.streams.dropped.load(Ordering::Relaxed),
        ),
        (
            "web_sockets_refused",
            "Bridge channels refused",
            shared.web_sockets_refused.load(Ordering::Relaxed),
        ),
        (
            "stanzas_ignored",
            "Stanzas of signalling nodes that could not be read and were passed over",
            shared.stanzas_ignored.load(Ordering::Relaxed),
        ),
        (
            "relay_packets_received",
            "Packets received from other bridges",
            s.relayed.packets_received,
        ),
        (
            "relay_packets_sent",
            "Packets sent to other bridges",
            s.relayed.packets_sent,
        ),
        (
            "ice_failed",
            "Endpoints that found no path",
            s.ice_failed.clients,
        ),
        (
            "relays_ice_failed",
            "Relays that found no path",
            s.ice_failed.relays,
        ),
        (
            "dtls_failed",
            "Endpoints with a path and no DTLS",
            s.dtls_failed.clients,
        ),
        (
            "relays_dtls_failed",
            "Relays with a path and no DTLS",
            s.dtls_failed.relays,
        ),
        ("ice_restarts", "ICE restarts begun", s.ice_restarts.started),
        (
            "ice_restarts_failed",
            "ICE restarts given up",
            s.ice_restarts.failed,
        ),
        (
            "endpoints_without_channel",
            "Endpoints without a bridge channel 30 s after their transport came up",
            t.endpoints_without_channel,
        ),
        (
            "requests_dropped",
            "Colibri2 requests that found too many waiting",
            shared.requests_dropped.load(Ordering::Relaxed),
        ),
        (
            "streams_lost",
            "Times that the stream to a signalling node was lost",
            shared.streams_lost.load(Ordering::Relaxed),
        ),
    ]
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    let name = format!("bridge_{name}");
    let encoder = encoder.encode_descriptor(&name, help, None, metric.metric_type())?;
    metric.encode(encoder)
}
