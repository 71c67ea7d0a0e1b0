//! Everything that is not an endpoint: files of the web client, `config.js`, and rooms, whose address is the page itself.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::client_config::{ClientConfig, Place};
use crate::embedded;
use crate::ssi::{self, Source};
use crate::tenant::is_tenant;

/// Policy of the built-in client's page: its own scripts only, its own host for connections.
const CONTENT_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: blob: https:; media-src 'self' data: blob:; connect-src 'self' wss:; \
    worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'none'";

/// First segments that are directories of files, never tenants.
const DIRECTORIES: [&str; 10] = [
    "assets",
    "libs",
    "css",
    "static",
    "images",
    "fonts",
    "lang",
    "sounds",
    "colibri-ws",
    ".well-known",
];

/// Endings of files; a missing one is an error, not a room.
const FILE_ENDINGS: [&str; 20] = [
    "html", "js", "mjs", "css", "map", "json", "txt", "xml", "ico", "png", "svg", "jpg", "jpeg",
    "gif", "webp", "woff", "woff2", "wasm", "wav", "mp3",
];

/// The web client and how its pages are addressed.
pub(crate) struct Site {
    /// A foreign web tree; the built-in client without one.
    root: Option<PathBuf>,
    client: ClientConfig,
    /// Host people use, when requests do not tell it.
    public_host: Option<String>,
}

/// What an address means.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// The page of the client, for a tenant or none.
    Page { tenant: String },
    /// `config.js`.
    Config { tenant: String },
    /// A file by its path.
    File(String),
    /// Nothing.
    Missing,
}

impl Site {
    pub(crate) fn new(
        root: Option<PathBuf>,
        client: ClientConfig,
        public_host: Option<String>,
    ) -> Self {
        Self {
            root,
            client,
            public_host,
        }
    }

    /// Answers any request.
    pub(crate) async fn respond(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return self.missing(StatusCode::METHOD_NOT_ALLOWED).await;
        }
        let Some(segments) = decode(request.uri().path()) else {
            return self.missing(StatusCode::BAD_REQUEST).await;
        };
        let host = self.host(request.uri(), request.headers());
        match self.target(&segments).await {
            Target::Page { tenant } => self.page(&host, &tenant, request.headers()).await,
            Target::Config { tenant } => {
                let script = self.client.script(Place {
                    host: &host,
                    tenant: &tenant,
                });
                text("text/javascript; charset=utf-8", script)
            }
            Target::File(path) => self.file(&path, &host, request).await,
            Target::Missing => self.missing(StatusCode::NOT_FOUND).await,
        }
    }

    async fn target(&self, segments: &[String]) -> Target {
        let Some((first, rest)) = segments.split_first() else {
            return Target::Page {
                tenant: String::new(),
            };
        };
        if let Some(target) = self.known(segments, "").await {
            return target;
        }
        if rest.is_empty() {
            return if is_file_name(first) {
                Target::Missing
            } else {
                Target::Page {
                    tenant: String::new(),
                }
            };
        }
        if DIRECTORIES.contains(&first.as_str()) || !is_tenant(first) {
            return Target::Missing;
        }
        if let Some(target) = self.known(rest, first).await {
            return target;
        }
        match rest {
            [room] if !is_file_name(room) => Target::Page {
                tenant: first.clone(),
            },
            _ => Target::Missing,
        }
    }

    /// Files and generated files.
    async fn known(&self, segments: &[String], tenant: &str) -> Option<Target> {
        let path = segments.join("/");
        let tenant = tenant.to_owned();
        match path.as_str() {
            "" => None,
            "config.js" => Some(Target::Config { tenant }),
            "index.html" => Some(Target::Page { tenant }),
            "external_api.js" => {
                let library = "libs/external_api.min.js";
                self.has(library)
                    .await
                    .then(|| Target::File(library.to_owned()))
            }
            _ => self.has(&path).await.then_some(Target::File(path)),
        }
    }

    async fn has(&self, path: &str) -> bool {
        match &self.root {
            None => embedded::find(path).is_some(),
            Some(root) => tokio::fs::metadata(root.join(path))
                .await
                .is_ok_and(|file| file.is_file()),
        }
    }

    async fn page(&self, host: &str, tenant: &str, headers: &HeaderMap) -> Response<Body> {
        match &self.root {
            Some(root) => {
                let page = tokio::fs::read_to_string(root.join("index.html")).await;
                match page {
                    Ok(page) => html(self.include(&page, "", host, tenant)),
                    Err(_error) => self.missing(StatusCode::NOT_FOUND).await,
                }
            }
            None => match embedded::find("index.html") {
                Some(page) => {
                    let mut response = page.respond(headers);
                    response.headers_mut().insert(
                        header::CONTENT_SECURITY_POLICY,
                        HeaderValue::from_static(CONTENT_POLICY),
                    );
                    response
                }
                None => status(StatusCode::NOT_FOUND),
            },
        }
    }

    async fn file(&self, path: &str, host: &str, request: Request<Body>) -> Response<Body> {
        let Some(root) = &self.root else {
            return match embedded::find(path) {
                Some(file) => file.respond(request.headers()),
                None => status(StatusCode::NOT_FOUND),
            };
        };
        if path.ends_with(".html")
            && let Ok(page) = tokio::fs::read_to_string(root.join(path)).await
        {
            let directory = path
                .rsplit_once('/')
                .map_or("", |(directory, _name)| directory);
            return html(self.include(&page, directory, host, ""));
        }
        serve_from(root, path, request).await
    }

    fn include(&self, page: &str, directory: &str, host: &str, tenant: &str) -> String {
        let place = Place { host, tenant };
        let variables = HashMap::from([
            ("subdir", place.subdir()),
            ("subdomain", place.subdomain()),
            ("http_host", host.to_owned()),
        ]);
        ssi::resolve(page, directory, &variables, &Includes { site: self, place })
    }

    async fn missing(&self, code: StatusCode) -> Response<Body> {
        let mut response = match &self.root {
            Some(root) => match tokio::fs::read_to_string(root.join("static/404.html")).await {
                Ok(page) => html(self.include(&page, "static", &self.client.domain, "")),
                Err(_error) => text("text/plain; charset=utf-8", "Nothing is here.\n".to_owned()),
            },
            None => text("text/plain; charset=utf-8", "Nothing is here.\n".to_owned()),
        };
        *response.status_mut() = code;
        response
    }

    /// The host of the page, for the addresses in `config.js`.
    fn host(&self, uri: &Uri, headers: &HeaderMap) -> String {
        if let Some(host) = &self.public_host {
            return host.clone();
        }
        request_host(uri, headers)
            .unwrap_or(&self.client.domain)
            .to_owned()
    }
}

/// The host a request was sent to, when it is a plain one.
pub(crate) fn request_host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let host = match uri.authority() {
        Some(authority) => authority.as_str(),
        None => headers.get(header::HOST)?.to_str().ok()?,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
    (!host.is_empty() && host.len() <= 255 && host.bytes().all(plain)).then_some(host)
}

struct Includes<'a> {
    site: &'a Site,
    place: Place<'a>,
}

impl Source for Includes<'_> {
    fn include(&self, path: &str) -> Option<String> {
        if path == "config.js" {
            return Some(self.site.client.script(self.place));
        }
        let root = self.site.root.as_ref()?;
        let file = std::fs::read_to_string(root.join(path)).ok();
        // Bundles are addressed relative to the root of the tree, below a tenant too.
        file.or_else(|| (path == "base.html").then(|| "<base href=\"/\" />".to_owned()))
    }
}

async fn serve_from(
    root: &std::path::Path,
    path: &str,
    mut request: Request<Body>,
) -> Response<Body> {
    let versioned = request
        .uri()
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("v=")));
    let encoded: String = path.split('/').fold(String::new(), |all, segment| {
        format!("{all}/{}", crate::client_config::encode_segment(segment))
    });
    let Ok(uri) = encoded.parse::<Uri>() else {
        return status(StatusCode::NOT_FOUND);
    };
    *request.uri_mut() = uri;
    let directory = ServeDir::new(root)
        .append_index_html_on_directories(false)
        .precompressed_gzip();
    let Ok(response) = directory.oneshot(request).await;
    let mut response = response.map(Body::new);
    let cache = if versioned {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    // Pages of other sites embed meetings and load the library from here.
    headers.insert(
        header::ACCESS_CONTROL_ALLOW_ORIGIN,
        HeaderValue::from_static("*"),
    );
    response
}

/// The decoded segments of a path without empty ones; `None` when it is not a path to anything.
fn decode(path: &str) -> Option<Vec<String>> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(decode_segment)
        .collect()
}

fn decode_segment(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    let text = String::from_utf8(bytes).ok()?;
    let unsafe_name = text == "." || text == ".." || text.contains(['/', '\\', '\0']);
    (!unsafe_name).then_some(text)
}

fn is_file_name(segment: &str) -> bool {
    segment.rsplit_once('.').is_some_and(|(name, ending)| {
        !name.is_empty() && FILE_ENDINGS.contains(&ending.to_ascii_lowercase().as_str())
    })
}

fn html(page: String) -> Response<Body> {
    text("text/html; charset=utf-8", page)
}

fn text(content_type: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode, header};

    use super::{Site, decode};
    use crate::client_config::tests::example;

    fn tree() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "index.html",
            "<html><!--#include virtual=\"base.html\" --><script><!--#include virtual=\"/config.js\" --></script>\
             <script><!--#include virtual=\"/interface_config.js\" --></script></html>",
        );
        write("interface_config.js", "var interfaceConfig = {};");
        write("libs/app.bundle.min.js", "app();");
        write("libs/external_api.min.js", "api();");
        write("static/404.html", "<p>no such page</p>");
        write(
            "static/close.html",
            "<!--#include virtual=\"part.html\" -->",
        );
        write("static/part.html", "bye");
        directory
    }

    async fn get(root: Option<&Path>, path: &str) -> (StatusCode, String, axum::http::HeaderMap) {
        let site = Arc::new(Site::new(root.map(Path::to_owned), example(), None));
        let request = Request::get(path)
            .header(header::HOST, "meet.test:8443")
            .body(Body::empty())
            .unwrap();
        let response = site.respond(request).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        (
            parts.status,
            String::from_utf8_lossy(&body).into_owned(),
            parts.headers,
        )
    }

    #[tokio::test]
    async fn a_foreign_tree_is_served_with_its_includes() {
        let tree = tree();
        let root = Some(tree.path());
        for path in ["/", "/Room", "/acme/Room", "/%D0%BA"] {
            let (status, page, headers) = get(root, path).await;
            assert_eq!(status, StatusCode::OK, "{path}");
            assert!(
                page.contains("<base href=\"/\" />") && page.contains("var interfaceConfig"),
                "{page}"
            );
            assert_eq!(
                page.contains("conference.acme.meet"),
                path.starts_with("/acme"),
                "{path}: {page}"
            );
            assert!(page.contains("wss://meet.test:8443/"), "{page}");
            assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        }
        let (_, page, _) = get(root, "/static/close.html").await;
        assert_eq!(page, "bye");
        for path in ["/libs/app.bundle.min.js", "/acme/libs/app.bundle.min.js"] {
            let (status, script, headers) = get(root, path).await;
            assert_eq!(
                (status, script.as_str()),
                (StatusCode::OK, "app();"),
                "{path}"
            );
            assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
            assert_eq!(headers[header::CACHE_CONTROL], "no-cache");
        }
        let (_, _, headers) = get(root, "/libs/app.bundle.min.js?v=8").await;
        assert!(
            headers[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        assert_eq!(get(root, "/external_api.js").await.1, "api();");
        assert_eq!(
            get(root, "/config.js").await.1,
            example().script(super::Place {
                host: "meet.test:8443",
                tenant: ""
            })
        );
        let (status, page, _) = get(root, "/libs/none.js").await;
        assert_eq!(
            (status, page.as_str()),
            (StatusCode::NOT_FOUND, "<p>no such page</p>")
        );
    }

    #[tokio::test]
    async fn nothing_outside_the_tree_is_served() {
        let tree = tree();
        std::fs::write(tree.path().join("secret.txt"), "secret").unwrap();
        let root = tree.path().join("libs");
        for path in [
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/..%2fsecret.txt",
            "/a/../../secret.txt",
        ] {
            let (status, text, _) = get(Some(&root), path).await;
            assert!(
                status.is_client_error() && !text.contains("secret"),
                "{path}: {status}"
            );
        }
    }

    #[tokio::test]
    async fn the_built_in_client_is_served_for_rooms_only() {
        for (path, expected) in [
            ("/", StatusCode::OK),
            ("/Room", StatusCode::OK),
            ("/acme/Room", StatusCode::OK),
            ("/v1.2", StatusCode::OK),
            ("/config.js?room=a", StatusCode::OK),
            ("/acme/config.js", StatusCode::OK),
            ("/favicon-none.ico", StatusCode::NOT_FOUND),
            ("/assets/none", StatusCode::NOT_FOUND),
            ("/a/b/c", StatusCode::NOT_FOUND),
            ("/a%27b/c", StatusCode::NOT_FOUND),
            ("/%ff", StatusCode::BAD_REQUEST),
            ("/%2", StatusCode::BAD_REQUEST),
        ] {
            assert_eq!(get(None, path).await.0, expected, "{path}");
        }
        let (_, _, headers) = get(None, "/Room").await;
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
    }

    #[tokio::test]
    async fn a_forged_host_does_not_reach_the_script() {
        let site = Arc::new(Site::new(None, example(), None));
        let request = Request::get("/config.js")
            .header(header::HOST, "a';alert(1)//")
            .body(Body::empty())
            .unwrap();
        let body = to_bytes(site.respond(request).await.into_body(), 1 << 20)
            .await
            .unwrap();
        assert!(String::from_utf8_lossy(&body).contains("wss://meet.example.com/xmpp-websocket"));
    }

    #[test]
    fn paths_decode() {
        assert_eq!(
            decode("//a//%20b/"),
            Some(vec!["a".to_owned(), " b".to_owned()])
        );
        for path in ["/a/../b", "/%2e%2e", "/a%2fb", "/a%00", "/%zz", "/%"] {
            assert_eq!(decode(path), None, "{path}");
        }
    }
}
