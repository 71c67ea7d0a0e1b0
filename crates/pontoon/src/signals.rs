//! When to end: Ctrl-C or SIGTERM; a second one ends at once. When to read again: SIGHUP.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use crate::failure::Failure;

/// Waits for the first signal, from the moment of the call on.
pub(crate) struct Ending {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

/// Tells, from now on, at each SIGHUP.
pub(crate) fn hangups() -> Result<Arc<Notify>, Failure> {
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| Failure::start(format!("cannot take signals: {error}")))?;
    let told = Arc::new(Notify::new());
    let teller = told.clone();
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            teller.notify_one();
        }
    });
    Ok(told)
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

    /// Runs `ending` to its end, also when SIGTERM comes again: people are being moved, and whoever runs the service may say
    /// it twice. Ctrl-C leaves it.
    pub(crate) async fn or_interrupt(&mut self, ending: impl Future<Output = ()>) {
        tokio::pin!(ending);
        loop {
            tokio::select! {
                () = &mut ending => return,
                _ = self.terminate.recv() => {
                    tracing::info!("told twice; people are still being moved away, and Ctrl-C ends at once");
                }
                _ = self.interrupt.recv() => {
                    return tracing::warn!("interrupted; ending at once");
                }
            }
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

#[cfg(test)]
mod tests {
    use std::process::{Command, id};
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn people_are_moved_on_when_sigterm_comes_again() {
        let (mut ending, mut witness) = (Ending::new().unwrap(), Ending::new().unwrap());
        let (emptied, done) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
        let (wait, ended) = (Arc::clone(&emptied), Arc::clone(&done));
        let drains = tokio::spawn(async move {
            let moving = async {
                wait.notified().await;
                ended.store(true, Ordering::SeqCst);
            };
            ending.or_interrupt(moving).await;
        });
        for _ in 0..2 {
            let told = Command::new("kill")
                .args(["-TERM", &id().to_string()])
                .status();
            assert!(told.unwrap().success());
            // It has been delivered, to the one that drains too.
            witness.wait().await;
            tokio::task::yield_now().await;
        }
        assert!(!drains.is_finished(), "the drain was cut");
        emptied.notify_one();
        drains.await.unwrap();
        assert!(done.load(Ordering::SeqCst));
    }
}
