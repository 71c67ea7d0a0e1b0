//! Counts the frames of one source that a decoder could have shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::media::{FrameHead, PacketInfo, read_packet};

/// Packets of incomplete frames that are remembered.
const MAX_PACKETS: usize = 4_096;
/// Complete frames that may wait for an earlier one.
const MAX_WAITING: usize = 512;

/// Frames by which what comes on one session is at most behind what comes on another one.
const RECENT: u32 = 60;
/// Without a decoded frame for this long, a decoder gives up waiting for repairs.
const STALLED: Duration = Duration::from_millis(500);
/// A picture that changed so lately moves.
const MOVING: Duration = Duration::from_secs(1);

/// What arrived of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceStats {
    /// Packets, repaired ones included.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Frames of which every packet arrived.
    pub complete: u64,
    /// Frames a decoder could have shown: complete, after a key frame, none missing in between.
    pub decoded: u64,
    /// Key frames among the decoded ones.
    pub key_frames: u64,
    /// When the first frame was decoded.
    pub first_at: Option<Instant>,
    /// When the last frame was decoded.
    pub last_at: Option<Instant>,
    /// Number, at the camera, of the last frame decoded.
    pub last_frame: Option<u32>,
    /// Frames of the camera that were never decoded although later ones were.
    pub skipped: u64,
    /// Decoded frames that another process sent: their delay is not known.
    pub undated: u64,
    /// Simulcast layer of the last frame decoded.
    pub layer: Option<u8>,
    /// Longest time between two decoded frames.
    pub longest_gap: Duration,
}

impl SourceStats {
    /// What is shown from now on is what came on another session, of which these are the figures.
    pub(crate) fn go_on_with(&mut self, other: &Self) {
        let (Some(ours), Some(theirs)) = (self.last_frame, other.last_frame) else {
            self.last_frame = self.last_frame.or(other.last_frame);
            return;
        };
        if theirs > ours {
            self.decoded += u64::from(theirs - ours);
            self.last_frame = Some(theirs);
            self.last_at = other.last_at;
        }
        self.layer = other.layer;
    }
}

/// What a participant has sent and received, over all its sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// RTP packets sent, without resends.
    pub sent_packets: u64,
    /// Bytes of their payloads.
    pub sent_bytes: u64,
    /// Video packets received, repaired ones included.
    pub video_packets: u64,
    /// Bytes of their payloads.
    pub video_bytes: u64,
    /// Audio packets received.
    pub audio_packets: u64,
    /// Bytes of their payloads.
    pub audio_bytes: u64,
    /// Packets missing between others of their streams, those that came late not counted.
    pub lost: u64,
}

impl Tally {
    /// Packets received.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.video_packets + self.audio_packets
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.each(other, u64::saturating_add)
    }

    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        self.each(before, u64::saturating_sub)
    }

    fn each(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self {
            sent_packets: with(self.sent_packets, other.sent_packets),
            sent_bytes: with(self.sent_bytes, other.sent_bytes),
            video_packets: with(self.video_packets, other.video_packets),
            video_bytes: with(self.video_bytes, other.video_bytes),
            audio_packets: with(self.audio_packets, other.audio_packets),
            audio_bytes: with(self.audio_bytes, other.audio_bytes),
            lost: with(self.lost, other.lost),
        }
    }
}

/// What is missing of one RTP stream.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gaps {
    highest: Option<u64>,
    missing: u64,
}

impl Gaps {
    /// The sequence number next to the highest one, unwrapped.
    pub(crate) fn unwrap(&self, seq: u16) -> u64 {
        let Some(highest) = self.highest else {
            // Room for those that come late.
            return u64::from(seq) + (1 << 16);
        };
        let ahead = i64::from(seq.wrapping_sub(highest as u16) as i16);
        highest.saturating_add_signed(ahead)
    }

    /// Takes an unwrapped sequence number, each once; `lost` is kept up to date.
    pub(crate) fn note(&mut self, seq: u64, lost: &mut u64) {
        match self.highest {
            Some(highest) if seq <= highest => {
                if self.missing > 0 {
                    self.missing -= 1;
                    *lost = lost.saturating_sub(1);
                }
            }
            highest => {
                let skipped = highest.map_or(0, |highest| seq - highest - 1);
                self.missing += skipped;
                *lost += skipped;
                self.highest = Some(seq);
            }
        }
    }
}

/// Assembles the packets of one RTP stream.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    packets: BTreeMap<u64, (u32, bool, PacketInfo)>,
    /// Complete frames by extended picture id, waiting for the one before.
    waiting: BTreeMap<u64, FrameHead>,
    last_picture: Option<u64>,
    last_decoded: Option<Instant>,
    /// Stamps of the frames decoded since they were last taken.
    pub(crate) stamps: Vec<u64>,
    seen: BTreeSet<u64>,
    /// What is older than the last frame shown was shown as it came on another session.
    goes_on: bool,
}

impl Assembler {
    /// What it decodes is shown from now on, in place of what came on another session.
    pub(crate) fn go_on(&mut self) {
        self.goes_on = true;
    }

    /// Whether its picture moves.
    pub(crate) fn moves(&self, now: Instant) -> bool {
        self.last_decoded.is_some_and(|at| at + MOVING >= now)
    }

    /// Whether a decoder would ask for a key frame: nothing decoded yet, or nothing for long although frames arrive.
    pub(crate) fn lacks_picture(&self, now: Instant) -> bool {
        self.last_decoded
            .is_none_or(|at| !self.waiting.is_empty() && at + STALLED < now)
    }

    /// Takes a packet; frames that became decodable are counted in `stats`.
    pub(crate) fn receive(
        &mut self,
        now: Instant,
        seq: u64,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        stats: &mut SourceStats,
    ) {
        let Some(info) = read_packet(payload) else {
            return;
        };
        stats.packets += 1;
        stats.bytes += payload.len() as u64;
        self.packets.insert(seq, (timestamp, marker, info));
        while self.packets.len() > MAX_PACKETS {
            self.packets.pop_first();
        }
        if let Some((picture, head)) = self.complete(seq) {
            if self.seen.insert(picture) {
                stats.complete += 1;
                self.waiting.insert(picture, head);
                self.decode(now, stats);
            }
            while self.seen.len() > MAX_PACKETS {
                self.seen.pop_first();
            }
        }
    }

    /// The frame that the packet `seq` belongs to, if all its packets are here.
    fn complete(&mut self, seq: u64) -> Option<(u64, FrameHead)> {
        let timestamp = self.packets.get(&seq)?.0;
        let same = |seq: &u64| self.packets.get(seq).filter(|p| p.0 == timestamp);
        let mut first = seq;
        while !same(&first)?.2.start {
            first = first.checked_sub(1)?;
        }
        let mut last = seq;
        while !same(&last)?.1 {
            last += 1;
        }
        let info = self.packets.get(&first)?.2;
        let picture = self.extend(info.picture_id?);
        for seq in first..=last {
            self.packets.remove(&seq);
        }
        Some((picture, info.head?))
    }

    /// Unwraps a 15-bit picture id next to the last one decoded.
    fn extend(&self, id: u16) -> u64 {
        let id = u64::from(id);
        let Some(last) = self.last_picture else {
            return id + (1 << 15);
        };
        let base = last & !0x7fff;
        [
            base.saturating_sub(1 << 15) + id,
            base + id,
            base + (1 << 15) + id,
        ]
        .into_iter()
        .min_by_key(|candidate| candidate.abs_diff(last))
        .unwrap_or(id)
    }

    fn decode(&mut self, now: Instant, stats: &mut SourceStats) {
        while let Some((&picture, &head)) = self.waiting.first_key_value() {
            let stale = self.last_picture.is_some_and(|last| picture <= last);
            let next = self.last_picture.is_some_and(|last| picture == last + 1);
            if !stale && !next && !head.key {
                // A gap: a later key frame, if there is one, ends it.
                let key = self.waiting.iter().find(|(_, head)| head.key);
                match key.map(|(picture, _)| *picture) {
                    Some(key) => self.waiting = self.waiting.split_off(&key),
                    None if self.waiting.len() > MAX_WAITING => {
                        self.waiting.pop_first();
                    }
                    None => return,
                }
                continue;
            }
            self.waiting.pop_first();
            if !stale {
                self.last_picture = Some(picture);
                self.last_decoded = Some(now);
                // A camera that was begun anew counts from nothing.
                let known = |last: u32| head.frame <= last && last - head.frame < RECENT;
                self.goes_on &= stats.last_frame.is_some_and(known);
                if self.goes_on {
                    continue;
                }
                match head.stamp {
                    Some(stamp) => self.stamps.push(stamp),
                    None => stats.undated += 1,
                }
                count(now, head, stats);
            }
        }
    }
}

fn count(now: Instant, head: FrameHead, stats: &mut SourceStats) {
    stats.decoded += 1;
    stats.key_frames += u64::from(head.key);
    stats.first_at.get_or_insert(now);
    if let Some(last) = stats.last_at.replace(now) {
        stats.longest_gap = stats.longest_gap.max(now.saturating_duration_since(last));
    }
    if let Some(last) = stats.last_frame {
        stats.skipped += u64::from(head.frame.saturating_sub(last).saturating_sub(1));
    }
    // Less than before where the camera was begun anew.
    stats.last_frame = Some(head.frame);
    stats.layer = Some(head.layer);
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant")]
mod tests {
    use super::*;
    use crate::media::{Camera, VideoSpec};

    fn packets(frames: usize) -> Vec<(u64, u32, bool, Vec<u8>)> {
        let start = Instant::now();
        let mut camera = Camera::new(VideoSpec::default(), start);
        let mut all = Vec::new();
        for n in 0..frames {
            let now = start + Duration::from_millis(34 * n as u64);
            let frame = camera.capture(now, 0).pop().unwrap();
            let last = frame.packets.len() - 1;
            for (n, packet) in frame.packets.into_iter().enumerate() {
                all.push((all.len() as u64, frame.timestamp, n == last, packet));
            }
        }
        all
    }

    fn run(packets: impl IntoIterator<Item = (u64, u32, bool, Vec<u8>)>) -> SourceStats {
        let mut assembler = Assembler::default();
        let mut stats = SourceStats::default();
        let now = Instant::now();
        for (seq, timestamp, marker, payload) in packets {
            assembler.receive(now, seq, timestamp, marker, &payload, &mut stats);
        }
        stats
    }

    #[test]
    fn any_order_of_packets_gives_every_frame() {
        let mut all = packets(10);
        assert_eq!(run(all.clone()).decoded, 10);
        let length = all.len();
        all[12..length].reverse();
        assert_eq!(run(all).decoded, 10);
    }

    #[test]
    fn a_missing_packet_stops_the_picture() {
        let mut all = packets(10);
        all.remove(20);
        let stats = run(all);
        assert_eq!(stats.complete, 9);
        assert!(stats.decoded < 4, "{stats:?}");
    }

    #[test]
    fn what_comes_late_is_not_lost() {
        let (mut gaps, mut lost) = (Gaps::default(), 0);
        for seq in [7, 8, 11, 10, 12] {
            gaps.note(seq, &mut lost);
        }
        assert_eq!(lost, 1, "only 9 is missing");
        gaps.note(9, &mut lost);
        assert_eq!(lost, 0);
    }

    #[test]
    fn pictures_of_a_camera_that_was_begun_anew_are_not_taken_for_shown() {
        let mut stats = SourceStats::default();
        let now = Instant::now();
        let mut show = |all: &[(u64, u32, bool, Vec<u8>)], goes_on: bool| {
            let mut assembler = Assembler::default();
            if goes_on {
                assembler.go_on();
            }
            let before = stats.decoded;
            for (seq, timestamp, marker, payload) in all {
                assembler.receive(now, *seq, *timestamp, *marker, payload, &mut stats);
            }
            stats.decoded - before
        };
        assert_eq!(show(&packets(40), false), 40);
        // Another session, for which the camera was begun anew; then one beside that takes its place.
        assert_eq!(show(&packets(10), false), 10);
        assert_eq!(show(&packets(15), true), 5);
    }

    #[test]
    fn repeated_packets_count_once() {
        let all = packets(3);
        let stats = run(all.iter().chain(&all).cloned());
        assert_eq!(stats.decoded, 3);
    }
}
