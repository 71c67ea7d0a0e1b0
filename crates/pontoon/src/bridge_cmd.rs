//! `pontoon bridge`: a bridge that joins meet nodes.

use std::sync::Arc;
use std::time::Instant;

use bridge::{Bridge, NodeConfig, NodeTarget};
use config::{JoinToken, ServiceAccount, Settings};
use link::TlsVerify;
use telemetry::Metrics;

use crate::failure::Failure;
use crate::keeper::KeptAccount;
use crate::media_tcp::MediaTcp;
use crate::parts;
use crate::relief;
use crate::say::announce;
use crate::signals::Ending;

/// Runs until told to end.
pub(crate) async fn run(settings: Settings, started: Instant) -> Result<(), Failure> {
    let tokens = parts::join_tokens(&settings)?;
    if tokens.is_empty() && settings.bridge.xmpp.is_none() {
        return Err(Failure::start(
            "a bridge needs the token of a meet node: pontoon bridge --join TOKEN, or --join-file FILE (or bridge.xmpp, to join a Jitsi deployment)",
        ));
    }
    let mut ending = Ending::new()?;
    let mut config = parts::bridge(&settings, Metrics::new())?;
    config.nodes = tokens.iter().map(|token| node(&settings, token)).collect();
    config
        .nodes
        .extend(settings.bridge.xmpp.as_ref().map(foreign_node));
    let id = config.server_id.clone();
    let listener = match parts::address(settings.bridge.http) {
        Some(address) => {
            Some(front::bind_tcp("the bridge's HTTP", address).map_err(Failure::start)?)
        }
        None => None,
    };
    let media_tcp = MediaTcp::alone(&settings)?;
    config.tcp = media_tcp.address();
    let bridge = Bridge::start(config)?;
    media_tcp.serve(&bridge);
    tokio::spawn(relief::watch(bridge.people()));
    if let Some(listener) = listener {
        let router = bridge.router().merge(bridge.private_router());
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    let attached = async {
        bridge.attached().await;
        announce(format!(
            "Pontoon {} bridge {id} is ready ({} ms).",
            env!("CARGO_PKG_VERSION"),
            started.elapsed().as_millis()
        ));
        std::future::pending().await
    };
    tokio::select! {
        () = attached => {}
        () = ending.wait() => {}
        () = bridge.shutdown_requested() => {}
    }
    tracing::info!("ending");
    ending.or_again(bridge.shutdown()).await;
    Ok(())
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
