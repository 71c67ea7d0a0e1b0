//! A bridge's account on an XMPP server that gives out no join tokens.

use telemetry::Redacted;

use crate::join::parse_fingerprint;

/// The account a bridge has on the XMPP server of a Jitsi deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Host name or address of the server. IPv6 addresses stand without brackets here.
    pub host: String,
    /// Port of the server for clients over TCP.
    pub port: u16,
    /// XMPP domain of the account.
    pub domain: String,
    /// Local part of the account's address.
    pub user: String,
    /// Its password.
    pub password: Redacted<String>,
    /// The room in which the bridge shows itself to the focus.
    pub brewery: String,
    /// SHA-256 of the server's certificate (DER); `None` believes whoever answers.
    pub fingerprint: Option<[u8; 32]>,
}

/// Host and port of `host`, `host:port`, an IPv6 address, or `[address]:port`; 5222 where no port stands.
pub(crate) fn server_address(text: &str) -> Option<(String, u16)> {
    const PORT: u16 = 5222;
    let text = text.trim();
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Some((text.to_owned(), PORT));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']')? {
            (host, "") => (host, PORT),
            (host, port) => (host, port.strip_prefix(':')?.parse().ok()?),
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, PORT),
        },
    };
    (!host.is_empty() && !host.contains([' ', '/'])).then(|| (host.to_owned(), port))
}

/// The fingerprint that is written, with or without colons; nothing for `unchecked`.
pub(crate) fn certificate(text: &str) -> Option<Option<[u8; 32]>> {
    if text == "unchecked" {
        return Some(None);
    }
    parse_fingerprint(&text.replace(':', "")).map(Some)
}

#[cfg(test)]
mod tests {
    use super::{certificate, server_address};

    #[test]
    fn servers_are_named_with_or_without_a_port() {
        let rows = [
            ("xmpp.example.com", Some(("xmpp.example.com", 5222))),
            ("10.0.0.2:6222", Some(("10.0.0.2", 6222))),
            ("2001:db8::1", Some(("2001:db8::1", 5222))),
            ("[2001:db8::1]", Some(("2001:db8::1", 5222))),
            ("[2001:db8::1]:5223", Some(("2001:db8::1", 5223))),
            ("host:port", None),
            (":5222", None),
            ("xmpp://host", None),
            ("[::1", None),
        ];
        for (text, expected) in rows {
            let found = server_address(text);
            let found = found.as_ref().map(|(host, port)| (host.as_str(), *port));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn certificates_are_fingerprints_or_unchecked() {
        assert_eq!(certificate("unchecked"), Some(None));
        assert_eq!(certificate(&"ab".repeat(32)), Some(Some([0xab; 32])));
        // As openssl prints them.
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(certificate(&colons), Some(Some([0xab; 32])));
        assert_eq!(certificate("none"), None);
        assert_eq!(certificate("ab"), None);
    }
}
