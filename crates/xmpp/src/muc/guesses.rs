//! Wrong passwords of a room: guessing is slow, for each address and for all together.
//!
//! An address that used up its guesses is not told whether its next password is right. Those of other addresses who know
//! the password come in as ever. Where many know it behind one address, as in a school, their success pays for the
//! mistakes among them.

use std::time::{Duration, Instant};

use shares::{AddressClass, Bucket, Buckets, Rate};

use crate::ids::SessionId;

/// Guesses of one address.
const ADDRESS: Rate = Rate {
    every: Duration::from_secs(30),
    burst: 20,
};
/// Guesses of all. When there are none left, a wrong password uses up what its address has.
const ROOM: Rate = Rate {
    every: Duration::from_secs(10),
    burst: 100,
};
/// Guesses an address gets back for a password that was right.
const REWARD: u32 = 5;
/// Addresses remembered in one room.
const MOST: usize = 512;

/// Where a guess comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// A network address.
    Address(AddressClass),
    /// A session whose address is not known.
    Session(SessionId),
}

/// The wrong passwords tried in a room.
#[derive(Debug)]
pub(crate) struct Guesses {
    addresses: Buckets<Origin>,
    room: Bucket,
}

impl Guesses {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            addresses: Buckets::new(ADDRESS, MOST),
            room: Bucket::new(now),
        }
    }

    /// How long `origin` has to wait until a password of it is looked at.
    pub(crate) fn wait(&self, now: Instant, origin: Origin) -> Option<Duration> {
        let ready = self.addresses.ready_at(now, origin)?;
        Some(ready.saturating_duration_since(now))
    }

    pub(crate) fn right(&mut self, now: Instant, origin: Origin) {
        self.addresses.give(now, origin, REWARD);
    }

    pub(crate) fn wrong(&mut self, now: Instant, origin: Origin) {
        let _ = self.addresses.take(now, origin);
        if self.room.take(now, &ROOM).is_err() {
            self.addresses.empty(now, origin);
        }
    }
}
