//! What operators read of services elsewhere: who came, from where, who was refused and why, and whose connection ended.
//!
//! Services are bridges and the like, on machines of the operator's own, so that their names and addresses may be read.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use shares::{AddressClass, Buckets, Rate};
use stanza::BareJid;
use stream::server::Event;

use crate::now;
use crate::server_task::Reply;

/// Refusals that are told of one address: so many at once, then one in this time.
const TOLD: Rate = Rate {
    every: Duration::from_secs(60),
    burst: 3,
};
/// Addresses remembered.
const MOST: usize = 256;
/// Characters of a name that is nobody's.
const NAME: usize = 64;

/// How much is told of refusals; clones count together.
#[derive(Clone)]
pub(crate) struct Doorkeeper(Arc<Mutex<Buckets<AddressClass>>>);

impl Default for Doorkeeper {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Buckets::new(TOLD, MOST))))
    }
}

impl Doorkeeper {
    /// Somebody who comes from `address`.
    pub(crate) fn visitor(&self, address: IpAddr) -> Visitor {
        Visitor {
            doorkeeper: self.clone(),
            address: address.to_canonical(),
            user: None,
            inside: false,
        }
    }

    /// Whether one more refusal of this address is told.
    fn tells(&self, now: Instant, address: IpAddr) -> bool {
        // Nothing is left half done where a thread could end.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.take(now, address.into()).is_ok()
    }
}

/// One connection of a service.
pub(crate) struct Visitor {
    doorkeeper: Doorkeeper,
    address: IpAddr,
    /// Who it says it is.
    user: Option<BareJid>,
    /// Whether it was let in.
    inside: bool,
}

impl Visitor {
    /// What its stream says.
    pub(crate) fn on_event(&mut self, event: &Event) {
        match event {
            Event::Lookup { user } => self.user = Some(user.clone()),
            Event::LoginFailed(condition) => self.refused(condition.as_str()),
            _ => {}
        }
    }

    /// What it is told.
    pub(crate) fn on_reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Bound(Ok((jid, _))) => {
                self.inside = true;
                tracing::info!("service {jid} came from {}", self.address);
            }
            Reply::Resumed(Ok(_)) => {
                self.inside = true;
                tracing::info!("service {} is back from {}", self.name(), self.address);
            }
            Reply::Bound(Err(condition)) => self.refused(condition.as_str()),
            Reply::Close(condition) => tracing::warn!(
                "service {} at {} is sent away: {condition}",
                self.name(),
                self.address
            ),
            _ => {}
        }
    }

    /// Its connection is over.
    pub(crate) fn went(self) {
        if self.inside {
            tracing::info!(
                "the connection of service {} from {} ended",
                self.name(),
                self.address
            );
        }
    }

    fn refused(&self, why: &str) {
        if self.doorkeeper.tells(now(), self.address) {
            tracing::warn!(
                "service {} from {} was refused: {why}",
                self.name(),
                self.address
            );
        }
    }

    /// Who it is, as far as it said. What strangers say may be long.
    fn name(&self) -> String {
        match &self.user {
            Some(user) => user.as_str().chars().take(NAME).collect(),
            None => "without a name".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_all_the_time_does_not_fill_the_log() {
        let doorkeeper = Doorkeeper::default();
        let start = now();
        let told = |address: [u8; 4], at: Instant| {
            let tries = (0..100).map(|_| doorkeeper.tells(at, IpAddr::from(address)));
            tries.filter(|told| *told).count()
        };
        assert_eq!(told([10, 0, 0, 1], start), 3);
        assert_eq!(told([10, 0, 0, 1], start + TOLD.every), 1);
        // Another one is told of all the same.
        assert_eq!(told([10, 0, 0, 2], start), 3);
    }

    #[test]
    fn a_name_is_no_longer_than_a_line_bears() {
        let mut visitor = Doorkeeper::default().visitor(IpAddr::from([10, 0, 0, 1]));
        assert_eq!(visitor.name(), "without a name");
        let user = BareJid::new(&format!("{}@auth.meet.test", "a".repeat(1_000)));
        visitor.on_event(&Event::Lookup {
            user: user.expect("an address"),
        });
        assert_eq!(visitor.name(), "a".repeat(NAME));
    }
}
