//! The way out to one receiver: keys, path, counters, and what waits besides bursts.

use super::arena::{Egress, Run};
use super::headers::{Headers, Values};
use super::run::Plan;
use super::sent::SentPackets;
use crate::media::negotiated::Negotiated;
use crate::media::packet::{Codec, Outgoing, Ready};
use crate::media::redundancy;
use crate::media::stats::{DropReason, Stats};
use crate::media::store::Store;
use rtc::srtp::{MAX_OVERHEAD, Outbound};
use rtp::rtcp::Twcc;
use smallvec::SmallVec;
use std::net::SocketAddr;
use std::time::Duration;

/// Most packets waiting besides bursts; more means the host does not flush.
const MAX_PENDING: usize = 2048;
/// RTCP waiting for one receiver, bytes.
const MAX_RTCP: usize = 32 * 1024;
/// Longest packet made here.
const MAX_PACKET: usize = 1500;

/// See the module.
#[derive(Debug)]
pub(crate) struct PeerOut {
    outbound: Option<Outbound>,
    /// Where to send: our address and the peer's.
    path: Option<(SocketAddr, SocketAddr)>,
    headers: Headers,
    next_transport_seq: u16,
    sent: SentPackets,
    /// Retransmissions and replays.
    pending: Vec<Outgoing>,
    /// RTCP compounds in plaintext, one behind the other, and their lengths.
    rtcp: Vec<u8>,
    compounds: Vec<u16>,
    packets: u64,
    bytes: u64,
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
    pub(crate) fn new(negotiated: &Negotiated) -> Self {
        Self {
            outbound: None,
            path: None,
            headers: Headers::new(negotiated),
            next_transport_seq: 0,
            sent: SentPackets::default(),
            pending: Vec::new(),
            rtcp: Vec::new(),
            compounds: Vec::new(),
            packets: 0,
            bytes: 0,
        }
    }

    /// Sets what was negotiated.
    pub(crate) fn negotiate(&mut self, negotiated: &Negotiated) {
        self.headers = Headers::new(negotiated);
    }

    /// Sets the keys.
    pub(crate) fn set_keys(&mut self, outbound: Outbound) {
        self.outbound = Some(outbound);
    }

    /// Sets our address and the peer's; without them nothing is sent.
    pub(crate) fn set_path(&mut self, path: Option<(SocketAddr, SocketAddr)>) {
        self.path = path;
    }

    /// Whether something can be sent.
    pub(crate) fn is_connected(&self) -> bool {
        self.outbound.is_some() && self.path.is_some()
    }

    /// Smoothed loss by the peer's feedback, 0 to 1.
    pub(crate) fn loss(&self) -> f64 {
        self.sent.loss()
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

    /// The peer says what arrived of what was sent. A bandwidth estimator takes what this yields.
    pub(crate) fn feedback(&mut self, feedback: &Twcc<'_>) {
        self.sent.feedback(feedback, |_| {});
    }

    /// A packet is to be sent besides bursts.
    pub(crate) fn push(&mut self, out: Outgoing, stats: &mut Stats) {
        if self.pending.len() < MAX_PENDING {
            self.pending.push(out);
        } else {
            stats.drop(DropReason::QueueFull);
        }
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
        !self.pending.is_empty() || !self.compounds.is_empty()
    }

    /// Writes what waits, and a burst, into the arena.
    pub(crate) fn flush(
        &mut self,
        outlet: &mut Outlet<'_>,
        burst: &[Ready<'_>],
        egress: &mut Egress,
    ) {
        if self.is_connected() {
            let before = (egress.datagrams(), egress.used());
            self.write_rtcp(outlet, egress);
            self.write_pending(outlet, egress);
            self.write(outlet, burst, egress);
            self.packets += egress.datagrams() - before.0;
            self.bytes += (egress.used() - before.1) as u64;
        }
        self.pending.clear();
        self.rtcp.clear();
        self.compounds.clear();
    }

    fn write_pending(&mut self, outlet: &mut Outlet<'_>, egress: &mut Egress) {
        if self.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        let store = outlet.store;
        let ready: SmallVec<[Ready<'_>; 64]> = pending
            .iter()
            .filter_map(|out| {
                let (bytes, record) = store.get(out.id)?;
                let out = *out;
                Some(Ready { out, bytes, record })
            })
            .collect();
        for _ in ready.len()..pending.len() {
            outlet.stats.drop(DropReason::TooOld);
        }
        self.write(outlet, &ready, egress);
        self.pending = pending;
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
                    transport_seq: self.next_transport_seq,
                    now: outlet.now,
                    redundant: false,
                };
                let len = write_rtp(headers, (outbound, store), packet, segment, values, egress);
                match len {
                    Ok(len) => {
                        written.note(len);
                        if packet.out.video {
                            self.sent.sent(self.next_transport_seq, outlet.now, len);
                            self.next_transport_seq = self.next_transport_seq.wrapping_add(1);
                        }
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
