//! The front over real sockets: TLS, redirects, endpoints of others, upgrades, shutdown.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its set-up fails"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::extract::{ConnectInfo, RawQuery};
use axum::routing::any;
use front::{
    Certificate, CertificateSource, Certificates, ClientConfig, Front, FrontConfig, TrustedProxies,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

struct Running {
    /// Port 0 where there is none.
    https: u16,
    http: u16,
    tls: TlsConnector,
    certificates: Option<Certificates>,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
    _state: tempfile::TempDir,
}

fn certificate(directory: &Path) -> CertificateSource {
    CertificateSource::SelfSigned {
        directory: directory.to_owned(),
        name: "web",
        hosts: vec!["localhost".to_owned()],
        renew: true,
    }
}

fn client() -> ClientConfig {
    ClientConfig {
        domain: "meet.internal".to_owned(),
        p2p: true,
        stun_servers: Vec::new(),
        turn_by_udp: false,
        codecs: Vec::new(),
        p2p_codecs: Vec::new(),
        prejoin: true,
        resolution: 720,
        last_n: -1,
        start_audio_muted: 25,
        start_video_muted: 25,
        shard: Some("s1".to_owned()),
        region: None,
        embed_origins: Vec::new(),
        extra: String::new(),
    }
}

fn start(colibri_ws: BTreeMap<String, hyper::Uri>, routers: Vec<Router>) -> Running {
    start_with(routers, |config| config.colibri_ws = colibri_ws)
}

fn start_with(routers: Vec<Router>, change: impl FnOnce(&mut FrontConfig)) -> Running {
    let state = tempfile::tempdir().unwrap();
    let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = FrontConfig {
        https: Some(any_port),
        http: Some(any_port),
        trusted_proxies: TrustedProxies::new(|ip| ip.is_loopback()),
        certificate: certificate(state.path()),
        well_known: None,
        web_root: None,
        client: client(),
        public_host: None,
        hsts: true,
        metrics_allow: Arc::new(|ip| ip.is_loopback()),
        metrics: telemetry::Metrics::new(),
        health: Arc::new(|| Ok(())),
        bridge_origins: Vec::new(),
        colibri_ws: BTreeMap::new(),
    };
    change(&mut config);
    let front = Front::bind(config).unwrap();
    let https = front.https_port().unwrap_or_default();
    let http = front.http_address().unwrap().port();
    let mut roots = rustls::RootCertStore::empty();
    let own = Certificate::load(&certificate(state.path())).unwrap();
    roots.add(own.chain()[0].clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let certificates = front.certificates().cloned();
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(front.run(routers, front::Doors::default(), async {
        let _ = stopped.await;
    }));
    Running {
        https,
        http,
        tls: TlsConnector::from(Arc::new(tls)),
        certificates,
        stop,
        done,
        _state: state,
    }
}

impl Running {
    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.https)).await.unwrap();
        self.tls
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
            .unwrap()
    }

    async fn http2(&self) -> hyper::client::conn::http2::SendRequest<Empty<Bytes>> {
        let mut config = self.tls.config().as_ref().clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(("127.0.0.1", self.https)).await.unwrap();
        let stream = TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn get(&self, path: &str) -> (StatusCode, hyper::HeaderMap, String) {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&'static str, &'static str)]) -> Answer {
        exchange(self.connect().await, "localhost:1234", path, headers).await
    }

    /// By plain HTTP, as a proxy asks for people.
    async fn get_plain(&self, path: &str, headers: &[(&'static str, &'static str)]) -> Answer {
        let stream = TcpStream::connect(("127.0.0.1", self.http)).await.unwrap();
        exchange(stream, "meet.test", path, headers).await
    }
}

type Answer = (StatusCode, hyper::HeaderMap, String);

async fn exchange(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    host: &str,
    path: &str,
    headers: &[(&'static str, &'static str)],
) -> Answer {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let mut request = request(host, path);
    for &(name, value) in headers {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    read(sender.send_request(request).await.unwrap()).await
}

fn request(host: &str, path: &str) -> Request<Empty<Bytes>> {
    Request::get(path)
        .header("host", host)
        .body(Empty::new())
        .unwrap()
}

async fn read(response: Response<hyper::body::Incoming>) -> (StatusCode, hyper::HeaderMap, String) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        String::from_utf8_lossy(&body).into_owned(),
    )
}

#[tokio::test]
async fn pages_endpoints_health_and_metrics() {
    let endpoint = Router::new().route(
        "/http-bind",
        any(
            |RawQuery(query), ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
                format!("{} {}", query.unwrap_or_default(), peer.ip())
            },
        ),
    );
    let front = start(BTreeMap::new(), vec![endpoint]);
    let (status, headers, page) = front.get("/Room").await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        page.to_ascii_lowercase().contains("<!doctype html>"),
        "{page}"
    );
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["strict-transport-security"], "max-age=63072000");
    assert_eq!(headers["x-jitsi-shard"], "s1");
    let (_, _, script) = front.get("/acme/config.js").await;
    assert!(
        script.contains("wss://localhost:1234/acme/xmpp-websocket"),
        "{script}"
    );
    let (_, _, echo) = front.get("/acme/http-bind?prefix=x&room=r").await;
    assert_eq!(echo, "prefix=acme&room=r 127.0.0.1");
    assert_eq!(front.get("/health").await.2, "OK\n");
    assert!(front.get("/metrics").await.2.ends_with("# EOF\n"));
}

#[tokio::test]
async fn http2_is_spoken_when_asked_for() {
    let front = start(BTreeMap::new(), Vec::new());
    let mut sender = front.http2().await;
    let request = Request::get("https://10.0.0.5/config.js")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let (status, _, script) = read(sender.send_request(request).await.unwrap()).await;
    assert_eq!(status, StatusCode::OK);
    assert!(script.contains("wss://10.0.0.5/xmpp-websocket"), "{script}");
}

#[tokio::test]
async fn plain_http_is_sent_to_https_on_either_port() {
    let front = start(BTreeMap::new(), Vec::new());
    for port in [front.http, front.https] {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let host = format!("localhost:{port}");
        let response = sender
            .send_request(request(&host, "/Room?a=b"))
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(
            response.headers()["location"],
            format!("https://localhost:{}/Room?a=b", front.https)
        );
    }
}

/// Tells the address from which a request comes.
fn whoami() -> Router {
    let answer = |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() };
    Router::new().route("/http-bind", any(answer))
}

#[tokio::test]
async fn redirects_lead_to_the_address_people_use() {
    let front = start_with(Vec::new(), |config| {
        config.public_host = Some("meet.example.com".to_owned());
    });
    let (status, headers, _) = front.get_plain("/room?a=b", &[]).await;
    assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(headers["location"], "https://meet.example.com/room?a=b");
}

#[tokio::test]
async fn a_trusted_proxy_that_ends_tls_is_served() {
    let front = start(BTreeMap::new(), vec![whoami(), echo()]);
    let https = ("x-forwarded-proto", "https");
    let (status, headers, page) = front.get_plain("/Room", &[https]).await;
    assert_eq!(status, StatusCode::OK);
    assert!(page.to_ascii_lowercase().contains("<!doctype html>"));
    assert_eq!(headers["strict-transport-security"], "max-age=63072000");
    let script = front.get_plain("/config.js", &[https]).await.2;
    assert!(
        script.contains("wss://meet.test/xmpp-websocket"),
        "{script}"
    );
    let person = ("x-forwarded-for", "6.6.6.6, 203.0.113.7");
    assert_eq!(
        front.get_plain("/http-bind", &[https, person]).await.2,
        "203.0.113.7"
    );
    assert_eq!(
        front.get_with("/http-bind", &[person]).await.2,
        "203.0.113.7"
    );
    let stream = TcpStream::connect(("127.0.0.1", front.http)).await.unwrap();
    let mut upgrade =
        tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
            "ws://meet.test/colibri-ws/a/c/e",
        )
        .unwrap();
    upgrade
        .headers_mut()
        .insert(https.0, https.1.parse().unwrap());
    tokio_tungstenite::client_async(upgrade, stream)
        .await
        .expect("an upgrade behind the proxy");
    // People who came by plain HTTP, to it or to us.
    for headers in [&[("x-forwarded-proto", "http")][..], &[]] {
        let (status, _, _) = front.get_plain("/Room", headers).await;
        assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
    }
}

#[tokio::test]
async fn what_strangers_write_about_their_way_counts_for_nothing() {
    let front = start_with(vec![whoami()], |config| {
        config.trusted_proxies = TrustedProxies::new(|_ip| false);
    });
    let claims = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "203.0.113.7"),
    ];
    let (status, _, _) = front.get_plain("/Room", &claims).await;
    assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(front.get_with("/http-bind", &claims).await.2, "127.0.0.1");
    let metrics = front.get("/_pontoon/metrics").await.2;
    assert!(
        metrics.contains("pontoon_front_untrusted_proxies_total 2"),
        "{metrics}"
    );
}

#[tokio::test]
async fn https_can_be_left_to_a_proxy() {
    let front = start_with(Vec::new(), |config| config.https = None);
    for headers in [&[("x-forwarded-proto", "https")][..], &[]] {
        let (status, _, _) = front.get_plain("/Room", headers).await;
        assert_eq!(
            status,
            StatusCode::OK,
            "a redirect would come back for ever"
        );
    }
    let (status, headers, _) = front
        .get_plain("/Room", &[("x-forwarded-proto", "http")])
        .await;
    assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(headers["location"], "https://meet.test/Room");
}

#[tokio::test]
async fn rooms_may_be_called_health_and_metrics() {
    let front = start(BTreeMap::new(), Vec::new());
    let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let room = front.get("/Room").await.2;
    for name in ["/health", "/metrics", "/_health", "/about/health"] {
        let (status, headers, page) = front.get_with(name, &[browser]).await;
        assert_eq!((status, page == room), (StatusCode::OK, true), "{name}");
        assert!(headers.contains_key("content-security-policy"), "{name}");
    }
    for name in ["/health", "/_health", "/about/health", "/_pontoon/health"] {
        assert_eq!(front.get(name).await.2, "OK\n", "{name}");
    }
    assert_eq!(
        front.get_with("/_pontoon/health", &[browser]).await.2,
        "OK\n"
    );
    for name in ["/metrics", "/_pontoon/metrics"] {
        assert!(front.get(name).await.2.ends_with("# EOF\n"), "{name}");
        // A proxy on this machine must not open it to everybody, named or not.
        for headers in [("x-forwarded-for", "203.0.113.7"), ("via", "1.1 proxy")] {
            let (status, _, _) = front.get_with(name, &[headers]).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{name} behind a proxy");
        }
    }
}

#[tokio::test]
async fn what_programs_ask_of_a_focus_or_a_bridge_is_no_page_here() {
    let front = start(BTreeMap::new(), Vec::new());
    let room = front.get("/Room").await.2;
    for name in [
        "/stats",
        "/debug",
        "/debug/conferences",
        "/about/version",
        "/colibri/stats",
        "/colibri/drain",
    ] {
        for headers in [&[][..], &[("accept", "application/json")]] {
            let (status, _, text) = front.get_with(name, headers).await;
            assert_eq!(
                (status, text.as_str()),
                (StatusCode::NOT_FOUND, "Nothing is here.\n"),
                "{name}"
            );
        }
        let browser = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
        let (status, _, page) = front.get_with(name, &[browser]).await;
        assert_eq!((status, page == room), (StatusCode::OK, true), "{name}");
    }
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for() {
    let front = start(BTreeMap::new(), Vec::new());
    for (accept, kind) in [
        ("*/*", "application/openmetrics-text"),
        ("text/plain", "text/plain; version=0.0.4"),
        ("application/json", "application/json"),
    ] {
        let (_, headers, _) = front
            .get_with("/_pontoon/metrics", &[("accept", accept)])
            .await;
        let told = headers["content-type"].to_str().unwrap();
        assert!(told.starts_with(kind), "{accept}: {told}");
    }
    let page = front.get("/_pontoon/metrics").await.2;
    assert!(
        page.contains("\npontoon_front_certificate_expires "),
        "{page}"
    );
    let (status, _, _) = front
        .get_with("/_pontoon/metrics", &[("accept", "image/png")])
        .await;
    assert_eq!(status, StatusCode::NOT_ACCEPTABLE);
}

#[tokio::test]
async fn a_node_that_cannot_hold_meetings_says_why_and_lives_on() {
    let front = start_with(Vec::new(), |config| {
        config.health = Arc::new(|| Err("no bridge is there".to_owned()));
    });
    for name in ["/health", "/about/health", "/_pontoon/health"] {
        let (status, _, text) = front.get(name).await;
        assert_eq!(
            (status, text.as_str()),
            (StatusCode::SERVICE_UNAVAILABLE, "no bridge is there\n")
        );
    }
    let (status, _, text) = front.get("/_pontoon/alive").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "OK\n"));
}

#[tokio::test]
async fn tenants_have_the_keep_alive_target_too() {
    let front = start(BTreeMap::new(), Vec::new());
    for path in ["/_unlock", "/acme/_unlock"] {
        let (_, headers, text) = front.get(path).await;
        assert_eq!(text, "OK\n");
        assert_eq!(headers["access-control-allow-origin"], "*");
    }
}

fn echo() -> Router {
    Router::new().route(
        "/colibri-ws/{bridge}/{conference}/{endpoint}",
        any(|upgrade: WebSocketUpgrade| async {
            upgrade.on_upgrade(|mut socket| async move {
                while let Some(Ok(Message::Text(text))) = socket.next().await {
                    socket.send(Message::Text(text)).await.unwrap();
                }
            })
        }),
    )
}

async fn say_hello(front: &Running, path: &str) -> String {
    let url = format!("wss://localhost:{}{path}", front.https);
    let (mut socket, _) = tokio_tungstenite::client_async(url, front.connect().await)
        .await
        .expect("an upgrade");
    socket.send("hello".into()).await.unwrap();
    socket
        .next()
        .await
        .unwrap()
        .unwrap()
        .into_text()
        .unwrap()
        .to_string()
}

/// With a bridge of its own, and one elsewhere that is called "away".
async fn with_bridges() -> Running {
    let bridge = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", bridge.local_addr().unwrap())
        .parse()
        .unwrap();
    tokio::spawn(async { axum::serve(bridge, echo()).await });
    start(BTreeMap::from([("away".to_owned(), base)]), vec![echo()])
}

#[tokio::test]
async fn websockets_of_bridges_here_and_elsewhere() {
    let front = with_bridges().await;
    assert_eq!(
        say_hello(&front, "/colibri-ws/here/c/e?pwd=x").await,
        "hello"
    );
    assert_eq!(
        say_hello(&front, "/colibri-ws/away/c/e?pwd=x").await,
        "hello"
    );
}

/// As browsers do once the page came over HTTP/2.
#[tokio::test]
async fn websockets_of_bridges_here_and_elsewhere_over_http2() {
    let front = with_bridges().await;
    let mut sender = front.http2().await;
    let page = Request::get("https://localhost/Room")
        .body(Empty::<Bytes>::new())
        .unwrap();
    read(sender.send_request(page).await.unwrap()).await;
    for path in ["/colibri-ws/here/c/e?pwd=x", "/colibri-ws/away/c/e?pwd=x"] {
        let mut request = Request::connect(format!("https://localhost{path}"))
            .header("sec-websocket-version", "13")
            .body(Empty::new())
            .unwrap();
        let websocket = hyper::ext::Protocol::from_static("websocket");
        request.extensions_mut().insert(websocket);
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let upgraded = hyper::upgrade::on(answer).await.unwrap();
        let mut socket = tokio_tungstenite::WebSocketStream::from_raw_socket(
            TokioIo::new(upgraded),
            tokio_tungstenite::tungstenite::protocol::Role::Client,
            None,
        )
        .await;
        socket.send("hello".into()).await.unwrap();
        let heard = socket.next().await.unwrap().unwrap();
        assert_eq!(heard.to_text().unwrap(), "hello", "{path}");
    }
}

#[tokio::test]
async fn a_bridge_that_is_gone_is_a_bad_gateway() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base: hyper::Uri = format!("http://{}", free.local_addr().unwrap())
        .parse()
        .unwrap();
    drop(free);
    let front = start(BTreeMap::from([("away".to_owned(), base)]), Vec::new());
    assert_eq!(
        front.get("/colibri-ws/away/c/e").await.0,
        StatusCode::BAD_GATEWAY
    );
}

#[tokio::test]
async fn shutdown_ends_idle_connections() {
    let front = start(BTreeMap::new(), Vec::new());
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(front.connect().await))
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    read(
        sender
            .send_request(request("localhost", "/health"))
            .await
            .unwrap(),
    )
    .await;
    front.stop.send(()).unwrap();
    front.done.await.unwrap();
    let _ = connection.await.unwrap();
}

#[tokio::test]
async fn files_of_well_known_are_served_and_challenges_by_plain_http_too() {
    let beside = tempfile::tempdir().unwrap();
    std::fs::write(beside.path().join("secret.txt"), "secret").unwrap();
    let files = beside.path().join("files");
    let challenges = files.join("acme-challenge");
    std::fs::create_dir_all(&challenges).unwrap();
    std::fs::write(challenges.join("token"), "proof").unwrap();
    std::fs::write(files.join("security.txt"), "Contact: us").unwrap();
    let front = start_with(Vec::new(), |config| {
        config.well_known = Some(files);
    });
    // An authority comes from anywhere, and follows redirects to HTTPS only if it likes.
    let (status, _, text) = front
        .get_plain("/.well-known/acme-challenge/token", &[])
        .await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "proof"));
    let missing = front
        .get_plain("/.well-known/acme-challenge/none", &[])
        .await;
    assert_eq!(missing.0, StatusCode::NOT_FOUND);
    let (status, _, _) = front.get_plain("/.well-known/security.txt", &[]).await;
    assert_eq!(status, StatusCode::PERMANENT_REDIRECT);
    let (status, _, text) = front.get("/.well-known/security.txt").await;
    assert_eq!((status, text.as_str()), (StatusCode::OK, "Contact: us"));
    // Nothing beside the directory.
    for path in [
        "../secret.txt",
        "%2e%2e/secret.txt",
        "acme-challenge/../../secret.txt",
    ] {
        let (_, _, text) = front.get(&format!("/.well-known/{path}")).await;
        assert_ne!(text, "secret");
    }
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_old_ones_stay() {
    let front = start(BTreeMap::new(), Vec::new());
    let certificates = front.certificates.clone().unwrap();
    let (mut old, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(front.connect().await))
            .await
            .unwrap();
    tokio::spawn(connection);
    assert!(!certificates.reload().unwrap());
    std::fs::remove_file(front._state.path().join("web-certificate.pem")).unwrap();
    assert!(certificates.reload().unwrap());
    let stream = TcpStream::connect(("127.0.0.1", front.https))
        .await
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let distrusted = front.tls.connect(name.clone(), stream).await;
    assert!(distrusted.is_err(), "it is another certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(certificates.current().chain()[0].clone())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", front.https))
        .await
        .unwrap();
    let tls = TlsConnector::from(Arc::new(tls));
    tls.connect(name.clone(), stream).await.unwrap();
    let answer = old
        .send_request(request("localhost", "/health"))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    // What cannot be read changes nothing.
    std::fs::write(front._state.path().join("web-key.pem"), "half").unwrap();
    assert!(certificates.reload().is_err());
    let stream = TcpStream::connect(("127.0.0.1", front.https))
        .await
        .unwrap();
    tls.connect(name, stream).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_taken_up_without_a_word() {
    let state = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let certificates = Certificates::load(certificate(state.path())).unwrap();
    let before = certificates.current().fingerprint();
    let told = Arc::new(tokio::sync::Notify::new());
    tokio::spawn(certificates.clone().watch(None, told));
    Certificate::load(&certificate(other.path())).unwrap();
    for name in ["web-key.pem", "web-certificate.pem"] {
        std::fs::rename(other.path().join(name), state.path().join(name)).unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(30)).await;
    assert_ne!(certificates.current().fingerprint(), before);
}
