//! Whether a bridge can serve: as a focus is told, and as operators are told, who also want to know what is in its way.
#![allow(clippy::disallowed_methods, reason = "health is a question of time")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::shared::{Shared, lock};
use crate::{probe, totals};

/// A thread publishes every second; one that did not for this long is stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);
/// How often the media ports are asked whether they answer, and how soon again where one did not.
const ASK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));
/// So many times in a row a port must be silent: a machine that is busy for a moment is not deaf.
const SILENT: u32 = 3;
/// So many people must be unheard, all that are there, before the way to all of them is in doubt and not to one.
const UNHEARD: usize = 3;

/// What keeps a bridge from serving.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// It does not mend itself.
    pub(crate) hard: bool,
    /// In a sentence or several.
    pub(crate) text: String,
}

/// Whether the bridge can serve: every worker's thread is alive. A bridge that shuts down or drains is healthy. This is what
/// focuses go by, so it says nothing of any one of them.
pub(crate) fn of(shared: &Shared) -> Result<(), &'static str> {
    at(shared, Instant::now())
}

/// Whether the bridge does serve: its threads live, its media ports answer, people are heard, and some node knows it.
pub(crate) fn report(shared: &Shared) -> Result<(), Trouble> {
    let mut hard: Vec<String> = Vec::new();
    hard.extend(of(shared).err().map(str::to_owned));
    if let Some(port) = *shared.deaf.borrow() {
        hard.push(format!("media port {port} does not answer"));
    }
    let people = totals::people(&shared.snapshots());
    if people.here >= UNHEARD && people.unheard == people.here {
        hard.push(format!(
            "none of its {} people is heard; a firewall may keep them from its UDP port",
            people.here
        ));
    }
    let soft = unattached(shared);
    if hard.is_empty() && soft.is_none() {
        return Ok(());
    }
    Err(Trouble {
        hard: !hard.is_empty(),
        text: hard.into_iter().chain(soft).collect::<Vec<_>>().join("; "),
    })
}

/// Why no node has it, if none has.
fn unattached(shared: &Shared) -> Option<String> {
    let all = shared.standings.borrow();
    if all.iter().any(|standing| standing.attached) {
        return None;
    }
    let why: Vec<String> = all
        .iter()
        .map(|standing| match &standing.trouble {
            Some(trouble) => trouble.clone(),
            None => format!("not attached to {} yet", standing.node),
        })
        .collect();
    Some(match why.is_empty() {
        true => "it is attached to no meet node: it was told of none".to_owned(),
        false => format!("it is attached to no meet node: {}", why.join("; ")),
    })
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

/// Asks the bridge's own media ports, as other bridges would, whether they answer. Runs for ever.
pub(crate) async fn watch_ports(shared: Arc<Shared>, ports: Vec<SocketAddr>) {
    let mut silent = 0;
    loop {
        let deaf = probe::first_silent(&ports).await;
        silent = match deaf {
            Some(_) => silent + 1,
            None => 0,
        };
        let deaf = deaf.filter(|_| silent >= SILENT);
        let before = shared.deaf.send_replace(deaf);
        match (before, deaf) {
            (None, Some(port)) => tracing::error!(%port, "a media port does not answer"),
            (Some(_), None) => tracing::info!("all media ports answer again"),
            _ => {}
        }
        sleep(if silent == 0 { ASK.0 } else { ASK.1 }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::{Snapshot, WorkerHandle};
    use crate::standing::{Keeping, Kind};

    fn shared(workers: usize, start: Instant) -> Shared {
        let handles = (0..workers).map(|_| WorkerHandle::for_test()).collect();
        Shared::new("b".into(), None, "v".into(), handles, 100, start)
    }

    #[test]
    fn a_silent_thread_makes_the_bridge_ill() {
        let start = Instant::now();
        let time = |seconds| start + Duration::from_secs(seconds);
        let shared = shared(2, start);
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

    #[tokio::test]
    async fn who_is_attached_nowhere_or_heard_by_nobody_is_not_healthy() {
        let shared = shared(1, Instant::now());
        let said = |shared: &Shared| report(shared).map_err(|trouble| (trouble.hard, trouble.text));
        let nowhere = "it is attached to no meet node: ";
        assert_eq!(
            said(&shared),
            Err((false, format!("{nowhere}it was told of none")))
        );
        let mut one = Keeping::new(shared.standings.clone(), "meet.test:5222".to_owned());
        let mut other = Keeping::new(shared.standings.clone(), "meet2.test:5222".to_owned());
        one.troubled(
            Kind::Refused,
            "meet.test:5222 does not let it in".to_owned(),
        );
        let text = format!(
            "{nowhere}meet.test:5222 does not let it in; not attached to meet2.test:5222 yet"
        );
        assert_eq!(said(&shared), Err((false, text)));
        // One is enough.
        other.attached();
        assert_eq!(said(&shared), Ok(()));
        let hears = |unheard| {
            let hearing = sfu::Hearing {
                here: 3,
                unheard,
                lossy: 0,
            };
            *lock(&shared.workers[0].snapshot) = Snapshot {
                at: Some(Instant::now()),
                hearing: vec![("m".to_owned(), hearing)],
                ..Snapshot::default()
            };
        };
        hears(2);
        assert_eq!(said(&shared), Ok(()));
        hears(3);
        let (hard, text) = said(&shared).unwrap_err();
        assert!(
            hard && text.starts_with("none of its 3 people is heard"),
            "{text}"
        );
        // What the focus is told speaks of the bridge alone.
        assert_eq!(of(&shared), Ok(()));
        hears(0);
        shared
            .deaf
            .send_replace(Some(SocketAddr::from(([127, 0, 0, 1], 10_000))));
        let (hard, text) = said(&shared).unwrap_err();
        assert_eq!(
            (hard, text.as_str()),
            (true, "media port 127.0.0.1:10000 does not answer")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_port_that_answers_nobody_is_noticed() {
        let shared = Arc::new(shared(1, Instant::now()));
        let deaf = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = deaf.local_addr().unwrap();
        tokio::spawn(watch_ports(shared.clone(), vec![port]));
        let mut noticed = shared.deaf.subscribe();
        let found = noticed.wait_for(Option::is_some).await.unwrap();
        assert_eq!(*found, Some(port));
    }
}
