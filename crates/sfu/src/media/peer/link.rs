//! A link to somebody who publishes: its transport, what was negotiated, what is sent on it, and what is known of the peer's
//! being there. Clients have one, and so do other bridges.

use super::remb::Remb;
use crate::media::context::Context;
use crate::media::negotiated::{Negotiated, Payload, PayloadCodec};
use crate::media::packet::{Codec, Incoming, Record};
use crate::media::spec::{EndpointUpdate, MediaKind};
use crate::media::stats::DropReason;
use crate::media::table::FeedId;
use crate::media::timers::Scheduled;
use rtc::Transport;
use rtc::srtp::{Inbound, SrtpError};
use rtp::ext::AudioLevel;
use rtp::rtcp::ReportBlock;
use rtp::rtcp::twcc::Recorder;
use rtp::{RtpHeader, RtpView};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

/// Transport-wide feedback is sent this often, microseconds.
const FEEDBACK_INTERVAL: u64 = 50_000;
/// Receiver reports are sent this often.
const REPORT_INTERVAL: u64 = 500_000;
/// Sender reports remembered to measure the round trip by.
const REMEMBERED_REPORTS: usize = 16;
/// Greatest round trip that is believed.
const MAX_RTT: u64 = 7_000_000;
/// Silent since it was created for so long: it does not come.
const FIRST_TRANSFER: u64 = 15_000_000;
/// Silent for so long: it is not there at present.
const MAX_SILENCE: u64 = 8_000_000;
/// So many packets in a second are of one who sends all the time, and who counts as such for so many seconds after that.
const LIVELY: u64 = 10;
const LIVELY_FOR: u8 = 4;
/// Addresses remembered; ICE restarts and NAT rebinding add some.
const MAX_ADDRESSES: usize = 32;

/// An SSRC that is sent on a link.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SentSsrc {
    pub(crate) ssrc: u32,
    pub(crate) feed: FeedId,
    pub(crate) encoding: u8,
    pub(crate) rtx: bool,
}

/// A sender report that left.
#[derive(Debug, Clone, Copy)]
struct SentReport {
    ssrc: u32,
    compact_ntp: u32,
    at: u64,
}

/// Packets and bytes.
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
pub(crate) struct Link {
    /// Its peer only watches.
    visitor: bool,
    negotiated: Negotiated,
    /// Apart: much of it, which media seldom touches.
    pub(crate) transport: Box<Transport>,
    inbound: Option<Inbound>,
    feeds: Vec<FeedId>,
    ssrcs: Vec<SentSsrc>,
    force_mute_audio: bool,
    force_mute_video: bool,
    /// Packets of it that carried transport-wide numbers.
    pub(crate) recorder: Recorder,
    /// Of a peer that has to be told what its path carries.
    remb: Option<Box<Remb>>,
    next_feedback: u64,
    next_report: u64,
    sent_reports: VecDeque<SentReport>,
    rtt: Option<u64>,
    created: u64,
    last_media: Option<u64>,
    active: bool,
    media_noted: bool,
    total: Traffic,
    window: Traffic,
    /// Seconds for which it still counts as one that sends all the time.
    lively: u8,
    fir_seq: u8,
    pub(crate) scheduled: Scheduled,
    /// User fragments and addresses by which its datagrams are found.
    pub(crate) ufrags: Vec<String>,
    addresses: Vec<SocketAddr>,
}

impl Link {
    /// A link whose transport was made. `visitor`: its peer only watches. `active`: it is not known to be silent. `limits` of
    /// an estimate.
    pub(crate) fn new(
        negotiated: Negotiated,
        transport: Transport,
        now: u64,
        (visitor, active): (bool, bool),
        limits: bwe::Config,
    ) -> Self {
        let mut link = Self {
            visitor,
            negotiated,
            transport: Box::new(transport),
            inbound: None,
            feeds: Vec::new(),
            ssrcs: Vec::new(),
            force_mute_audio: false,
            force_mute_video: false,
            recorder: Recorder::new(),
            remb: None,
            next_feedback: 0,
            next_report: 0,
            sent_reports: VecDeque::new(),
            rtt: None,
            created: now,
            last_media: None,
            active,
            media_noted: false,
            total: Traffic::default(),
            window: Traffic::default(),
            lively: 0,
            fir_seq: 0,
            scheduled: Scheduled::default(),
            ufrags: Vec::new(),
            addresses: Vec::new(),
        };
        link.review_estimate(limits);
        link
    }

    /// Estimates what the path from its peer carries, or no longer, by what was negotiated.
    pub(crate) fn review_estimate(&mut self, limits: bwe::Config) {
        let wanted = self.negotiated.wants_estimates();
        let known = self.remb.take().filter(|_| wanted);
        self.remb = known.or_else(|| wanted.then(|| Box::new(Remb::new(limits))));
    }

    /// Has fetched what its RTCP needs beside the link itself.
    pub(crate) fn fetch_for_rtcp(&self) {
        if let Some(inbound) = &self.inbound {
            inbound.fetch_for_rtcp();
        }
    }

    /// Its peer only watches.
    pub(crate) fn is_visitor(&self) -> bool {
        self.visitor
    }

    pub(crate) fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    /// Something is heard from it.
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    /// The feeds it publishes.
    pub(crate) fn feeds(&self) -> &[FeedId] {
        &self.feeds
    }

    /// All SSRCs it sends.
    pub(crate) fn ssrcs(&self) -> impl Iterator<Item = u32> + '_ {
        self.ssrcs.iter().map(|s| s.ssrc)
    }

    /// Sets what it publishes.
    pub(crate) fn publish(&mut self, feeds: Vec<FeedId>, ssrcs: Vec<SentSsrc>) {
        self.feeds = feeds;
        self.ssrcs = ssrcs;
    }

    /// Takes what signalling changes; whether something was negotiated anew.
    pub(crate) fn update(&mut self, update: &EndpointUpdate) -> bool {
        if let Some(payload_types) = &update.payload_types {
            let extensions = update.header_extensions.as_deref().unwrap_or_default();
            self.negotiated = Negotiated::new(payload_types, extensions);
        }
        self.force_mute_audio = update.force_mute_audio.unwrap_or(self.force_mute_audio);
        self.force_mute_video = update.force_mute_video.unwrap_or(self.force_mute_video);
        update.payload_types.is_some()
    }

    /// Whether the focus has muted it.
    pub(crate) fn is_muted(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Audio => self.force_mute_audio,
            MediaKind::Video => self.force_mute_video,
        }
    }

    /// Whether keys were agreed on.
    pub(crate) fn was_connected(&self) -> bool {
        self.inbound.is_some()
    }

    /// Sets the keys of what it sends.
    pub(crate) fn set_keys(&mut self, inbound: Inbound) {
        self.inbound = Some(inbound);
    }

    /// What it sends under an SSRC.
    pub(crate) fn find_ssrc(&self, ssrc: u32) -> Option<SentSsrc> {
        self.ssrcs.iter().find(|s| s.ssrc == ssrc).copied()
    }

    /// Remembers an address of it; `false` where it has too many.
    pub(crate) fn add_address(&mut self, address: SocketAddr) -> bool {
        let room = self.addresses.len() < MAX_ADDRESSES;
        if room {
            self.addresses.push(address);
        }
        room
    }

    /// Its addresses.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Authenticates and decrypts an RTP packet in place; its length.
    pub(crate) fn decrypt_rtp(
        &mut self,
        cx: &Context<'_>,
        path: (SocketAddr, SocketAddr),
        datagram: &mut [u8],
    ) -> Result<usize, DropReason> {
        self.decrypt(cx, path, datagram, Inbound::unprotect_rtp)
    }

    /// The same for an RTCP compound.
    pub(crate) fn decrypt_rtcp(
        &mut self,
        cx: &Context<'_>,
        path: (SocketAddr, SocketAddr),
        datagram: &mut [u8],
    ) -> Result<usize, DropReason> {
        self.decrypt(cx, path, datagram, Inbound::unprotect_rtcp)
    }

    #[inline]
    fn decrypt(
        &mut self,
        cx: &Context<'_>,
        path: (SocketAddr, SocketAddr),
        datagram: &mut [u8],
        unprotect: impl FnOnce(&mut Inbound, &mut [u8]) -> Result<usize, SrtpError>,
    ) -> Result<usize, DropReason> {
        let inbound = self.inbound.as_mut().ok_or(DropReason::NoKeys)?;
        let bytes = datagram.len() as u64;
        let len = unprotect(inbound, datagram).map_err(|_| DropReason::Unauthenticated)?;
        self.received(cx, path, bytes);
        Ok(len)
    }

    /// Authentic media came from a path.
    fn received(&mut self, cx: &Context<'_>, (to, from): (SocketAddr, SocketAddr), bytes: u64) {
        self.last_media = Some(cx.us);
        self.window.packets_received += 1;
        self.window.bytes_received += bytes;
        // Once in a while suffices on the known path; another one is news.
        let known = self.transport.path();
        if !self.media_noted || known.is_none_or(|p| (p.local, p.remote) != (to, from)) {
            self.media_noted = true;
            self.transport.media_received(cx.now, from, to);
        }
    }

    /// Reads header, extensions and source of a plaintext packet, and unwraps RTX.
    pub(crate) fn classify(&mut self, now: u64, packet: &mut [u8]) -> Result<Incoming, DropReason> {
        let header = RtpHeader::parse(packet).map_err(|_| DropReason::Malformed)?;
        let mut record = Record {
            header,
            codec: Codec::Opaque,
            orientation: None,
            audio_level: None,
            descriptor: (0, 0),
            before: None,
        };
        let level = self.read_extensions(now, packet, &mut record);
        let sent = self
            .find_ssrc(header.ssrc.0)
            .ok_or(DropReason::UnknownSsrc)?;
        let mut len = usize::from(header.header_len) + usize::from(header.payload_len);
        let mut payload_type = header.payload_type;
        if let Some(Payload::Rtx { apt }) = self.negotiated.payload_type(payload_type) {
            len = self.unwrap_rtx(packet, &header, sent, apt)?;
            payload_type = apt;
        } else if sent.rtx {
            return Err(DropReason::UnknownPayloadType);
        }
        if let Some(first) = packet.first_mut() {
            // Padding is cut off.
            *first &= !0x20;
        }
        record.header = RtpHeader::parse(packet.get(..len).unwrap_or_default())
            .map_err(|_| DropReason::Malformed)?;
        match self.negotiated.payload_type(payload_type) {
            Some(Payload::Media { kind, codec, .. }) if self.is_known(codec, packet, &record) => {
                Ok(Incoming {
                    feed: sent.feed,
                    encoding: sent.encoding,
                    record,
                    kind,
                    codec,
                    level,
                    retransmitted: sent.rtx,
                    len,
                })
            }
            _ => Err(DropReason::UnknownPayloadType),
        }
    }

    /// Whether what redundant audio carries was negotiated too; true for all else.
    fn is_known(&self, codec: PayloadCodec, packet: &[u8], record: &Record) -> bool {
        if codec != PayloadCodec::Red {
            return true;
        }
        let payload = RtpView::new(packet, record.header);
        let Ok(inner) = rtp::red::primary(payload.payload()) else {
            // The feed says what is wrong with it.
            return true;
        };
        let inner = self.negotiated.payload_type(inner.payload_type);
        matches!(
            inner,
            Some(Payload::Media {
                codec: PayloadCodec::Opus,
                ..
            })
        )
    }

    /// Notes what the extensions say; the audio level, if there is one.
    fn read_extensions(
        &mut self,
        now: u64,
        packet: &[u8],
        record: &mut Record,
    ) -> Option<AudioLevel> {
        let n = &self.negotiated;
        let mut level = None;
        let start = packet.as_ptr() as usize;
        for e in RtpView::new(packet, record.header).extensions() {
            let id = Some(e.id);
            if id == n.transport_cc {
                if let Some(seq) = rtp::ext::transport_seq(e.data) {
                    self.recorder.record(seq, now);
                }
            } else if id == n.abs_send_time
                && let Some(remb) = &mut self.remb
            {
                if let Some(sent) = rtp::ext::abs_send_time(e.data) {
                    remb.packet(now, sent, packet.len());
                }
            } else if id == n.audio_level {
                level = AudioLevel::parse(e.data);
                record.audio_level = e.data.first().copied();
            } else if id == n.orientation {
                record.orientation = e.data.first().copied();
            } else if id == n.descriptor {
                let at = (e.data.as_ptr() as usize).saturating_sub(start);
                record.descriptor = (at as u16, e.data.len() as u16);
            }
        }
        level
    }

    fn unwrap_rtx(
        &self,
        packet: &mut [u8],
        header: &RtpHeader,
        sent: SentSsrc,
        apt: u8,
    ) -> Result<usize, DropReason> {
        let mut ssrcs = self.ssrcs.iter().filter(|_| sent.rtx);
        let primary = ssrcs
            .find(|s| s.feed == sent.feed && s.encoding == sent.encoding && !s.rtx)
            .ok_or(DropReason::UnknownSsrc)?;
        let header_len = usize::from(header.header_len);
        let end = header_len + usize::from(header.payload_len);
        let packet = packet.get_mut(..end).ok_or(DropReason::Malformed)?;
        rtp::rtx::restore_in_place(packet, header_len, apt, primary.ssrc.into())
            .ok_or(DropReason::Padding)
    }

    /// What its transport dropped and saw.
    pub(crate) fn transport_stats(&self) -> rtc::TransportStats {
        self.transport.stats()
    }

    /// Round trip, microseconds: of media reports, else of connectivity checks.
    pub(crate) fn round_trip(&self) -> Option<u64> {
        let checked = || self.transport.stats().rtt;
        self.rtt
            .or_else(|| checked().map(|rtt| rtt.as_micros() as u64))
    }

    /// A sender report left.
    pub(crate) fn note_report(&mut self, ssrc: u32, compact_ntp: u32, at: u64) {
        if self.sent_reports.len() >= REMEMBERED_REPORTS {
            self.sent_reports.pop_front();
        }
        self.sent_reports.push_back(SentReport {
            ssrc,
            compact_ntp,
            at,
        });
    }

    /// A report block came back: measures the round trip (RFC 3550 §6.4.1).
    pub(crate) fn measure(&mut self, now: u64, block: &ReportBlock) {
        if block.last_sr == 0 {
            return;
        }
        let matches = |r: &&SentReport| r.ssrc == block.ssrc.0 && r.compact_ntp == block.last_sr;
        let Some(sent) = self.sent_reports.iter().rev().find(matches) else {
            return;
        };
        let delay = (u64::from(block.delay_since_last_sr) * 1_000_000) >> 16;
        let rtt = now.saturating_sub(sent.at).checked_sub(delay);
        self.rtt = rtt.filter(|r| *r <= MAX_RTT).or(self.rtt);
    }

    /// Whether transport-wide feedback is due; if so it counts as sent.
    pub(crate) fn is_feedback_due(&mut self, now: u64) -> bool {
        let due = now >= self.next_feedback && !self.recorder.is_empty();
        if due {
            self.next_feedback = now + FEEDBACK_INTERVAL;
        }
        due
    }

    /// When transport-wide feedback is due next, if there is any.
    pub(crate) fn feedback_due(&self) -> Option<u64> {
        (!self.recorder.is_empty()).then_some(self.next_feedback)
    }

    /// When the path from the peer is looked at next, if the peer has to be told.
    pub(crate) fn estimate_due(&self) -> Option<u64> {
        self.remb.as_ref().and_then(|remb| remb.due())
    }

    /// What to tell the peer of the path from it, bits per second, if it is time.
    pub(crate) fn take_estimate(&mut self, now: u64) -> Option<u64> {
        let round_trip = self.round_trip();
        self.remb.as_mut()?.take(now, round_trip)
    }

    /// Whether a receiver report is due; if so it counts as sent.
    pub(crate) fn is_report_due(&mut self, now: u64) -> bool {
        let due = now >= self.next_report;
        if due {
            self.next_report = now + REPORT_INTERVAL;
            self.media_noted = false;
        }
        due
    }

    /// The number of the next full intra request (RFC 5104 §4.3.1).
    pub(crate) fn next_fir(&mut self) -> u8 {
        self.fir_seq = self.fir_seq.wrapping_add(1);
        self.fir_seq
    }

    /// Looks whether something is heard from it; `Some` if that changed.
    pub(crate) fn review_activity(&mut self, now: Instant, us: u64) -> Option<bool> {
        let checked = self.transport.last_activity();
        let checked =
            checked.map(|t| us.saturating_sub(now.saturating_duration_since(t).as_micros() as u64));
        let active = match self.last_media.max(checked) {
            Some(last) => us.saturating_sub(last) <= MAX_SILENCE,
            None => us.saturating_sub(self.created) <= FIRST_TRANSFER,
        };
        let changed = active != self.active && !self.visitor;
        if changed {
            self.active = active;
        }
        changed.then_some(active)
    }

    /// Microseconds since it was made.
    pub(crate) fn age(&self, us: u64) -> u64 {
        us.saturating_sub(self.created)
    }

    /// Microseconds since the last sign of life.
    pub(crate) fn silence(&self, now: Instant, us: u64) -> u64 {
        let checked = self.transport.last_activity();
        let age = checked.map(|t| now.saturating_duration_since(t).as_micros() as u64);
        let last = self.created.max(self.last_media.unwrap_or(0));
        us.saturating_sub(last).min(age.unwrap_or(u64::MAX))
    }

    /// Ends a window of counting, in which so many packets and bytes were sent to it; what the window had.
    pub(crate) fn take_window(&mut self, (packets, bytes): (u64, u64)) -> Traffic {
        let mut window = std::mem::take(&mut self.window);
        (window.packets_sent, window.bytes_sent) = (packets, bytes);
        self.total.add(&window);
        self.lively = match window.packets_received >= LIVELY {
            true => LIVELY_FOR,
            false => self.lively.saturating_sub(1),
        };
        window
    }

    /// Whether it sent all the time until a few seconds ago.
    pub(crate) fn was_lively(&self) -> bool {
        self.lively > 0
    }

    /// All packets and bytes so far; the same of what was sent in the current window.
    pub(crate) fn traffic(&self, (packets, bytes): (u64, u64)) -> Traffic {
        let mut traffic = self.total;
        traffic.add(&self.window);
        traffic.packets_sent += packets;
        traffic.bytes_sent += bytes;
        traffic
    }
}
