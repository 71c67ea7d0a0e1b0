//! Guessing passwords is slow: an address has so many logins, and one that succeeds is given back.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shares::{AddressClass, Buckets, Rate};
use tokio::time::sleep_until;

use crate::now;

/// Logins that may fail at once, and how fast more are allowed. Bridges behind one address that all come back at once
/// pass: theirs succeed.
const LOGINS: Rate = Rate {
    every: Duration::from_secs(5),
    burst: 20,
};
/// Addresses remembered.
const MOST: usize = 10_000;
/// Longest wait before a login; who would have to wait longer is turned away.
const PATIENCE: Duration = Duration::from_secs(20);

/// The logins of all addresses; clones count together.
#[derive(Clone)]
pub(crate) struct Brake(Arc<Mutex<Buckets<AddressClass>>>);

impl Default for Brake {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Buckets::new(LOGINS, MOST))))
    }
}

/// One peer's part of it.
pub(crate) struct Attempts {
    brake: Brake,
    address: AddressClass,
    /// Whether a login was begun.
    begun: bool,
}

impl Brake {
    pub(crate) fn attempts(&self, address: IpAddr) -> Attempts {
        Attempts {
            brake: self.clone(),
            address: address.into(),
            begun: false,
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Buckets<AddressClass>) -> T) -> T {
        // Nothing is left half done where a thread could end.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Attempts {
    /// Returns when a login may be tried; `false` when that would take too long.
    pub(crate) async fn begin(&mut self) -> bool {
        let deadline = now() + PATIENCE;
        loop {
            match self.take(now()) {
                Ok(()) => return true,
                Err(at) if at > deadline => return false,
                Err(at) => sleep_until(at.into()).await,
            }
        }
    }

    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        self.brake
            .with(|buckets| buckets.take(now, self.address))
            .map(|()| self.begun = true)
    }

    /// The login begun last has succeeded.
    pub(crate) fn succeeded(&mut self, now: Instant) {
        if std::mem::take(&mut self.begun) {
            self.brake
                .with(|buckets| buckets.give(now, self.address, 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_wait_and_logins_that_succeed_do_not() {
        let brake = Brake::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let start = now();
        for _ in 0..1_000 {
            let mut good = brake.attempts(address);
            assert_eq!(
                good.take(start),
                Ok(()),
                "who knows the password never waits"
            );
            good.succeeded(start);
        }
        // However many connections guess, all together get so many.
        let guesses = |at: Instant| {
            let tried = (0..100).map(|_| brake.attempts(address).take(at));
            tried.filter(Result::is_ok).count()
        };
        assert_eq!(guesses(start), 20);
        assert_eq!(guesses(start), 0);
        assert_eq!(guesses(start + LOGINS.every * 3), 3);
        // Somebody else does not notice.
        let other = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(brake.attempts(other).take(start), Ok(()));
        let mut one = brake.attempts(address);
        let again = one.take(start + LOGINS.every * 3).unwrap_err();
        assert_eq!(again, start + LOGINS.every * 4);
        assert_eq!(one.take(again), Ok(()));
    }
}
