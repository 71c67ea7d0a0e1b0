//! The way out to one receiver: keys, path, counters, and what waits besides bursts.

use super::arena::{Egress, Run};
use super::bandwidth::{AckedList, Bandwidth};
use super::headers::{Headers, Values};
use super::pacer::{Pacer, Queue};
use super::probing::Probing;
use super::run::Plan;
use super::sent::SentPackets;
use crate::media::negotiated::Negotiated;
use crate::media::packet::{Codec, Filler, Outgoing, Ready};
use crate::media::redundancy;
use crate::media::stats::{DropReason, Stats};
use crate::media::store::Store;
use rtc::srtp::{MAX_OVERHEAD, Outbound};
use rtp::rtcp::Twcc;
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

/// Most retransmissions waiting; more means the host does not flush.
const MAX_PENDING: usize = 2048;
/// RTCP waiting for one receiver, bytes.
const MAX_RTCP: usize = 32 * 1024;
/// Longest packet made here.
const MAX_PACKET: usize = 1500;
/// Longest packet that is usual, for quick sums.
const USUAL_PACKET: u64 = 1250;
/// Video that waits for so long shows that the line is behind, microseconds.
const BEHIND: u64 = 100_000;
/// While a line is trusted, its first pictures leave as if they took so many times as much: all begin with key frames.
const FIRST: u64 = 2;
/// Packets that left since those that feedback is about, or so.
const REPORTED: u16 = 24;
/// What a packet of padding carries, bytes (RFC 3550 §5.1: at most 255).
const PADDING: usize = 224;

/// See the module.
#[derive(Debug)]
pub(crate) struct PeerOut {
    outbound: Option<Outbound>,
    /// Where to send: our address and the peer's.
    path: Option<(SocketAddr, SocketAddr)>,
    /// The last one there was.
    known_path: Option<(SocketAddr, SocketAddr)>,
    headers: Headers,
    line: Line,
    pacer: Pacer,
    /// Video that waits for its turn.
    queue: Queue,
    /// Streams of which video was given up, as it waited too long.
    interrupted: SmallVec<[u32; 4]>,
    /// Retransmissions, and fillers of a probe.
    pending: VecDeque<Outgoing>,
    fillers: Vec<Filler>,
    /// RTCP compounds in plaintext, one behind the other, and their lengths.
    rtcp: Vec<u8>,
    compounds: Vec<u16>,
    packets: u64,
    bytes: u64,
}

/// What is known of the line by what left on it.
#[derive(Debug)]
struct Line {
    /// Next transport-wide sequence number.
    next_seq: u16,
    sent: SentPackets,
    bandwidth: Bandwidth,
    /// A probe on its way.
    probing: Option<Probing>,
}

impl Line {
    /// A packet of audio or video left, with a transport-wide number or without.
    #[inline]
    fn sent(&mut self, now: u64, video: bool, numbered: bool, len: usize) {
        if !video {
            self.bandwidth.sent_audio(len);
        }
        if numbered {
            // What follows a probe would water it down.
            let probing = self.probing.as_mut().filter(|p| !p.is_over(now));
            let probe = probing.map(|probing| {
                probing.sent(len);
                probing.id()
            });
            self.sent.sent(self.next_seq, now, len, probe);
            self.bandwidth.sent(now, len);
            self.next_seq = self.next_seq.wrapping_add(1);
        }
    }
}

/// What writing needs of the shard.
pub(crate) struct Outlet<'a> {
    pub(crate) now: u64,
    pub(crate) store: &'a Store,
    pub(crate) stats: &'a mut Stats,
    /// Even out sizes.
    pub(crate) pad: bool,
    /// How long the oldest packet waited since it arrived; `None` for what the bridge itself made.
    pub(crate) waited: Option<Duration>,
}

impl PeerOut {
    /// A way out that leads nowhere yet. `limits`: where estimates of its bandwidth start and end.
    pub(crate) fn new(negotiated: &Negotiated, limits: bwe::Config, now: u64) -> Self {
        Self {
            outbound: None,
            path: None,
            known_path: None,
            headers: Headers::new(negotiated),
            line: Line {
                next_seq: 0,
                sent: SentPackets::default(),
                bandwidth: Bandwidth::new(negotiated.transport_cc.is_some(), limits, now),
                probing: None,
            },
            pacer: Pacer::default(),
            queue: Queue::default(),
            interrupted: SmallVec::new(),
            pending: VecDeque::new(),
            fillers: Vec::new(),
            rtcp: Vec::new(),
            compounds: Vec::new(),
            packets: 0,
            bytes: 0,
        }
    }

    /// Sets what was negotiated.
    pub(crate) fn negotiate(&mut self, negotiated: &Negotiated, limits: bwe::Config, now: u64) {
        let before = std::mem::replace(&mut self.headers, Headers::new(negotiated));
        if before.is_numbered(true) != self.headers.is_numbered(true) {
            self.line.bandwidth = Bandwidth::new(negotiated.transport_cc.is_some(), limits, now);
        }
    }

    /// What the line carries.
    pub(crate) fn bandwidth(&self) -> &Bandwidth {
        &self.line.bandwidth
    }

    /// The same, to be asked and told.
    pub(crate) fn bandwidth_mut(&mut self) -> &mut Bandwidth {
        &mut self.line.bandwidth
    }

    /// Sets the keys.
    pub(crate) fn set_keys(&mut self, outbound: Outbound) {
        self.outbound = Some(outbound);
    }

    /// Sets our address and the peer's; without them nothing is sent. Whether it is another path than before, and what was
    /// sent lately on that was lost.
    pub(crate) fn set_path(&mut self, now: u64, path: Option<(SocketAddr, SocketAddr)>) -> bool {
        let known = self.known_path;
        self.known_path = path.or(known);
        let is_another = known.is_some() && self.known_path != known;
        let was_cut = is_another && self.line.bandwidth.is_silent(now);
        if is_another {
            self.line.bandwidth.begin_again(now);
            self.pacer = Pacer::default();
            self.set_pace(now, 0, None);
        }
        self.path = path;
        was_cut
    }

    /// Whether something can be sent.
    pub(crate) fn is_connected(&self) -> bool {
        self.outbound.is_some() && self.path.is_some()
    }

    /// Smoothed loss by the peer's feedback, 0 to 1.
    pub(crate) fn loss(&self) -> f64 {
        self.line.sent.loss()
    }

    /// Feedback of the peer about packets that were not sent to it.
    pub(crate) fn feedback_unmatched(&self) -> u64 {
        self.line.sent.unmatched()
    }

    /// Takes packets and bytes sent since the last call.
    pub(crate) fn take_counters(&mut self) -> (u64, u64) {
        (
            std::mem::take(&mut self.packets),
            std::mem::take(&mut self.bytes),
        )
    }

    /// Packets and bytes sent since they were taken last.
    pub(crate) fn counters(&self) -> (u64, u64) {
        (self.packets, self.bytes)
    }

    /// The peer says what arrived of what was sent. `rtt`: the round trip, if it was measured.
    pub(crate) fn feedback(&mut self, now: u64, feedback: &Twcc<'_>, rtt: Option<u64>) {
        let mut acked = AckedList::new();
        self.line
            .sent
            .feedback(now, feedback, |packet| acked.push(packet));
        self.line.bandwidth.feedback(now, &acked, rtt);
    }

    /// A packet is to be sent besides bursts: a retransmission, or video of a replay.
    pub(crate) fn push(&mut self, now: u64, out: Outgoing, stats: &mut Stats) {
        if out.osn.is_none() {
            self.queue.push(now, out);
        } else if self.pending.len() < MAX_PENDING {
            self.pending.push_back(out);
        } else {
            stats.drop(DropReason::QueueFull);
        }
    }

    /// Begins a probe, if there is one to be sent and none on its way; whether one is on its way.
    pub(crate) fn begin_probe(&mut self, now: u64) -> bool {
        let over = self.line.probing.take_if(|p| p.is_over(now));
        if over.is_some_and(|p| !p.is_whole()) {
            self.line.bandwidth.probe_unsent();
        }
        if self.line.probing.is_none() {
            let probe = self.line.bandwidth.poll_probe(now);
            self.line.probing = probe.map(|probe| Probing::new(probe, now));
        }
        self.line.probing.is_some()
    }

    /// Bytes of fillers that the probe on its way takes now.
    pub(crate) fn probe_missing(&self, now: u64) -> u64 {
        let probing = self.line.probing.filter(|p| !p.is_over(now));
        probing.map_or(0, |p| p.missing(now))
    }

    /// A filler for the probe on its way.
    pub(crate) fn push_filler(&mut self, filler: Filler) {
        self.fillers.push(filler);
    }

    /// The line carries what is estimated, or trusted, from now on; `taken`: what video takes of it.
    pub(crate) fn set_pace(&mut self, now: u64, taken: u64, trusted: Option<u64>) {
        let bandwidth = &mut self.line.bandwidth;
        let trusted = trusted.map_or(0, |most| most.min(FIRST * taken));
        let line = bandwidth.target(now).map(|line| line.max(trusted));
        let loss = bandwidth.estimate().map_or(0.0, |e| e.loss_ratio);
        self.pacer.set_line(line, loss);
    }

    /// When something that waits may leave.
    pub(crate) fn due(&self, now: u64) -> Option<u64> {
        let waits = !self.queue.is_empty() || !self.pending.is_empty();
        let paced = waits.then(|| self.pacer.due());
        let probe = self
            .line
            .probing
            .filter(|p| !p.is_over(now))
            .map(|p| p.due(now));
        paced.into_iter().chain(probe).min()
    }

    /// Whether video waits longer than it should.
    #[inline]
    pub(crate) fn is_behind(&self, now: u64) -> bool {
        !self.queue.is_empty() && self.queue.age(now) > BEHIND
    }

    /// Packets that wait, and how long the oldest of them has, microseconds.
    pub(crate) fn waiting(&self, now: u64) -> (usize, u64) {
        (self.queue.len(), self.queue.age(now))
    }

    /// Takes the streams of which video was given up.
    pub(crate) fn take_interrupted(&mut self) -> SmallVec<[u32; 4]> {
        std::mem::take(&mut self.interrupted)
    }

    /// An RTCP compound is to be sent.
    pub(crate) fn push_rtcp(&mut self, compound: &[u8]) {
        let len = u16::try_from(compound.len()).unwrap_or(0);
        if len > 0 && self.rtcp.len() + compound.len() <= MAX_RTCP {
            self.rtcp.extend_from_slice(compound);
            self.compounds.push(len);
        }
    }

    /// Whether something waits besides bursts.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
            || !self.compounds.is_empty()
            || !self.queue.is_empty()
            || !self.fillers.is_empty()
    }

    /// Has fetched what sending needs beside the way out itself.
    #[inline]
    pub(crate) fn fetch(&self) {
        if let Some(outbound) = &self.outbound {
            outbound.fetch();
        }
        self.line.sent.fetch(self.line.next_seq);
    }

    /// Has fetched what the peer's feedback needs beside the way out itself.
    #[inline]
    pub(crate) fn fetch_for_feedback(&self) {
        self.line
            .sent
            .fetch(self.line.next_seq.wrapping_sub(REPORTED));
        self.line.bandwidth.fetch();
    }

    /// Writes what waits, and a burst, into the arena, as far as the pace allows; the rest waits. Whether something does, or
    /// was given up.
    pub(crate) fn flush(
        &mut self,
        outlet: &mut Outlet<'_>,
        burst: &[Ready<'_>],
        egress: &mut Egress,
    ) -> bool {
        if self.is_connected() {
            let before = (egress.datagrams(), egress.used());
            self.write_rtcp(outlet, egress);
            let room = self.pacer.room(outlet.now);
            let idle = self.pending.is_empty() && self.queue.is_empty();
            if idle && burst.len() as u64 * USUAL_PACKET <= room {
                self.write(outlet, burst, egress);
            } else {
                self.write_in_turn(outlet, burst, room, egress);
            }
            let bytes = (egress.used() - before.1) as u64;
            self.pacer.left(outlet.now, bytes);
            if !self.fillers.is_empty() {
                self.write_fillers(outlet, egress);
            }
            self.packets += egress.datagrams() - before.0;
            self.bytes += (egress.used() - before.1) as u64;
        } else {
            self.pending.clear();
            self.queue.clear();
        }
        self.fillers.clear();
        self.rtcp.clear();
        self.compounds.clear();
        let probes = self.line.probing.is_some_and(|p| !p.is_over(outlet.now));
        let waits = !self.queue.is_empty() || !self.pending.is_empty();
        waits || probes || !self.interrupted.is_empty()
    }

    /// Audio first, then retransmissions, then video in the order it came. What finds no room waits.
    #[cold]
    fn write_in_turn(
        &mut self,
        outlet: &mut Outlet<'_>,
        burst: &[Ready<'_>],
        room: u64,
        egress: &mut Egress,
    ) {
        let store = outlet.store;
        let mut room = room;
        let mut list: SmallVec<[Ready<'_>; 64]> =
            burst.iter().filter(|r| !r.out.video).copied().collect();
        let mut fits = |ready: &Ready<'_>| {
            let fits = room > 0;
            let size = u64::from(ready.record.header.payload_len) + 40;
            room = room.saturating_sub(if fits { size } else { 0 });
            fits
        };
        while let Some(out) = self.pending.front().copied() {
            if let Some((bytes, record)) = store.get(out.id) {
                let ready = Ready { out, bytes, record };
                if !fits(&ready) {
                    break;
                }
                list.push(ready);
            } else {
                outlet.stats.drop(DropReason::TooOld);
            }
            self.pending.pop_front();
        }
        if self.queue.is_hopeless(outlet.now, self.pacer.patience()) {
            self.give_up(outlet);
        }
        while let Some(out) = self.queue.front() {
            if let Some((bytes, record)) = store.get(out.id) {
                let ready = Ready { out, bytes, record };
                if !fits(&ready) {
                    break;
                }
                list.push(ready);
            } else {
                outlet.stats.drop(DropReason::TooOld);
            }
            self.queue.pop();
        }
        for ready in burst.iter().filter(|r| r.out.video) {
            if self.queue.is_empty() && fits(ready) {
                list.push(*ready);
            } else {
                self.queue.push(outlet.now, ready.out);
                outlet.stats.paced += 1;
            }
        }
        self.write(outlet, &list, egress);
    }

    /// Video waited so long that what follows is of more use.
    fn give_up(&mut self, outlet: &mut Outlet<'_>) {
        for _ in 0..self.queue.len() {
            outlet.stats.drop(DropReason::Waited);
        }
        for ssrc in self.queue.clear() {
            if !self.interrupted.contains(&ssrc) {
                self.interrupted.push(ssrc);
            }
        }
    }

    /// What a probe is made of leaves at the probe's own pace.
    #[cold]
    fn write_fillers(&mut self, outlet: &mut Outlet<'_>, egress: &mut Egress) {
        let fillers = std::mem::take(&mut self.fillers);
        let store = outlet.store;
        let again = fillers.iter().filter_map(|filler| match filler {
            Filler::Again(out) => {
                let (bytes, record) = store.get(out.id)?;
                Some(Ready {
                    out: *out,
                    bytes,
                    record,
                })
            }
            Filler::Padding { .. } => None,
        });
        let again: SmallVec<[Ready<'_>; 64]> = again.collect();
        outlet.stats.probe_packets += fillers.len() as u64;
        self.write(outlet, &again, egress);
        for filler in &fillers {
            if let Filler::Padding {
                ssrc,
                seq,
                timestamp,
                payload_type,
            } = *filler
            {
                self.write_padding(outlet, (ssrc, seq, timestamp), payload_type, egress);
            }
        }
        self.fillers = fillers;
    }

    fn write_padding(
        &mut self,
        outlet: &mut Outlet<'_>,
        numbers: (u32, u16, u32),
        media: u8,
        egress: &mut Egress,
    ) {
        let (Some(outbound), Some(path)) = (self.outbound.as_mut(), self.path) else {
            return;
        };
        let values = Values {
            transport_seq: self.line.next_seq,
            now: outlet.now,
            redundant: false,
        };
        let room = egress.room(MAX_PACKET + MAX_OVERHEAD);
        let Some(header_len) = self.headers.write_padding(numbers, media, values, room) else {
            return;
        };
        let end = header_len + PADDING;
        pad(room, header_len, end);
        let (ssrc, seq, _) = numbers;
        match outbound.protect(room, header_len, end, ssrc, seq) {
            Ok(len) => {
                let mut written = Written::new(egress);
                egress.advance(len);
                written.note(len);
                written.finish(path, outlet, egress);
                self.line.sent(outlet.now, true, true, len);
            }
            Err(_) => outlet.stats.drop(DropReason::Protect),
        }
    }

    /// Writes packets in runs.
    fn write(&mut self, outlet: &mut Outlet<'_>, ready: &[Ready<'_>], egress: &mut Egress) {
        let (Some(outbound), Some((from, to))) = (self.outbound.as_mut(), self.path) else {
            return;
        };
        let mut rest = ready;
        while !rest.is_empty() {
            let (headers, store) = (&self.headers, outlet.store);
            let plan = Plan::new(rest.iter().map(|r| size(headers, store, r)), outlet.pad);
            let (run, after) = rest.split_at(plan.count.clamp(1, rest.len()));
            rest = after;
            let mut written = Written::new(egress);
            for (at, packet) in run.iter().enumerate() {
                let is_tail = plan.short_end && at + 1 == run.len();
                let segment = if is_tail { 0 } else { plan.segment };
                let values = Values {
                    transport_seq: self.line.next_seq,
                    now: outlet.now,
                    redundant: false,
                };
                let len = write_rtp(headers, (outbound, store), packet, segment, values, egress);
                match len {
                    Ok(len) => {
                        written.note(len);
                        let numbered = headers.is_numbered(packet.out.video);
                        self.line.sent(outlet.now, packet.out.video, numbered, len);
                    }
                    // A hole in the run: what was written so far leaves alone.
                    Err(reason) => {
                        outlet.stats.drop(reason);
                        written.finish((from, to), outlet, egress);
                        written = Written::new(egress);
                    }
                }
            }
            outlet.stats.packets_forwarded += written.count;
            written.finish((from, to), outlet, egress);
        }
    }

    fn write_rtcp(&mut self, outlet: &mut Outlet<'_>, egress: &mut Egress) {
        let (Some(outbound), Some(path)) = (self.outbound.as_mut(), self.path) else {
            return;
        };
        let mut rest = self.rtcp.as_slice();
        let waited = outlet.waited.take();
        for len in &self.compounds {
            let (compound, after) = rest.split_at(usize::from(*len).min(rest.len()));
            rest = after;
            let room = egress.room(compound.len() + MAX_OVERHEAD);
            let Some(slot) = room.get_mut(..compound.len()) else {
                continue;
            };
            slot.copy_from_slice(compound);
            match outbound.protect_rtcp(room, compound.len()) {
                Ok(len) => {
                    let mut written = Written::new(egress);
                    egress.advance(len);
                    written.note(len);
                    written.finish(path, outlet, egress);
                }
                Err(_) => outlet.stats.drop(DropReason::Protect),
            }
        }
        outlet.waited = waited;
    }
}

/// Size of a packet in plaintext, without padding.
#[inline]
fn size(headers: &Headers, store: &Store, ready: &Ready<'_>) -> usize {
    let osn = if ready.out.osn.is_some() { 2 } else { 0 };
    let payload = usize::from(ready.record.header.payload_len);
    let earlier = redundancy::overhead(&redundancy::earlier(store, ready));
    headers.len(&ready.out, ready.record, ready.bytes) + osn + earlier + payload
}

/// Writes and encrypts one packet at the end of the arena, padded to `segment` bytes of plaintext; its length.
#[inline]
fn write_rtp(
    headers: &Headers,
    (outbound, store): (&mut Outbound, &Store),
    ready: &Ready<'_>,
    segment: usize,
    mut values: Values,
    egress: &mut Egress,
) -> Result<usize, DropReason> {
    let Ready { out, bytes, record } = ready;
    let earlier = redundancy::earlier(store, ready);
    values.redundant = !earlier.is_empty();
    let room = egress.room(MAX_PACKET + MAX_OVERHEAD);
    let header_len = headers
        .write(out, record, bytes, values, room)
        .ok_or(DropReason::UnknownPayloadType)?;
    let mut at = header_len;
    if let Some(osn) = out.osn {
        let place = room.get_mut(at..at + 2).ok_or(DropReason::Oversized)?;
        place.copy_from_slice(&osn.to_be_bytes());
        at += 2;
    }
    if values.redundant {
        let place = room.get_mut(at..).unwrap_or_default();
        let written = redundancy::write(&earlier, record.header.payload_type, place);
        at += written.ok_or(DropReason::Oversized)?;
    }
    let start = usize::from(record.header.header_len);
    let payload = bytes
        .get(start..start + usize::from(record.header.payload_len))
        .ok_or(DropReason::Malformed)?;
    let end = at + payload.len();
    if end.max(segment) > MAX_PACKET {
        return Err(DropReason::Oversized);
    }
    let body = room.get_mut(at..end).ok_or(DropReason::Oversized)?;
    body.copy_from_slice(payload);
    match &record.codec {
        Codec::Vp8(vp8) => vp8.rewrite(body, out.picture_id, out.tl0),
        Codec::Vp9(vp9) => vp9.rewrite(body, out.picture_id, out.tl0),
        _ => {}
    }
    if segment > end {
        pad(room, end, segment);
    }
    let len = outbound
        .protect(room, header_len, end.max(segment), out.ssrc, out.seq)
        .map_err(|_| DropReason::Protect)?;
    egress.advance(len);
    Ok(len)
}

/// RTP padding (RFC 3550 §5.1) from `end` to `segment`.
#[inline]
fn pad(room: &mut [u8], end: usize, segment: usize) {
    if let Some((last, zeros)) = room.get_mut(end..segment).and_then(<[u8]>::split_last_mut) {
        zeros.fill(0);
        *last = (segment - end) as u8;
    }
    if let Some(first) = room.first_mut() {
        *first |= 0x20;
    }
}

/// A run as far as it is written.
struct Written {
    offset: usize,
    len: usize,
    segment: usize,
    count: u64,
}

impl Written {
    fn new(egress: &Egress) -> Self {
        Self {
            offset: egress.used(),
            len: 0,
            segment: 0,
            count: 0,
        }
    }

    fn note(&mut self, len: usize) {
        if self.count == 0 {
            self.segment = len;
        }
        self.len += len;
        self.count += 1;
    }

    fn finish(
        &self,
        (from, to): (SocketAddr, SocketAddr),
        outlet: &mut Outlet<'_>,
        egress: &mut Egress,
    ) {
        if self.count == 0 {
            return;
        }
        let run = Run {
            from,
            to,
            offset: self.offset,
            len: self.len,
            segment: self.segment,
            waited: outlet.waited,
        };
        egress.push(run, self.count);
        outlet.stats.runs_sent += 1;
        outlet.stats.packets_sent += self.count;
        outlet.stats.bytes_sent += self.len as u64;
    }
}
