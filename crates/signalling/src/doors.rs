//! What streams may do, by the door through which they come.

use std::sync::Arc;

use stanza::xml::Limits;
use stream::server::{HostPolicy, ServerConfig};

/// What streams may do, by the door through which they come.
#[derive(Clone)]
pub(crate) struct Doors {
    /// WebSocket and BOSH: the main domain, as everybody reaches them.
    pub(crate) web: Arc<ServerConfig>,
    /// TCP: service accounts, by SCRAM.
    pub(crate) service: Arc<ServerConfig>,
    /// Inside the process: both.
    pub(crate) process: Arc<ServerConfig>,
}

impl Doors {
    /// Streams to the hosts of `server`, whose main one is `domain`.
    pub(crate) fn new(server: &xmpp::Server, domain: &str) -> Self {
        let salt_secret = rand::random();
        let main = domain.to_ascii_lowercase();
        let auth = format!("auth.{main}");
        let config = |hosts: &[(&str, bool)]| {
            let policies = hosts.iter().filter_map(|&(host, plain)| {
                let anonymous = server.login_host(host)?;
                let limits = if anonymous {
                    Limits::CLIENT
                } else {
                    Limits::SERVICE
                };
                let policy = HostPolicy {
                    anonymous,
                    password: !anonymous,
                    plain,
                    limits,
                };
                Some((host.to_owned(), policy))
            });
            Arc::new(ServerConfig::new(policies.collect(), salt_secret))
        };
        Self {
            web: config(&[(&main, true)]),
            service: config(&[(&auth, false)]),
            process: config(&[(&main, false), (&auth, false)]),
        }
    }
}
