//! What a link needs to know.

use std::fmt;
use std::time::Duration;

use crate::MemoryConnector;

/// Settings of one link.
#[derive(Debug, Clone)]
pub struct LinkConfig {
    /// Where the server is.
    pub target: Target,
    /// The XMPP host to log in to, e.g. `auth.meet.example.com`.
    pub domain: String,
    /// Who we are.
    pub credentials: Credentials,
    /// The resource to ask for; the server chooses when absent.
    pub resource: Option<String>,
    /// Whether to ask for a session that survives its connection (XEP-0198).
    pub resume: bool,
    /// Whether to leave our address to somebody else who has it, and ask for it only now and then. Otherwise it is taken
    /// back at once: right where there cannot be two of us for long.
    pub yields: bool,
    /// How a dead connection is noticed.
    pub keep_alive: KeepAlive,
    /// Longest wait between two attempts to connect. The first follows a loss at once.
    pub max_backoff: Duration,
    /// Longest time for one attempt: connect, TLS and login together.
    pub connect_timeout: Duration,
    /// Stanzas that may wait in each direction.
    pub queue: usize,
}

impl LinkConfig {
    /// Settings for an account, everything else at its default: resumption on, at most 2 s between attempts.
    #[must_use]
    pub fn new(target: Target, domain: &str, credentials: Credentials) -> Self {
        Self {
            target,
            domain: domain.to_owned(),
            credentials,
            resource: None,
            resume: true,
            yields: false,
            keep_alive: KeepAlive::default(),
            max_backoff: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(10),
            queue: 4096,
        }
    }

    /// The same settings with a resource of our choice.
    #[must_use]
    pub fn with_resource(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }
}

/// Where a server is.
#[derive(Debug, Clone)]
pub enum Target {
    /// On TCP, with STARTTLS.
    Tcp {
        /// Name or address.
        host: String,
        /// Port, 5222 as a rule.
        port: u16,
        /// What its certificate is checked against.
        verify: TlsVerify,
    },
    /// On a WebSocket behind HTTPS (RFC 7395), as browsers come.
    WebSocket {
        /// Name or address.
        host: String,
        /// Port, 443 as a rule.
        port: u16,
        /// Path and query, as `/xmpp-websocket?room=standup`.
        path: String,
        /// What its certificate is checked against.
        verify: TlsVerify,
    },
    /// In this process. The same bytes as on TCP, without TLS.
    Memory(MemoryConnector),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } | Self::WebSocket { host, port, .. } => {
                write!(f, "{host}:{port}")
            }
            Self::Memory(_) => f.write_str("in this process"),
        }
    }
}

/// What a server's certificate is checked against.
#[derive(Debug, Clone)]
pub enum TlsVerify {
    /// The SHA-256 digest of the certificate itself (DER), however it is signed.
    Fingerprint([u8; 32]),
    /// These roots, and the XMPP host as name.
    Roots(std::sync::Arc<rustls::RootCertStore>),
    /// Nothing: whoever answers is believed.
    None,
}

/// Who logs in.
#[derive(Clone)]
pub enum Credentials {
    /// An account with a password: SCRAM where the server has it.
    Password {
        /// The local part of the account's address.
        user: String,
        /// Its password.
        password: String,
    },
    /// Anybody: the server makes up a name.
    Anonymous,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => f
                .debug_struct("Password")
                .field("user", user)
                .finish_non_exhaustive(),
            Self::Anonymous => f.write_str("Anonymous"),
        }
    }
}

/// How a dead connection is noticed: after silence the server is asked for a sign of life.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// Silence after which the server is asked.
    pub interval: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
        }
    }
}
