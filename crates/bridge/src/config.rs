//! What a bridge needs to know.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use link::{Credentials, LinkConfig, MemoryConnector, Target, TlsVerify};
use telemetry::{Metrics, Redacted};

/// Settings of a [`crate::Bridge`].
#[derive(Debug, Clone)]
pub struct BridgeConfig {
    /// Unique among the bridges of a deployment: nickname in the brewery, part of WebSocket URLs.
    pub server_id: String,
    /// Where the bridge is, for a focus that prefers near bridges.
    pub region: Option<String>,
    /// Version to publish; all bridges that share a conference publish the same.
    pub version: String,
    /// UDP addresses for media. The unspecified address of a family means all its addresses.
    pub listen: Vec<SocketAddr>,
    /// Where connections for media over TCP come in, advertised as `listen` is; they are given to [`crate::StreamDoor`].
    pub tcp: Option<SocketAddr>,
    /// Which of the machine's own addresses are advertised.
    pub own_addresses: OwnAddresses,
    /// Public addresses in front of local ones (static NAT).
    pub mappings: Vec<Mapping>,
    /// STUN servers that say which public addresses a translator in front gives, most wanted first. It must lead the port of
    /// media to the same port here.
    pub stun: Vec<StunServer>,
    /// Advertise private addresses to every endpoint.
    pub private_addresses: bool,
    /// Number of shards, each a thread; 0 means one less than there are cores, at least one.
    pub shards: usize,
    /// Give each shard a port of its own: that of `listen`, the one after it, and so on. Its endpoints are told that port,
    /// so the kernel gives what they send to the right thread. Otherwise all shards share one port, and a thread hands what
    /// is another one's over to it.
    pub port_per_shard: bool,
    /// People of one meeting on one shard before another shard takes some of them.
    pub people_per_shard: usize,
    /// Keep each shard's thread on a processor of its own. Good on a machine that does nothing else.
    pub pin: bool,
    /// Bases of bridge-channel WebSocket URLs, `wss://<host>/colibri-ws/<server-id>`; empty offers none.
    pub web_socket_bases: Vec<String>,
    /// Signalling nodes to serve.
    pub nodes: Vec<NodeConfig>,
    /// Time between presences while nothing changes.
    pub presence_interval: Duration,
    /// How long a shutdown waits at most for conferences to be moved away, while people leave.
    pub shutdown_grace: Duration,
    /// How long meetings go on while no signalling node is in reach.
    pub keep: Duration,
    /// Where counters go.
    pub metrics: Metrics,
    /// Directory of the kernel's process information, for the load of the machine.
    pub proc_dir: PathBuf,
}

/// Which of the machine's own addresses peers are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnAddresses {
    /// Every one at which the bridge listens.
    All,
    /// These only, as far as the machine has them. Media is received at the others too, but nobody is told.
    Only(Vec<IpAddr>),
}

impl OwnAddresses {
    /// Whether peers are told this address.
    pub fn tells(&self, address: IpAddr) -> bool {
        match self {
            Self::All => true,
            Self::Only(some) => some.contains(&address),
        }
    }
}

/// A server that tells what address it sees (RFC 8489).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunServer {
    /// Name or address.
    pub host: String,
    /// UDP port, normally 3478.
    pub port: u16,
}

/// A public address in front of a local one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// What peers send to. Port 0 means the port of the local address.
    pub public: SocketAddr,
    /// The local address behind it; `None` means every one of the same family.
    pub local: Option<IpAddr>,
}

impl BridgeConfig {
    /// Up to this many, spreading a meeting costs more than it gains.
    pub const PEOPLE_PER_SHARD: usize = 100;

    /// The defaults: port 10000 of every address.
    pub fn new(server_id: impl Into<String>, metrics: Metrics) -> Self {
        Self {
            server_id: server_id.into(),
            region: None,
            version: concat!("pontoon-", env!("CARGO_PKG_VERSION")).to_owned(),
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 10_000))],
            tcp: None,
            own_addresses: OwnAddresses::All,
            mappings: Vec::new(),
            stun: Vec::new(),
            private_addresses: true,
            shards: 0,
            port_per_shard: false,
            people_per_shard: Self::PEOPLE_PER_SHARD,
            pin: false,
            web_socket_bases: Vec::new(),
            nodes: Vec::new(),
            presence_interval: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(30),
            keep: Duration::from_secs(12 * 3_600),
            metrics,
            proc_dir: PathBuf::from("/proc"),
        }
    }
}

/// Longest pause between two attempts to reach a node: new meetings wait for it after a restart of the node.
const BACKOFF: Duration = Duration::from_secs(1);

/// A signalling node to attach to.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// How to reach it.
    pub target: NodeTarget,
    /// The XMPP domain of the deployment, for example `meet.example.com`.
    pub domain: String,
    /// XMPP domain of the account; by default `auth.<domain>`.
    pub service_domain: Option<String>,
    /// The account on that domain.
    pub user: String,
    /// Its password.
    pub password: Redacted<String>,
    /// Where an account is kept that the node gives to this bridge. With it, `user` and `password` only serve to ask for
    /// one, as long as there is none.
    pub keeper: Option<Arc<dyn Keeper>>,
    /// The brewery room; by default `jvbbrewery@internal.<service domain>`.
    pub brewery: Option<String>,
}

/// Keeps the account that a node gave to this bridge.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// The account that is kept: its name and its password.
    fn load(&self) -> Option<(String, Redacted<String>)>;

    /// Keeps an account.
    ///
    /// # Errors
    /// Why it could not be written, for the log. The account serves until this process ends.
    fn keep(&self, user: &str, password: &str) -> Result<(), String>;
}

/// How to reach a signalling node.
#[derive(Debug, Clone)]
pub enum NodeTarget {
    /// In this process.
    Memory(MemoryConnector),
    /// Over TCP with STARTTLS.
    Tcp {
        /// Name or address.
        host: String,
        /// Port, normally 5222.
        port: u16,
        /// How the node proves who it is.
        verify: TlsVerify,
    },
}

impl fmt::Display for NodeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(_) => f.write_str("in this process"),
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

impl NodeConfig {
    /// A link to the node with this account.
    pub(crate) fn link(&self, user: String, password: &Redacted<String>) -> LinkConfig {
        let target = match self.target.clone() {
            NodeTarget::Memory(connector) => Target::Memory(connector),
            NodeTarget::Tcp { host, port, verify } => Target::Tcp { host, port, verify },
        };
        let credentials = Credentials::Password {
            user,
            password: password.expose().clone(),
        };
        let mut config = LinkConfig::new(target, &self.service_domain(), credentials);
        config.max_backoff = BACKOFF;
        // On another machine it is a copy of this one.
        config.yields = matches!(self.target, NodeTarget::Tcp { .. });
        config
    }

    /// Whether it leads to the same place with the same account.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let account = |node: &Self| (node.user.clone(), node.password.expose().clone());
        self.target.to_string() == other.target.to_string()
            && self.service_domain() == other.service_domain()
            && self.brewery() == other.brewery()
            && account(self) == account(other)
    }

    /// The bridge account of a deployment.
    pub fn new(target: NodeTarget, domain: impl Into<String>, password: String) -> Self {
        Self {
            target,
            domain: domain.into(),
            service_domain: None,
            user: "jvb".to_owned(),
            password: Redacted::new(password),
            keeper: None,
            brewery: None,
        }
    }

    pub(crate) fn service_domain(&self) -> String {
        self.service_domain
            .clone()
            .unwrap_or_else(|| format!("auth.{}", self.domain))
    }

    pub(crate) fn brewery(&self) -> String {
        self.brewery
            .clone()
            .unwrap_or_else(|| format!("jvbbrewery@internal.{}", self.service_domain()))
    }
}
