//! Whether what runs in this process is well, for whoever asks over HTTP and for the service manager.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::service;

/// How often the service manager is told.
const LOOK: Duration = Duration::from_secs(5);

type Check = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The parts that are asked; clones ask the same ones.
#[derive(Clone, Default)]
pub(crate) struct Wellbeing(Arc<Mutex<Vec<Check>>>);

impl Wellbeing {
    /// Asks this part too from now on.
    pub(crate) fn add(&self, check: impl Fn() -> Result<(), String> + Send + Sync + 'static) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Box::new(check));
    }

    /// Asks all parts.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn check(&self) -> Result<(), String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong: Vec<String> = all.iter().filter_map(|check| check().err()).collect();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("; ")),
        }
    }

    /// Keeps the service manager informed: what is going on, or what is wrong. For ever.
    pub(crate) async fn tell(self, going_on: impl Fn() -> String) {
        let mut last = String::new();
        loop {
            let now = match self.check() {
                Ok(()) => going_on(),
                Err(wrong) => format!("not well: {wrong}"),
            };
            if now != last {
                service::status(&now);
                last = now;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_told() {
        let all = Wellbeing::default();
        assert_eq!(all.check(), Ok(()), "nothing is there to be ill");
        all.add(|| Ok(()));
        all.clone().add(|| Err("no bridge is there".to_owned()));
        all.add(|| Err("a media thread is stuck".to_owned()));
        assert_eq!(
            all.check(),
            Err("no bridge is there; a media thread is stuck".to_owned())
        );
    }
}
