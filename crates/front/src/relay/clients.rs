//! Who uses a relay: what all share, and how much each may have.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use shares::{AddressClass, Budget};
use turn::Settings;

use crate::metrics::Counters;

/// Clients at one time, and those of one address.
const MOST: usize = 4_096;
const MOST_OF_ONE: usize = 256;

/// Relays for all clients of a server; clones are the same.
#[derive(Clone)]
pub(crate) struct Relays {
    settings: Arc<Settings>,
    counters: Counters,
    open: Arc<Mutex<Budget<AddressClass>>>,
}

impl Relays {
    pub(crate) fn new(settings: Arc<Settings>, counters: Counters) -> Self {
        Self {
            settings,
            counters,
            open: Arc::new(Mutex::new(Budget::new(MOST, MOST_OF_ONE))),
        }
    }

    /// What all clients share.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings)
    }

    /// Counts a datagram of a client that found no room.
    pub(super) fn dropped(&self) {
        self.counters.relay_dropped();
    }

    /// A client's share of what there is for all, until it is dropped; `None` where there is no more.
    pub(super) fn take(&self, ip: IpAddr) -> Option<Share> {
        let class = AddressClass::from(ip);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !open.take(class, 1) {
            self.counters.refused("relays");
            return None;
        }
        self.counters.relay_opened();
        Some(Share {
            relays: self.clone(),
            class,
        })
    }
}

/// See [`Relays::take`].
pub(super) struct Share {
    relays: Relays,
    class: AddressClass,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.relays.counters.relay_closed();
        let open = self.relays.open.lock();
        open.unwrap_or_else(PoisonError::into_inner)
            .give(self.class, 1);
    }
}
