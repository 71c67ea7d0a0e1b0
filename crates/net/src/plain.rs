//! Receivers whose path takes no segmented sends: a smaller MTU than the segments', or an interface that cannot cut.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long a path is remembered; as long as a path MTU (RFC 1191 §6.3).
const REMEMBERED: Duration = Duration::from_secs(600);
/// Most paths remembered.
const MAX_PATHS: usize = 1024;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct PlainPaths(HashMap<IpAddr, Instant>);

impl PlainPaths {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A segmented send to this address failed.
    pub(crate) fn remember(&mut self, now: Instant, to: IpAddr) {
        if self.0.len() >= MAX_PATHS && !self.0.contains_key(&to) {
            self.0.retain(|_, until| *until > now);
            let first = self.0.iter().min_by_key(|(_, until)| **until);
            if let Some(ip) = first
                .map(|(ip, _)| *ip)
                .filter(|_| self.0.len() >= MAX_PATHS)
            {
                self.0.remove(&ip);
            }
        }
        self.0.insert(to, now + REMEMBERED);
    }

    /// Whether to send plain datagrams to this address.
    pub(crate) fn contains(&mut self, now: Instant, to: IpAddr) -> bool {
        match self.0.get(&to) {
            Some(until) if *until > now => true,
            Some(_) => {
                self.0.remove(&to);
                false
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "some first instant")]
    fn paths_are_forgotten_in_time_and_bounded() {
        let (now, ip) = (Instant::now(), |n: u32| IpAddr::from(n.to_be_bytes()));
        let mut paths = PlainPaths::default();
        paths.remember(now, ip(1));
        assert!(paths.contains(now + REMEMBERED / 2, ip(1)) && !paths.contains(now, ip(2)));
        assert!(!paths.contains(now + REMEMBERED, ip(1)) && paths.is_empty());
        for n in 0..=MAX_PATHS as u32 {
            paths.remember(now + Duration::from_millis(n.into()), ip(n));
        }
        assert_eq!(paths.0.len(), MAX_PATHS);
        assert!(!paths.contains(now, ip(0)) && paths.contains(now, ip(MAX_PATHS as u32)));
    }
}
