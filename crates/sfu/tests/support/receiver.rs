//! A strict receiver of VP8: repairs loss, decodes only what is decodable, and remembers what was wrong.

use super::{RTX, VP8};
use rtp::RtpView;
use rtp::rtcp::twcc::Recorder;
use rtp::rtcp::{ReportBlock, SenderReport, Writer};
use rtp::seq::Unwrapper;
use sfu::SourceMapEntry;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

#[derive(Clone)]
struct Packet {
    timestamp: u32,
    marker: bool,
    vp8: rtp::vp8::Vp8,
    /// Encoding, packet, packets of the frame, frame.
    tag: (u8, u8, u8, u32),
}

pub struct Stream {
    pub entry: SourceMapEntry,
    /// When the browser has made its receiver.
    ready: Instant,
    numbers: Unwrapper,
    first: Option<u64>,
    packets: BTreeMap<u64, Packet>,
    asked: HashMap<u64, (Instant, u32)>,
    /// Everything below was decoded or given up.
    done: u64,
    decoded_key: bool,
    last_picture: Option<u16>,
    last_tl0: Option<u8>,
    pub last_timestamp: Option<u32>,
    pub decoded: u64,
    pub first_frame: Option<Instant>,
    pub last_frame: Option<Instant>,
    pub encodings: Vec<u8>,
    pub frames: Vec<u32>,
    pub max_temporal_seen: u8,
    pub plis: u32,
    last_pli: Option<Instant>,
    pub problems: Vec<String>,
    pub reports: Vec<(Instant, u64, u32)>,
    received: bool,
}

#[derive(Default)]
pub struct Receiver {
    pub streams: HashMap<u32, Stream>,
    rtx: HashMap<u32, u32>,
    /// How long the client takes to make a receiver after the map.
    pub delay: Duration,
    recorder: Option<Recorder>,
    epoch: Option<Instant>,
    next_report: Option<Instant>,
    pub before_ready: u64,
    pub unknown: u64,
}

impl Receiver {
    pub fn map(&mut self, now: Instant, entries: &[SourceMapEntry]) {
        for entry in entries {
            if let Some(rtx) = entry.rtx {
                self.rtx.insert(rtx, entry.ssrc);
            }
            let old = self.streams.get(&entry.ssrc);
            if old.is_some_and(|s| s.entry == *entry) {
                continue;
            }
            let stream = Stream::new(entry.clone(), now + self.delay);
            self.streams.insert(entry.ssrc, stream);
        }
    }

    /// The stream of a source; of several, as it came anew, the one that shows it.
    pub fn of(&self, source: &str) -> Option<&Stream> {
        let streams = self.streams.values();
        let of_it = streams.filter(|s| s.entry.source.as_str() == source);
        of_it.max_by_key(|s| s.last_frame)
    }

    pub fn problems(&self) -> Vec<&String> {
        self.streams.values().flat_map(|s| &s.problems).collect()
    }

    /// Notes the transport-wide number of a packet.
    pub fn note_number(&mut self, now: Instant, view: &RtpView<'_>) {
        let epoch = *self.epoch.get_or_insert(now);
        if let Some(seq) = view.extension(5).and_then(rtp::ext::transport_seq) {
            let recorder = self.recorder.get_or_insert_with(Recorder::new);
            recorder.record(seq, (now - epoch).as_micros() as u64);
        }
    }

    pub fn receive(&mut self, now: Instant, view: &RtpView<'_>) {
        let mut ssrc = view.ssrc.0;
        let mut seq = view.sequence_number;
        let mut payload = view.payload();
        if view.payload_type == RTX {
            // Without a number it is padding.
            let Some((osn, rest)) = rtp::rtx::unwrap(payload) else {
                return;
            };
            let Some(media) = self.rtx.get(&ssrc) else {
                self.unknown += 1;
                return;
            };
            (ssrc, seq, payload) = (*media, osn, rest);
        } else {
            assert_eq!(view.payload_type, VP8);
        }
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            self.unknown += 1;
            return;
        };
        if now < stream.ready {
            self.before_ready += 1;
            return;
        }
        stream.receive(now, seq, view, payload);
    }

    pub fn sender_report(&mut self, now: Instant, report: &SenderReport<'_>) {
        if let Some(stream) = self.streams.get_mut(&report.ssrc.0) {
            stream
                .reports
                .push((now, report.info.ntp, report.info.rtp_timestamp));
        }
    }

    /// Transport-wide feedback, a compound of its own.
    pub fn transport_feedback(&mut self) -> Option<Vec<u8>> {
        let mut buf = vec![0; 1200];
        let len = self
            .recorder
            .as_mut()?
            .write(1.into(), 2.into(), &mut buf)
            .ok()?;
        buf.truncate(len);
        (len > 0).then_some(buf)
    }

    pub fn feedback(&mut self, now: Instant, writer: &mut Writer<'_>) {
        let report = self.next_report.is_none_or(|t| now >= t);
        if report {
            self.next_report = Some(now + Duration::from_millis(500));
        }
        for (ssrc, stream) in &mut self.streams {
            stream.feedback(now, *ssrc, report, writer);
        }
    }
}

impl Stream {
    fn new(entry: SourceMapEntry, ready: Instant) -> Self {
        Self {
            entry,
            ready,
            numbers: Unwrapper::default(),
            first: None,
            packets: BTreeMap::new(),
            asked: HashMap::new(),
            done: 0,
            decoded_key: false,
            last_picture: None,
            last_tl0: None,
            last_timestamp: None,
            decoded: 0,
            first_frame: None,
            last_frame: None,
            encodings: Vec::new(),
            frames: Vec::new(),
            max_temporal_seen: 0,
            plis: 0,
            last_pli: None,
            problems: Vec::new(),
            reports: Vec::new(),
            received: false,
        }
    }

    fn receive(&mut self, now: Instant, seq: u16, view: &RtpView<'_>, payload: &[u8]) {
        self.received = true;
        let n = self.numbers.unwrap(seq);
        self.first.get_or_insert(n);
        self.asked.remove(&n);
        let vp8 = rtp::vp8::Vp8::parse(payload).unwrap();
        let mut at = usize::from(vp8.len);
        if vp8.start_of_frame() {
            at += if vp8.key_frame { 10 } else { 3 };
        }
        let t = &payload[at..at + 7];
        let tag = (
            t[0],
            t[1],
            t[2],
            u32::from_be_bytes([t[3], t[4], t[5], t[6]]),
        );
        let packet = Packet {
            timestamp: view.timestamp,
            marker: view.marker,
            vp8,
            tag,
        };
        if let Some(old) = self.packets.get(&n) {
            if old.tag != packet.tag {
                self.problems
                    .push(format!("number {n} twice: {:?} {:?}", old.tag, packet.tag));
            }
            return;
        }
        self.packets.insert(n, packet);
        self.decode(now);
        while self.packets.len() > 3000 {
            self.packets.pop_first();
        }
    }

    /// Decodes complete frames in order, from where decoding stands.
    fn decode(&mut self, now: Instant) {
        loop {
            // A key frame further on may be started from if what is before it is missing.
            let next = if self.decoded_key {
                self.frame_at(self.done)
            } else {
                None
            };
            let jump = || {
                let keys = self.packets.range(self.done..);
                let keys = keys.filter(|(_, p)| p.vp8.key_frame).map(|(n, _)| *n);
                keys.filter_map(|n| self.frame_at(n)).next()
            };
            let Some((start, end)) = next.or_else(jump) else {
                return;
            };
            self.take(now, start, end);
        }
    }

    /// A complete frame that starts at exactly `start`.
    fn frame_at(&self, start: u64) -> Option<(u64, u64)> {
        let first = self.packets.get(&start)?;
        if !first.vp8.start_of_frame() {
            return None;
        }
        let mut n = start;
        loop {
            let p = self.packets.get(&n)?;
            if p.marker {
                return Some((start, n));
            }
            n += 1;
        }
    }

    fn take(&mut self, now: Instant, start: u64, end: u64) {
        let frame: Vec<Packet> = self
            .packets
            .range(start..=end)
            .map(|(_, p)| p.clone())
            .collect();
        let first = &frame[0];
        let (encoding, _, count, number) = first.tag;
        let mut say = |what: String| {
            self.problems
                .push(format!("{start}..{end} frame {number}: {what}"))
        };
        if frame.len() != usize::from(count) {
            say(format!("{} packets of {count}", frame.len()));
        }
        for (i, p) in frame.iter().enumerate() {
            if p.tag != (encoding, i as u8, count, number) || p.timestamp != first.timestamp {
                say(format!("packet {i} is {:?}", p.tag));
            }
            if p.vp8.picture_id != first.vp8.picture_id
                || p.vp8.tl0_pic_idx != first.vp8.tl0_pic_idx
            {
                say(format!("packet {i} has another picture id"));
            }
        }
        let picture = first.vp8.picture_id.unwrap().0;
        if let Some(last) = self.last_picture {
            let step = picture.wrapping_sub(last) & 0x7FFF;
            if !first.vp8.key_frame && step != 1 {
                say(format!("picture id {picture} after {last}"));
            }
            if step == 0 || step > 1000 {
                say(format!("picture id {picture} goes back from {last}"));
            }
        }
        if let Some(last) = self.last_timestamp
            && rtp::seq::diff32(first.timestamp, last) <= 0
        {
            say(format!("timestamp {} after {last}", first.timestamp));
        }
        let tid = first.vp8.temporal_id.unwrap_or(0);
        let tl0 = first.vp8.tl0_pic_idx.unwrap();
        if let Some(last) = self.last_tl0 {
            let expected = if tid == 0 { last.wrapping_add(1) } else { last };
            if tl0 != expected && !first.vp8.key_frame {
                say(format!("TL0PICIDX {tl0}, expected {expected}"));
            }
        }
        if !first.vp8.key_frame && self.encodings.last() != Some(&encoding) {
            say(format!("encoding {encoding} without a key frame"));
        }
        self.last_picture = Some(picture);
        self.last_tl0 = Some(tl0);
        self.last_timestamp = Some(first.timestamp);
        self.max_temporal_seen = self.max_temporal_seen.max(tid);
        self.decoded_key = true;
        self.decoded += 1;
        self.first_frame.get_or_insert(now);
        self.last_frame = Some(now);
        self.encodings.push(encoding);
        self.frames.push(number);
        self.done = end + 1;
    }

    fn feedback(&mut self, now: Instant, ssrc: u32, report: bool, writer: &mut Writer<'_>) {
        if !self.received {
            return;
        }
        let highest = self.numbers.highest().unwrap();
        // Chromium asks for a key frame while it has none, and when it is stuck.
        let stuck = self
            .last_frame
            .is_none_or(|t| now - t > Duration::from_millis(300));
        let quiet = self
            .last_pli
            .is_none_or(|t| now - t > Duration::from_millis(200));
        if (!self.decoded_key || stuck) && quiet {
            self.last_pli = Some(now);
            self.plis += 1;
            writer.pli(9.into(), ssrc.into()).unwrap();
        }
        let from = self
            .done
            .max(self.first.unwrap_or(0))
            .max(highest.saturating_sub(500));
        let lost = (from..highest).filter(|n| !self.packets.contains_key(n));
        let mut ask = Vec::new();
        for n in lost {
            let entry = self
                .asked
                .entry(n)
                .or_insert((now - Duration::from_secs(1), 0));
            if now - entry.0 >= Duration::from_millis(50) && entry.1 < 10 {
                *entry = (now, entry.1 + 1);
                ask.push(n as u16);
            }
        }
        let _ = writer.nack(9.into(), ssrc.into(), &ask);
        if report {
            let block = ReportBlock {
                ssrc: ssrc.into(),
                fraction_lost: 0,
                cumulative_lost: 0,
                highest_seq: (highest - 65_536) as u32,
                jitter: 0,
                last_sr: 0,
                delay_since_last_sr: 0,
            };
            // What does not fit has its turn next time.
            let _ = writer.receiver_report(9.into(), &[block]);
        }
    }
}
