//! `pontoon bridge`: a bridge that joins meet nodes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bridge::{Bridge, NodeConfig, NodeTarget, Standing};
use config::{JoinToken, ServiceAccount, Settings};
use link::TlsVerify;
use telemetry::Metrics;
use tokio::sync::watch;

use crate::control;
use crate::failure::Failure;
use crate::keeper::KeptAccount;
use crate::media_tcp::MediaTcp;
use crate::say::announce;
use crate::signals::{self, Ending};
use crate::{parts, relay, relief, service, state};

/// How long systemd waits for the bridge to be attached before it goes on with other services.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often it is looked whether it is well.
const LOOK: Duration = Duration::from_secs(5);

/// Runs until told to end.
pub(crate) async fn run(settings: Settings, started: Instant) -> Result<(), Failure> {
    let nodes = nodes(&settings)?;
    if nodes.is_empty() {
        return Err(Failure::start(
            "a bridge needs the token of a meet node: pontoon bridge --join TOKEN, or --join-file FILE (or bridge.xmpp, to join a Jitsi deployment)",
        ));
    }
    let mut ending = Ending::new()?;
    let hangups = signals::hangups()?;
    let _lock = state::lock(&settings).await?;
    let metrics = Metrics::new();
    let mut config = parts::bridge(&settings, metrics.clone())?;
    config.nodes = nodes;
    let id = config.server_id.clone();
    let listener = parts::address(settings.bridge.http)
        .map(|address| front::bind_tcp("the bridge's HTTP", address).map_err(Failure::start))
        .transpose()?;
    let media_tcp = MediaTcp::alone(&settings)?;
    config.tcp = media_tcp.address();
    let mut bridge = Bridge::start(config)?;
    media_tcp.serve(&bridge);
    relay::serve(&settings, None, bridge.is_reached_at(), &metrics)?;
    tokio::spawn(relief::watch(bridge.people()));
    if let Some(listener) = listener {
        let router = bridge.router().merge(bridge.private_router());
        control::serve_http(&settings, listener, router)?;
    }
    control::serve_socket(&settings, bridge.private_router()).await;
    tokio::spawn(tell_standing(
        bridge.standings(),
        bridge.health(),
        id,
        started,
    ));
    loop {
        tokio::select! {
            () = hangups.notified() => read_again(&settings, &mut bridge),
            () = ending.wait() => break,
            () = bridge.shutdown_requested() => break,
        }
    }
    service::stopping();
    tracing::info!("ending");
    let again = bridge.wants_restart();
    ending.or_interrupt(bridge.shutdown()).await;
    match again {
        true => Err(Failure::Again),
        false => Ok(()),
    }
}

/// Joins the nodes whose tokens have come, and leaves those whose tokens have gone.
fn read_again(settings: &Settings, bridge: &mut Bridge) {
    match nodes(settings) {
        Ok(nodes) => bridge.attach_to(nodes),
        Err(failure) => tracing::error!(
            "{} The meet nodes of before are served on",
            failure.to_string().trim_end()
        ),
    }
}

/// Announces that the bridge is ready as soon as it is attached anywhere, and keeps systemd informed.
async fn tell_standing(
    mut standings: watch::Receiver<Vec<Standing>>,
    health: impl Fn() -> Result<(), String>,
    id: String,
    started: Instant,
) {
    let mut announced = false;
    let mut ready = false;
    let patience = tokio::time::sleep(PATIENCE);
    tokio::pin!(patience);
    loop {
        let all = standings.borrow_and_update().clone();
        // Of what keeps it from being attached the standings say more.
        let attached = all.iter().any(|standing| standing.attached);
        service::status(&match health() {
            Err(trouble) if attached => format!("not well: {trouble}"),
            _ => summary(&all),
        });
        if !announced && attached {
            announced = true;
            announce(format!(
                "Pontoon {} bridge {id} is ready ({} ms).",
                env!("CARGO_PKG_VERSION"),
                started.elapsed().as_millis()
            ));
        }
        if announced && !std::mem::replace(&mut ready, true) {
            service::ready();
        }
        tokio::select! {
            changed = standings.changed() => if changed.is_err() {
                return;
            },
            // Its health changes without its standing.
            () = tokio::time::sleep(LOOK) => {}
            // Other services do not wait any longer for a meet node that is not there yet.
            () = &mut patience, if !ready => {
                ready = true;
                service::ready();
            }
        }
    }
}

fn summary(all: &[Standing]) -> String {
    let one = |standing: &Standing| match &standing.trouble {
        _ if standing.attached => format!("attached to {}", standing.node),
        Some(trouble) => format!("not attached: {trouble}"),
        None => format!("not attached to {} yet", standing.node),
    };
    all.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// All nodes that the settings, and the files they name, lead to.
fn nodes(settings: &Settings) -> Result<Vec<NodeConfig>, Failure> {
    let tokens = parts::join_tokens(settings)?;
    let mut nodes: Vec<NodeConfig> = tokens.iter().map(|token| node(settings, token)).collect();
    nodes.extend(settings.bridge.xmpp.as_ref().map(foreign_node));
    Ok(nodes)
}

fn node(settings: &Settings, token: &JoinToken) -> NodeConfig {
    let target = NodeTarget::Tcp {
        host: token.host.clone(),
        port: token.port,
        verify: TlsVerify::Fingerprint(token.fingerprint),
    };
    let password = token.password.expose().clone();
    let mut node = NodeConfig::new(target, &token.domain, password);
    node.user.clone_from(&token.user);
    if token.is_for_newcomers() {
        node.keeper = Some(Arc::new(KeptAccount::new(settings, token)));
    }
    node
}

fn foreign_node(account: &ServiceAccount) -> NodeConfig {
    let target = NodeTarget::Tcp {
        host: account.host.clone(),
        port: account.port,
        verify: account
            .fingerprint
            .map_or(TlsVerify::None, TlsVerify::Fingerprint),
    };
    let password = account.password.expose().clone();
    let mut node = NodeConfig::new(target, &account.domain, password);
    node.service_domain = Some(account.domain.clone());
    node.user.clone_from(&account.user);
    node.brewery = Some(account.brewery.clone());
    node
}
