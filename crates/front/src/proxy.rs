//! Passing `/colibri-ws/<bridge>/` on to bridges elsewhere.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::answer::status;

/// How long a bridge may take to accept and to answer.
const DEADLINE: Duration = Duration::from_secs(5);

/// The bridge that a path of the form `/colibri-ws/<bridge>/...` names.
pub(crate) fn bridge_of(path: &str) -> Option<&str> {
    path.strip_prefix("/colibri-ws/")?
        .split_once('/')
        .map(|(bridge, _rest)| bridge)
}

/// Hands the request to the bridge at `base` (`http://host:port`) and joins both connections when it upgrades.
pub(crate) async fn pass_on(base: &Uri, request: Request<Body>) -> Response<Body> {
    match timeout(DEADLINE, exchange(base, request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::warn!(%base, %error, "the bridge behind colibri-ws does not answer");
            status(StatusCode::BAD_GATEWAY)
        }
        Err(_elapsed) => {
            tracing::warn!(%base, "the bridge behind colibri-ws takes too long");
            status(StatusCode::GATEWAY_TIMEOUT)
        }
    }
}

async fn exchange(base: &Uri, mut request: Request<Body>) -> io::Result<Response<Body>> {
    let authority = base
        .authority()
        .ok_or_else(|| io::Error::other("no authority"))?;
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection.with_upgrades());

    let client = hyper::upgrade::on(&mut request);
    let over_http2 = request.version() == Version::HTTP_2 && request.method() == Method::CONNECT;
    if over_http2 {
        *request.method_mut() = Method::GET;
        *request.version_mut() = Version::HTTP_11;
        ask_for_upgrade(request.headers_mut());
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse().map_err(io::Error::other)?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?;
    request.headers_mut().insert(header::HOST, host);
    let mut response = sender
        .send_request(request)
        .await
        .map_err(io::Error::other)?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let bridge = hyper::upgrade::on(&mut response);
        tokio::spawn(join(client, bridge));
        if over_http2 {
            *response.status_mut() = StatusCode::OK;
            for of_http1 in [
                header::CONNECTION,
                header::UPGRADE,
                header::SEC_WEBSOCKET_ACCEPT,
            ] {
                response.headers_mut().remove(of_http1);
            }
        }
    }
    Ok(response.map(Body::new))
}

/// What a WebSocket over HTTP/2 (RFC 8441, section 5) leaves out, and one over HTTP/1.1 needs.
fn ask_for_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    let key = STANDARD.encode(rand::random::<[u8; 16]>());
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
}

async fn join(client: OnUpgrade, bridge: OnUpgrade) {
    let (Ok(client), Ok(bridge)) = tokio::join!(client, bridge) else {
        return;
    };
    // Either end may go at any time; that is how these connections end.
    let _ =
        tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(bridge)).await;
}

#[cfg(test)]
mod tests {
    use super::bridge_of;

    #[test]
    fn paths() {
        assert_eq!(bridge_of("/colibri-ws/jvb1/conf/ep"), Some("jvb1"));
        assert_eq!(bridge_of("/colibri-ws/jvb1"), None);
        assert_eq!(bridge_of("/room"), None);
    }
}
