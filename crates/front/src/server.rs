//! The listeners, one task for each connection, and the order in which a request is looked at.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri, header};
use axum::response::IntoResponse as _;
use axum::routing::get;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use telemetry::Metrics;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;

use crate::certificate::{Certificate, CertificateSource};
use crate::client_config::ClientConfig;
use crate::error::FrontError;
use crate::listen::bind_tcp;
use crate::site::{Site, request_host};
use crate::{proxy, tenant};

/// How long a peer may take for its TLS handshake, and for the head of each request.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests in progress may take to finish at shutdown.
const DRAIN: Duration = Duration::from_secs(2);
/// Most connections at a time; further ones wait in the kernel.
const MAX_CONNECTIONS: usize = 50_000;
/// Most requests in progress on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// Two years.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=63072000");
const SHARD: HeaderName = HeaderName::from_static("x-jitsi-shard");

/// Answers whether the node can hold meetings; the text says why not.
pub type HealthCheck = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the front needs to start.
pub struct FrontConfig {
    /// Address of HTTPS; `[::]` is every address.
    pub https: SocketAddr,
    /// Address of the redirecting HTTP, if any.
    pub http: Option<SocketAddr>,
    /// The certificate.
    pub certificate: CertificateSource,
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
    https: TcpListener,
    http: Option<TcpListener>,
    tls: TlsAcceptor,
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
        let certificate = Certificate::load(&config.certificate)?;
        let tls = certificate
            .server_config(&[b"h2", b"http/1.1"])
            .map_err(|error| FrontError::Certificate {
                path: PathBuf::from("certificate"),
                problem: error.to_string(),
            })?;
        let https = bind_tcp("HTTPS", config.https)?;
        let http = config
            .http
            .map(|address| bind_tcp("HTTP", address))
            .transpose()?;
        Ok(Self {
            https,
            http,
            tls: TlsAcceptor::from(tls),
            config,
        })
    }

    /// Port on which HTTPS is served.
    pub fn https_port(&self) -> u16 {
        self.https
            .local_addr()
            .map_or(self.config.https.port(), |address| address.port())
    }

    /// Port on which plain HTTP is redirected, if any.
    pub fn http_port(&self) -> Option<u16> {
        Some(self.http.as_ref()?.local_addr().ok()?.port())
    }

    /// Serves until `shutdown` completes, then lets requests in progress finish for a moment. The routers must not have
    /// fallbacks of their own.
    pub async fn run(self, routers: Vec<Router>, shutdown: impl Future<Output = ()>) {
        let port = self.https_port();
        let shared = Arc::new(Shared {
            router: router(&self.config, routers),
            hsts: self.config.hsts,
            shard: self
                .config
                .client
                .shard
                .as_deref()
                .and_then(|name| HeaderValue::from_str(name).ok()),
            colibri_ws: self.config.colibri_ws,
            https_port: port,
        });
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let https = accept(&self.https, &room, |stream, peer, permit| {
            let (tls, shared, watcher) =
                (self.tls.clone(), Arc::clone(&shared), graceful.watcher());
            tokio::spawn(async move {
                serve_https(stream, peer, tls, shared, watcher).await;
                drop(permit);
            });
        });
        let http = async {
            match &self.http {
                Some(listener) => {
                    accept(listener, &room, |stream, _peer, permit| {
                        let watcher = graceful.watcher();
                        tokio::spawn(async move {
                            serve(stream, watcher, move |request| redirect(&request, port)).await;
                            drop(permit);
                        });
                    })
                    .await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = https => {}
            () = http => {}
            () = shutdown => {}
        }
        // What is not done by then is cut.
        let _ = timeout(DRAIN, graceful.shutdown()).await;
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
    hsts: bool,
    shard: Option<HeaderValue>,
    colibri_ws: BTreeMap<String, Uri>,
    https_port: u16,
}

impl Shared {
    async fn respond(&self, peer: SocketAddr, request: Request<Incoming>) -> Response<Body> {
        let mut request = request.map(Body::new);
        *request.uri_mut() = tenant::rewrite(std::mem::take(request.uri_mut()));
        request.extensions_mut().insert(ConnectInfo(peer));
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
        if self.hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
        if let Some(shard) = &self.shard {
            headers.insert(SHARD, shard.clone());
        }
        response
    }
}

/// All endpoints; the site answers the rest.
fn router(config: &FrontConfig, routers: Vec<Router>) -> Router {
    let host = config.public_host.clone();
    let site = Arc::new(Site::new(
        config.web_root.clone(),
        config.client.clone(),
        host,
    ));
    let site = Router::new()
        .fallback(move |request| Arc::clone(&site).respond(request))
        .layer(CompressionLayer::new());
    let health = Arc::clone(&config.health);
    let health = get(move || std::future::ready(health_answer(&health)));
    let (metrics, allow) = (config.metrics.clone(), Arc::clone(&config.metrics_allow));
    let own = Router::new()
        .route("/health", health.clone())
        .route("/_health", health.clone())
        .route("/about/health", health)
        .route("/_unlock", get(unlock))
        .route(
            "/metrics",
            get(move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
                std::future::ready(if allow(peer.ip()) {
                    (
                        [(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)],
                        metrics.encode(),
                    )
                        .into_response()
                } else {
                    StatusCode::FORBIDDEN.into_response()
                })
            }),
        );
    routers
        .into_iter()
        .fold(own, Router::merge)
        .fallback_service(site)
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
    room: &Arc<Semaphore>,
    handle: impl Fn(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit),
) {
    loop {
        let Ok(permit) = Arc::clone(room).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small and wanted at once.
                let _ = stream.set_nodelay(true);
                handle(stream, peer, permit);
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
        // People type http:// before an address with a port; a TLS record never begins with a letter.
        Ok(Ok(1)) if first[0].is_ascii_uppercase() => {
            let port = shared.https_port;
            serve(stream, watcher, move |request| redirect(&request, port)).await;
        }
        Ok(Ok(1)) => match timeout(HANDSHAKE, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let respond = move |request| {
                    let shared = Arc::clone(&shared);
                    async move { shared.respond(peer, request).await }
                };
                serve_async(stream, watcher, respond).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
            Err(_elapsed) => tracing::debug!("TLS handshake took too long"),
        },
        _ => {}
    }
}

async fn serve(
    stream: TcpStream,
    watcher: Watcher,
    respond: impl Fn(Request<Incoming>) -> Response<Body> + Send + Sync + 'static,
) {
    serve_async(stream, watcher, move |request| {
        std::future::ready(respond(request))
    })
    .await;
}

async fn serve_async<S, F, R>(stream: S, watcher: Watcher, respond: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE)
        .max_buf_size(64 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS);
    let service = hyper::service::service_fn(|request| {
        let response = respond(request);
        async move { Ok::<_, std::convert::Infallible>(response.await) }
    });
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "connection ended");
    }
}

/// Sends plain HTTP to the same address on HTTPS.
fn redirect(request: &Request<Incoming>, port: u16) -> Response<Body> {
    let Some(host) = request_host(request.uri(), request.headers()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let location = https_location(
        host,
        port,
        request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str()),
    );
    (
        StatusCode::PERMANENT_REDIRECT,
        [(header::LOCATION, location)],
    )
        .into_response()
}

fn https_location(host: &str, port: u16, path: &str) -> String {
    // The last colon begins a port unless it stands inside an IPv6 address.
    let name = match host.rsplit_once(':') {
        Some((name, digits)) if !digits.contains(']') => name,
        _ => host,
    };
    if port == 443 {
        format!("https://{name}{path}")
    } else {
        format!("https://{name}:{port}{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::https_location;

    #[test]
    fn redirects_keep_host_and_path() {
        for (host, port, expected) in [
            ("meet.test", 443, "https://meet.test/a?b"),
            ("meet.test:8080", 8443, "https://meet.test:8443/a?b"),
            ("[::1]:8080", 8443, "https://[::1]:8443/a?b"),
            ("[::1]", 443, "https://[::1]/a?b"),
        ] {
            assert_eq!(https_location(host, port, "/a?b"), expected);
        }
    }
}
