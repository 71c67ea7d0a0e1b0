//! What a signalling node needs to know.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use stanza::error::Condition;
use telemetry::Metrics;
use xmpp::BridgeAccounts;

use crate::error::StartError;

/// Settings of a [`Node`](crate::Node).
pub struct SignallingConfig {
    /// The XMPP server: names, accounts, limits.
    pub xmpp: xmpp::Config,
    /// The focus to run in this process; `None` when it is a role of its own.
    pub focus: Option<focus::FocusConfig>,
    /// File in which the focus of this process keeps its meetings, to go on with them after the process was replaced;
    /// `None` keeps nothing. It holds addresses and names of people and is made readable to its owner only.
    pub focus_state: Option<std::path::PathBuf>,
    /// File in which sessions and rooms are kept: the next process goes on with them, however this one ends, and so the end
    /// of this one ends no meeting. `None` keeps nothing. It holds passwords of rooms, and names and addresses of people,
    /// and is made readable to its owner only.
    pub journal: Option<std::path::PathBuf>,
    /// Accounts of bridges elsewhere; [`BridgeDoor`](crate::BridgeDoor) changes them.
    pub bridges: BridgeAccounts,
    /// Makes and keeps an account for a bridge that asks for one. Nothing is made without.
    pub new_bridge: Option<NewBridge>,
    /// XMPP over TCP, for bridges and other services elsewhere; `None` closes the door.
    pub tcp: Option<TcpConfig>,
    /// Connections at one time, those without a login included.
    pub max_connections: usize,
    /// Of those, connections of browsers from one address (IPv4) or /64 (IPv6).
    pub connections_per_address: usize,
    /// Where counters go.
    pub metrics: Metrics,
}

impl SignallingConfig {
    /// Settings for `domain` with a focus and no TCP listener.
    ///
    /// # Errors
    /// When `domain` is no host name.
    pub fn new(domain: &str, cluster_secret: &[u8], metrics: Metrics) -> Result<Self, StartError> {
        let focus = focus::FocusConfig::for_domain(domain)
            .map_err(|_| StartError::Domain(domain.to_owned()))?;
        Ok(Self {
            xmpp: xmpp::Config::new(domain, cluster_secret),
            focus: Some(focus),
            focus_state: None,
            journal: None,
            bridges: BridgeAccounts::default(),
            new_bridge: None,
            tcp: None,
            max_connections: 20_000,
            connections_per_address: 5_000,
            metrics,
        })
    }
}

/// XMPP over TCP (RFC 6120) with STARTTLS, which is required of every peer.
pub struct TcpConfig {
    /// Addresses to listen on; port 5222 as a rule.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key. Bridges are told the digest of this certificate.
    pub tls: Arc<rustls::ServerConfig>,
    /// Whose connections are taken.
    pub allow: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

/// Makes an account: the name a bridge would like to have and the password it has chosen. Returns the name it got and
/// what is kept of the password, once that is stored; or why there is none. May block.
#[derive(Clone)]
pub struct NewBridge(pub Arc<NewBridgeFn>);

/// The function behind [`NewBridge`].
pub type NewBridgeFn =
    dyn Fn(&str, &str) -> Result<(String, xmpp::auth::Credentials), Condition> + Send + Sync;

impl fmt::Debug for NewBridge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewBridge")
    }
}
