//! When to end: Ctrl-C or SIGTERM; a second one ends at once.

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// Waits for the first signal, from the moment of the call on.
pub(crate) struct Ending {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Ending {
    /// Takes the signals over.
    pub(crate) fn new() -> Result<Self, Failure> {
        let take = |kind| {
            signal(kind).map_err(|error| Failure::start(format!("cannot take signals: {error}")))
        };
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// Returns at the next signal.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs `ending` to its end, or leaves it at a further signal.
    pub(crate) async fn or_again(&mut self, ending: impl Future<Output = ()>) {
        tokio::select! {
            () = ending => {}
            () = self.wait() => tracing::warn!("told twice; ending at once"),
        }
    }
}
