//! What a server needs to know before it starts: names, accounts, limits, external services.

use std::time::Duration;

/// Settings of one [`Server`](crate::Server). Plain data; the file format lives elsewhere.
#[derive(Clone, Debug)]
pub struct Config {
    /// Main domain, e.g. `meet.example.com`. All other hosts are derived from it.
    pub domain: String,
    /// First label of the meeting rooms' host (`conference` gives `conference.meet.example.com`).
    pub muc_prefix: String,
    /// Host of the rooms of service accounts; `None` means `internal.auth.<domain>`.
    pub internal_muc: Option<String>,
    /// Secret from which the passwords of the built-in accounts `focus` and `jvb` are derived; see
    /// [`derive_password`](crate::auth::derive_password).
    pub cluster_secret: Vec<u8>,
    /// Further password accounts.
    pub accounts: Vec<Account>,
    /// Whether the main domain lets anybody in without a password (SASL ANONYMOUS).
    pub anonymous: bool,
    /// STUN and TURN servers told to clients (XEP-0215).
    pub external_services: Vec<ExternalService>,
    /// Most people in one meeting, services not counted; `None` is no limit.
    pub max_occupants: Option<usize>,
    /// Name of the deployment shard, its region and release, when there are any.
    pub deployment: Deployment,
    /// Whether clients are told at bind what they would ask next (saves two round trips). Off unless wanted: a client that
    /// does not expect a stanza before the bind result may stumble over it.
    pub connection_push: bool,
    /// Text of the software version answer (XEP-0092).
    pub version: String,
    /// Bounds on everything that grows.
    pub limits: Limits,
}

impl Config {
    /// Settings for `domain` with everything else at its default.
    #[must_use]
    pub fn new(domain: &str, cluster_secret: &[u8]) -> Self {
        Self {
            domain: domain.to_owned(),
            muc_prefix: "conference".to_owned(),
            internal_muc: None,
            cluster_secret: cluster_secret.to_vec(),
            accounts: Vec::new(),
            anonymous: true,
            external_services: Vec::new(),
            max_occupants: None,
            deployment: Deployment::default(),
            connection_push: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: Limits::default(),
        }
    }
}

/// A password account besides the built-in ones.
#[derive(Clone)]
pub struct Account {
    /// Bare JID, e.g. `jibri@auth.meet.example.com`.
    pub jid: String,
    /// Its password in clear; hashed when the server starts and not kept.
    pub password: String,
    /// Whether it owns every room and may create rooms.
    pub admin: bool,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("jid", &self.jid)
            .field("admin", &self.admin)
            .finish_non_exhaustive()
    }
}

/// Names of the place this server runs in, told to clients as disco identities.
#[derive(Clone, Debug, Default)]
pub struct Deployment {
    /// Shard name.
    pub shard: Option<String>,
    /// Region name.
    pub region: Option<String>,
    /// Release name.
    pub release: Option<String>,
}

/// One STUN or TURN server.
#[derive(Clone)]
pub struct ExternalService {
    /// `stun`, `turn` or `turns`.
    pub kind: ServiceKind,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// `udp` or `tcp`; `None` leaves it to the client.
    pub transport: Option<Transport>,
    /// How clients authenticate to it.
    pub credentials: ServiceCredentials,
}

impl std::fmt::Debug for ExternalService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExternalService")
            .field("kind", &self.kind)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

/// Kind of an external service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceKind {
    /// STUN.
    Stun,
    /// TURN.
    Turn,
    /// TURN over TLS.
    Turns,
}

impl ServiceKind {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stun => "stun",
            Self::Turn => "turn",
            Self::Turns => "turns",
        }
    }
}

/// Transport of an external service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Transport {
    /// The word used on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

/// Credentials of an external service.
#[derive(Clone)]
pub enum ServiceCredentials {
    /// None (STUN).
    None,
    /// The same for everybody.
    Static {
        /// User name.
        username: String,
        /// Password.
        password: String,
    },
    /// Time-limited: user name is the expiry in Unix seconds, password is
    /// base64(HMAC-SHA1(secret, user name)).
    Ephemeral {
        /// Secret shared with the TURN server.
        secret: Vec<u8>,
        /// Lifetime of a credential.
        ttl: Duration,
    },
}

/// Bounds on everything that grows. The defaults follow what current deployments use.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions on this server.
    pub sessions: usize,
    /// Rooms on this server.
    pub rooms: usize,
    /// Occupants of one room, services included.
    pub occupants: usize,
    /// Rooms one session may be in at once (service accounts are exempt).
    pub rooms_per_session: usize,
    /// Stanzas kept for a session until its peer acknowledges them.
    pub unacked_stanzas: usize,
    /// Bytes kept for a session until its peer acknowledges them.
    pub unacked_bytes: usize,
    /// Unacknowledged stanzas after which a client is asked for an acknowledgement. What waits for it is shared between all
    /// who got it, and an acknowledgement costs the server about as much as a stanza.
    pub ack_request_every: u32,
    /// The same of the focus and other services: senders wait for what those have not acknowledged.
    pub ack_request_every_services: u32,
    /// How long a lost client connection keeps its place.
    pub hibernation_clients: Duration,
    /// How long the focus and other service accounts keep theirs. Bridges (`jvb`) keep none: a closed bridge
    /// stream counts at once.
    pub hibernation_services: Duration,
    /// Stanzas that may wait for a service (the focus, a bridge) to acknowledge them. Nobody can make it more: senders are
    /// slowed, then refused.
    pub service_queue_stanzas: usize,
    /// Bytes of those.
    pub service_queue_bytes: usize,
    /// How many of those stanzas may be from one participant.
    pub service_share_stanzas: usize,
    /// Bytes of those.
    pub service_share_bytes: usize,
    /// How long the answer to a request may take before the requester gets an error in its place.
    pub answer_wait: Duration,
    /// Bytes of unanswered requests and waiting joins kept for all sessions together.
    pub kept_bytes: usize,
    /// Bytes of those kept for one session.
    pub kept_bytes_per_session: usize,
    /// Silence of a connection after which its peer is asked for a sign of life.
    pub probe_after: Duration,
    /// How long it may take to give one before the connection counts as lost.
    pub probe_timeout: Duration,
    /// Joins waiting for the focus in one room.
    pub joins_waiting: usize,
    /// How long such a join waits before it is refused.
    pub join_wait: Duration,
    /// Largest presence of a client, serialised, in bytes.
    pub presence_bytes: usize,
    /// Group chat messages kept for late joiners.
    pub history: usize,
    /// Bytes of that history per room.
    pub history_bytes: usize,
    /// Stanzas per second and kind (presence, message, IQ) of a client.
    pub rate: Rates,
}

/// Sustained rates of a client's stanzas per second; bursts of [`Rates::burst_seconds`] times that.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Presences per second.
    pub presence: u32,
    /// Messages per second.
    pub message: u32,
    /// IQs per second.
    pub iq: u32,
    /// Seconds of traffic that may come at once.
    pub burst_seconds: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 20_000,
            rooms: 10_000,
            occupants: 5_000,
            rooms_per_session: 8,
            // Whoever enters a full room is told of everybody at once.
            unacked_stanzas: 10_000,
            unacked_bytes: 8 << 20,
            ack_request_every: 25,
            ack_request_every_services: 5,
            service_queue_stanzas: 20_000,
            service_queue_bytes: 64 << 20,
            service_share_stanzas: 32,
            service_share_bytes: 512 << 10,
            answer_wait: Duration::from_secs(90),
            kept_bytes: 32 << 20,
            kept_bytes_per_session: 128 << 10,
            hibernation_clients: Duration::from_secs(60),
            hibernation_services: Duration::from_secs(15),
            probe_after: Duration::from_secs(30),
            probe_timeout: Duration::from_secs(15),
            joins_waiting: 500,
            join_wait: Duration::from_secs(20),
            presence_bytes: 64 << 10,
            history: 20,
            history_bytes: 256 << 10,
            rate: Rates {
                presence: 10,
                message: 20,
                iq: 40,
                burst_seconds: 10,
            },
        }
    }
}
