//! What a bridge publishes about itself: the brewery presence and the statistics of its REST interface.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sfu::{ConferenceStats, Hearing, Stats};
use stanza::jitsi::bridge_stats::{BridgeStats, stat};
use stanza::jitsi::evidence::{BrokenRelay, People, SilentMeeting};

use crate::health;
use crate::shared::{Shared, Snapshot};

/// Load that one more participant is expected to bring.
const AVERAGE_PARTICIPANT_STRESS: f64 = 0.01;

/// Sums over all workers.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) stats: Stats,
    pub(crate) conferences: usize,
    pub(crate) endpoints: usize,
    pub(crate) visitors: usize,
    pub(crate) largest: usize,
    pub(crate) inactive_conferences: usize,
    pub(crate) inactive_endpoints: usize,
    pub(crate) sending_audio: usize,
    pub(crate) sending_video: usize,
    pub(crate) bitrate_received: u64,
    pub(crate) bitrate_sent: u64,
    pub(crate) packet_rate_received: u64,
    pub(crate) packet_rate_sent: u64,
    /// Relays to other bridges now, conferences that have any, and people on the other side.
    pub(crate) relays: usize,
    pub(crate) relayed_conferences: usize,
    pub(crate) relayed: usize,
    pub(crate) relay_bitrate_received: u64,
    pub(crate) relay_bitrate_sent: u64,
    pub(crate) relay_packet_rate_received: u64,
    pub(crate) relay_packet_rate_sent: u64,
    pub(crate) web_socket_received: u64,
    pub(crate) web_socket_sent: u64,
    pub(crate) udp: net::UdpStats,
    pub(crate) waits: u64,
    pub(crate) panics: u64,
    pub(crate) handed_over: u64,
    pub(crate) handover_dropped: u64,
    pub(crate) exchanges: u64,
    pub(crate) exchange_dropped: u64,
    pub(crate) requests: u64,
    pub(crate) request_errors: u64,
    pub(crate) channel_invalid: u64,
    pub(crate) channel_unknown: u64,
    pub(crate) channel_limited: u64,
}

impl Totals {
    pub(crate) fn of(snapshots: &[Snapshot]) -> Self {
        let mut t = Self::default();
        for c in meetings(snapshots).values() {
            t.conferences += 1;
            t.endpoints += c.endpoints;
            t.visitors += c.visitors;
            t.largest = t.largest.max(c.endpoints);
            t.sending_audio += c.sending_audio;
            t.sending_video += c.sending_video;
            t.bitrate_received += c.bitrate_received;
            t.bitrate_sent += c.bitrate_sent;
            t.packet_rate_received += c.packet_rate_received;
            t.packet_rate_sent += c.packet_rate_sent;
            t.relays += c.relays;
            t.relayed_conferences += usize::from(c.relays > 0);
            t.relayed += c.relayed;
            t.relay_bitrate_received += c.relay_bitrate_received;
            t.relay_bitrate_sent += c.relay_bitrate_sent;
            t.relay_packet_rate_received += c.relay_packet_rate_received;
            t.relay_packet_rate_sent += c.relay_packet_rate_sent;
            if c.sending_audio + c.sending_video == 0 {
                t.inactive_conferences += 1;
                t.inactive_endpoints += c.endpoints;
            }
        }
        for s in snapshots {
            add_stats(&mut t.stats, &s.stats);
            t.web_socket_received += s.control.web_socket_received;
            t.web_socket_sent += s.control.web_socket_sent;
            t.requests += s.control.requests;
            t.request_errors += s.control.request_errors;
            t.channel_invalid += s.control.invalid;
            t.channel_unknown += s.control.unknown;
            t.channel_limited += s.control.rate_limited;
            t.udp += s.udp;
            t.waits += s.waits;
            t.panics += s.panics;
            t.handed_over += s.handed_over;
            t.handover_dropped += s.handover_dropped;
            t.exchanges += s.exchanges;
            t.exchange_dropped += s.exchange_dropped;
        }
        t
    }
}

/// All meetings, each with the sums over its parts.
pub(crate) fn meetings(snapshots: &[Snapshot]) -> BTreeMap<&str, ConferenceStats> {
    let mut meetings: BTreeMap<&str, ConferenceStats> = BTreeMap::new();
    for (meeting, _, stats) in snapshots.iter().flat_map(|s| &s.conferences) {
        *meetings.entry(meeting).or_default() += stats;
    }
    meetings
}

/// Whom the bridge hears.
pub(crate) fn people(snapshots: &[Snapshot]) -> People {
    let mut meetings: BTreeMap<&str, Hearing> = BTreeMap::new();
    for (meeting, hearing) in snapshots.iter().flat_map(|s| &s.hearing) {
        *meetings.entry(meeting).or_default() += *hearing;
    }
    let mut all = Hearing::default();
    let mut silent = Vec::new();
    for (meeting, hearing) in meetings {
        all += hearing;
        if hearing.here > 0 && hearing.unheard == hearing.here {
            silent.push(SilentMeeting {
                meeting_id: meeting.to_owned(),
                here: hearing.here,
            });
        }
    }
    let broken = snapshots.iter().flat_map(|s| &s.broken);
    let broken = broken.map(|(meeting, relay)| BrokenRelay {
        meeting_id: meeting.clone(),
        relay: relay.as_str().to_owned(),
    });
    People {
        here: all.here,
        unheard: all.unheard,
        lossy: all.lossy,
        silent,
        broken: broken.collect(),
    }
}

fn add_stats(sum: &mut Stats, s: &Stats) {
    sum.packets_received += s.packets_received;
    sum.bytes_received += s.bytes_received;
    sum.packets_sent += s.packets_sent;
    sum.bytes_sent += s.bytes_sent;
    sum.packets_forwarded += s.packets_forwarded;
    sum.runs_sent += s.runs_sent;
    for (a, b) in sum.dropped.iter_mut().zip(s.dropped) {
        *a += b;
    }
    sum.retransmitted += s.retransmitted;
    sum.retransmit_missed += s.retransmit_missed;
    sum.retransmit_refused += s.retransmit_refused;
    sum.audio_not_loudest += s.audio_not_loudest;
    sum.audio_restored += s.audio_restored;
    sum.paced += s.paced;
    sum.interrupted += s.interrupted;
    sum.probe_packets += s.probe_packets;
    sum.layers_lowered += s.layers_lowered;
    sum.layers_raised += s.layers_raised;
    sum.nacked += s.nacked;
    sum.keyframe_requests += s.keyframe_requests;
    sum.keyframe_requests_received += s.keyframe_requests_received;
    sum.keyframe_replays += s.keyframe_replays;
    sum.keyframes_received += s.keyframes_received;
    sum.conferences_created += s.conferences_created;
    sum.conferences_completed += s.conferences_completed;
    sum.conference_seconds += s.conference_seconds;
    sum.endpoints_created += s.endpoints_created;
    sum.visitors_created += s.visitors_created;
    sum.relays_created += s.relays_created;
    sum.ice_succeeded += s.ice_succeeded;
    sum.transport_failed += s.transport_failed;
    sum.channel_messages_received += s.channel_messages_received;
    sum.channel_messages_sent += s.channel_messages_sent;
    sum.dominant_speaker_changes += s.dominant_speaker_changes;
    sum.endpoints_disconnected += s.endpoints_disconnected;
    sum.endpoints_reconnected += s.endpoints_reconnected;
}

/// All statistics, typed, in the order they are published. `wall` is the time since 1970.
pub(crate) fn statistics(shared: &Shared, wall: Duration) -> Map<String, Value> {
    let t = Totals::of(&shared.snapshots());
    let s = &t.stats;
    let flag = |f: &std::sync::atomic::AtomicBool| f.load(Ordering::SeqCst);
    let mut map = Map::new();
    let mut put = |name: &str, value: Value| {
        map.insert(name.to_owned(), value);
    };
    put("stress_level", json!(shared.stress()));
    put(
        "average_participant_stress",
        json!(AVERAGE_PARTICIPANT_STRESS),
    );
    put("healthy", json!(health::of(shared).is_ok()));
    put("graceful_shutdown", json!(flag(&shared.graceful)));
    put("shutting_down", json!(flag(&shared.shutting_down)));
    put("drain", json!(flag(&shared.drain)));
    put("version", json!(shared.version));
    if let Some(region) = &shared.region {
        put("region", json!(region));
    }
    put("relay_id", json!(shared.server_id));
    put("current_timestamp", json!(timestamp(wall)));
    put("conferences", json!(t.conferences));
    put("inactive_conferences", json!(t.inactive_conferences));
    put("largest_conference", json!(t.largest));
    put("endpoints", json!(t.endpoints));
    put("participants", json!(t.endpoints));
    put("local_endpoints", json!(t.endpoints));
    put(
        "local_active_endpoints",
        json!(t.endpoints - t.inactive_endpoints),
    );
    put("inactive_endpoints", json!(t.inactive_endpoints));
    put("visitors", json!(t.visitors));
    put("endpoints_sending_audio", json!(t.sending_audio));
    put("endpoints_sending_video", json!(t.sending_video));
    put("bit_rate_download", json!(t.bitrate_received / 1000));
    put("bit_rate_upload", json!(t.bitrate_sent / 1000));
    put("packet_rate_download", json!(t.packet_rate_received));
    put("packet_rate_upload", json!(t.packet_rate_sent));
    put("octo_conferences", json!(t.relayed_conferences));
    put("octo_endpoints", json!(t.relayed));
    put("octo_receive_bitrate", json!(t.relay_bitrate_received));
    put("octo_send_bitrate", json!(t.relay_bitrate_sent));
    put(
        "octo_receive_packet_rate",
        json!(t.relay_packet_rate_received),
    );
    put("octo_send_packet_rate", json!(t.relay_packet_rate_sent));
    put("total_relays", json!(s.relays_created));
    put("total_conferences_created", json!(s.conferences_created));
    put(
        "total_conferences_completed",
        json!(s.conferences_completed),
    );
    put("total_conference_seconds", json!(s.conference_seconds));
    put("total_participants", json!(s.endpoints_created));
    put("total_visitors", json!(s.visitors_created));
    put("total_keyframes_received", json!(s.keyframes_received));
    put(
        "total_data_channel_messages_received",
        json!(s.channel_messages_received),
    );
    put(
        "total_data_channel_messages_sent",
        json!(s.channel_messages_sent),
    );
    put(
        "total_colibri_web_socket_messages_received",
        json!(t.web_socket_received),
    );
    put(
        "total_colibri_web_socket_messages_sent",
        json!(t.web_socket_sent),
    );
    put("total_bytes_received", json!(s.bytes_received));
    put("total_bytes_sent", json!(s.bytes_sent));
    put("total_packets_received", json!(s.packets_received));
    put("total_packets_sent", json!(s.packets_sent));
    put(
        "total_dominant_speaker_changes",
        json!(s.dominant_speaker_changes),
    );
    put("total_ice_succeeded", json!(s.ice_succeeded));
    put("total_ice_failed", json!(s.transport_failed));
    put("endpoints_disconnected", json!(s.endpoints_disconnected));
    put("endpoints_reconnected", json!(s.endpoints_reconnected));
    map
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
