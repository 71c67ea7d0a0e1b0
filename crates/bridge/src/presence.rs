//! What a bridge publishes about itself: the brewery presence and the statistics of its REST interface.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use stanza::jitsi::bridge_stats::{BridgeStats, stat};

use crate::health;
use crate::shared::Shared;
use crate::totals::Totals;

/// Load that one more participant is expected to bring.
const AVERAGE_PARTICIPANT_STRESS: f64 = 0.01;

/// All statistics, typed, under the names and with the units of Jitsi's bridge. `wall` is the time since 1970.
pub(crate) fn statistics(shared: &Shared, wall: Duration) -> Map<String, Value> {
    let t = Totals::of(&shared.snapshots());
    let mut map = Map::new();
    for (name, value) in state(shared, wall)
        .into_iter()
        .chain(current(&t))
        .chain(totals(&t))
        .chain(links(shared))
    {
        map.insert(name.to_owned(), value);
    }
    map
}

type Named = (&'static str, Value);

/// The life cycle, and who the bridge is.
fn state(shared: &Shared, wall: Duration) -> Vec<Named> {
    let flag = |f: &std::sync::atomic::AtomicBool| json!(f.load(Ordering::SeqCst));
    let mut all = vec![
        ("stress_level", json!(shared.stress())),
        (
            "average_participant_stress",
            json!(AVERAGE_PARTICIPANT_STRESS),
        ),
        ("healthy", json!(health::of(shared).is_ok())),
        ("graceful_shutdown", flag(&shared.graceful)),
        ("shutting_down", flag(&shared.shutting_down)),
        ("drain", flag(&shared.drain)),
        ("version", json!(shared.version)),
        ("relay_id", json!(shared.server_id)),
        ("current_timestamp", json!(timestamp(wall))),
        ("threads", json!(shared.process.threads())),
    ];
    if let Some(region) = &shared.region {
        all.push(("region", json!(region)));
    }
    all
}

/// What is so now.
fn current(t: &Totals) -> Vec<Named> {
    let (now, [incoming, outgoing, overall]) = (&t.now, t.loss());
    let people = now.endpoints + now.relayed;
    vec![
        ("conferences", json!(t.conferences)),
        ("inactive_conferences", json!(t.inactive_conferences)),
        ("p2p_conferences", json!(t.direct_conferences)),
        ("largest_conference", json!(t.largest)),
        ("endpoints", json!(people)),
        ("participants", json!(people)),
        ("local_endpoints", json!(now.endpoints)),
        (
            "local_active_endpoints",
            json!(now.endpoints - t.inactive_here),
        ),
        ("inactive_endpoints", json!(t.inactive_endpoints)),
        ("receive_only_endpoints", json!(t.receiving_only)),
        ("visitors", json!(now.visitors)),
        ("endpoints_sending_audio", json!(now.sending_audio)),
        ("endpoints_sending_video", json!(now.sending_video)),
        ("endpoints_with_high_outgoing_loss", json!(t.lossy)),
        ("endpoints_with_suspended_sources", json!(now.suspended)),
        // What a client says of its line without being asked to is listened to here, not counted.
        ("endpoints_with_spurious_remb", json!(0)),
        ("num_eps_oversending", json!(now.oversent)),
        ("tcc_unmatched_feedback", json!(now.feedback_unmatched)),
        ("incoming_loss", json!(incoming)),
        ("outgoing_loss", json!(outgoing)),
        ("overall_loss", json!(overall)),
        ("rtt_aggregate", json!(t.round_trip_ms())),
        ("bit_rate_download", json!(now.bitrate_received / 1000)),
        ("bit_rate_upload", json!(now.bitrate_sent / 1000)),
        ("packet_rate_download", json!(now.packet_rate_received)),
        ("packet_rate_upload", json!(now.packet_rate_sent)),
        ("octo_conferences", json!(t.relayed_conferences)),
        ("octo_endpoints", json!(now.relayed)),
        ("octo_receive_bitrate", json!(now.relay_bitrate_received)),
        ("octo_send_bitrate", json!(now.relay_bitrate_sent)),
        (
            "octo_receive_packet_rate",
            json!(now.relay_packet_rate_received),
        ),
        ("octo_send_packet_rate", json!(now.relay_packet_rate_sent)),
    ]
}

/// What was counted since the start. Packets and bytes of people do not include those of relays.
fn totals(t: &Totals) -> Vec<Named> {
    let s = &t.stats;
    let of_people = |all: u64, relayed: u64| json!(all.saturating_sub(relayed));
    let r = &s.relayed;
    vec![
        ("total_relays", json!(s.relays_created)),
        ("total_conferences_created", json!(s.conferences_created)),
        (
            "total_conferences_completed",
            json!(s.conferences_completed),
        ),
        ("total_conference_seconds", json!(s.conference_seconds)),
        ("total_participants", json!(s.endpoints_created)),
        ("total_visitors", json!(s.visitors_created)),
        ("total_keyframes_received", json!(s.keyframes_received)),
        ("total_layering_changes_received", json!(s.layering_changes)),
        (
            "total_video_stream_milliseconds_received",
            json!(s.video_ms_received),
        ),
        (
            "total_data_channel_messages_received",
            json!(s.channel_messages_received),
        ),
        (
            "total_data_channel_messages_sent",
            json!(s.channel_messages_sent),
        ),
        (
            "total_colibri_web_socket_messages_received",
            json!(t.web_socket_received),
        ),
        (
            "total_colibri_web_socket_messages_sent",
            json!(t.web_socket_sent),
        ),
        (
            "total_bytes_received",
            of_people(s.bytes_received, r.bytes_received),
        ),
        ("total_bytes_sent", of_people(s.bytes_sent, r.bytes_sent)),
        (
            "total_packets_received",
            of_people(s.packets_received, r.packets_received),
        ),
        (
            "total_packets_sent",
            of_people(s.packets_sent, r.packets_sent),
        ),
        ("total_bytes_received_octo", json!(r.bytes_received)),
        ("total_bytes_sent_octo", json!(r.bytes_sent)),
        ("total_packets_received_octo", json!(r.packets_received)),
        ("total_packets_sent_octo", json!(r.packets_sent)),
        (
            "total_dominant_speaker_changes",
            json!(s.dominant_speaker_changes),
        ),
        ("preemptive_kfr_sent", json!(s.keyframes_ahead)),
        ("preemptive_kfr_suppressed", json!(s.keyframes_not_ahead)),
        ("total_ice_succeeded", json!(s.ice_succeeded)),
        // A relay's addresses look like any other's from here.
        ("total_ice_succeeded_relayed", json!(0)),
        (
            "total_ice_failed",
            json!(s.ice_failed.clients + s.ice_failed.relays),
        ),
        ("endpoints_ice_failed", json!(s.ice_failed.clients)),
        ("dtls_failed_endpoints", json!(s.dtls_failed.clients)),
        ("relays_ice_failed", json!(s.ice_failed.relays)),
        ("dtls_failed_relays", json!(s.dtls_failed.relays)),
        (
            "num_eps_no_msg_transport_after_delay",
            json!(t.endpoints_without_channel),
        ),
        (
            "num_relays_no_msg_transport_after_delay",
            json!(t.relays_without_channel),
        ),
        ("endpoints_disconnected", json!(s.endpoints_disconnected)),
        ("endpoints_reconnected", json!(s.endpoints_reconnected)),
    ]
}

/// Signalling nodes: each has one room of bridges.
fn links(shared: &Shared) -> [Named; 4] {
    let nodes = shared.nodes();
    [
        ("muc_clients_configured", json!(nodes.configured)),
        ("muc_clients_connected", json!(nodes.connected)),
        ("mucs_configured", json!(nodes.configured)),
        ("mucs_joined", json!(nodes.attached)),
    ]
}

/// The same as the extension of a presence.
pub(crate) fn extension(shared: &Shared, wall: Duration) -> BridgeStats {
    let mut stats = BridgeStats::default();
    for (name, value) in statistics(shared, wall) {
        match value {
            Value::String(text) => stats.push(&name, text),
            other => stats.push(&name, other),
        }
    }
    let media: Vec<String> = shared.media().iter().map(ToString::to_string).collect();
    stats.push(stat::MEDIA, media.join(","));
    stats.push(stat::EACH_KEY_FRAME, true);
    stats
}

/// `yyyy-MM-dd HH:mm:ss.SSS` in UTC.
fn timestamp(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Days to a civil date, in the calendar that begins a year in March (Howard Hinnant's algorithm).
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}",
        time / 3600,
        time / 60 % 60,
        time % 60,
        since_1970.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_civil_dates() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400, "2000-02-29 00:00:00.000"),
            (1_795_560_537, "2026-11-24 22:48:57.000"),
            (4_107_542_399, "2100-02-28 23:59:59.000"),
        ] {
            assert_eq!(timestamp(Duration::from_secs(seconds)), text);
        }
    }
}
