//! How the bridge stands with a signalling node: whether it is attached, and if not, who refused it and why. The log says
//! so at once, and again every minute as long as it lasts.
#![allow(clippy::disallowed_methods, reason = "timers are tokio's")]

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Time between two lines in the log about the same trouble.
const REMIND: Duration = Duration::from_secs(60);

/// How the bridge stands with one signalling node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The node: `host:port`, or `in this process`.
    pub node: String,
    /// Whether the bridge may get conferences from there.
    pub attached: bool,
    /// Why it is not attached, in a sentence.
    pub trouble: Option<String>,
    number: u64,
}

/// What keeps a bridge from being attached. Trouble of one kind is one trouble, in whatever words it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The node does not answer.
    Unreachable,
    /// It does not let the account in.
    Refused,
    /// Another bridge has the name.
    Taken,
    /// The stream was lost.
    Lost,
    /// The room of the bridges is shut.
    Room,
    /// The node gave no account.
    NoAccount,
}

struct Trouble {
    kind: Kind,
    since: Instant,
    next_word: Instant,
}

/// Keeps the standing with one node.
pub(crate) struct Keeping {
    standings: watch::Sender<Vec<Standing>>,
    number: u64,
    trouble: Option<Trouble>,
}

impl Keeping {
    /// Not attached yet, and no trouble yet.
    pub(crate) fn new(standings: watch::Sender<Vec<Standing>>, node: String) -> Self {
        let mut number = 0;
        standings.send_modify(|all| {
            number = all.last().map_or(0, |last| last.number + 1);
            all.push(Standing {
                node,
                attached: false,
                trouble: None,
                number,
            });
        });
        Self {
            standings,
            number,
            trouble: None,
        }
    }

    /// The bridge is attached.
    pub(crate) fn attached(&mut self) {
        self.trouble = None;
        self.change(true, None);
    }

    /// It is not, and this is why.
    pub(crate) fn troubled(&mut self, kind: Kind, sentence: String) {
        let now = Instant::now();
        let known = self.trouble.as_mut().filter(|trouble| trouble.kind == kind);
        match known {
            Some(_) => {}
            None => {
                tracing::warn!("{sentence}");
                let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
                self.trouble = Some(Trouble {
                    kind,
                    since,
                    next_word: now + REMIND,
                });
            }
        }
        self.change(false, Some(sentence));
    }

    /// Says it again whenever it is time to; never returns.
    pub(crate) async fn remind(&mut self) {
        loop {
            let Some(due) = self.trouble.as_ref().map(|trouble| trouble.next_word) else {
                return std::future::pending().await;
            };
            sleep_until(due).await;
            let sentence = self.sentence();
            if let Some(trouble) = &mut self.trouble {
                trouble.next_word += REMIND;
                tracing::warn!(
                    minutes = trouble.since.elapsed().as_secs() / 60,
                    "still not attached: {}",
                    sentence.unwrap_or_default()
                );
            }
        }
    }

    fn sentence(&self) -> Option<String> {
        let all = self.standings.borrow();
        let own = all.iter().find(|standing| standing.number == self.number)?;
        own.trouble.clone()
    }

    fn change(&self, attached: bool, trouble: Option<String>) {
        self.standings.send_if_modified(|all| {
            let Some(standing) = all.iter_mut().find(|one| one.number == self.number) else {
                return false;
            };
            let changed = standing.attached != attached || standing.trouble != trouble;
            (standing.attached, standing.trouble) = (attached, trouble);
            changed
        });
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        let number = self.number;
        self.standings
            .send_modify(|all| all.retain(|standing| standing.number != number));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Log {
        fn lines(&self) -> usize {
            self.0
                .lock()
                .unwrap()
                .iter()
                .filter(|b| **b == b'\n')
                .count()
        }
    }

    async fn pass(keeping: &mut Keeping, seconds: u64) {
        let time = Duration::from_secs(seconds);
        assert!(tokio::time::timeout(time, keeping.remind()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_told_at_once_and_every_minute_as_long_as_it_lasts() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let standings = watch::Sender::new(Vec::new());
        let mut keeping = Keeping::new(standings.clone(), "meet.test:5222".to_owned());
        pass(&mut keeping, 600).await;
        assert_eq!(log.lines(), 0, "nothing is wrong yet");
        // The link tries every two seconds, and the words change.
        for attempt in 0..60 {
            keeping.troubled(Kind::Unreachable, format!("refused, attempt {attempt}"));
            pass(&mut keeping, 2).await;
        }
        assert_eq!(log.lines(), 3, "at once, and after one and two minutes");
        let trouble = |all: &watch::Sender<Vec<Standing>>| all.borrow()[0].trouble.clone();
        assert_eq!(trouble(&standings).as_deref(), Some("refused, attempt 59"));
        // Trouble of another kind is news.
        keeping.troubled(Kind::Refused, "no such account".to_owned());
        assert_eq!(log.lines(), 4);
        keeping.attached();
        pass(&mut keeping, 600).await;
        assert_eq!(log.lines(), 4, "it is over");
        assert!(standings.borrow()[0].attached && trouble(&standings).is_none());
        drop(keeping);
        assert!(standings.borrow().is_empty());
    }
}
