//! Who a request is from when it came through a proxy, and whether that person's browser speaks HTTPS.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};

/// Addresses of one request that are looked at, at most.
const MAX_HOPS: usize = 16;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Headers that proxies add and browsers do not.
const MARKS: [&str; 6] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "forwarded",
    "via",
];

/// The proxies whose word counts; clones are cheap.
#[derive(Clone)]
pub struct TrustedProxies(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

/// Where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// The person's address; port 0 when a proxy named it.
    pub address: SocketAddr,
    /// What a trusted proxy says of the way from the person to it: HTTPS, plain HTTP, or nothing.
    pub https: Option<bool>,
    /// Whether the request came through a proxy, trusted or not.
    pub forwarded: bool,
    /// Whether whoever sent it to us is a trusted proxy.
    pub trusted: bool,
    /// Whether the address is certainly the person's: no proxy stands between, or a trusted one named it.
    pub certain: bool,
}

impl TrustedProxies {
    /// Trusts the addresses for which `trusts` holds.
    pub fn new(trusts: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(trusts))
    }

    /// Whether `address` is a trusted proxy's. IPv4 written the IPv6 way counts as IPv4.
    pub fn trusts(&self, address: IpAddr) -> bool {
        (self.0)(address.to_canonical())
    }

    /// Who sent a request with these headers, which came from `peer`. Of `X-Forwarded-For` the last address counts that
    /// is not a trusted proxy's: whatever stands before it was written by somebody who is not trusted.
    pub fn person(&self, peer: SocketAddr, headers: &HeaderMap) -> Person {
        let forwarded = MARKS.iter().any(|name| headers.contains_key(*name));
        let mut person = Person {
            address: peer,
            https: None,
            forwarded,
            trusted: self.trusts(peer.ip()),
            certain: !forwarded,
        };
        if !person.trusted {
            return person;
        }
        person.https = scheme(headers);
        for hop in hops(headers).take(MAX_HOPS) {
            let Some(address) = hop_address(hop) else {
                break;
            };
            person.address = SocketAddr::new(address, 0);
            person.certain = true;
            if !self.trusts(address) {
                break;
            }
        }
        person
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustedProxies")
    }
}

/// The addresses of `X-Forwarded-For`, the nearest first.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = headers
        .get_all(FORWARDED_FOR)
        .iter()
        .map(|line| line.to_str().unwrap_or_default())
        .collect();
    lines.into_iter().rev().flat_map(|line| line.rsplit(','))
}

/// An address with or without a port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let plain = hop.trim_start_matches('[').trim_end_matches(']');
    let address = match plain.parse::<IpAddr>() {
        Ok(address) => address,
        Err(_) => hop.parse::<SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

/// `X-Forwarded-Proto`; of several values the first, which the proxy nearest to the person wrote.
fn scheme(headers: &HeaderMap) -> Option<bool> {
    let value = headers.get(FORWARDED_PROTO)?.to_str().ok()?;
    let first = value.split(',').next().unwrap_or_default().trim();
    if first.eq_ignore_ascii_case("https") || first.eq_ignore_ascii_case("wss") {
        Some(true)
    } else if first.eq_ignore_ascii_case("http") || first.eq_ignore_ascii_case("ws") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::{Person, TrustedProxies};

    fn proxies() -> TrustedProxies {
        TrustedProxies::new(|ip| ip.is_loopback() || ip.to_string().starts_with("10."))
    }

    fn person(peer: &str, headers: &[(&'static str, &str)]) -> Person {
        let headers: HeaderMap = headers
            .iter()
            .map(|&(name, value)| {
                let value = HeaderValue::from_str(value).unwrap();
                (HeaderName::from_static(name), value)
            })
            .collect();
        proxies().person(peer.parse().unwrap(), &headers)
    }

    #[test]
    fn a_trusted_proxy_names_the_person() {
        for (peer, forwarded_for, expected) in [
            ("127.0.0.1:5", "203.0.113.7", "203.0.113.7:0"),
            ("[::ffff:127.0.0.1]:5", "203.0.113.7", "203.0.113.7:0"),
            ("127.0.0.1:5", "203.0.113.7, 10.0.0.2", "203.0.113.7:0"),
            ("127.0.0.1:5", "1.1.1.1, 203.0.113.7", "203.0.113.7:0"),
            ("127.0.0.1:5", "203.0.113.7:4711", "203.0.113.7:0"),
            ("127.0.0.1:5", "[2001:db8::1]:4711", "[2001:db8::1]:0"),
            ("127.0.0.1:5", "2001:db8::1", "[2001:db8::1]:0"),
            ("127.0.0.1:5", "unknown, 10.0.0.2", "10.0.0.2:0"),
            ("127.0.0.1:5", "unknown", "127.0.0.1:5"),
            ("127.0.0.1:5", "10.0.0.3, 10.0.0.2", "10.0.0.3:0"),
            ("192.0.2.1:5", "203.0.113.7", "192.0.2.1:5"),
        ] {
            let person = person(peer, &[("x-forwarded-for", forwarded_for)]);
            assert_eq!(person.address.to_string(), expected, "{forwarded_for}");
            assert!(person.forwarded);
        }
        // Several lines are one list.
        let lines = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "203.0.113.7"),
            ("x-forwarded-for", "10.0.0.9"),
        ];
        assert_eq!(
            person("127.0.0.1:5", &lines).address.to_string(),
            "203.0.113.7:0"
        );
        assert!(!person("127.0.0.1:5", &[]).forwarded);
        for (peer, header, certain) in [
            ("127.0.0.1:5", "x-forwarded-for", true),
            ("127.0.0.1:5", "via", false),
            ("192.0.2.1:5", "x-forwarded-for", false),
        ] {
            let person = person(peer, &[(header, "203.0.113.7")]);
            assert_eq!(person.certain, certain, "{peer} {header}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_whether_it_is_https() {
        for (peer, value, expected) in [
            ("127.0.0.1:5", "https", Some(true)),
            ("127.0.0.1:5", "HTTPS, http", Some(true)),
            ("127.0.0.1:5", "http", Some(false)),
            ("127.0.0.1:5", "gopher", None),
            ("192.0.2.1:5", "https", None),
        ] {
            let person = person(peer, &[("x-forwarded-proto", value)]);
            assert_eq!(person.https, expected, "{peer} {value}");
        }
    }

    proptest! {
        #[test]
        fn nobody_untrusted_chooses_an_address(before in "[ -~]{0,80}") {
            let header = format!("{before}, 203.0.113.7");
            let person = person("127.0.0.1:5", &[("x-forwarded-for", &header)]);
            prop_assert_eq!(person.address.to_string(), "203.0.113.7:0");
        }
    }
}
