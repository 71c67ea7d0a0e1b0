//! External services (XEP-0215): STUN and TURN servers with credentials that expire.

use std::time::Instant;

use aws_lc_rs::hmac;
use base64::Engine as _;

use crate::clock;
use crate::config::{ExternalService, ServiceCredentials};
use crate::core::Core;

/// One service with credentials made for somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) kind: &'static str,
    pub(crate) host: String,
    pub(crate) port: String,
    pub(crate) transport: Option<&'static str>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) expires: Option<String>,
}

/// All services of the configuration.
pub(crate) fn services(core: &Core, now: Instant) -> Vec<Service> {
    let unix = core.clock.unix(now).as_secs();
    core.config
        .external_services
        .iter()
        .map(|service| with_credentials(service, unix))
        .collect()
}

fn with_credentials(service: &ExternalService, now: u64) -> Service {
    let mut out = Service {
        kind: service.kind.as_str(),
        host: service.host.clone(),
        port: service.port.to_string(),
        transport: service.transport.map(crate::Transport::as_str),
        ..Service::default()
    };
    match &service.credentials {
        ServiceCredentials::None => {}
        ServiceCredentials::Static { username, password } => {
            out.username = Some(username.clone());
            out.password = Some(password.clone());
        }
        ServiceCredentials::Ephemeral { secret, ttl } => {
            let expires = now.saturating_add(ttl.as_secs());
            let username = expires.to_string();
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
            let tag = hmac::sign(&key, username.as_bytes());
            out.password = Some(base64::engine::general_purpose::STANDARD.encode(tag.as_ref()));
            out.username = Some(username);
            out.expires = Some(clock::stamp(expires));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{ServiceKind, Transport};

    /// Password computed with `openssl dgst -sha1 -hmac secret -binary | base64`.
    #[test]
    fn ephemeral_credentials_expire_and_are_signed() {
        let service = ExternalService {
            kind: ServiceKind::Turns,
            host: "turn.example.com".to_owned(),
            port: 443,
            transport: Some(Transport::Tcp),
            credentials: ServiceCredentials::Ephemeral {
                secret: b"secret".to_vec(),
                ttl: Duration::from_secs(86_400),
            },
        };
        let made = with_credentials(&service, 1_787_212_800);
        assert_eq!(made.username.as_deref(), Some("1787299200"));
        assert_eq!(made.expires.as_deref(), Some("2026-08-21T08:00:00Z"));
        assert_eq!(
            made.password.as_deref(),
            Some("D911A/scJvUro49UJ1rysDrgb4M=")
        );
        assert_eq!(
            (made.kind, made.port.as_str(), made.transport),
            ("turns", "443", Some("tcp"))
        );
    }
}
