//! The listeners, one task for each connection, and the order in which a request is looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use telemetry::Metrics;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;

use crate::certificate::CertificateSource;
use crate::client_config::ClientConfig;
use crate::error::FrontError;
use crate::forwarded::{Person, TrustedProxies};
use crate::guard::{Connections, Counted, Guard, Visit, Watcher, until_evicted};
use crate::listen::bind_tcp;
use crate::metrics::Counters;
use crate::redirect::Redirect;
use crate::relay::{self, Relays};
use crate::served::{ACME_TLS, Certificates};
use crate::site::Site;
use crate::well_known::WellKnown;
use crate::{address, expiry, proxy};

/// Bytes read of a connection to see what it is; longer reads go past them.
const PEEK: usize = 64;
/// High byte of the length of the longest first frame of media: a STUN request of less than 512 bytes.
const LONGEST_FIRST_FRAME: u8 = 1;
/// How long a peer may take for its TLS handshake, and for the head of each request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests in progress may take to finish at shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// Most requests in progress on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// Two years.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");
const SHARD: HeaderName = HeaderName::from_static("x-jitsi-shard");
/// Where programs look for figures of a focus or a bridge, which have doors of their own for that. To programs there is nothing
/// here, never a page; people find the rooms of these names.
const ELSEWHERE: [&str; 7] = [
    "/stats",
    "/rtcstats",
    "/debug",
    "/debug/conferences",
    "/about/version",
    "/colibri/stats",
    "/colibri/drain",
];

/// Takes connections to the HTTPS port that carry media, from their first byte on, and serves them to their end.
pub type MediaDoor =
    Arc<dyn Fn(TcpStream, SocketAddr) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What may come to the HTTPS port besides requests; what is not there is refused.
#[derive(Clone, Default)]
pub struct Doors {
    /// Media.
    pub media: Option<MediaDoor>,
    /// TURN.
    pub relay: Option<Arc<turn::Settings>>,
}

impl fmt::Debug for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doors")
            .field("media", &self.media.is_some())
            .field("relay", &self.relay)
            .finish()
    }
}

/// Answers whether the node can hold meetings; the text says why not.
pub type HealthCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the front needs to start.
pub struct FrontConfig {
    /// Address of HTTPS, `[::]` is every address; without one, plain HTTP serves pages to a proxy that ends TLS.
    pub https: Option<SocketAddr>,
    /// Address of plain HTTP, if any: it redirects, except for what trusted proxies got by HTTPS.
    pub http: Option<SocketAddr>,
    /// Proxies that say truly who a person is and whether they came by HTTPS.
    pub trusted_proxies: TrustedProxies,
    /// The certificate.
    pub certificate: CertificateSource,
    /// Directory with what is served below `/.well-known/`.
    pub well_known: Option<PathBuf>,
    /// A web tree to serve instead of the built-in client.
    pub web_root: Option<PathBuf>,
    /// What `config.js` says.
    pub client: ClientConfig,
    /// Host (and port) people use, when the requests do not tell it.
    pub public_host: Option<String>,
    /// Whether to send HSTS.
    pub hsts: bool,
    /// Who may read `/metrics`.
    pub metrics_allow: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What `/health` asks.
    pub health: HealthCheck,
    /// Origins of bridges' WebSockets that people's browsers open themselves, `wss://media.example.com`.
    pub bridge_origins: Vec<String>,
    /// Bridges elsewhere whose WebSockets are passed on, and their addresses (`http://host:port`).
    pub colibri_ws: BTreeMap<String, Uri>,
}

impl fmt::Debug for FrontConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontConfig")
            .field("https", &self.https)
            .field("http", &self.http)
            .field("certificate", &self.certificate)
            .field("web_root", &self.web_root)
            .finish_non_exhaustive()
    }
}

/// The front with its ports open.
pub struct Front {
    https: Option<(TcpListener, TlsAcceptor)>,
    http: Option<TcpListener>,
    certificates: Option<Certificates>,
    config: FrontConfig,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl Front {
    /// Reads the certificate and opens the ports. Needs a tokio runtime.
    ///
    /// # Errors
    /// Whatever the operator has to put right.
    pub fn bind(config: FrontConfig) -> Result<Self, FrontError> {
        if let Some(root) = &config.web_root {
            check_web_root(root)?;
        }
        let https = config
            .https
            .map(|address| bind_tcp("HTTPS", address))
            .transpose()?;
        let certificates = match &https {
            Some(_) => Some(Certificates::load(config.certificate.clone())?),
            None => None,
        };
        let https = match https.zip(certificates.as_ref()) {
            Some((listener, certificates)) => Some((listener, tls(certificates)?)),
            None => None,
        };
        let http = config
            .http
            .map(|address| bind_tcp("HTTP", address))
            .transpose()?;
        Ok(Self {
            https,
            http,
            certificates,
            config,
        })
    }

    /// The certificate of HTTPS, if that is served.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Where HTTPS is served, if it is.
    pub fn https_address(&self) -> Option<SocketAddr> {
        let (listener, _tls) = self.https.as_ref()?;
        listener.local_addr().ok()
    }

    /// Port on which HTTPS is served, if it is.
    pub fn https_port(&self) -> Option<u16> {
        Some(self.https_address()?.port())
    }

    /// Address of plain HTTP, if any.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref()?.local_addr().ok()
    }

    /// Serves until `shutdown` completes, then lets requests in progress finish for a moment. The routers must not have
    /// fallbacks of their own.
    pub async fn run(self, routers: Vec<Router>, doors: Doors, shutdown: impl Future<Output = ()>) {
        let counters = Counters::register(&self.config.metrics);
        if let Some(certificates) = &self.certificates {
            expiry::register(&self.config.metrics, certificates.clone());
        }
        let guard = Guard::new(counters.clone());
        let relay_counters = counters.clone();
        let trusted = self.config.trusted_proxies.clone();
        let trusted = move |address| trusted.trusts(address);
        let shared = Arc::new(Shared {
            redirect: Redirect {
                public_host: self.config.public_host.clone(),
                port: self.https_port(),
            },
            trusted_proxies: self.config.trusted_proxies.clone(),
            router: router(&self.config, &counters, routers),
            counters,
            hsts: self.config.hsts,
            shard: self
                .config
                .client
                .shard
                .as_deref()
                .and_then(|name| HeaderValue::from_str(name).ok()),
            colibri_ws: self.config.colibri_ws,
            well_known: WellKnown::new(self.certificates, self.config.well_known.as_deref()),
            media: doors.media,
            relays: doors
                .relay
                .map(|settings| Relays::new(settings, relay_counters)),
        });
        let connections = Connections::new();
        let https = async {
            let Some((listener, tls)) = &self.https else {
                return std::future::pending().await;
            };
            accept(listener, &guard, &trusted, |stream, peer, visit| {
                let (tls, shared) = (tls.clone(), Arc::clone(&shared));
                let watcher = connections.watcher(visit.clone());
                let serve = serve_https(stream, peer, tls, shared, watcher);
                tokio::spawn(until_evicted(visit, serve));
            })
            .await;
        };
        let http = async {
            let Some(listener) = &self.http else {
                return std::future::pending().await;
            };
            accept(listener, &guard, &trusted, |stream, peer, visit| {
                let (shared, watcher) = (Arc::clone(&shared), connections.watcher(visit.clone()));
                tokio::spawn(until_evicted(
                    visit,
                    serve_plain(stream, peer, shared, watcher),
                ));
            })
            .await;
        };
        tokio::select! {
            () = https => {}
            () = http => {}
            () = shutdown => {}
        }
        // What is not done by then is cut.
        let _ = timeout(DRAIN, connections.shutdown()).await;
    }
}

/// Whether a directory is a web tree that can be served.
///
/// # Errors
/// [`FrontError::WebRoot`].
pub fn check_web_root(root: &Path) -> Result<(), FrontError> {
    if root.join("index.html").is_file() {
        Ok(())
    } else {
        Err(FrontError::WebRoot {
            path: root.to_owned(),
        })
    }
}

struct Shared {
    router: Router,
    redirect: Redirect,
    trusted_proxies: TrustedProxies,
    counters: Counters,
    hsts: bool,
    shard: Option<HeaderValue>,
    colibri_ws: BTreeMap<String, Uri>,
    well_known: WellKnown,
    media: Option<MediaDoor>,
    relays: Option<Relays>,
}

impl Shared {
    /// Who sent a request; proxies nobody vouched for are counted.
    fn person(&self, peer: SocketAddr, headers: &HeaderMap) -> Person {
        let person = self.trusted_proxies.person(peer, headers);
        if person.forwarded && !person.trusted {
            self.counters.untrusted_proxy();
        }
        person
    }

    /// Answers a request that came by TLS.
    async fn respond_tls(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let person = self.person(peer, request.headers());
        self.respond(person, true, request).await
    }

    /// Answers a request that came by plain HTTP: people are sent to HTTPS, proxies that had them there are served. When
    /// HTTPS is ended elsewhere and nobody says how people came, they are served, as any redirect would come back here.
    async fn respond_plain(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        if let Some(proof) = self.well_known.proof(&request).await {
            return proof;
        }
        let person = self.person(peer, request.headers());
        if person.https.unwrap_or(self.redirect.port.is_none()) {
            return self
                .respond(person, person.https == Some(true), request)
                .await;
        }
        self.redirect.respond(request.uri(), request.headers())
    }

    async fn respond(
        &self,
        person: Person,
        secure: bool,
        request: Request<Incoming>,
    ) -> Response<Body> {
        if let Some(answer) = self.well_known.respond(&request).await {
            return answer;
        }
        let mut request = request.map(Body::new);
        *request.uri_mut() = address::rewrite(std::mem::take(request.uri_mut()));
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(person.address));
        extensions.insert(person);
        let elsewhere =
            proxy::bridge_of(request.uri().path()).and_then(|bridge| self.colibri_ws.get(bridge));
        let mut response = match elsewhere {
            Some(base) => proxy::pass_on(base, request).await,
            None => match self.router.clone().oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            },
        };
        let headers = response.headers_mut();
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if self.hsts && secure {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        if let Some(shard) = &self.shard {
            headers.insert(SHARD, shard.clone());
        }
        response
    }
}

/// TLS with the certificate, for HTTP/2 and HTTP/1.1.
fn tls(certificates: &Certificates) -> Result<TlsAcceptor, FrontError> {
    let tls = certificates
        .server_config()
        .map_err(|error| FrontError::Certificate {
            path: PathBuf::from("certificate"),
            problem: error.to_string(),
        })?;
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

/// All endpoints; the site answers the rest.
fn router(config: &FrontConfig, counters: &Counters, routers: Vec<Router>) -> Router {
    let site = Arc::new(Site::new(
        config.web_root.clone(),
        config.client.clone(),
        config.public_host.clone(),
        &config.bridge_origins,
        counters.clone(),
    ));
    let pages = Arc::clone(&site);
    let pages = Router::new()
        .fallback(move |request| Arc::clone(&pages).respond(request))
        .layer(CompressionLayer::new());
    let health = Arc::clone(&config.health);
    let health = move |_request: &Request<Body>| health_answer(&health);
    let (metrics, allow) = (config.metrics.clone(), Arc::clone(&config.metrics_allow));
    let metrics = move |request: &Request<Body>| metrics_answer(&metrics, &allow, request);
    let mut own = Router::new()
        .route("/_pontoon/alive", get(|| async { "OK\n" }))
        .route("/_pontoon/health", get(answer(health.clone())))
        .route("/_pontoon/metrics", get(answer(metrics.clone())))
        .route("/health", get(unless_page(&site, health.clone())))
        .route("/_health", get(unless_page(&site, health.clone())))
        .route("/about/health", get(unless_page(&site, health)))
        .route("/metrics", get(unless_page(&site, metrics)))
        .route("/_unlock", get(unlock));
    let nothing =
        |_request: &Request<Body>| (StatusCode::NOT_FOUND, "Nothing is here.\n").into_response();
    for path in ELSEWHERE {
        own = own.route(path, get(unless_page(&site, nothing)));
    }
    routers
        .into_iter()
        .fold(own, Router::merge)
        .fallback_service(pages)
}

/// A handler that answers at once.
fn answer(
    make: impl Fn(&Request<Body>) -> Response<Body> + Clone,
) -> impl Fn(Request<Body>) -> std::future::Ready<Response<Body>> + Clone {
    move |request| std::future::ready(make(&request))
}

/// A handler for monitoring whose address is also a room's name: a browser that asks for a page gets the room.
fn unless_page<F>(
    site: &Arc<Site>,
    make: F,
) -> impl Fn(Request<Body>) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>>
+ Clone
+ use<F>
where
    F: Fn(&Request<Body>) -> Response<Body> + Clone,
{
    let site = Arc::clone(site);
    move |request| {
        if asks_for_page(request.headers()) {
            Box::pin(Arc::clone(&site).respond(request))
        } else {
            Box::pin(std::future::ready(make(&request)))
        }
    }
}

/// Whether somebody wants to see a page: browsers name HTML first, tools do not name it.
fn asks_for_page(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

fn metrics_answer(
    metrics: &Metrics,
    allow: &Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    request: &Request<Body>,
) -> Response<Body> {
    let person = request.extensions().get::<Person>();
    if !person.is_some_and(|person| person.certain && allow(person.address.ip())) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let accept = request.headers().get(header::ACCEPT);
    match metrics.page(accept.and_then(|accept| accept.to_str().ok())) {
        Some((kind, page)) => ([(header::CONTENT_TYPE, kind)], page).into_response(),
        None => StatusCode::NOT_ACCEPTABLE.into_response(),
    }
}

fn health_answer(check: &HealthCheck) -> Response<Body> {
    let no_store = [(header::CACHE_CONTROL, "no-store")];
    match check() {
        Ok(()) => (no_store, "OK\n").into_response(),
        Err(problem) => (
            StatusCode::SERVICE_UNAVAILABLE,
            no_store,
            format!("{problem}\n"),
        )
            .into_response(),
    }
}

/// A keep-alive target for clients, also across sites.
async fn unlock() -> Response<Body> {
    (
        [
            (header::CACHE_CONTROL, "no-store"),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        ],
        "OK\n",
    )
        .into_response()
}

async fn accept(
    listener: &TcpListener,
    guard: &Guard,
    trusted: &impl Fn(IpAddr) -> bool,
    handle: impl Fn(TcpStream, SocketAddr, Visit),
) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and wanted at once.
                let _ = stream.set_nodelay(true);
                let address = (!trusted(peer.ip())).then(|| peer.ip().into());
                if let Some(visit) = guard.enter(address) {
                    handle(stream, peer, visit);
                }
            }
            // A peer that is gone already costs nothing.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again shortly");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_https(
    stream: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    watcher: Watcher,
) {
    let mut first = [0];
    match timeout(HANDSHAKE, stream.peek(&mut first)).await {
        // Neither a TLS record nor a request begins like this: it is the length of a frame with a STUN request.
        Ok(Ok(1)) if first[0] <= LONGEST_FIRST_FRAME => {
            if let Some(media) = &shared.media {
                // It is no idle visitor, and its own door ends it when nothing comes.
                let _busy = watcher.visit.begin();
                let media = media(stream, peer);
                // Nor is it waited for when the front ends.
                drop(watcher);
                media.await;
            }
        }
        // People type http:// before an address with a port; a TLS record never begins with a letter.
        Ok(Ok(1)) if first[0].is_ascii_uppercase() => {
            serve_plain(stream, peer, shared, watcher).await;
        }
        Ok(Ok(1)) => match timeout(HANDSHAKE, tls.accept(stream)).await {
            // An authority has seen what it came for.
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {}
            Ok(Ok(stream)) => {
                // Browsers name what they speak when it is HTTP; only of others is the first byte looked at.
                let unnamed = stream.get_ref().1.alpn_protocol().is_none();
                let mut stream = BufReader::with_capacity(PEEK, stream);
                if let Some(relays) = shared.relays.as_ref().filter(|_| unnamed)
                    && begins_like_turn(&mut stream).await
                {
                    let own = stream.get_ref().get_ref().0.local_addr();
                    let (_busy, relays) = (watcher.visit.begin(), relays.clone());
                    drop((watcher, shared));
                    if let Ok(own) = own {
                        relay::serve(&relays, stream, peer, own.ip()).await;
                    }
                    return;
                }
                let respond = move |request| {
                    let shared = Arc::clone(&shared);
                    async move { shared.respond_tls(peer, request).await }
                };
                serve_async(stream, watcher, respond).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_elapsed) => tracing::debug!("TLS handshake took too long"),
        },
        _ => {}
    }
}

async fn begins_like_turn<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> bool {
    let first = timeout(HANDSHAKE, stream.fill_buf()).await;
    matches!(first, Ok(Ok([first, ..])) if turn::begins_with_message(*first))
}

async fn serve_plain(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>, watcher: Watcher) {
    let respond = move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.respond_plain(peer, request).await }
    };
    serve_async(stream, watcher, respond).await;
}

async fn serve_async<S, F, R>(stream: S, watcher: Watcher, respond: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let mut builder = auto::Builder::new(watcher.visit.streams());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        // WebSockets on the connection that brought the page (RFC 8441): opening another one takes three round trips.
        .enable_connect_protocol();
    let visit = watcher.visit.clone();
    let stream = Counted::new(stream, visit.clone());
    let service = hyper::service::service_fn(|request| {
        let (busy, response) = (visit.begin(), respond(request));
        async move { Ok::<_, std::convert::Infallible>(busy.until_sent(response.await)) }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}
