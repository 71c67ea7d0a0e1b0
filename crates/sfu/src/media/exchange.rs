//! What shards that have parts of one conference tell each other: plain data, in order, packets with their bytes.

use super::ids::EndpointId;
use super::packet::Incoming;
use super::spec::{Encodings, Source, VideoType};
use super::table::{FeedId, PeerId};
use std::sync::Arc;
use std::time::Instant;

/// What one part of a conference tells another one.
#[derive(Debug)]
pub struct Exchange {
    pub(super) meeting: Arc<str>,
    pub(super) from: u8,
    pub(super) to: u8,
    pub(super) bytes: Vec<u8>,
    pub(super) items: Vec<Item>,
}

impl Exchange {
    pub(super) fn new(meeting: Arc<str>, from: u8, to: u8) -> Self {
        Self {
            meeting,
            from,
            to,
            bytes: Vec::new(),
            items: Vec::new(),
        }
    }

    /// What a shard says that lost all it had.
    pub fn lost(from: u8, to: u8) -> Self {
        let mut exchange = Self::new(Arc::from(""), from, to);
        exchange.items.push(Item::Told(Box::new(Told::Gone)));
        exchange
    }

    /// The shard it comes from.
    pub fn from(&self) -> u8 {
        self.from
    }

    /// The shard it is for.
    pub fn to(&self) -> u8 {
        self.to
    }

    /// Drops what may be lost, where the receiving shard is behind: packets, and what is told often. How much it was.
    pub fn shorten(&mut self) -> u64 {
        let before = self.items.len();
        self.items.retain(|item| match item {
            Item::Packet(_) => false,
            Item::Told(told) => !matches!(**told, Told::Text(_) | Told::Clock { .. }),
        });
        self.bytes.clear();
        (before - self.items.len()) as u64
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }
}

/// One thing of an [`Exchange`].
#[derive(Debug)]
pub(super) enum Item {
    Packet(Shared),
    Told(Box<Told>),
}

/// A packet as its publisher's part received it, decrypted and classified. It names the feed by its number there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shared {
    pub(super) at: Instant,
    pub(super) incoming: Incoming,
    /// The focus has muted its sender.
    pub(super) muted: bool,
    /// Where its bytes begin.
    pub(super) start: usize,
}

/// What is told besides packets. Feeds have the numbers they have at their publisher's part.
#[derive(Debug, Clone)]
pub(super) enum Told {
    /// This part is there. `first`: it does not know yet what the other one has.
    Hello { first: bool },
    /// This part is gone, with all it had.
    Gone,
    /// An endpoint came. Visitors do not speak.
    Joined { endpoint: EndpointId, visitor: bool },
    /// An endpoint left.
    Left { endpoint: EndpointId },
    /// Something is heard of an endpoint, or no more.
    Activity { endpoint: EndpointId, active: bool },
    /// An endpoint publishes a source.
    Publish {
        feed: FeedId,
        owner: EndpointId,
        source: Source,
        video_type: VideoType,
    },
    /// It does not any more.
    Withdraw { feed: FeedId },
    /// What a source shows.
    Shows { feed: FeedId, video_type: VideoType },
    /// What its sender says of the clock of an encoding.
    Clock {
        feed: FeedId,
        encoding: u8,
        ntp: u64,
        rtp: u32,
        at: Instant,
    },
    /// The greatest height that anybody here wants of a feed of the other part; -1 for no limit, 0 for nothing.
    Demand { feed: FeedId, max_height: i32 },
    /// Somebody here waits for key frames of encodings of a feed of the other part.
    KeyFrames { feed: FeedId, of: Encodings },
    /// Who speaks, and who spoke before, latest first. The part on the shard with the lowest number says it.
    Speakers(Vec<EndpointId>),
    /// A message of an endpoint for one other, or for all.
    Text(Text),
}

/// A message between endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Who sent it.
    pub from: EndpointId,
    /// For whom; nobody named is everybody.
    pub to: Option<EndpointId>,
    /// It is statistics, for those who are interested in its sender.
    pub stats: bool,
    /// One JSON object.
    pub json: Arc<str>,
}

/// Who publishes a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publisher {
    /// An endpoint here.
    Client(PeerId),
    /// An endpoint of another bridge, reached over this relay.
    Relay(PeerId),
    /// An endpoint of the part on another shard, where the feed has this number.
    Shard(u8, FeedId),
}
