//! Whether a bridge can serve.
#![allow(clippy::disallowed_methods, reason = "health is a question of time")]

use std::time::{Duration, Instant};

use crate::shared::{Shared, lock};

/// A thread publishes every second; one that did not for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// Whether the bridge can serve: every worker's thread is alive. A bridge that shuts down or drains is healthy.
pub(crate) fn of(shared: &Shared) -> Result<(), &'static str> {
    at(shared, Instant::now())
}

fn at(shared: &Shared, now: Instant) -> Result<(), &'static str> {
    let stuck = shared.workers.iter().any(|worker| {
        let last = lock(&worker.snapshot).at.unwrap_or(shared.started);
        now.saturating_duration_since(last) > STUCK_AFTER
    });
    if stuck {
        return Err("a media thread is stuck");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Snapshot, WorkerHandle};

    #[test]
    fn a_silent_thread_makes_the_bridge_ill() {
        let start = Instant::now();
        let time = |seconds| start + Duration::from_secs(seconds);
        let handle = WorkerHandle::for_test;
        let shared = Shared::new(
            "b".into(),
            None,
            "v".into(),
            vec![handle(), handle()],
            100,
            start,
        );
        assert_eq!(super::at(&shared, time(5)), Ok(()), "not started yet");
        assert!(super::at(&shared, time(6)).is_err());
        let told = |seconds| Snapshot {
            at: Some(time(seconds)),
            ..Snapshot::default()
        };
        *lock(&shared.workers[0].snapshot) = told(6);
        assert!(super::at(&shared, time(6)).is_err(), "the other one");
        *lock(&shared.workers[1].snapshot) = told(5);
        assert_eq!(super::at(&shared, time(10)), Ok(()));
        assert!(super::at(&shared, time(11)).is_err());
    }
}
