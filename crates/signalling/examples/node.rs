//! A signalling node without bridges on 127.0.0.1:8000, to try XMPP clients against.

use std::net::{Ipv4Addr, SocketAddr};

use signalling::{Node, SignallingConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    telemetry::init(&telemetry::LogConfig::default())?;
    let mut config = SignallingConfig::new(
        "meet.internal",
        b"only for trials",
        telemetry::Metrics::new(),
    )?;
    if std::env::args().any(|arg| arg == "--no-focus") {
        config.focus = None;
    }
    let node = Node::start(config).await?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 8000));
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, node.router())
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    node.shutdown().await;
    Ok(())
}
