//! What arrived in a conference and has not been offered to receivers yet: a burst is collected, then each receiver is
//! visited once.

use crate::media::ingest::Feed;
use crate::media::packet::{Arrival, Arrived, Record};
use crate::media::store::Store;
use crate::media::table::{FeedId, Table};
use smallvec::SmallVec;
use std::ops::Range;

/// A burst ends at this many packets even if a frame is open.
pub(crate) const FULL_BURST: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    arrived: Vec<Arrived>,
    /// Those that are more than a number.
    packets: usize,
    since: u64,
    /// Frames of which the end has not come.
    open: SmallVec<[(FeedId, u8); 8]>,
}

impl Burst {
    /// Adds a packet that arrived at `now`.
    pub(crate) fn push(&mut self, now: u64, arrived: Arrived) {
        if arrived.what != Arrival::Gap {
            self.packets += 1;
            if self.packets == 1 {
                self.since = now;
            }
        }
        let frame = (arrived.feed, arrived.encoding);
        match arrived.what {
            Arrival::Video { .. } if arrived.marker => self.open.retain(|open| *open != frame),
            Arrival::Video { .. } if !self.open.contains(&frame) => self.open.push(frame),
            _ => {}
        }
        let nth = self.arrived.len() as u16;
        self.arrived.push(Arrived { nth, ..arrived });
    }

    /// Whether nothing waits to be sent. Numbers that carry nothing wait for the packets after them.
    pub(crate) fn is_empty(&self) -> bool {
        self.packets == 0 && self.arrived.len() < FULL_BURST
    }

    /// When its first packet arrived.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// Whether it is complete: no frame is open, or it is large, or it has waited for `window` microseconds.
    pub(crate) fn is_ready(&self, now: u64, window: u64) -> bool {
        !self.is_empty()
            && (self.open.is_empty()
                || self.arrived.len() >= FULL_BURST
                || now >= self.since + window)
    }

    /// When it is complete at the latest.
    pub(crate) fn deadline(&self, window: u64) -> Option<u64> {
        (!self.is_empty()).then(|| self.since + window)
    }

    /// What came, ordered by feed and encoding, each in order of arrival.
    pub(crate) fn sort(&mut self) {
        self.open.clear();
        self.arrived
            .sort_unstable_by_key(|a| (a.feed, a.encoding, a.nth));
    }

    /// Feeds in it.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = (FeedId, Arrival)> + '_ {
        self.arrived
            .chunk_by(|a, b| a.feed == b.feed)
            .filter_map(|chunk| chunk.first())
            .map(|a| (a.feed, a.what))
    }

    /// Forgets what came of a feed that is gone.
    pub(crate) fn forget(&mut self, feed: FeedId) {
        self.arrived.retain(|a| a.feed != feed);
        self.open.retain(|(open, _)| *open != feed);
        let packets = self.arrived.iter().filter(|a| a.what != Arrival::Gap);
        self.packets = packets.count();
    }

    /// Forgets everything; the memory is kept.
    pub(crate) fn clear(&mut self) {
        self.packets = 0;
        self.arrived.clear();
        self.open.clear();
    }
}

/// A packet of a burst with what the store has of it, looked up once for all receivers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loaded<'a> {
    pub(super) arrived: Arrived,
    pub(super) bytes: &'a [u8],
    pub(super) record: Option<&'a Record>,
}

/// Packets of one encoding that follow each other in a burst.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) feed: FeedId,
    pub(super) encoding: u8,
    pub(super) audio: bool,
    /// A key frame begins in it.
    pub(super) key: bool,
    range: Range<usize>,
}

/// One way of a sorted burst past all receivers.
pub(crate) struct Pass<'a> {
    pub(super) now: u64,
    pub(super) feeds: &'a Table<FeedId, Feed>,
    pub(super) store: &'a Store,
    loaded: SmallVec<[Loaded<'a>; FULL_BURST]>,
    segments: SmallVec<[Segment; 16]>,
}

impl<'a> Pass<'a> {
    /// Looks up what the burst names. It must be sorted.
    pub(crate) fn new(
        now: u64,
        burst: &Burst,
        feeds: &'a Table<FeedId, Feed>,
        store: &'a Store,
    ) -> Self {
        let mut pass = Self {
            now,
            feeds,
            store,
            loaded: SmallVec::new(),
            segments: SmallVec::new(),
        };
        for arrived in &burst.arrived {
            let (bytes, record) = match arrived.what {
                Arrival::Gap => (&[][..], None),
                _ => match store.get(arrived.packet.id) {
                    Some((bytes, record)) => (bytes, Some(record)),
                    None => continue,
                },
            };
            pass.push(Loaded {
                arrived: *arrived,
                bytes,
                record,
            });
        }
        pass
    }

    fn push(&mut self, loaded: Loaded<'a>) {
        let Arrived { feed, encoding, .. } = loaded.arrived;
        let key = loaded.arrived.what == Arrival::Video { key: true };
        let at = self.loaded.len();
        self.loaded.push(loaded);
        match self.segments.last_mut() {
            Some(s) if s.feed == feed && s.encoding == encoding => {
                s.range.end = at + 1;
                s.key |= key;
            }
            _ => self.segments.push(Segment {
                feed,
                encoding,
                audio: loaded.arrived.what == Arrival::Audio,
                key,
                range: at..at + 1,
            }),
        }
    }

    /// Microseconds of the shard's clock.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// The encodings in it.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The packets of an encoding.
    pub(super) fn packets(&self, segment: &Segment) -> &[Loaded<'a>] {
        self.loaded.get(segment.range.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::packet::{PacketId, Published};
    use crate::media::table::Key;

    fn video(feed: usize, encoding: u8, marker: bool) -> Arrived {
        Arrived {
            feed: FeedId::of(feed),
            encoding,
            what: Arrival::Video { key: false },
            packet: Published {
                seq: 0,
                timestamp: 0,
                id: PacketId::for_test(0),
            },
            marker,
            nth: 0,
        }
    }

    #[test]
    fn a_burst_ends_with_its_frames_or_in_time() {
        const WINDOW: u64 = 200;
        let mut burst = Burst::default();
        assert!(!burst.is_ready(0, WINDOW));
        burst.push(1000, video(0, 0, false));
        assert!(!burst.is_ready(1000, WINDOW), "its frame goes on");
        burst.push(1050, video(1, 0, false));
        burst.push(1060, video(0, 0, true));
        assert!(!burst.is_ready(1060, WINDOW), "the other frame goes on");
        assert!(burst.is_ready(1200, WINDOW), "long enough");
        burst.push(1070, video(1, 0, true));
        assert!(burst.is_ready(1070, WINDOW));
        burst.clear();
        for n in 0..FULL_BURST {
            assert!(!burst.is_ready(2000, WINDOW), "{n}");
            burst.push(2000, video(0, 0, false));
        }
        assert!(burst.is_ready(2000, WINDOW), "large enough");
        burst.clear();
        let audio = Arrived {
            what: Arrival::Audio,
            ..video(3, 0, true)
        };
        burst.push(3000, audio);
        assert!(burst.is_ready(3000, WINDOW), "audio waits for nobody");
    }
}
