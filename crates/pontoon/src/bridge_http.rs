//! The bridge's own HTTP, for monitoring and for whoever wants to know why somebody sees what they see.

use axum::Router;
use config::Settings;
use tokio::net::TcpListener;

use crate::failure::Failure;
use crate::parts;

/// Where it listens; `None` if it is off.
pub(crate) fn bind(settings: &Settings) -> Result<Option<TcpListener>, Failure> {
    let address = parts::address(settings.bridge.http);
    let bind = |address| front::bind_tcp("the bridge's HTTP", address).map_err(Failure::start);
    address.map(bind).transpose()
}

/// Serves `router` until the process ends.
pub(crate) fn serve(listener: Option<TcpListener>, router: impl FnOnce() -> Router) {
    if let Some(listener) = listener {
        let router = router();
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
}
