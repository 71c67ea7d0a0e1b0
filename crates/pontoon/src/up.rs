//! `pontoon up`: a meet node and a bridge in one process, joined by an in-memory stream.

use std::time::{Duration, Instant};

use bridge::{Bridge, NodeConfig, NodeTarget};
use config::Settings;
use front::Doors;
use telemetry::Metrics;

use crate::control;
use crate::failure::Failure;
use crate::media_tcp::MediaTcp;
use crate::meet::Opened;
use crate::parts::{self, Role};
use crate::relay;
use crate::relief;
use crate::restart::Restart;
use crate::signals::Ending;
use crate::{service, state};

/// Runs until told to end.
pub(crate) async fn run(settings: Settings, started: Instant) -> Result<(), Failure> {
    let mut ending = Ending::new()?;
    let _lock = state::lock(&settings).await?;
    let metrics = Metrics::new();
    let opened = Opened::open(&settings, Role::Up, metrics.clone()).await?;

    let turn_metrics = metrics.clone();
    let mut config = parts::bridge(&settings, metrics)?;
    // There is nowhere to move conferences to.
    config.shutdown_grace = Duration::ZERO;
    if let (None, Some(host)) = (&settings.bridge.colibri_ws, parts::public_host(&settings)) {
        config.web_socket_bases = vec![format!("wss://{host}/colibri-ws/{}", config.server_id)];
    }
    config.nodes = vec![NodeConfig::new(
        NodeTarget::Memory(opened.node.memory_connector()),
        &settings.domain,
        parts::bridge_password(&opened.secret),
    )];
    let media_tcp = MediaTcp::beside(&settings, opened.https_address())?;
    config.tcp = media_tcp.address();
    let bridge = Bridge::start(config)?;
    let doors = Doors {
        media: media_tcp.serve(&bridge),
        relay: relay::settings(&settings, Role::Up, &opened.secret, bridge.is_reached_at()),
    };
    let reaches = bridge.is_reached_at();
    relay::serve(&settings, Some(&opened.secret), reaches, &turn_metrics)?;

    let (sessions, endpoints) = (opened.node.people(), bridge.people());
    tokio::spawn(relief::watch(move || sessions() + endpoints()));
    let invitation = opened.invitation();
    opened.wellbeing.add(bridge.health());
    let restart = Restart::new();
    let meetings = opened.node.meetings();
    let operators = opened.operator_router(&settings).merge(restart.router());
    let operators = operators.nest("/bridge", bridge.private_router());
    control::serve_operators(&settings, operators).await?;
    tokio::spawn(opened.wellbeing.clone().tell(opened.going_on()));
    if let Some(address) = parts::address(settings.bridge.http) {
        let listener = front::bind_tcp("the bridge's HTTP", address).map_err(Failure::start)?;
        let router = bridge.router().merge(bridge.private_router());
        control::serve_http(&settings, listener, router)?;
    }
    let meet = opened.serve(vec![bridge.router()], doors);
    invitation.print(&settings, started);
    service::ready();
    let again = tokio::select! {
        () = ending.wait() => false,
        () = bridge.shutdown_requested() => bridge.wants_restart(),
        () = restart.due(meetings) => true,
    };
    service::stopping();
    tracing::info!("ending");
    ending
        .or_again(async {
            // First the meet node, which then sees nobody leave.
            meet.end().await;
            bridge.shutdown().await;
        })
        .await;
    match again {
        true => Err(Failure::Again),
        false => Ok(()),
    }
}
