//! How many connections there may be.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that may be on their way to a login at one time, of all that there may be.
const STRANGERS: usize = 1024;

/// Lets connections in, up to a number.
#[derive(Clone)]
pub(crate) struct Gate {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    size: u32,
}

/// A place for one connection.
pub(crate) struct Place {
    /// Held as long as the connection lasts.
    pub(crate) connection: OwnedSemaphorePermit,
    /// Held until the peer has logged in.
    pub(crate) stranger: OwnedSemaphorePermit,
}

impl Gate {
    pub(crate) fn new(connections: usize) -> Self {
        let size = u32::try_from(connections.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        let all = size as usize;
        Self {
            all: Arc::new(Semaphore::new(all)),
            strangers: Arc::new(Semaphore::new(STRANGERS.min(all))),
            size,
        }
    }

    /// A place, unless there is none.
    pub(crate) fn enter(&self) -> Option<Place> {
        Some(Place {
            connection: Arc::clone(&self.all).try_acquire_owned().ok()?,
            stranger: Arc::clone(&self.strangers).try_acquire_owned().ok()?,
        })
    }

    /// Returns when all connections are gone.
    pub(crate) async fn emptied(&self) {
        let _ = self.all.acquire_many(self.size).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let gate = Gate::new(2);
        let first = gate.enter().expect("place");
        let Place {
            connection,
            stranger,
        } = gate.enter().expect("place");
        assert!(gate.enter().is_none());
        drop(stranger);
        assert!(gate.enter().is_none(), "logged in, but still there");
        drop(connection);
        drop(first);
        assert!(gate.enter().is_some());
    }
}
