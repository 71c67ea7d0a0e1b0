//! Counters of a shard; hosts export them.

use super::ids::SourceName;
use rtc::TransportStats;

/// Why a packet went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
#[non_exhaustive]
pub enum DropReason {
    /// Neither STUN, DTLS, RTP nor RTCP, or too short.
    Malformed,
    /// From an address no endpoint is bound to.
    UnknownAddress,
    /// A STUN request for no endpoint of this shard.
    UnknownUfrag,
    /// Media before the keys are known.
    NoKeys,
    /// Failed authentication, or a replay.
    Unauthenticated,
    /// An SSRC that was not signalled.
    UnknownSsrc,
    /// A payload type that was not negotiated.
    UnknownPayloadType,
    /// Received before.
    Duplicate,
    /// Too old to be of use.
    TooOld,
    /// Silence.
    Silence,
    /// Muted by the focus.
    ForceMuted,
    /// A probe without payload.
    Padding,
    /// The payload header of its codec is broken.
    BadPayload,
    /// RTCP that does not parse.
    BadRtcp,
    /// The store had no room.
    NoSlot,
    /// A receiver's queue was full.
    QueueFull,
    /// Encryption failed (for example before the keys were known).
    Protect,
    /// Too large to forward.
    Oversized,
    /// Video waited too long for its turn on a slow line.
    Waited,
}

impl DropReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::Waited as usize + 1;

    /// All reasons with a name for metrics.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::Malformed, "malformed"),
        (Self::UnknownAddress, "unknown_address"),
        (Self::UnknownUfrag, "unknown_ufrag"),
        (Self::NoKeys, "no_keys"),
        (Self::Unauthenticated, "unauthenticated"),
        (Self::UnknownSsrc, "unknown_ssrc"),
        (Self::UnknownPayloadType, "unknown_payload_type"),
        (Self::Duplicate, "duplicate"),
        (Self::TooOld, "too_old"),
        (Self::Silence, "silence"),
        (Self::ForceMuted, "force_muted"),
        (Self::Padding, "padding"),
        (Self::BadPayload, "bad_payload"),
        (Self::BadRtcp, "bad_rtcp"),
        (Self::NoSlot, "no_slot"),
        (Self::QueueFull, "queue_full"),
        (Self::Protect, "protect"),
        (Self::Oversized, "oversized"),
        (Self::Waited, "waited"),
    ];
}

/// Counters of a shard, since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams received.
    pub packets_received: u64,
    /// Bytes received (UDP payload).
    pub bytes_received: u64,
    /// Datagrams sent.
    pub packets_sent: u64,
    /// Bytes sent (UDP payload).
    pub bytes_sent: u64,
    /// RTP packets forwarded (one per receiver).
    pub packets_forwarded: u64,
    /// Send runs, that is, system calls with GSO.
    pub runs_sent: u64,
    /// Packets dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::COUNT],
    /// Packets sent again after a NACK.
    pub retransmitted: u64,
    /// Packets asked for by a NACK that the store no longer had.
    pub retransmit_missed: u64,
    /// Packets asked for by a NACK that were not sent again: too often, too old, or beyond the receiver's share.
    pub retransmit_refused: u64,
    /// Audio packets not sent to a receiver because louder sources have all its slots.
    pub audio_not_loudest: u64,
    /// Audio packets that did not come and were had from the redundancy of later ones.
    pub audio_restored: u64,
    /// Video packets that waited for their turn on a slow line.
    pub paced: u64,
    /// Times that video which waited too long was given up.
    pub interrupted: u64,
    /// Times that a receiver had to take less of a source because its line carries less, and got more again.
    pub layers_lowered: u64,
    /// See `layers_lowered`.
    pub layers_raised: u64,
    /// Packets sent to find out what lines carry.
    pub probe_packets: u64,
    /// Times that a sender was told what its path carries.
    pub estimates_told: u64,
    /// Packets we asked senders to repeat.
    pub nacked: u64,
    /// Key frame requests sent to senders.
    pub keyframe_requests: u64,
    /// Times that a sender was not asked for a key frame yet, since only what one receiver's line carries was the reason.
    pub keyframe_requests_deferred: u64,
    /// Relays to other bridges created.
    pub relays_created: u64,
    /// Key frame requests received from receivers.
    pub keyframe_requests_received: u64,
    /// Key frames replayed from the store for a receiver without a picture.
    pub keyframe_replays: u64,
    /// Key frames received.
    pub keyframes_received: u64,
    /// Conferences created.
    pub conferences_created: u64,
    /// Conferences ended.
    pub conferences_completed: u64,
    /// Seconds of ended conferences.
    pub conference_seconds: u64,
    /// Endpoints created.
    pub endpoints_created: u64,
    /// Visitors created.
    pub visitors_created: u64,
    /// Endpoints whose ICE succeeded.
    pub ice_succeeded: u64,
    /// Endpoints whose ICE or DTLS failed.
    pub transport_failed: u64,
    /// Clients, and relays, that went without ICE ever having found a path, though it had the time.
    pub ice_failed: Failures,
    /// Of those with a path, clients and relays that went without DTLS being up.
    pub dtls_failed: Failures,
    /// ICE restarts of established transports: begun, done, given up.
    pub ice_restarts: IceRestarts,
    /// What went between bridges; the sums of packets and bytes above include it.
    pub relayed: RelayTraffic,
    /// Times that a layer of a video source began or ceased to come in.
    pub layering_changes: u64,
    /// Milliseconds for which encodings of video sources came in, summed over all of them.
    pub video_ms_received: u64,
    /// Key frames asked for because somebody began to speak, and those not asked for then, as nobody had them on stage.
    pub keyframes_ahead: u64,
    /// See `keyframes_ahead`.
    pub keyframes_not_ahead: u64,
    /// Bridge-channel messages received on data channels.
    pub channel_messages_received: u64,
    /// Bridge-channel messages sent on data channels.
    pub channel_messages_sent: u64,
    /// Changes of the dominant speaker.
    pub dominant_speaker_changes: u64,
    /// Endpoints that fell silent.
    pub endpoints_disconnected: u64,
    /// Endpoints that came back.
    pub endpoints_reconnected: u64,
}

/// Transports that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// Of clients.
    pub clients: u64,
    /// Of relays.
    pub relays: u64,
}

/// What became of ICE restarts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IceRestarts {
    /// Begun.
    pub started: u64,
    /// New credentials took over.
    pub succeeded: u64,
    /// Given up; what was established went on.
    pub failed: u64,
}

/// What went between bridges since the start, by the second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RelayTraffic {
    /// Packets received.
    pub packets_received: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
}

impl Stats {
    /// Adds what another shard counted.
    pub fn add(&mut self, other: &Self) {
        let Self {
            packets_received,
            bytes_received,
            packets_sent,
            bytes_sent,
            packets_forwarded,
            runs_sent,
            dropped,
            retransmitted,
            retransmit_missed,
            retransmit_refused,
            audio_not_loudest,
            audio_restored,
            paced,
            interrupted,
            layers_lowered,
            layers_raised,
            probe_packets,
            estimates_told,
            nacked,
            keyframe_requests,
            keyframe_requests_deferred,
            relays_created,
            keyframe_requests_received,
            keyframe_replays,
            keyframes_received,
            conferences_created,
            conferences_completed,
            conference_seconds,
            endpoints_created,
            visitors_created,
            ice_succeeded,
            transport_failed,
            ice_failed,
            dtls_failed,
            ice_restarts,
            relayed,
            layering_changes,
            video_ms_received,
            keyframes_ahead,
            keyframes_not_ahead,
            channel_messages_received,
            channel_messages_sent,
            dominant_speaker_changes,
            endpoints_disconnected,
            endpoints_reconnected,
        } = other;
        for (sum, more) in self.dropped.iter_mut().zip(dropped) {
            *sum += more;
        }
        for (sum, more) in [
            (&mut self.packets_received, packets_received),
            (&mut self.bytes_received, bytes_received),
            (&mut self.packets_sent, packets_sent),
            (&mut self.bytes_sent, bytes_sent),
            (&mut self.packets_forwarded, packets_forwarded),
            (&mut self.runs_sent, runs_sent),
            (&mut self.retransmitted, retransmitted),
            (&mut self.retransmit_missed, retransmit_missed),
            (&mut self.retransmit_refused, retransmit_refused),
            (&mut self.audio_not_loudest, audio_not_loudest),
            (&mut self.audio_restored, audio_restored),
            (&mut self.paced, paced),
            (&mut self.interrupted, interrupted),
            (&mut self.layers_lowered, layers_lowered),
            (&mut self.layers_raised, layers_raised),
            (&mut self.probe_packets, probe_packets),
            (&mut self.estimates_told, estimates_told),
            (&mut self.nacked, nacked),
            (&mut self.keyframe_requests, keyframe_requests),
            (
                &mut self.keyframe_requests_deferred,
                keyframe_requests_deferred,
            ),
            (&mut self.relays_created, relays_created),
            (
                &mut self.keyframe_requests_received,
                keyframe_requests_received,
            ),
            (&mut self.keyframe_replays, keyframe_replays),
            (&mut self.keyframes_received, keyframes_received),
            (&mut self.conferences_created, conferences_created),
            (&mut self.conferences_completed, conferences_completed),
            (&mut self.conference_seconds, conference_seconds),
            (&mut self.endpoints_created, endpoints_created),
            (&mut self.visitors_created, visitors_created),
            (&mut self.ice_succeeded, ice_succeeded),
            (&mut self.transport_failed, transport_failed),
            (&mut self.ice_failed.clients, &ice_failed.clients),
            (&mut self.ice_failed.relays, &ice_failed.relays),
            (&mut self.dtls_failed.clients, &dtls_failed.clients),
            (&mut self.dtls_failed.relays, &dtls_failed.relays),
            (&mut self.ice_restarts.started, &ice_restarts.started),
            (&mut self.ice_restarts.succeeded, &ice_restarts.succeeded),
            (&mut self.ice_restarts.failed, &ice_restarts.failed),
            (
                &mut self.relayed.packets_received,
                &relayed.packets_received,
            ),
            (&mut self.relayed.bytes_received, &relayed.bytes_received),
            (&mut self.relayed.packets_sent, &relayed.packets_sent),
            (&mut self.relayed.bytes_sent, &relayed.bytes_sent),
            (&mut self.layering_changes, layering_changes),
            (&mut self.video_ms_received, video_ms_received),
            (&mut self.keyframes_ahead, keyframes_ahead),
            (&mut self.keyframes_not_ahead, keyframes_not_ahead),
            (
                &mut self.channel_messages_received,
                channel_messages_received,
            ),
            (&mut self.channel_messages_sent, channel_messages_sent),
            (&mut self.dominant_speaker_changes, dominant_speaker_changes),
            (&mut self.endpoints_disconnected, endpoints_disconnected),
            (&mut self.endpoints_reconnected, endpoints_reconnected),
        ] {
            *sum += more;
        }
    }

    /// Packets dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    pub(crate) fn drop(&mut self, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count += 1;
        }
    }
}

/// The state of a conference now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConferenceStats {
    /// Endpoints, visitors included.
    pub endpoints: usize,
    /// Visitors.
    pub visitors: usize,
    /// Endpoints sending audio.
    pub sending_audio: usize,
    /// Endpoints sending video.
    pub sending_video: usize,
    /// Endpoints from which nothing is heard.
    pub inactive: usize,
    /// Endpoints that send neither audio nor video.
    pub receiving_only: usize,
    /// Endpoints on the way to which more than a tenth is lost.
    pub lossy: usize,
    /// Endpoints that are sent more than their line is taken to carry.
    pub oversent: usize,
    /// Endpoints with a video that they want and do not get, since their line carries no more.
    pub suspended: usize,
    /// Feedback about packets that were never sent, of the endpoints that are there.
    pub feedback_unmatched: u64,
    /// Loss over the last second, on the way here.
    pub lost_received: Loss,
    /// Loss over the last second, on the way to the endpoints, by their word.
    pub lost_sent: Loss,
    /// Round trips of the endpoints of which one is known: their sum, microseconds, and their number.
    pub round_trips: (u64, usize),
    /// Bits per second received, over the last second.
    pub bitrate_received: u64,
    /// Bits per second sent, over the last second.
    pub bitrate_sent: u64,
    /// Packets per second received, over the last second.
    pub packet_rate_received: u64,
    /// Packets per second sent, over the last second.
    pub packet_rate_sent: u64,
    /// Other bridges with people of it.
    pub relays: usize,
    /// Endpoints of other bridges.
    pub relayed: usize,
    /// The same rates between bridges, which the others do not include.
    pub relay_bitrate_received: u64,
    /// See `relay_bitrate_received`.
    pub relay_bitrate_sent: u64,
    /// See `relay_bitrate_received`.
    pub relay_packet_rate_received: u64,
    /// See `relay_bitrate_received`.
    pub relay_packet_rate_sent: u64,
}

/// What was lost of what was to come, both in one unit: packets, or parts of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loss {
    /// Lost.
    pub lost: u64,
    /// All, the lost ones included.
    pub of: u64,
}

impl Loss {
    /// The part that is lost, 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        match self.of {
            0 => 0.0,
            // Counts of a second are far below 2^52.
            of => self.lost as f64 / of as f64,
        }
    }
}

impl std::ops::AddAssign for Loss {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.of += other.of;
    }
}

impl std::ops::AddAssign<&Self> for ConferenceStats {
    /// Adds what another part of the same conference has.
    fn add_assign(&mut self, other: &Self) {
        self.endpoints += other.endpoints;
        self.visitors += other.visitors;
        self.sending_audio += other.sending_audio;
        self.sending_video += other.sending_video;
        self.inactive += other.inactive;
        self.receiving_only += other.receiving_only;
        self.lossy += other.lossy;
        self.oversent += other.oversent;
        self.suspended += other.suspended;
        self.feedback_unmatched += other.feedback_unmatched;
        self.lost_received += other.lost_received;
        self.lost_sent += other.lost_sent;
        self.round_trips.0 += other.round_trips.0;
        self.round_trips.1 += other.round_trips.1;
        self.bitrate_received += other.bitrate_received;
        self.bitrate_sent += other.bitrate_sent;
        self.packet_rate_received += other.packet_rate_received;
        self.packet_rate_sent += other.packet_rate_sent;
        self.relays += other.relays;
        self.relayed += other.relayed;
        self.relay_bitrate_received += other.relay_bitrate_received;
        self.relay_bitrate_sent += other.relay_bitrate_sent;
        self.relay_packet_rate_received += other.relay_packet_rate_received;
        self.relay_packet_rate_sent += other.relay_packet_rate_sent;
    }
}

/// Whom of a conference the bridge hears, visitors included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hearing {
    /// Endpoints.
    pub here: usize,
    /// Of these, endpoints from which nothing came for 3 s, or for 6 s after they were made: clients send something at least
    /// every 2.5 s.
    pub unheard: usize,
    /// Of these, endpoints on the way to which more than a tenth is lost, by their own feedback.
    pub lossy: usize,
}

impl std::ops::AddAssign for Hearing {
    /// Adds what another part of the same conference hears.
    fn add_assign(&mut self, other: Self) {
        self.here += other.here;
        self.unheard += other.unheard;
        self.lossy += other.lossy;
    }
}

/// The state of an endpoint now, for debugging.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndpointStats {
    /// Packets received.
    pub packets_received: u64,
    /// Bytes received.
    pub bytes_received: u64,
    /// Packets sent.
    pub packets_sent: u64,
    /// Bytes sent.
    pub bytes_sent: u64,
    /// Round-trip time in microseconds, if measured.
    pub rtt_us: Option<u64>,
    /// Smoothed loss towards it by its own feedback, 0 to 1.
    pub loss: f64,
    /// Whether ICE and DTLS are up.
    pub connected: bool,
    /// Whether something is heard from it.
    pub active: bool,
    /// What its transport dropped and saw.
    pub transport: TransportStats,
    /// The line towards it.
    pub line: LineStats,
}

/// What is known of the line towards an endpoint, and how it is shared out. Rates are bits per second.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LineStats {
    /// What it carries, as far as that is known.
    pub estimate: Option<u64>,
    /// What its delay alone says.
    pub by_delay: Option<u64>,
    /// What its loss alone says, if that limits anything.
    pub by_loss: Option<u64>,
    /// What arrives.
    pub arrives: Option<u64>,
    /// What is left for video; `None` for no limit.
    pub for_video: Option<u64>,
    /// What the layers being sent take.
    pub taken: u64,
    /// What the best layers that are wanted would take.
    pub ideal: u64,
    /// Some source is sent at less than its best layer.
    pub is_limited: bool,
    /// Nobody gets more for so long, microseconds.
    pub held: u64,
    /// Video packets that wait for their turn.
    pub waiting: usize,
    /// How long the oldest of them has waited, microseconds.
    pub waiting_for: u64,
    /// What is sent of each video that is wanted, most wanted first.
    pub streams: Vec<StreamStats>,
    /// The last minutes, oldest first.
    pub series: Vec<LineSample>,
}

/// What a receiver is sent of one video source, and why not more. Rates are bits per second.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamStats {
    /// The source.
    pub source: SourceName,
    /// Greatest height wanted; -1 for no limit.
    pub wanted: i32,
    /// Whether it is on stage.
    pub on_stage: bool,
    /// What it should be sent: height, highest temporal layer (7 for all) and rate; `None` for nothing.
    pub target: Option<(u16, u8, u64)>,
    /// Whether that is what it is sent: else a key frame is awaited.
    pub arrived: bool,
    /// The best that is wanted and sent by its publisher: height and rate.
    pub best: (u16, u64),
    /// What the next better layer would need besides, if there is one.
    pub missing: Option<u64>,
    /// All that could be had of it, the least first: height, highest temporal layer (7 for all) and rate.
    pub steps: Vec<(u16, u8, u64)>,
}

/// The state of a line at one time. Rates are bits per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LineSample {
    /// How long ago, microseconds.
    pub ago: u64,
    /// What the line was taken to carry; 0 if that was not known.
    pub estimate: u64,
    /// What was left for video; 0 for no limit.
    pub for_video: u64,
    /// What was sent since the sample before, everything included.
    pub sent: u64,
    /// What the layers being sent took, and what the best ones would have.
    pub taken: u64,
    /// See `taken`.
    pub ideal: u64,
    /// Heights of what was sent of the first sources, most wanted first; 0 for nothing.
    pub heights: [u16; 8],
}
