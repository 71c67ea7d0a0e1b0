//! How many connections there may be, and whose.
//!
//! Each door has a gate of its own, so that a crowd before one does not close another. Whoever comes gets in as long as
//! its address does not come too often or have too much: strangers, who have not logged in yet, have few places, and when
//! those are taken, the one that was silent longest, of the address that has most, makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shares::{AddressClass, Buckets, Rate, Slot, Slots};
use tokio::sync::Notify;

/// Addresses whose rates are remembered.
const MOST_RATES: usize = 16_384;

/// What one gate lets in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GateLimits {
    /// Connections at one time.
    pub(crate) connections: usize,
    /// Of those, connections of one address.
    pub(crate) of_address: usize,
    /// Connections without a login at one time.
    pub(crate) strangers: usize,
    /// How often one address may come.
    pub(crate) rate: Rate,
}

impl GateLimits {
    /// For browsers.
    pub(crate) fn web(connections: usize, of_address: usize) -> Self {
        Self {
            connections,
            of_address,
            strangers: 1024,
            // A school that comes at once, and a reload of each every 20 s.
            rate: Rate {
                every: Duration::from_millis(20),
                burst: 3000,
            },
        }
    }

    /// For services elsewhere.
    pub(crate) fn service() -> Self {
        Self {
            connections: 2048,
            of_address: 512,
            strangers: 128,
            rate: Rate {
                every: Duration::from_millis(100),
                burst: 200,
            },
        }
    }

    /// For parts of this process.
    pub(crate) fn process() -> Self {
        Self {
            connections: 1024,
            strangers: 1024,
            ..Self::service()
        }
    }
}

/// Peers without an address, from inside the process, are one holder.
type Holder = Option<AddressClass>;

struct Inner {
    limits: GateLimits,
    open: usize,
    open_of: HashMap<AddressClass, usize>,
    rates: Buckets<AddressClass>,
    strangers: Slots<Holder>,
    /// How strangers learn that they lost their places.
    signals: HashMap<Slot<Holder>, Arc<Notify>>,
}

/// Lets connections in.
#[derive(Clone)]
pub(crate) struct Gate {
    inner: Arc<Mutex<Inner>>,
    emptied: Arc<Notify>,
}

/// A place for one connection.
pub(crate) struct Place {
    /// Held as long as the connection lasts.
    pub(crate) connection: Open,
    /// Held until the peer has logged in.
    pub(crate) stranger: Stranger,
}

/// A connection that is counted.
pub(crate) struct Open {
    gate: Gate,
    address: Holder,
}

/// A connection that has not logged in.
pub(crate) struct Stranger {
    gate: Gate,
    slot: Slot<Holder>,
    signal: Arc<Notify>,
}

impl Gate {
    pub(crate) fn new(limits: GateLimits) -> Self {
        let inner = Inner {
            limits,
            open: 0,
            open_of: HashMap::new(),
            rates: Buckets::new(limits.rate, MOST_RATES),
            strangers: Slots::new(limits.strangers.min(limits.connections), usize::MAX),
            signals: HashMap::new(),
        };
        Self {
            inner: Arc::new(Mutex::new(inner)),
            emptied: Arc::default(),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place for a connection from `address`.
    ///
    /// # Errors
    /// The reason, for the metrics, when there is none.
    pub(crate) fn enter(&self, now: Instant, address: Holder) -> Result<Place, &'static str> {
        let (slot, signal) = self.with(|inner| inner.enter(now, address))?;
        Ok(Place {
            connection: Open {
                gate: self.clone(),
                address,
            },
            stranger: Stranger {
                gate: self.clone(),
                slot,
                signal,
            },
        })
    }

    /// Returns when all connections are gone.
    pub(crate) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if self.with(|inner| inner.open == 0) {
                return;
            }
            emptied.await;
        }
    }
}

impl Inner {
    fn enter(
        &mut self,
        now: Instant,
        address: Holder,
    ) -> Result<(Slot<Holder>, Arc<Notify>), &'static str> {
        if self.open >= self.limits.connections {
            return Err("too-many-connections");
        }
        if let Some(address) = address {
            let own = self.open_of.get(&address).copied().unwrap_or(0);
            if own >= self.limits.of_address {
                return Err("address-connections");
            }
            self.rates.take(now, address).map_err(|_| "address-rate")?;
            self.open_of.insert(address, own + 1);
        }
        self.open += 1;
        let (slot, evicted) = self.strangers.enter(address);
        if let Some(signal) = evicted.and_then(|evicted| self.signals.remove(&evicted)) {
            signal.notify_one();
        }
        let signal = Arc::new(Notify::new());
        self.signals.insert(slot, Arc::clone(&signal));
        Ok((slot, signal))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let empty = self.gate.with(|inner| {
            inner.open -= 1;
            if let Some(address) = self.address
                && let Some(own) = inner.open_of.get_mut(&address)
            {
                *own -= 1;
                if *own == 0 {
                    inner.open_of.remove(&address);
                }
            }
            inner.open == 0
        });
        if empty {
            self.gate.emptied.notify_waiters();
        }
    }
}

impl Stranger {
    /// It said something: others have been silent for longer.
    pub(crate) fn heard(&mut self) {
        let slot = self.slot;
        self.slot = self.gate.with(|inner| {
            let Some(newest) = inner.strangers.renew(slot) else {
                return slot;
            };
            if let Some(signal) = inner.signals.remove(&slot) {
                inner.signals.insert(newest, signal);
            }
            newest
        });
    }

    /// Returns when its place is given to another.
    pub(crate) fn evicted(&self) -> impl Future<Output = ()> + Send + use<> {
        let signal = Arc::clone(&self.signal);
        async move { signal.notified().await }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.gate.with(|inner| {
            inner.strangers.leave(self.slot);
            inner.signals.remove(&self.slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt;

    use super::*;

    fn address(text: &str) -> Holder {
        Some(text.parse::<IpAddr>().expect("address").into())
    }

    fn gate(connections: usize, of_address: usize, strangers: usize) -> Gate {
        Gate::new(GateLimits {
            connections,
            of_address,
            strangers,
            rate: Rate {
                every: Duration::from_secs(1),
                burst: 100,
            },
        })
    }

    #[test]
    fn places_come_back() {
        let gate = gate(2, 2, 2);
        let now = crate::now();
        let first = gate.enter(now, None).expect("place");
        let Place {
            connection,
            stranger,
        } = gate.enter(now, None).expect("place");
        assert_eq!(gate.enter(now, None).err(), Some("too-many-connections"));
        drop(stranger);
        assert!(gate.enter(now, None).is_err(), "logged in, but still there");
        drop(connection);
        assert!(gate.emptied().now_or_never().is_none());
        drop(first);
        assert!(gate.emptied().now_or_never().is_some());
        assert!(gate.enter(now, None).is_ok());
    }

    #[test]
    fn silent_strangers_of_one_address_lock_nobody_out() {
        let gate = gate(1000, 1000, 10);
        let now = crate::now();
        let mut crowd: Vec<Place> = (0..10)
            .map(|_| gate.enter(now, address("192.0.2.1")).expect("place"))
            .collect();
        crowd[0].stranger.heard();
        let other = gate.enter(now, address("192.0.2.2")).expect("place");
        let lost: Vec<bool> = crowd
            .iter()
            .map(|place| place.stranger.evicted().now_or_never().is_some())
            .collect();
        let mut expected = [false; 10];
        expected[1] = true;
        assert_eq!(lost, expected, "the one that was silent longest");
        drop(crowd);
        assert!(other.stranger.evicted().now_or_never().is_none());
    }

    #[test]
    fn an_address_has_its_number_and_its_rate() {
        let gate = gate(1000, 5, 1000);
        let now = crate::now();
        let held: Vec<Place> = (0..5)
            .map(|_| gate.enter(now, address("2001:db8::1")).expect("place"))
            .collect();
        let neighbour = address("2001:db8::2");
        assert_eq!(
            gate.enter(now, neighbour).err(),
            Some("address-connections")
        );
        assert!(gate.enter(now, address("2001:db8:1::1")).is_ok());
        drop(held);
        for _ in 0..95 {
            assert!(gate.enter(now, neighbour).is_ok());
        }
        assert_eq!(gate.enter(now, neighbour).err(), Some("address-rate"));
        assert!(gate.enter(now + Duration::from_secs(1), neighbour).is_ok());
    }
}
