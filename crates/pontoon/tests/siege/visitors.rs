//! People who come while others attack: they must get in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::attacker::Aim;

/// Longest time that a visitor may take to be in a room, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Default)]
struct Tally {
    came: AtomicU32,
    failed: Mutex<Option<String>>,
}

pub struct Visitors {
    aim: Aim,
    tally: Arc<Tally>,
    task: tokio::task::JoinHandle<()>,
}

impl Visitors {
    /// Somebody comes every two seconds, from ever other addresses.
    pub fn start(aim: Aim) -> Self {
        let tally = Arc::new(Tally::default());
        let (theirs, from) = (Arc::clone(&tally), aim.clone());
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_secs(2));
            loop {
                ticks.tick().await;
                if let Err(why) = visit(&from.elsewhere()).await {
                    theirs.failed.lock().await.get_or_insert(why);
                }
                theirs.came.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { aim, tally, task }
    }

    /// One more visitor, who must get in as all before must have.
    pub async fn one_more(&self, when: &str) {
        let mine = visit(&self.aim.elsewhere()).await.err();
        let earlier = self.tally.failed.lock().await.clone();
        if let Some(why) = earlier.or(mine) {
            panic!("{when}: a visitor was kept out: {why}");
        }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.task.abort();
        println!(
            "siege: {} visitors came",
            self.tally.came.load(Ordering::Relaxed)
        );
    }
}

async fn visit(aim: &Aim) -> Result<(), String> {
    let began = Instant::now();
    let mut step = "login";
    let steps = async {
        let mut guest = aim.login("lobbyless").await?;
        step = "conference request";
        guest.request("lobbyless").await?.then_some(())?;
        step = "entering the room";
        guest.enter("lobbyless").await
    };
    let done = tokio::time::timeout(PATIENCE, steps).await;
    match done {
        Ok(Some(())) => Ok(()),
        Ok(None) => Err(format!("{step}: refused after {:?}", began.elapsed())),
        Err(_) => Err(format!("{step}: no answer within {PATIENCE:?}")),
    }
}
