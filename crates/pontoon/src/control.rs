//! The doors for operators: a socket in the state directory, for whoever may open it, and HTTP, for this machine and for who
//! has the token.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use config::Settings;
use telemetry::Redacted;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::failure::Failure;
use crate::{parts, state};

/// Longest answer that is read.
const MOST: u64 = 64 * 1024 * 1024;

/// Where the socket is: a meet node and a bridge with one state directory each have one.
pub(crate) fn socket(settings: &Settings) -> PathBuf {
    settings.state_dir.join("control.sock")
}

/// Serves operators of a meet node: at the socket, and at `focus.http`.
pub(crate) async fn serve_operators(settings: &Settings, router: Router) -> Result<(), Failure> {
    serve_socket(settings, router.clone()).await;
    if let Some(address) = parts::address(settings.focus.http) {
        let listener = front::bind_tcp("the focus's HTTP", address).map_err(Failure::start)?;
        serve_http(settings, listener, router)?;
    }
    Ok(())
}

/// Serves operators at the socket in the state directory, which its owner alone can open. A process that cannot goes on
/// without: it serves meetings, not operators.
pub(crate) async fn serve_socket(settings: &Settings, router: Router) {
    let path = socket(settings);
    match bind(&path).await {
        Ok(listener) => {
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
        Err(error) => tracing::warn!(
            "{} cannot be made, so that \"pontoon status\" and its like do not work: {error}",
            path.display()
        ),
    }
}

async fn bind(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).await.is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process answers there",
        ));
    }
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves operators over plain HTTP: from this machine, or with the token.
pub(crate) fn serve_http(
    settings: &Settings,
    listener: TcpListener,
    router: Router,
) -> Result<(), Failure> {
    let token = state::operator_token(settings)?;
    let router = router.layer(middleware::from_fn_with_state(token, guard));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Ok(())
}

/// Who only looks comes in from wherever the port is open to; who changes something must be allowed to.
async fn guard(
    State(token): State<Redacted<String>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let local = peer.ip().to_canonical().is_loopback();
    let looks = looks(request.method(), request.uri().path());
    if looks || may_order(request.headers(), local, token.expose()) {
        return next.run(request).await;
    }
    (
        StatusCode::UNAUTHORIZED,
        "orders come from this machine, or with the token in operator-token of the state directory\n",
    )
        .into_response()
}

/// Whether a request changes nothing.
fn looks(method: &Method, path: &str) -> bool {
    matches!(*method, Method::GET | Method::HEAD) && !path.starts_with("/move-endpoints")
}

/// Whoever gives orders must be a program on this machine, or know the token. A page in a browser of this machine is not: any
/// site could send such requests from there, and browsers say in these headers that it is one.
fn may_order(headers: &HeaderMap, local: bool, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let page = headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site");
    local && !page || given.is_some_and(|given| same(given, token))
}

/// Compares without telling where the difference is.
fn same(given: &str, secret: &str) -> bool {
    let differences = given.bytes().zip(secret.bytes()).map(|(a, b)| a ^ b);
    given.len() == secret.len() && differences.fold(0, |all, bits| all | bits) == 0
}

/// Asks the process that runs with this state directory: path, and a body for orders. The answer's text.
pub(crate) async fn ask(
    settings: &Settings,
    path: &str,
    body: Option<&str>,
) -> Result<String, Failure> {
    let socket = socket(settings);
    let nobody = |error: io::Error| {
        Failure::start(format!(
            "no pontoon answers at {}: {error}; it must run on this machine, with this state directory (--state-dir, --config), and you must be its user or root",
            socket.display()
        ))
    };
    let mut stream = UnixStream::connect(&socket).await.map_err(nobody)?;
    let head = match body {
        Some(body) => format!(
            "POST {path} HTTP/1.1\r\nhost: pontoon\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ),
        None => format!("GET {path} HTTP/1.1\r\nhost: pontoon\r\nconnection: close\r\n\r\n"),
    };
    stream.write_all(head.as_bytes()).await.map_err(nobody)?;
    let mut answer = Vec::new();
    stream
        .take(MOST)
        .read_to_end(&mut answer)
        .await
        .map_err(nobody)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let code = head.split(' ').nth(1).unwrap_or_default();
    match code {
        "200" => Ok(body.to_owned()),
        "404" if body.is_empty() => Err(Failure::start(
            "the pontoon that runs here has no such thing; meetings are asked of a meet node",
        )),
        _ => Err(Failure::start(format!(
            "it was not done: {}",
            if body.is_empty() { head } else { body.trim() }
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_nobody_serves_any_more_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let first = bind(&path).await.unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(bind(&path).await.is_err(), "it is in use");
        drop(first);
        bind(&path).await.unwrap();
    }

    #[test]
    fn orders_come_from_programs_of_this_machine_or_with_the_token() {
        let headers = |all: &[(&'static str, &'static str)]| -> HeaderMap {
            let all = all.iter();
            all.map(|(name, value)| {
                let name = header::HeaderName::from_static(name);
                (name, header::HeaderValue::from_static(value))
            })
            .collect()
        };
        let curl = headers(&[("user-agent", "curl")]);
        let page = headers(&[("sec-fetch-site", "cross-site")]);
        let form = headers(&[("origin", "https://evil.example")]);
        let known = headers(&[("authorization", "Bearer secret")]);
        assert!(may_order(&curl, true, "secret") && !may_order(&curl, false, "secret"));
        assert!(!may_order(&page, true, "secret") && !may_order(&form, true, "secret"));
        assert!(may_order(&known, false, "secret") && !may_order(&known, false, "other"));
        assert!(looks(&Method::GET, "/stats") && !looks(&Method::POST, "/drain"));
        assert!(!looks(&Method::GET, "/move-endpoints/move-endpoint"));
    }

    #[test]
    fn tokens_are_compared_whole() {
        assert!(same("abc", "abc"));
        assert!(!same("ab", "abc") && !same("abd", "abc") && !same("", "abc"));
    }
}
