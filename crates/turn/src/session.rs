//! One client: who it is, its allocation, whom it may send to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;

use crate::message::{MAX_MESSAGE, Message, Writer, channel_data, write_channel_data};

/// Lifetime of an allocation when the client wants none of its own, and the longest (RFC 8656 §7.2).
const LIFETIME: Duration = Duration::from_secs(600);
const MAX_LIFETIME: Duration = Duration::from_secs(3_600);
/// Lifetimes of a permission and of a channel (§9, §12).
const PERMISSION: Duration = Duration::from_secs(300);
const CHANNEL: Duration = Duration::from_secs(600);
/// Permissions and channels of a client.
const MAX_PEERS: usize = 32;
/// How long a client may take until it has an allocation.
const PATIENCE: Duration = Duration::from_secs(15);
/// UDP in REQUESTED-TRANSPORT.
const UDP: u8 = 17;

mod method {
    pub(super) const BINDING: u16 = 0x001;
    pub(super) const ALLOCATE: u16 = 0x003;
    pub(super) const REFRESH: u16 = 0x004;
    pub(super) const SEND: u16 = 0x016;
    pub(super) const DATA: u16 = 0x017;
    pub(super) const CREATE_PERMISSION: u16 = 0x008;
    pub(super) const CHANNEL_BIND: u16 = 0x009;
}

const SUCCESS: u16 = 0x100;
const FAILURE: u16 = 0x110;
const INDICATION: u16 = 0x010;

mod attribute {
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const CHANNEL_NUMBER: u16 = 0x000c;
    pub(super) const LIFETIME: u16 = 0x000d;
    pub(super) const XOR_PEER_ADDRESS: u16 = 0x0012;
    pub(super) const DATA: u16 = 0x0013;
    pub(super) const REALM: u16 = 0x0014;
    pub(super) const NONCE: u16 = 0x0015;
    pub(super) const XOR_RELAYED_ADDRESS: u16 = 0x0016;
    pub(super) const REQUESTED_ADDRESS_FAMILY: u16 = 0x0017;
    pub(super) const REQUESTED_TRANSPORT: u16 = 0x0019;
    pub(super) const XOR_MAPPED_ADDRESS: u16 = 0x0020;
}

/// What all clients of a server share.
pub struct Settings {
    /// The realm of the accounts.
    pub realm: String,
    /// What credentials are made with: the name is the second at which they end, the password is
    /// base64(HMAC-SHA1(secret, name)).
    pub secret: Vec<u8>,
    /// Whether packets may be relayed to this address.
    pub allows: Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}

/// The time.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For what lasts.
    pub at: Instant,
    /// For what credentials say, Unix seconds.
    pub unix: u64,
}

/// What the host has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// Send this to the client.
    Reply(Vec<u8>),
    /// Open a UDP socket, of IPv6 if so, and tell [`Session::opened`].
    Open {
        /// Whether of IPv6.
        ipv6: bool,
    },
    /// Send this from that socket.
    Send(SocketAddr, Vec<u8>),
    /// Send this to the client; then the allocation is over: close the socket and the connection.
    Close(Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
struct Until<T> {
    what: T,
    until: Instant,
}

#[derive(Debug)]
enum Allocation {
    None,
    /// The host opens the socket for this request.
    Opening {
        id: [u8; 12],
        lifetime: Duration,
    },
    Open {
        relayed: SocketAddr,
        until: Instant,
        /// Of the request, which may come again.
        id: [u8; 12],
        lifetime: Duration,
    },
}

/// Whose client it is: the name of the credentials and the key made of them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    name: String,
    key: [u8; 16],
}

/// Why a request is refused, and how the client reads it.
struct Refusal(u16, &'static str);

/// One client, that came over a stream of its own or by datagrams from one address.
#[derive(Debug)]
pub struct Session {
    settings: Arc<Settings>,
    client: SocketAddr,
    nonce: String,
    account: Option<Account>,
    allocation: Allocation,
    permissions: Vec<Until<IpAddr>>,
    channels: Vec<Until<(u16, SocketAddr)>>,
    start: Instant,
}

impl Session {
    /// A client at this address. `nonce` cannot be guessed by who has not seen it; of a client that comes by datagrams the host
    /// keeps nothing before it says [`Output::Open`], and so makes the same nonce for it again.
    pub fn new(settings: Arc<Settings>, client: SocketAddr, nonce: [u8; 16], now: Now) -> Self {
        Self {
            settings,
            client,
            nonce: base64::engine::general_purpose::STANDARD_NO_PAD.encode(nonce),
            account: None,
            allocation: Allocation::None,
            permissions: Vec::new(),
            channels: Vec::new(),
            start: now.at,
        }
    }

    /// When it is over unless the client does something.
    pub fn deadline(&self) -> Instant {
        match self.allocation {
            Allocation::Open { until, .. } => until,
            _ => self.start + PATIENCE,
        }
    }

    /// Takes one message of the client, as long as [`crate::message_len`] says.
    pub fn handle_client(&mut self, now: Now, bytes: &[u8]) -> Option<Output> {
        if let Some((number, data)) = channel_data(bytes) {
            return self.relay_channel(now, number, data);
        }
        let message = Message::parse(bytes)?;
        match message.kind {
            method::BINDING => Some(Output::Reply(
                Writer::new(method::BINDING | SUCCESS, message.id)
                    .address(attribute::XOR_MAPPED_ADDRESS, self.client)
                    .plain(),
            )),
            kind if kind == method::SEND | INDICATION => self.relay_indication(now, &message),
            method::ALLOCATE
            | method::REFRESH
            | method::CREATE_PERMISSION
            | method::CHANNEL_BIND => Some(self.handle_request(now, &message)),
            _ => None,
        }
    }

    fn handle_request(&mut self, now: Now, message: &Message<'_>) -> Output {
        let account = match self.authenticate(now, message) {
            Ok(account) => account,
            Err(refusal) => return self.refuse(message, &refusal, None),
        };
        let result = match message.kind {
            method::ALLOCATE => self.allocate(&account, message),
            method::REFRESH => self.refresh(now, &account, message),
            method::CREATE_PERMISSION => self.create_permission(now, &account, message),
            _ => self.bind_channel(now, &account, message),
        };
        result.unwrap_or_else(|refusal| self.refuse(message, &refusal, Some(&account.key)))
    }

    /// Long-term credentials (RFC 8489 §9.2) whose name says when they end.
    fn authenticate(&self, now: Now, message: &Message<'_>) -> Result<Account, Refusal> {
        let name = message.text(attribute::USERNAME);
        let realm = message.text(attribute::REALM);
        let (Some(name), Some(realm)) = (name, realm) else {
            return Err(Refusal(401, "Unauthorized"));
        };
        if message.text(attribute::NONCE) != Some(&self.nonce) {
            return Err(Refusal(438, "Stale Nonce"));
        }
        let ends = name.split(':').next().and_then(|s| s.parse::<u64>().ok());
        if realm != self.settings.realm || ends.is_none_or(|ends| ends < now.unix) {
            return Err(Refusal(401, "Unauthorized"));
        }
        let account = self.account(name);
        if !message.is_authentic(&account.key) {
            return Err(Refusal(401, "Unauthorized"));
        }
        if self.account.as_ref().is_some_and(|known| *known != account) {
            return Err(Refusal(441, "Wrong Credentials"));
        }
        Ok(account)
    }

    fn account(&self, name: &str) -> Account {
        let secret = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.settings.secret);
        let tag = hmac::sign(&secret, name.as_bytes());
        let password = base64::engine::general_purpose::STANDARD.encode(tag.as_ref());
        let realm = &self.settings.realm;
        Account {
            name: name.to_owned(),
            key: md5::compute(format!("{name}:{realm}:{password}")).0,
        }
    }

    fn refuse(&self, message: &Message<'_>, refusal: &Refusal, key: Option<&[u8]>) -> Output {
        let Refusal(code, reason) = refusal;
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend_from_slice(reason.as_bytes());
        let writer = Writer::new(message.kind | FAILURE, message.id)
            .attribute(attribute::ERROR_CODE, &value);
        let reply = match key {
            Some(key) => writer.protected(key),
            None => writer
                .attribute(attribute::REALM, self.settings.realm.as_bytes())
                .attribute(attribute::NONCE, self.nonce.as_bytes())
                .plain(),
        };
        Output::Reply(reply)
    }

    fn allocate(&mut self, account: &Account, message: &Message<'_>) -> Result<Output, Refusal> {
        match self.allocation {
            Allocation::None => {}
            // The answer was lost, and the request is repeated (RFC 8656 §7.2).
            Allocation::Open {
                relayed,
                id,
                lifetime,
                ..
            } if id == message.id && self.account.as_ref() == Some(account) => {
                let reply = self.allocated(&account.key, id, relayed, lifetime);
                return Ok(Output::Reply(reply));
            }
            _ => return Err(Refusal(437, "Allocation Mismatch")),
        }
        let transport = message.attribute(attribute::REQUESTED_TRANSPORT);
        match transport.and_then(<[u8]>::first) {
            None => return Err(Refusal(400, "Bad Request")),
            Some(&UDP) => {}
            Some(_) => return Err(Refusal(442, "Unsupported Transport Protocol")),
        }
        let family = message.attribute(attribute::REQUESTED_ADDRESS_FAMILY);
        let ipv6 = match family.and_then(<[u8]>::first) {
            None | Some(1) => false,
            Some(2) => true,
            Some(_) => return Err(Refusal(440, "Address Family not Supported")),
        };
        self.account = Some(account.clone());
        self.allocation = Allocation::Opening {
            id: message.id,
            lifetime: lifetime(message),
        };
        Ok(Output::Open { ipv6 })
    }

    /// The socket that [`Output::Open`] asked for is open at this address as peers see it; `None` if there is none to be
    /// had. Returns what to tell the client.
    pub fn opened(&mut self, now: Now, relayed: Option<SocketAddr>) -> Option<Vec<u8>> {
        let Allocation::Opening { id, lifetime } = self.allocation else {
            return None;
        };
        let key = self.account.as_ref()?.key;
        let Some(relayed) = relayed else {
            self.allocation = Allocation::None;
            let mut value = vec![0, 0, 5, 8];
            value.extend_from_slice(b"Insufficient Capacity");
            return Some(
                Writer::new(method::ALLOCATE | FAILURE, id)
                    .attribute(attribute::ERROR_CODE, &value)
                    .protected(&key),
            );
        };
        self.allocation = Allocation::Open {
            relayed,
            until: now.at + lifetime,
            id,
            lifetime,
        };
        Some(self.allocated(&key, id, relayed, lifetime))
    }

    fn allocated(
        &self,
        key: &[u8],
        id: [u8; 12],
        relayed: SocketAddr,
        lifetime: Duration,
    ) -> Vec<u8> {
        Writer::new(method::ALLOCATE | SUCCESS, id)
            .address(attribute::XOR_RELAYED_ADDRESS, relayed)
            .number(attribute::LIFETIME, seconds(lifetime))
            .address(attribute::XOR_MAPPED_ADDRESS, self.client)
            .protected(key)
    }

    fn refresh(
        &mut self,
        now: Now,
        account: &Account,
        message: &Message<'_>,
    ) -> Result<Output, Refusal> {
        let Allocation::Open { until, .. } = &mut self.allocation else {
            return Err(Refusal(437, "Allocation Mismatch"));
        };
        let ends = message.number(attribute::LIFETIME) == Some(0);
        let lifetime = match ends {
            true => Duration::ZERO,
            false => lifetime(message),
        };
        *until = now.at + lifetime;
        let reply = Writer::new(method::REFRESH | SUCCESS, message.id)
            .number(attribute::LIFETIME, seconds(lifetime))
            .protected(&account.key);
        Ok(match ends {
            true => Output::Close(reply),
            false => Output::Reply(reply),
        })
    }

    /// The peers that a request names, all of which must be allowed.
    fn peers(&self, message: &Message<'_>) -> Result<Vec<SocketAddr>, Refusal> {
        let Allocation::Open { relayed, .. } = self.allocation else {
            return Err(Refusal(437, "Allocation Mismatch"));
        };
        let mut peers = Vec::new();
        for peer in message.addresses(attribute::XOR_PEER_ADDRESS) {
            let peer = peer.ok_or(Refusal(400, "Bad Request"))?;
            if peer.is_ipv4() != relayed.is_ipv4() {
                return Err(Refusal(443, "Peer Address Family Mismatch"));
            }
            if !(self.settings.allows)(peer) {
                return Err(Refusal(403, "Forbidden"));
            }
            peers.push(peer);
        }
        match peers.is_empty() {
            true => Err(Refusal(400, "Bad Request")),
            false => Ok(peers),
        }
    }

    fn create_permission(
        &mut self,
        now: Now,
        account: &Account,
        message: &Message<'_>,
    ) -> Result<Output, Refusal> {
        for peer in self.peers(message)? {
            self.permit(now, peer.ip())?;
        }
        let reply = Writer::new(method::CREATE_PERMISSION | SUCCESS, message.id);
        Ok(Output::Reply(reply.protected(&account.key)))
    }

    fn permit(&mut self, now: Now, ip: IpAddr) -> Result<(), Refusal> {
        self.permissions.retain(|p| p.until > now.at);
        let until = now.at + PERMISSION;
        let full = self.permissions.len() >= MAX_PEERS;
        match self.permissions.iter_mut().find(|p| p.what == ip) {
            Some(known) => known.until = until,
            None if full => {
                return Err(Refusal(508, "Insufficient Capacity"));
            }
            None => self.permissions.push(Until { what: ip, until }),
        }
        Ok(())
    }

    fn bind_channel(
        &mut self,
        now: Now,
        account: &Account,
        message: &Message<'_>,
    ) -> Result<Output, Refusal> {
        let number = message.number(attribute::CHANNEL_NUMBER);
        let number = number.map(|n| (n >> 16) as u16);
        let (&[peer], Some(number @ 0x4000..=0x4fff)) = (&*self.peers(message)?, number) else {
            return Err(Refusal(400, "Bad Request"));
        };
        self.channels.retain(|c| c.until > now.at);
        // A number has one peer and a peer one number.
        let clash = |c: &Until<(u16, SocketAddr)>| (c.what.0 == number) != (c.what.1 == peer);
        if self.channels.iter().any(clash) {
            return Err(Refusal(400, "Bad Request"));
        }
        self.permit(now, peer.ip())?;
        let until = now.at + CHANNEL;
        let full = self.channels.len() >= MAX_PEERS;
        match self.channels.iter_mut().find(|c| c.what.0 == number) {
            Some(known) => known.until = until,
            None if full => {
                return Err(Refusal(508, "Insufficient Capacity"));
            }
            None => self.channels.push(Until {
                what: (number, peer),
                until,
            }),
        }
        let reply = Writer::new(method::CHANNEL_BIND | SUCCESS, message.id);
        Ok(Output::Reply(reply.protected(&account.key)))
    }

    fn is_permitted(&self, now: Now, ip: IpAddr) -> bool {
        let valid = |p: &Until<IpAddr>| p.what == ip && p.until > now.at;
        self.permissions.iter().any(valid)
    }

    fn relay_channel(&self, now: Now, number: u16, data: &[u8]) -> Option<Output> {
        let valid = |c: &&Until<(u16, SocketAddr)>| c.what.0 == number && c.until > now.at;
        let peer = self.channels.iter().find(valid)?.what.1;
        self.relay(now, peer, data)
    }

    fn relay_indication(&self, now: Now, message: &Message<'_>) -> Option<Output> {
        let peer = message.addresses(attribute::XOR_PEER_ADDRESS).next()??;
        self.relay(now, peer, message.attribute(attribute::DATA)?)
    }

    /// Data without a permission is dropped without a word (RFC 8656 §11.2); where packets may go is looked at each time,
    /// since that can change.
    fn relay(&self, now: Now, peer: SocketAddr, data: &[u8]) -> Option<Output> {
        let open = matches!(self.allocation, Allocation::Open { until, .. } if until > now.at);
        let may = open && self.is_permitted(now, peer.ip()) && (self.settings.allows)(peer);
        may.then(|| Output::Send(peer, data.to_vec()))
    }

    /// What to send to the client for a datagram that came to its socket; `None` if nobody asked for it.
    pub fn handle_peer(&self, now: Now, peer: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
        if data.len() > MAX_MESSAGE - 64 || !self.is_permitted(now, peer.ip()) {
            return None;
        }
        let valid = |c: &&Until<(u16, SocketAddr)>| c.what.1 == peer && c.until > now.at;
        if let Some(channel) = self.channels.iter().find(valid) {
            return write_channel_data(channel.what.0, data);
        }
        let mut id = [0; 12];
        id[..2].copy_from_slice(&peer.port().to_be_bytes());
        Some(
            Writer::new(method::DATA | INDICATION, id)
                .address(attribute::XOR_PEER_ADDRESS, peer)
                .attribute(attribute::DATA, data)
                .plain(),
        )
    }
}

fn lifetime(message: &Message<'_>) -> Duration {
    let wanted = message.number(attribute::LIFETIME);
    wanted.map_or(LIFETIME, |seconds| {
        Duration::from_secs(seconds.into()).clamp(LIFETIME, MAX_LIFETIME)
    })
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
