//! The relay (TURN) beside HTTPS: where it is, for whom, and where to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::Settings;
use telemetry::Redacted;
use xmpp::{ExternalService, ServiceCredentials, ServiceKind, Transport};

use crate::parts::{self, Role};

/// How long credentials hold. Clients ask once, when they connect.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Whether there is one: it needs HTTPS under a name that people trust, and something to relay to.
fn is_wanted(settings: &Settings, role: Role) -> bool {
    let reaches = role == Role::Up || !settings.front.turn_allow.is_empty();
    let named = settings.front.public_url.is_some();
    settings.front.turn && named && reaches && parts::address(settings.front.https).is_some()
}

fn shared_secret(secret: &Redacted<String>) -> Vec<u8> {
    xmpp::auth::derive_password(secret.expose().as_bytes(), "turn").into_bytes()
}

/// What the front needs to relay to these bridges and to the networks of `front.turn_allow`, and to nothing else.
pub(crate) fn settings(
    settings: &Settings,
    role: Role,
    secret: &Redacted<String>,
    bridges: Vec<SocketAddr>,
) -> Option<Arc<turn::Settings>> {
    let networks = settings.front.turn_allow.clone();
    let allows = move |peer: SocketAddr| {
        bridges.contains(&peer) || networks.iter().any(|network| network.contains(peer.ip()))
    };
    is_wanted(settings, role).then(|| {
        Arc::new(turn::Settings {
            realm: settings.domain.clone(),
            secret: shared_secret(secret),
            allows: Arc::new(allows),
        })
    })
}

/// How clients are told of it.
pub(crate) fn service(
    settings: &Settings,
    role: Role,
    secret: &Redacted<String>,
) -> Option<ExternalService> {
    let host = parts::public_host(settings).filter(|_| is_wanted(settings, role))?;
    let port = host
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    Some(ExternalService {
        kind: ServiceKind::Turns,
        host: parts::without_port(host).to_owned(),
        port: port.unwrap_or(443),
        transport: Some(Transport::Tcp),
        credentials: ServiceCredentials::Ephemeral {
            secret: shared_secret(secret),
            ttl: LIFETIME,
        },
    })
}
