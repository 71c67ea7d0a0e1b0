//! `pontoon bridge`: a bridge that joins meet nodes.

use std::time::Instant;

use bridge::{Bridge, NodeConfig, NodeTarget};
use config::{JoinToken, Settings};
use link::TlsVerify;
use telemetry::Metrics;

use crate::failure::Failure;
use crate::parts;
use crate::signals::Ending;

/// Runs until told to end.
pub(crate) async fn run(settings: Settings, started: Instant) -> Result<(), Failure> {
    if settings.bridge.join.is_empty() {
        return Err(Failure::start(
            "a bridge needs the token of a meet node: pontoon bridge --join TOKEN",
        ));
    }
    let mut ending = Ending::new()?;
    let mut config = parts::bridge(&settings, Metrics::new())?;
    config.nodes = settings.bridge.join.iter().map(node).collect();
    let id = config.server_id.clone();
    let listener = match parts::address(settings.bridge.http) {
        Some(address) => {
            Some(front::bind_tcp("the bridge's HTTP", address).map_err(Failure::start)?)
        }
        None => None,
    };
    let bridge = Bridge::start(config)?;
    if let Some(listener) = listener {
        let router = bridge.router().merge(bridge.private_router());
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    println!(
        "Pontoon {} bridge {id} is ready ({} ms).",
        env!("CARGO_PKG_VERSION"),
        started.elapsed().as_millis()
    );
    tokio::select! {
        () = ending.wait() => {}
        () = bridge.shutdown_requested() => {}
    }
    tracing::info!("ending");
    ending.or_again(bridge.shutdown()).await;
    Ok(())
}

fn node(token: &JoinToken) -> NodeConfig {
    let target = NodeTarget::Tcp {
        host: token.host.clone(),
        port: token.port,
        verify: TlsVerify::Fingerprint(token.fingerprint),
    };
    NodeConfig::new(target, &token.domain, token.password.expose().clone())
}
