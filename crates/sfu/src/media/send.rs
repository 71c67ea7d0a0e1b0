//! The way out of one endpoint: packets wait for the rest of their burst, then are written, encrypted and grouped into
//! runs of equal size.

use super::congestion::SentPackets;
use super::egress::{Egress, Run};
use super::endpoint::{Negotiated, Payload};
use super::stats::{DropReason, Stats};
use super::store::{Codec, PacketId, Record, Store};
use rtc::srtp::{MAX_OVERHEAD, Outbound};
use rtp::ext::Extension;
use rtp::{Rewrite, RtpView};
use std::net::SocketAddr;

/// Most packets waiting; more means the host does not flush.
const MAX_PENDING: usize = 4096;
/// A burst is flushed at this many packets even if more input is there.
const FULL_BURST: usize = 48;
/// Most segments of one GSO send, and most bytes (below 2^16 with headers).
const MAX_SEGMENTS: usize = 60;
const MAX_RUN: usize = 60_000;
/// Padding that may even out sizes.
const MAX_PADDING: usize = 2;
/// RTCP waiting for one endpoint.
const MAX_RTCP: usize = 64;
/// Longest packet made here.
const MAX_PACKET: usize = 1500;

/// How one packet leaves; its bytes are in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) id: PacketId,
    pub(crate) ssrc: u32,
    pub(crate) seq: u16,
    pub(crate) timestamp: u32,
    pub(crate) picture_id: u16,
    pub(crate) tl0: u8,
    /// Original sequence number: this is a retransmission on the RTX stream.
    pub(crate) osn: Option<u16>,
    pub(crate) video: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct SendQueue {
    /// Video while packets come in; in a flush, audio behind it.
    pending: Vec<Pending>,
    audio: Vec<Pending>,
    since: u64,
    /// RTCP compounds in plaintext.
    rtcp: Vec<Vec<u8>>,
    sizes: Vec<u16>,
    next_transport_seq: u16,
    pub(crate) sent: SentPackets,
    pub(crate) in_dirty_list: bool,
}

/// What a flush needs of the endpoint and the shard.
pub(crate) struct Outlet<'a> {
    pub(crate) now: u64,
    pub(crate) path: (SocketAddr, SocketAddr),
    pub(crate) outbound: &'a mut Outbound,
    pub(crate) negotiated: &'a Negotiated,
    pub(crate) store: &'a Store,
    pub(crate) stats: &'a mut Stats,
    pub(crate) pad: bool,
}

impl SendQueue {
    pub(crate) fn push(&mut self, now: u64, pending: Pending, stats: &mut Stats) {
        if self.is_empty() {
            self.since = now;
        }
        let queue = if pending.video {
            &mut self.pending
        } else {
            &mut self.audio
        };
        if queue.len() >= MAX_PENDING {
            stats.drop(DropReason::QueueFull);
            return;
        }
        queue.push(pending);
    }

    pub(crate) fn push_rtcp(&mut self, compound: &[u8]) {
        if !compound.is_empty() && self.rtcp.len() < MAX_RTCP {
            self.rtcp.push(compound.to_vec());
        }
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.audio.is_empty()
    }

    /// Whether something may leave now. `drained`: no more input is there to wait for.
    pub(crate) fn is_ready(&self, now: u64, drained: bool, window: u64) -> bool {
        !self.rtcp.is_empty()
            || (!self.is_empty()
                && (drained
                    || self.pending.len() + self.audio.len() >= FULL_BURST
                    || now.saturating_sub(self.since) >= window))
    }

    /// When the oldest packet has waited for its burst long enough.
    pub(crate) fn deadline(&self, window: u64) -> Option<u64> {
        (!self.is_empty()).then(|| self.since + window)
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
        self.audio.clear();
        self.rtcp.clear();
    }

    /// Writes everything into the arena; datagrams and bytes written.
    pub(crate) fn flush(&mut self, out: &mut Outlet<'_>, egress: &mut Egress) -> (u64, u64) {
        let before = (egress.datagrams(), egress.used());
        for compound in self.rtcp.drain(..) {
            write_rtcp(&compound, out, egress);
        }
        // Small packets go last, where one can ride as the shorter end of a run.
        self.pending.append(&mut self.audio);
        self.sizes.clear();
        self.sizes
            .extend(self.pending.iter().map(|p| plain_len(p, out).unwrap_or(0)));
        let mut at = 0;
        while at < self.pending.len() {
            at = self.write_run(at, out, egress);
        }
        self.pending.clear();
        (
            egress.datagrams() - before.0,
            (egress.used() - before.1) as u64,
        )
    }

    /// Writes one run from the packet at `from` on; the index after it.
    fn write_run(&mut self, from: usize, out: &mut Outlet<'_>, egress: &mut Egress) -> usize {
        let (len, count, last_smaller) = self.plan(from, out.pad);
        let mut run = RunBuilder::new(egress);
        for (i, (pending, size)) in self
            .pending
            .iter()
            .zip(&self.sizes)
            .enumerate()
            .skip(from)
            .take(count)
        {
            let is_tail = last_smaller && i + 1 == from + count;
            let padding = if is_tail {
                0
            } else {
                (len - usize::from(*size)) as u8
            };
            let transport_seq = pending.video.then_some(self.next_transport_seq);
            match write_rtp(pending, padding, transport_seq, out, egress) {
                Ok(written) => {
                    run.note(written);
                    if pending.video {
                        self.sent.sent(self.next_transport_seq, out.now, written);
                        self.next_transport_seq = self.next_transport_seq.wrapping_add(1);
                    }
                }
                // A hole in the run: what was written so far leaves alone.
                Err(reason) => {
                    out.stats.drop(reason);
                    run.finish(out, egress);
                    run = RunBuilder::new(egress);
                }
            }
        }
        run.finish(out, egress);
        from + count
    }

    /// Size of the segments, number of packets, and whether the last one is shorter than the rest.
    fn plan(&self, from: usize, pad: bool) -> (usize, usize, bool) {
        let first = usize::from(self.sizes.get(from).copied().unwrap_or(0));
        let slack = if pad { MAX_PADDING } else { 0 };
        let (mut min, mut max, mut count) = (first, first, 1);
        for size in self.sizes.iter().skip(from + 1).map(|s| usize::from(*s)) {
            let (low, high) = (min.min(size), max.max(size));
            if count + 1 > MAX_SEGMENTS || (count + 1) * (high + MAX_OVERHEAD) > MAX_RUN {
                return (max, count, false);
            }
            if high - low <= slack {
                (min, max, count) = (low, high, count + 1);
            } else if size < min {
                // The last segment of a GSO send may be shorter.
                return (max, count + 1, true);
            } else {
                return (max, count, false);
            }
        }
        (max, count, false)
    }
}

struct RunBuilder {
    offset: usize,
    len: usize,
    segment: usize,
    count: u64,
}

impl RunBuilder {
    fn new(egress: &Egress) -> Self {
        Self {
            offset: egress.used(),
            len: 0,
            segment: 0,
            count: 0,
        }
    }

    fn note(&mut self, written: usize) {
        if self.count == 0 {
            self.segment = written;
        }
        self.len += written;
        self.count += 1;
    }

    fn finish(&self, out: &mut Outlet<'_>, egress: &mut Egress) {
        if self.count > 0 {
            let (from, to) = out.path;
            egress.push(
                Run {
                    from,
                    to,
                    offset: self.offset,
                    len: self.len,
                    segment: self.segment,
                },
                self.count,
            );
            out.stats.runs_sent += 1;
            out.stats.packets_sent += self.count;
            out.stats.bytes_sent += self.len as u64;
        }
    }
}

fn write_rtcp(compound: &[u8], out: &mut Outlet<'_>, egress: &mut Egress) {
    let room = egress.room(compound.len() + MAX_OVERHEAD);
    let Some(slot) = room.get_mut(..compound.len()) else {
        return;
    };
    slot.copy_from_slice(compound);
    match out.outbound.protect_rtcp(room, compound.len()) {
        Ok(len) => {
            let offset = egress.used();
            egress.advance(len);
            let (from, to) = out.path;
            egress.push(
                Run {
                    from,
                    to,
                    offset,
                    len,
                    segment: len,
                },
                1,
            );
            out.stats.runs_sent += 1;
            out.stats.packets_sent += 1;
            out.stats.bytes_sent += len as u64;
        }
        Err(_) => out.stats.drop(DropReason::Protect),
    }
}

/// Header extensions of a copy: at most four.
struct Extensions<'a> {
    list: [Extension<'a>; 4],
    count: usize,
}

impl<'a> Extensions<'a> {
    fn push(&mut self, id: Option<u8>, data: &'a [u8]) {
        if let (Some(id), Some(slot)) = (id, self.list.get_mut(self.count)) {
            *slot = Extension { id, data };
            self.count += 1;
        }
    }

    fn as_slice(&self) -> &[Extension<'a>] {
        self.list.get(..self.count).unwrap_or_default()
    }

    /// Length of the block as written (RFC 8285).
    fn len(&self) -> usize {
        if self.count == 0 {
            return 0;
        }
        let two_byte = self
            .as_slice()
            .iter()
            .any(|e| e.id > 14 || e.data.len() > 16 || e.data.is_empty());
        let data: usize = self
            .as_slice()
            .iter()
            .map(|e| e.data.len() + if two_byte { 2 } else { 1 })
            .sum();
        4 + data.next_multiple_of(4)
    }
}

/// Values that extensions of one packet point to.
#[derive(Default)]
struct Values {
    transport_seq: [u8; 2],
    send_time: [u8; 3],
    byte: [u8; 1],
}

fn extensions<'a>(
    pending: &Pending,
    record: &Record,
    bytes: &'a [u8],
    negotiated: &Negotiated,
    values: &'a Values,
) -> Extensions<'a> {
    let mut list = Extensions {
        list: [Extension { id: 0, data: &[] }; 4],
        count: 0,
    };
    if !pending.video {
        if record.audio_level.is_some() {
            list.push(negotiated.audio_level, &values.byte);
        }
        return list;
    }
    if negotiated.transport_cc.is_some() {
        list.push(negotiated.transport_cc, &values.transport_seq);
    } else {
        list.push(negotiated.abs_send_time, &values.send_time);
    }
    if record.orientation.is_some() {
        list.push(negotiated.orientation, &values.byte);
    }
    let (at, len) = (
        usize::from(record.descriptor.0),
        usize::from(record.descriptor.1),
    );
    if len > 0
        && let Some(data) = bytes.get(at..at + len)
    {
        list.push(negotiated.descriptor, data);
    }
    list
}

/// Length of the plaintext copy without padding.
fn plain_len(pending: &Pending, out: &Outlet<'_>) -> Option<u16> {
    let (bytes, record) = out.store.get(pending.id)?;
    let values = Values::default();
    let extensions = extensions(pending, record, bytes, out.negotiated, &values).len();
    let osn = if pending.osn.is_some() { 2 } else { 0 };
    u16::try_from(12 + extensions + osn + usize::from(record.header.payload_len)).ok()
}

/// Writes and encrypts one packet at the end of the arena; its length.
fn write_rtp(
    pending: &Pending,
    padding: u8,
    transport_seq: Option<u16>,
    out: &mut Outlet<'_>,
    egress: &mut Egress,
) -> Result<usize, DropReason> {
    let (bytes, record) = out.store.get(pending.id).ok_or(DropReason::TooOld)?;
    let payload_type = match pending.osn {
        None => record.header.payload_type,
        Some(_) => match out.negotiated.payload_type(record.header.payload_type) {
            Some(Payload::Media { rtx: Some(rtx), .. }) => rtx,
            _ => return Err(DropReason::UnknownPayloadType),
        },
    };
    let values = Values {
        transport_seq: transport_seq.unwrap_or(0).to_be_bytes(),
        send_time: rtp::ext::abs_send_time_from_micros(out.now),
        byte: [record.orientation.or(record.audio_level).unwrap_or(0)],
    };
    let extensions = extensions(pending, record, bytes, out.negotiated, &values);
    let rewrite = Rewrite {
        sequence_number: pending.seq,
        timestamp: pending.timestamp,
        ssrc: pending.ssrc.into(),
        payload_type,
        marker: record.header.marker,
        extensions: extensions.as_slice(),
        rtx_osn: pending.osn,
        vp8: match record.codec {
            Codec::Vp8(vp8) => Some((vp8, pending.picture_id, pending.tl0)),
            _ => None,
        },
        padding,
    };
    let room = egress.room(MAX_PACKET + MAX_OVERHEAD);
    let plain = rtp::write_packet(&RtpView::new(bytes, record.header), &rewrite, room);
    let plain = plain.map_err(|_| DropReason::Oversized)?;
    if let Codec::Vp9(vp9) = record.codec {
        let payload = plain - usize::from(padding) - usize::from(record.header.payload_len);
        if let Some(payload) = room.get_mut(payload..plain) {
            vp9.rewrite(payload, pending.picture_id, pending.tl0);
        }
    }
    let len = out
        .outbound
        .protect_rtp(room, plain)
        .map_err(|_| DropReason::Protect)?;
    egress.advance(len);
    out.stats.packets_forwarded += 1;
    Ok(len)
}
