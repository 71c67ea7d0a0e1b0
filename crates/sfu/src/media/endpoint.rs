//! An endpoint: its transport, what was negotiated, what it sends and what it is sent.

use super::allocation::Settings;
use super::event::SourceMapEntry;
use super::ids::{EndpointId, SourceName};
use super::numbers::{Numbers, Standing};
use super::resend::ResendBudget;
use super::send::SendQueue;
use super::slot::VideoSlot;
use super::source::PayloadCodec;
use super::spec::{HeaderExtension, MediaKind, PayloadType, Subscription};
use rtc::Transport;
use rtc::srtp::{Inbound, Outbound};
use rtp::rtcp::twcc::Recorder;
use std::net::SocketAddr;

/// Most distinct video (and audio) SSRCs a receiver with rewriting sees.
pub(crate) const MAX_SLOTS: usize = 50;

const URI_AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const URI_TRANSPORT_CC: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
const URI_ABS_SEND_TIME: &str = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time";
const URI_ORIENTATION: &str = "urn:3gpp:video-orientation";
const URI_DESCRIPTOR: &str =
    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension";

/// What a payload type means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Media of a kind; the payload type of its retransmissions, if any.
    Media {
        kind: MediaKind,
        codec: PayloadCodec,
        rtx: Option<u8>,
    },
    /// Retransmissions of another payload type.
    Rtx { apt: u8 },
}

/// What was negotiated with an endpoint.
#[derive(Debug)]
pub(crate) struct Negotiated {
    payloads: [Option<Payload>; 128],
    pub(crate) audio_level: Option<u8>,
    pub(crate) transport_cc: Option<u8>,
    pub(crate) abs_send_time: Option<u8>,
    pub(crate) orientation: Option<u8>,
    pub(crate) descriptor: Option<u8>,
    pub(crate) nack: bool,
    pub(crate) pli: bool,
}

impl Negotiated {
    pub(crate) fn new(payload_types: &[PayloadType], extensions: &[HeaderExtension]) -> Self {
        let id = |uri: &str| {
            extensions
                .iter()
                .find(|e| e.uri == uri)
                .map(|e| e.id)
                .filter(|id| *id != 0)
        };
        let feedback =
            |kind: &str, sub: &str| payload_types.iter().any(|p| p.has_feedback(kind, sub));
        let mut payloads = [None; 128];
        for p in payload_types {
            if let Some(slot) = payloads.get_mut(usize::from(p.id)) {
                *slot = Self::payload(p, payload_types);
            }
        }
        Self {
            payloads,
            audio_level: id(URI_AUDIO_LEVEL),
            transport_cc: id(URI_TRANSPORT_CC).filter(|_| feedback("transport-cc", "")),
            abs_send_time: id(URI_ABS_SEND_TIME),
            orientation: id(URI_ORIENTATION),
            descriptor: id(URI_DESCRIPTOR),
            nack: feedback("nack", ""),
            pli: feedback("nack", "pli"),
        }
    }

    fn payload(p: &PayloadType, all: &[PayloadType]) -> Option<Payload> {
        if p.name.eq_ignore_ascii_case("rtx") {
            let apt = p.parameter("apt")?.parse().ok().filter(|n| *n < 128)?;
            return Some(Payload::Rtx { apt });
        }
        let names = [
            ("vp8", PayloadCodec::Vp8),
            ("vp9", PayloadCodec::Vp9),
            ("h264", PayloadCodec::H264),
            ("av1", PayloadCodec::Av1),
        ];
        let codec = names
            .iter()
            .find(|(n, _)| p.name.eq_ignore_ascii_case(n))
            .map_or(PayloadCodec::Other, |n| n.1);
        let own = p.id.to_string();
        let rtx = all.iter().find(|r| {
            r.name.eq_ignore_ascii_case("rtx") && r.parameter("apt") == Some(own.as_str())
        });
        Some(Payload::Media {
            kind: p.kind,
            codec,
            rtx: rtx.map(|r| r.id),
        })
    }

    pub(crate) fn payload_type(&self, id: u8) -> Option<Payload> {
        self.payloads.get(usize::from(id)).copied().flatten()
    }

    /// Whether any payload type of a kind was negotiated.
    pub(crate) fn takes(&self, wanted: MediaKind) -> bool {
        self.payloads
            .iter()
            .flatten()
            .any(|p| matches!(p, Payload::Media { kind, .. } if *kind == wanted))
    }
}

/// An SSRC that an endpoint sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentSsrc {
    pub(crate) ssrc: u32,
    /// Index of the source in the conference.
    pub(crate) source: usize,
    pub(crate) encoding: u8,
    pub(crate) rtx: bool,
}

/// One outgoing audio stream of a receiver.
#[derive(Debug)]
pub(crate) struct AudioSlot {
    pub(crate) ssrc: u32,
    /// Index of the source in the conference.
    pub(crate) source: Option<usize>,
    /// Subtracted from the source's numbers and timestamps; `None` until the first packet.
    pub(crate) offsets: Option<(u16, u32)>,
    /// When it was given to its source.
    pub(crate) bound_at: u64,
    /// Newest number and timestamp sent.
    pub(crate) last: Option<(u16, u32)>,
    pub(crate) used_at: u64,
    pub(crate) next_report: u64,
    pub(crate) packets: u32,
    pub(crate) octets: u32,
}

impl AudioSlot {
    /// A slot for an SSRC; where the receiver was sent it before, its numbers go on.
    pub(crate) fn resume(ssrc: u32, numbers: &Numbers) -> Self {
        let standing = numbers.get(ssrc);
        Self {
            ssrc,
            source: None,
            offsets: None,
            bound_at: 0,
            last: standing.map(|s| (s.seq, s.timestamp)),
            used_at: 0,
            next_report: 0,
            packets: standing.map_or(0, |s| s.packets),
            octets: standing.map_or(0, |s| s.octets),
        }
    }

    /// Notes where the numbers stand, before the slot is given up.
    pub(crate) fn retire(&self, numbers: &mut Numbers) {
        if let Some((seq, timestamp)) = self.last {
            let standing = Standing {
                seq,
                timestamp,
                sent_at: self.used_at,
                packets: self.packets,
                octets: self.octets,
                ..Standing::default()
            };
            numbers.remember(self.ssrc, standing);
        }
    }
}

/// A sender report that left, to measure the round trip by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SentReport {
    pub(crate) ssrc: u32,
    pub(crate) compact_ntp: u32,
    pub(crate) at: u64,
}

/// Counters of the last second.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) packets_received: u64,
    pub(crate) bytes_received: u64,
    pub(crate) packets_sent: u64,
    pub(crate) bytes_sent: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, other: &Self) {
        self.packets_received += other.packets_received;
        self.bytes_received += other.bytes_received;
        self.packets_sent += other.packets_sent;
        self.bytes_sent += other.bytes_sent;
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) visitor: bool,
    pub(crate) rewriting: bool,
    /// It may be given private addresses as candidates.
    pub(crate) private_addresses: bool,
    pub(crate) negotiated: Negotiated,
    pub(crate) transport: Transport,
    pub(crate) inbound: Option<Inbound>,
    pub(crate) outbound: Option<Outbound>,
    /// Where to send: our address and the peer's.
    pub(crate) path: Option<(SocketAddr, SocketAddr)>,
    /// Indices of its sources.
    pub(crate) sources: Vec<usize>,
    pub(crate) ssrcs: Vec<SentSsrc>,
    pub(crate) force_mute_audio: bool,
    pub(crate) force_mute_video: bool,
    pub(crate) settings: Settings,
    pub(crate) subscription: Subscription,
    pub(crate) video: Vec<VideoSlot>,
    pub(crate) audio: Vec<AudioSlot>,
    /// Where the numbers stand of sources' own SSRCs that have no slot any more; without rewriting only.
    pub(crate) numbers: Numbers,
    /// What the client was last told to be forwarded.
    pub(crate) forwarded: Vec<SourceName>,
    pub(crate) channel_open: bool,
    pub(crate) queue: SendQueue,
    pub(crate) resends: ResendBudget,
    /// Packets of it that carried transport-wide numbers.
    pub(crate) recorder: Recorder,
    pub(crate) next_feedback: u64,
    pub(crate) next_report: u64,
    pub(crate) sent_reports: Vec<SentReport>,
    pub(crate) rtt: Option<u64>,
    pub(crate) created: u64,
    pub(crate) last_media: Option<u64>,
    pub(crate) active: bool,
    pub(crate) media_noted: bool,
    pub(crate) total: Traffic,
    pub(crate) window: Traffic,
    pub(crate) fir_seq: u8,
}

impl Endpoint {
    pub(crate) fn is_connected(&self) -> bool {
        self.outbound.is_some() && self.path.is_some()
    }

    /// Round trip, microseconds: of media reports, else of connectivity checks.
    pub(crate) fn round_trip(&self) -> Option<u64> {
        self.rtt
            .or_else(|| self.transport.stats().rtt.map(|d| d.as_micros() as u64))
    }

    pub(crate) fn find_ssrc(&self, ssrc: u32) -> Option<SentSsrc> {
        self.ssrcs.iter().find(|s| s.ssrc == ssrc).copied()
    }

    /// Whether audio of a source is wanted.
    pub(crate) fn hears(&self, name: &SourceName) -> bool {
        let s = &self.subscription;
        !s.exclude.contains(name) && (s.all || s.include.contains(name))
    }

    /// Remembers a sender report.
    pub(crate) fn note_report(&mut self, ssrc: u32, compact_ntp: u32, at: u64) {
        const REMEMBERED: usize = 64;
        if self.sent_reports.len() >= REMEMBERED {
            self.sent_reports.remove(0);
        }
        self.sent_reports.push(SentReport {
            ssrc,
            compact_ntp,
            at,
        });
    }
}

/// A line of the video map.
pub(crate) fn video_entry(slot: &VideoSlot, source: &super::source::SourceState) -> SourceMapEntry {
    SourceMapEntry {
        source: source.name.clone(),
        owner: source.owner_id.clone(),
        ssrc: slot.ssrc,
        rtx: slot.rtx_ssrc,
        video_type: source.video().map(|v| v.video_type),
    }
}

/// A line of the audio map.
pub(crate) fn audio_entry(slot: &AudioSlot, source: &super::source::SourceState) -> SourceMapEntry {
    SourceMapEntry {
        source: source.name.clone(),
        owner: source.owner_id.clone(),
        ssrc: slot.ssrc,
        rtx: None,
        video_type: None,
    }
}
