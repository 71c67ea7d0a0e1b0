//! TURN servers that clients are told of: `turn:turn.example.com:3478`, `turns:turn.example.com:443?transport=tcp` (RFC 7065).

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use telemetry::Redacted;

use crate::address::is_domain;
use crate::certificate::Mistake;

/// A TURN server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnServer {
    /// Over TLS.
    pub tls: bool,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Its port; 3478, and 5349 with TLS, if none is written.
    pub port: u16,
    /// Whether clients come by UDP, by TCP. Without a word: by both, and with TLS by TCP.
    pub udp: bool,
    /// See `udp`.
    pub tcp: bool,
}

impl FromStr for TurnServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no TURN server; write it like \"turn:turn.example.com:3478\", \"?transport=udp\" or \"?transport=tcp\" behind it for that alone"
            )
        };
        let (address, transport) = match text.split_once('?') {
            Some((address, query)) => {
                let transport = query.strip_prefix("transport=").ok_or_else(wrong)?;
                (address, Some(transport))
            }
            None => (text, None),
        };
        let (tls, server) = match (
            address.strip_prefix("turn:"),
            address.strip_prefix("turns:"),
        ) {
            (Some(server), _) => (false, server),
            (None, Some(server)) => (true, server),
            (None, None) => return Err(wrong()),
        };
        let (udp, tcp) = match transport {
            None => (!tls, true),
            Some("udp") if !tls => (true, false),
            Some("tcp") => (false, true),
            Some(_) => return Err(wrong()),
        };
        let usual = if tls { 5349 } else { 3478 };
        let (host, port) = host_and_port(server, usual).ok_or_else(wrong)?;
        Ok(Self {
            tls,
            host,
            port,
            udp,
            tcp,
        })
    }
}

/// Servers and what credentials for them are made with.
pub(crate) type Told = (Vec<TurnServer>, Redacted<String>);

/// What `client.turn_servers` and `client.turn_secret` say.
///
/// # Errors
/// What is wrong with them.
pub(crate) fn told(servers: &[String], secret: Option<String>) -> Result<Option<Told>, Mistake> {
    let parsed: Result<Vec<TurnServer>, String> =
        servers.iter().map(|server| server.parse()).collect();
    let servers = parsed.map_err(|error| ("client.turn_servers", error, "put it right"))?;
    match secret {
        _ if servers.is_empty() => Ok(None),
        Some(secret) => Ok(Some((servers, Redacted::new(secret)))),
        None => Err((
            "client.turn_secret",
            "is missing: nobody could use client.turn_servers".to_owned(),
            "write what those servers make passwords of",
        )),
    }
}

/// What `bridge.turn_secret` says.
///
/// # Errors
/// It is too short to be one.
pub(crate) fn long_enough(secret: Option<String>) -> Result<Option<Redacted<String>>, Mistake> {
    match secret {
        Some(secret) if secret.len() < 16 => Err((
            "bridge.turn_secret",
            "is too short".to_owned(),
            "write at least 16 random characters",
        )),
        secret => Ok(secret.map(Redacted::new)),
    }
}

/// Host and port of `host`, `host:port`, `[IPv6]:port`; a host is a name or an address.
pub(crate) fn host_and_port(text: &str, usual: u16) -> Option<(String, u16)> {
    let bare = text.strip_prefix('[').and_then(|s| s.strip_suffix(']'));
    let (host, port) = if let Ok(address) = text.parse::<SocketAddr>() {
        (address.ip().to_string(), address.port())
    } else if let Ok(address) = bare.unwrap_or(text).parse::<IpAddr>() {
        (address.to_string(), usual)
    } else {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, port.parse().ok()?),
            None => (text, usual),
        };
        (name.to_ascii_lowercase(), port)
    };
    let good = port != 0 && (host.parse::<IpAddr>().is_ok() || is_domain(&host));
    good.then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::{TurnServer, long_enough, told};

    #[test]
    fn relays_need_a_secret() {
        let list = |text: &str| vec![text.to_owned()];
        let missing = told(&list("turn:a.test"), None).unwrap_err();
        assert_eq!(missing.0, "client.turn_secret");
        let wrong = told(&list("a.test"), Some("s".to_owned())).unwrap_err();
        assert!(wrong.1.contains("is no TURN server"), "{wrong:?}");
        let (servers, secret) = told(&list("turn:a.test"), Some("s".to_owned()))
            .unwrap()
            .unwrap();
        assert_eq!((servers.len(), secret.expose().as_str()), (1, "s"));
        assert!(told(&[], None).unwrap().is_none());
        assert!(long_enough(Some("short".to_owned())).is_err());
        assert!(long_enough(Some("sixteen letters.".to_owned())).is_ok());
    }

    #[test]
    fn servers_and_how_clients_come() {
        for (text, tls, host, port, udp, tcp) in [
            ("turn:a.test", false, "a.test", 3478, true, true),
            ("turn:A.test:80", false, "a.test", 80, true, true),
            (
                "turn:a.test:80?transport=tcp",
                false,
                "a.test",
                80,
                false,
                true,
            ),
            (
                "turn:192.0.2.1?transport=udp",
                false,
                "192.0.2.1",
                3478,
                true,
                false,
            ),
            ("turn:[2001:db8::1]:5", false, "2001:db8::1", 5, true, true),
            ("turns:a.test", true, "a.test", 5349, false, true),
        ] {
            let server: TurnServer = text.parse().unwrap();
            let expected = TurnServer {
                tls,
                host: host.to_owned(),
                port,
                udp,
                tcp,
            };
            assert_eq!(server, expected, "{text}");
        }
        for text in [
            "a.test",
            "stun:a.test",
            "turn:",
            "turn:a.test:0",
            "turn:a_b",
            "turn:a.test?transport=sctp",
            "turns:a.test?transport=udp",
            "turn:a.test?udp",
        ] {
            assert!(text.parse::<TurnServer>().is_err(), "{text}");
        }
    }
}
