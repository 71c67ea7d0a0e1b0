//! Meetings outlive the signalling nodes' absence, but not for ever: who would end them if no node came back?

use std::sync::Arc;
use std::time::Duration;

use stanza::colibri2::ConferenceModify;

use crate::shared::{Command, Shared};

/// Ends all meetings when no node has been in reach for `keep`. Runs for ever.
pub(crate) async fn watch(shared: Arc<Shared>, keep: Duration) {
    let mut reach = shared.reach();
    loop {
        let lost = async {
            // Before the first one there is nothing to end.
            reach.wait_for(|nodes| *nodes > 0).await?;
            reach.wait_for(|nodes| *nodes == 0).await.map(drop)
        };
        if lost.await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(keep) => end_all(&shared, keep),
            found = reach.wait_for(|nodes| *nodes > 0) => if found.is_err() {
                return;
            },
        }
    }
}

fn end_all(shared: &Shared, keep: Duration) {
    let snapshots = shared.snapshots();
    let meetings: usize = snapshots.iter().map(|s| s.conferences.len()).sum();
    if meetings > 0 {
        tracing::warn!(
            meetings,
            hours = keep.as_secs() / 3_600,
            "no signalling node has been in reach for so long: all meetings are ended"
        );
    }
    for (worker, snapshot) in shared.workers.iter().zip(&snapshots) {
        for (meeting, ..) in &snapshot.conferences {
            let request = ConferenceModify {
                meeting_id: meeting.clone(),
                expire: true,
                ..ConferenceModify::default()
            };
            // A worker that has too much to do ends them when people have left.
            let _ = worker.send(Command::Modify {
                request: Box::new(request),
                accept_new: false,
                part: None,
                reply: Box::new(|_| {}),
            });
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};
    use std::time::Instant;

    use sfu::ConferenceId;

    use super::*;
    use crate::shared::{Snapshot, WorkerHandle, lock};

    const KEEP: Duration = Duration::from_secs(3_600);

    /// A bridge with one meeting, and what its worker is told.
    fn bridge() -> (Arc<Shared>, Receiver<Command>) {
        let (commands, told) = sync_channel(8);
        let worker = WorkerHandle::new(commands, net::Poller::new().unwrap().1);
        let meeting = ("m1".to_owned(), ConferenceId(0), Default::default());
        *lock(&worker.snapshot) = Snapshot {
            conferences: vec![meeting],
            ..Snapshot::default()
        };
        let shared = Shared::new(
            "b".into(),
            None,
            "v".into(),
            vec![worker],
            100,
            Instant::now(),
        );
        (Arc::new(shared), told)
    }

    async fn pass(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn meetings_end_when_no_node_has_been_in_reach_for_long() {
        let (shared, told) = bridge();
        tokio::spawn(watch(shared.clone(), KEEP));
        // Not attached yet: nothing is counted.
        pass(2 * KEEP).await;
        shared.node_in_reach(true);
        shared.node_in_reach(true);
        pass(2 * KEEP).await;
        shared.node_in_reach(false);
        pass(2 * KEEP).await;
        shared.node_in_reach(false);
        pass(KEEP - Duration::from_secs(1)).await;
        // It came back in time.
        shared.node_in_reach(true);
        pass(2 * KEEP).await;
        shared.node_in_reach(false);
        pass(KEEP - Duration::from_secs(1)).await;
        assert!(told.try_recv().is_err());
        pass(Duration::from_secs(2)).await;
        let Ok(Command::Modify { request, .. }) = told.try_recv() else {
            panic!("the meeting goes on");
        };
        assert!(request.expire && request.meeting_id == "m1");
    }
}
