//! Relays (TURN): that beside HTTPS and that at a port of its own, for whom, where to, and how clients are told of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use config::{Settings, TurnServer as Listed};
use front::TurnServer;
use telemetry::{Metrics, Redacted};
use xmpp::{ExternalService, ServiceCredentials, ServiceKind, Transport};

use crate::failure::Failure;
use crate::parts::{self, Role};

/// How long credentials hold. Clients ask once, when they connect.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Whether there is one beside HTTPS: it needs HTTPS under a name that people trust, and something to relay to.
fn is_wanted(settings: &Settings, role: Role) -> bool {
    let reaches = role == Role::Up || !settings.front.turn_allow.is_empty();
    let named = settings.front.public_url.is_some();
    settings.front.turn && named && reaches && parts::address(settings.front.https).is_some()
}

fn shared_secret(secret: &Redacted<String>) -> Vec<u8> {
    xmpp::auth::derive_password(secret.expose().as_bytes(), "turn").into_bytes()
}

/// What credentials for `bridge.turn` of this process are made with.
fn own_secret(settings: &Settings, secret: &Redacted<String>) -> Vec<u8> {
    match &settings.bridge.turn_secret {
        Some(written) => written.expose().clone().into_bytes(),
        None => shared_secret(secret),
    }
}

/// What the front needs to relay to this process's bridge, if it has one, and to the networks of `front.turn_allow`, and to
/// nothing else.
pub(crate) fn settings(
    settings: &Settings,
    role: Role,
    secret: &Redacted<String>,
    is_bridge: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
) -> Option<Arc<turn::Settings>> {
    let networks = settings.front.turn_allow.clone();
    let allows = move |peer: SocketAddr| {
        is_bridge(peer) || networks.iter().any(|network| network.contains(peer.ip()))
    };
    is_wanted(settings, role).then(|| {
        Arc::new(turn::Settings {
            realm: settings.domain.clone(),
            secret: shared_secret(secret),
            allows: Arc::new(allows),
        })
    })
}

/// Serves `bridge.turn`, if there is one: relays to the bridge of this process and nowhere else. `secret` is that of the
/// deployment, where this process knows it.
pub(crate) fn serve(
    settings: &Settings,
    secret: Option<&Redacted<String>>,
    is_bridge: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    metrics: &Metrics,
) -> Result<(), Failure> {
    let Some(address) = parts::address(settings.bridge.turn) else {
        return Ok(());
    };
    let secret = match (secret, &settings.bridge.turn_secret) {
        (Some(secret), _) => own_secret(settings, secret),
        (None, Some(written)) => written.expose().clone().into_bytes(),
        (None, None) => {
            return Err(Failure::start(
                "bridge.turn needs bridge.turn_secret: write the client.turn_secret of the meet node, which gives people credentials",
            ));
        }
    };
    let turn = turn::Settings {
        realm: settings.domain.clone(),
        secret,
        allows: Arc::new(is_bridge),
    };
    let server = TurnServer::bind(address, Arc::new(turn), metrics).map_err(Failure::start)?;
    tokio::spawn(server.run());
    Ok(())
}

/// How clients are told of all of them.
pub(crate) fn services(
    settings: &Settings,
    role: Role,
    secret: &Redacted<String>,
) -> Vec<ExternalService> {
    let beside = parts::public_host(settings).filter(|_| is_wanted(settings, role));
    let beside = beside.map(|host| {
        let port = host
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        ExternalService {
            kind: ServiceKind::Turns,
            host: in_url(parts::without_port(host)),
            port: port.unwrap_or(443),
            transport: Some(Transport::Tcp),
            credentials: ephemeral(shared_secret(secret)),
        }
    });
    let mut all: Vec<_> = beside.into_iter().collect();
    if let Some(own) = own(settings, role) {
        all.extend(listed(&own, &own_secret(settings, secret)));
    }
    if let Some((servers, secret)) = &settings.client.turn {
        let secret = secret.expose().as_bytes();
        all.extend(servers.iter().flat_map(|server| listed(server, secret)));
    }
    all
}

/// Whether clients come to any of them by UDP.
pub(crate) fn by_udp(settings: &Settings, role: Role) -> bool {
    let listed = settings.client.turn.iter().flat_map(|(servers, _)| servers);
    own(settings, role).is_some() || listed.into_iter().any(|server| server.udp)
}

/// `bridge.turn` of this process, as people reach it.
fn own(settings: &Settings, role: Role) -> Option<Listed> {
    let address = parts::address(settings.bridge.turn).filter(|_| role == Role::Up)?;
    Some(Listed {
        tls: false,
        host: parts::without_port(parts::public_host(settings)?).to_owned(),
        port: address.port(),
        udp: true,
        tcp: true,
    })
}

/// A server, once for each way to it.
fn listed(server: &Listed, secret: &[u8]) -> Vec<ExternalService> {
    let kind = match server.tls {
        true => ServiceKind::Turns,
        false => ServiceKind::Turn,
    };
    let ways = [(server.udp, Transport::Udp), (server.tcp, Transport::Tcp)];
    let ways = ways.into_iter().filter(|(is, _)| *is);
    ways.map(|(_, transport)| ExternalService {
        kind,
        host: in_url(&server.host),
        port: server.port,
        transport: Some(transport),
        credentials: ephemeral(secret.to_vec()),
    })
    .collect()
}

/// A host as clients put it into an address.
fn in_url(host: &str) -> String {
    match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    }
}

fn ephemeral(secret: Vec<u8>) -> ServiceCredentials {
    ServiceCredentials::Ephemeral {
        secret,
        ttl: LIFETIME,
    }
}

#[cfg(test)]
mod tests {
    use config::{Layers, Machine};

    use super::*;

    fn told(text: &str, role: Role) -> (Vec<String>, bool) {
        let mut layers = Layers::new();
        layers
            .add_file(std::path::Path::new("/p.toml"), text)
            .unwrap();
        let machine = Machine {
            privileged: true,
            xdg_state_home: None,
            home: None,
        };
        let settings = Settings::check(&layers, &machine).unwrap();
        let all = services(
            &settings,
            role,
            &Redacted::new("0123456789abcdef".to_owned()),
        );
        let one = |s: &ExternalService| {
            let transport = s.transport.map_or("", Transport::as_str);
            format!("{} {}:{} {transport}", s.kind.as_str(), s.host, s.port)
        };
        (all.iter().map(one).collect(), by_udp(&settings, role))
    }

    #[test]
    fn clients_are_told_of_each_relay_by_each_way() {
        let url = "[front]\npublic_url = \"https://meet.test\"\n";
        let up = told(&format!("{url}[bridge]\nturn = 3478"), Role::Up);
        let all = [
            "turns meet.test:443 tcp",
            "turn meet.test:3478 udp",
            "turn meet.test:3478 tcp",
        ];
        assert_eq!(up, (all.map(str::to_owned).to_vec(), true));
        let listed =
            "[client]\nturn_servers = [\"turn:m1.test?transport=tcp\"]\nturn_secret = \"s\"";
        let meet = told(&format!("{url}{listed}"), Role::Meet);
        assert_eq!(meet, (vec!["turn m1.test:3478 tcp".to_owned()], false));
        assert_eq!(told("", Role::Up), (Vec::new(), false));
    }
}
