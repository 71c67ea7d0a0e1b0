//! What a server's end of a stream needs to know.

use std::collections::BTreeMap;
use std::time::Duration;

use stanza::xml::Limits;

/// Settings shared by all streams of a server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The hosts streams may be opened to, in lower case.
    pub hosts: BTreeMap<String, HostPolicy>,
    /// Whether stream management is offered (never in BOSH).
    pub stream_management: bool,
    /// What one stanza may use before login.
    pub unauthenticated: Limits,
    /// Bytes a peer may send in all before login.
    pub unauthenticated_bytes: usize,
    /// Time for TLS, login and bind together.
    pub login_timeout: Duration,
    /// Failed logins after which the stream ends.
    pub max_failures: u8,
    /// Salts made up for accounts that do not exist follow from this, so that they stay the same.
    pub salt_secret: [u8; 32],
}

impl ServerConfig {
    /// Settings for `hosts` with everything else at its default: 30 s and 64 KiB until the login, three attempts.
    #[must_use]
    pub fn new(hosts: BTreeMap<String, HostPolicy>, salt_secret: [u8; 32]) -> Self {
        Self {
            hosts,
            stream_management: true,
            unauthenticated: Limits::UNAUTHENTICATED,
            unauthenticated_bytes: 64 * 1024,
            login_timeout: Duration::from_secs(30),
            max_failures: 3,
            salt_secret,
        }
    }
}

/// How one may log in to a host, and what one may send there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPolicy {
    /// Whether anybody may come in without a password (SASL ANONYMOUS).
    pub anonymous: bool,
    /// Whether there are accounts with passwords.
    pub password: bool,
    /// Whether passwords are taken as they are (SASL PLAIN) where nobody else reads them, besides SCRAM.
    pub plain: bool,
    /// What one stanza may use after login.
    pub limits: Limits,
}

/// What protects a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// Nobody reads or changes it: TLS, or bytes that stay in the process. PLAIN may be offered.
    Secure,
    /// TLS must come first: STARTTLS is offered, and nothing else until it is done.
    StartTls,
    /// Anybody may read it. PLAIN is not offered.
    Insecure,
}
