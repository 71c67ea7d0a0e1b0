//! Everything that is not an endpoint: files of the web client, `config.js`, and rooms, whose address is the page itself.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use crate::address::{decode, is_tenant};
use crate::answer::status;
use crate::client_config::{ClientConfig, Place};
use crate::embedded::{self, Page};
use crate::headers::PageHeaders;
use crate::metrics::Counters;
use crate::ssi::{self, Source};
use crate::tree::Tree;

/// What a browser shows beside the title of a page that names no picture.
static ICON: &[u8] = include_bytes!("favicon.ico");
/// Search engines may know that there is a server, not which meetings it has.
const ROBOTS: &str = "User-agent: *\nAllow: /$\nDisallow: /\n";

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

/// The web client and how its pages are addressed.
pub(crate) struct Site {
    /// A foreign web tree; the built-in client without one.
    tree: Option<Tree>,
    /// The page of the built-in client.
    page: Page,
    client: ClientConfig,
    /// Host people use, when requests do not tell it.
    public_host: Option<String>,
    headers: PageHeaders,
    counters: Counters,
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
    /// `favicon.ico` where the client has none.
    Icon,
    /// `robots.txt` where the client has none.
    Robots,
    /// Nothing.
    Missing,
}

impl Site {
    /// `bridge_origins` are those of bridges' WebSockets at other hosts.
    pub(crate) fn new(
        root: Option<PathBuf>,
        client: ClientConfig,
        public_host: Option<String>,
        bridge_origins: &[String],
        counters: Counters,
    ) -> Self {
        let page = Page::new(&client.domain);
        Self {
            tree: root.map(|root| Tree::new(root, counters.clone())),
            headers: PageHeaders::new(page.text(), &client.embed_origins, bridge_origins),
            page,
            client,
            public_host,
            counters,
        }
    }

    /// Answers any request.
    pub(crate) async fn respond(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            self.counters.refused("method");
            return self.missing(StatusCode::METHOD_NOT_ALLOWED).await;
        }
        let Some(segments) = decode(request.uri().path()) else {
            self.counters.refused("path");
            return self.missing(StatusCode::BAD_REQUEST).await;
        };
        let host = self.host(request.uri(), request.headers());
        let target = self.target(&segments).await;
        if matches!(target, Target::Page { .. })
            && let Some(plain) = self.without_slash(request.uri())
        {
            return moved(&plain);
        }
        match target {
            Target::Page { tenant } => self.page(&host, &tenant, request.headers()).await,
            Target::Config { tenant } => {
                let script = self.client.script(Place {
                    host: &host,
                    tenant: &tenant,
                });
                text("text/javascript; charset=utf-8", script)
            }
            Target::File(path) => self.file(&path, &host, request).await,
            Target::Icon => {
                let mut response = Response::new(Body::from(ICON));
                let headers = response.headers_mut();
                headers.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("image/x-icon"),
                );
                headers.insert(
                    header::CACHE_CONTROL,
                    HeaderValue::from_static("public, max-age=86400"),
                );
                response
            }
            Target::Robots => text("text/plain; charset=utf-8", ROBOTS.to_owned()),
            Target::Missing => {
                self.counters.refused("missing");
                self.missing(StatusCode::NOT_FOUND).await
            }
        }
    }

    /// As in the web server of a Jitsi deployment: what is no file is a room, whatever its name looks like.
    async fn target(&self, segments: &[String]) -> Target {
        let page = |tenant: &str| Target::Page {
            tenant: tenant.to_owned(),
        };
        let Some((first, rest)) = segments.split_first() else {
            return page("");
        };
        if let Some(target) = self.known(segments, "").await {
            return target;
        }
        if rest.is_empty() {
            return page("");
        }
        if !is_tenant(first) || self.is_directory(first).await {
            return Target::Missing;
        }
        if let Some(target) = self.known(rest, first).await {
            return target;
        }
        match rest {
            [_room] => page(first),
            _ => Target::Missing,
        }
    }

    /// The address of a page without the slashes at its end and between, if it has such. Below `/acme/` the addresses in
    /// the page would be those of a tenant. Official trees show a tenant's welcome page there, so with them nothing changes.
    fn without_slash(&self, uri: &Uri) -> Option<String> {
        if self.tree.is_some() || !uri.path().ends_with('/') {
            return None;
        }
        let segments: Vec<&str> = uri
            .path()
            .split('/')
            .filter(|part| !part.is_empty())
            .collect();
        if segments.is_empty() {
            return None;
        }
        let query = uri
            .query()
            .map_or(String::new(), |query| format!("?{query}"));
        // One slash before the first segment: two would lead to another host.
        Some(format!("/{}{query}", segments.join("/")))
    }

    /// Whether what is addressed below this segment are files, never rooms of a tenant.
    async fn is_directory(&self, segment: &str) -> bool {
        DIRECTORIES.contains(&segment)
            || match &self.tree {
                Some(tree) => tree.has_directory(segment).await,
                None => false,
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
            _ if self.has(&path).await => Some(Target::File(path)),
            "favicon.ico" if self.has("images/favicon.ico").await => {
                Some(Target::File("images/favicon.ico".to_owned()))
            }
            "favicon.ico" => Some(Target::Icon),
            "robots.txt" => Some(Target::Robots),
            _ => None,
        }
    }

    async fn has(&self, path: &str) -> bool {
        match &self.tree {
            None => embedded::find(path).is_some(),
            Some(tree) => tree.has(path).await,
        }
    }

    async fn page(&self, host: &str, tenant: &str, headers: &HeaderMap) -> Response<Body> {
        match &self.tree {
            Some(tree) => match tree.text("index.html").await {
                Some(page) => self.foreign_html(&page, "", host, tenant),
                None => self.missing(StatusCode::NOT_FOUND).await,
            },
            None => {
                let mut response = self.page.respond(headers);
                self.headers.own_page(response.headers_mut(), host);
                response
            }
        }
    }

    async fn file(&self, path: &str, host: &str, request: Request<Body>) -> Response<Body> {
        let Some(tree) = &self.tree else {
            return match embedded::find(path) {
                Some(file) => file.respond(request.headers()),
                None => status(StatusCode::NOT_FOUND),
            };
        };
        if path.ends_with(".html")
            && let Some(page) = tree.text(path).await
        {
            let directory = path
                .rsplit_once('/')
                .map_or("", |(directory, _name)| directory);
            return self.foreign_html(&page, directory, host, "");
        }
        tree.respond(path, request).await
    }

    /// A page of the foreign tree with its includes.
    fn foreign_html(
        &self,
        page: &str,
        directory: &str,
        host: &str,
        tenant: &str,
    ) -> Response<Body> {
        let mut response = html(self.include(page, directory, host, tenant));
        self.headers.foreign_page(response.headers_mut());
        response
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
        let page = match &self.tree {
            Some(tree) => tree.text("static/404.html").await,
            None => None,
        };
        let mut response = match page {
            Some(page) => self.foreign_html(&page, "static", &self.client.domain, ""),
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
        let root = self.site.tree.as_ref()?.root();
        let file = std::fs::read_to_string(root.join(path)).ok();
        // Bundles are addressed relative to the root of the tree, below a tenant too.
        file.or_else(|| (path == "base.html").then(|| "<base href=\"/\" />".to_owned()))
    }
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

/// Sends a browser to another address of this server.
fn moved(location: &str) -> Response<Body> {
    let Ok(location) = HeaderValue::try_from(location) else {
        return status(StatusCode::BAD_REQUEST);
    };
    let mut response = status(StatusCode::PERMANENT_REDIRECT);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    // With another web tree the address may mean something else.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode, header};

    use super::Site;
    use crate::client_config::tests::example;
    use crate::metrics::Counters;

    fn site(root: Option<&Path>) -> Arc<Site> {
        let root = root.map(Path::to_owned);
        Arc::new(Site::new(root, example(), None, &[], Counters::default()))
    }

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
        let site = site(root);
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
            ("/assets/none", StatusCode::NOT_FOUND),
            ("/a/b/c", StatusCode::NOT_FOUND),
            ("/a%27b/c", StatusCode::NOT_FOUND),
            ("/a%2fb", StatusCode::BAD_REQUEST),
            ("/%00", StatusCode::BAD_REQUEST),
        ] {
            assert_eq!(get(None, path).await.0, expected, "{path}");
        }
        let (_, _, headers) = get(None, "/Room").await;
        assert!(headers.contains_key(header::CONTENT_SECURITY_POLICY));
    }

    #[tokio::test]
    async fn a_forged_host_does_not_reach_the_script() {
        let site = site(None);
        let request = Request::get("/config.js")
            .header(header::HOST, "a';alert(1)//")
            .body(Body::empty())
            .unwrap();
        let body = to_bytes(site.respond(request).await.into_body(), 1 << 20)
            .await
            .unwrap();
        assert!(String::from_utf8_lossy(&body).contains("wss://meet.example.com/xmpp-websocket"));
    }

    /// What a page says between two marks.
    fn between<'a>(page: &'a str, from: &str, to: &str) -> &'a str {
        let (_, rest) = page
            .split_once(from)
            .unwrap_or_else(|| panic!("{from} in {page}"));
        rest.split_once(to)
            .unwrap_or_else(|| panic!("{to} after {from} in {page}"))
            .0
    }

    /// Official pages echo the tenant and the host into HTML, attributes, and strings of all three quotes.
    #[tokio::test]
    async fn what_is_echoed_means_nothing_in_html_and_scripts() {
        const ECHOES: &str = "<!--#echo var=\"subdir\" default=\"\" -->|<!--#echo var=\"subdomain\" default=\"\" -->\
                              |<!--#echo var=\"http_host\" default=\"\" -->";
        let tree = tree();
        let page = format!("[{ECHOES}]<!--#include virtual=\"/config.js\" -->");
        std::fs::write(tree.path().join("index.html"), page).unwrap();
        let mut read = 0;
        for byte in 0..=0x7f_u8 {
            read += hostile(tree.path(), &format!("a%{byte:02X}b")).await;
        }
        for tenant in [
            "%3Cimg%20src=x%20onerror=alert(1)%3E",
            "%3Csvg%3E",
            "%3C%2Fscript%3E",
            "%3Cscript%3E",
            "%60$%7Balert(1)%7D%60",
            "$%7B1%7D",
            "a%0Ab",
            "a%0D%0Ab",
            "a%E2%80%A8b",
            "a%E2%80%A9b",
            "a%C2%A0b",
            "--%3E",
            "%3C!--%23echo",
            "a;alert(1);b",
            "a(1)",
            "%EF%BC%9Cb%EF%BC%9E",
        ] {
            read += hostile(tree.path(), tenant).await;
        }
        assert!(read > 100, "{read}");
    }

    /// Asks for a page and the settings below a tenant; 1 when there are such.
    async fn hostile(root: &Path, tenant: &str) -> usize {
        let (status, page, _) = get(Some(root), &format!("/{tenant}/room")).await;
        if status != StatusCode::OK {
            assert!(status.is_client_error(), "{tenant}: {status}");
            assert_eq!(page, "<p>no such page</p>", "{tenant}");
            return 0;
        }
        let inert = |text: &str, also: &[u8]| {
            let allowed = |byte: u8| {
                byte.is_ascii_alphanumeric() || b"-._~/%=:".contains(&byte) || also.contains(&byte)
            };
            assert!(text.bytes().all(allowed), "{tenant}: {text}");
        };
        inert(between(&page, "[", "]"), b"|");
        let (_, own, _) = get(None, &format!("/{tenant}/config.js")).await;
        assert!(page.ends_with(&own), "{tenant}: {page}");
        let settings = between(&own, "var config = ", ";\n");
        let settings: serde_json::Value = serde_json::from_str(settings).unwrap();
        for address in [
            &settings["bosh"],
            &settings["websocket"],
            &settings["hosts"]["muc"],
        ] {
            inert(address.as_str().unwrap(), b"");
        }
        1
    }

    #[tokio::test]
    async fn a_slash_at_the_end_is_none() {
        let location = |root: Option<std::path::PathBuf>, path: &'static str| async move {
            let (status, _, headers) = get(root.as_deref(), path).await;
            let location = headers
                .get(header::LOCATION)
                .map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(
                location.is_some(),
                status == StatusCode::PERMANENT_REDIRECT,
                "{path}"
            );
            location
        };
        for (path, expected) in [
            ("/slash/", Some("/slash")),
            ("/slash//?jwt=a&b=/", Some("/slash?jwt=a&b=/")),
            ("/acme/M%FCller/", Some("/acme/M%FCller")),
            ("//evil.test/", Some("/evil.test")),
            ("//evil.test/%2e%2e/", None),
            ("/", None),
            ("//", None),
            ("/slash", None),
            ("/a/b/c/", None),
            ("/config.js/", None),
        ] {
            assert_eq!(location(None, path).await.as_deref(), expected, "{path}");
        }
        let tree = tree();
        assert_eq!(
            location(Some(tree.path().to_owned()), "/slash/").await,
            None
        );
    }

    #[tokio::test]
    async fn any_single_segment_is_a_room() {
        let tree = tree();
        for root in [None, Some(tree.path())] {
            let (_, room, _) = get(root, "/room").await;
            for name in [
                "node.js",
                "team.json",
                "notes.txt",
                "a.xml",
                "100%",
                "M%FCller",
                "%ff",
                "%2",
                "!!!",
                "a:b&c",
                "favicon-none.ico",
                "b%C3%BCro",
                "acme/team.json",
            ] {
                let (status, text, headers) = get(root, &format!("/{name}")).await;
                assert_eq!(status, StatusCode::OK, "{name}");
                assert_eq!(
                    headers[header::CONTENT_TYPE],
                    "text/html; charset=utf-8",
                    "{name}"
                );
                assert!(name.contains('/') || text == room, "{name}");
            }
        }
    }

    #[tokio::test]
    async fn browsers_and_robots_find_what_they_ask_for() {
        let tree = tree();
        for root in [None, Some(tree.path())] {
            let (status, text, headers) = get(root, "/robots.txt").await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(headers[header::CONTENT_TYPE], "text/plain; charset=utf-8");
            assert!(text.contains("Disallow: /"));
            let (status, _, headers) = get(root, "/favicon.ico").await;
            assert_eq!(status, StatusCode::OK);
            assert_eq!(headers[header::CONTENT_TYPE], "image/x-icon");
        }
        let own = b"own".as_slice();
        for place in ["images", ""] {
            let directory = tree.path().join(place);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join("favicon.ico"), own).unwrap();
            assert_eq!(get(Some(tree.path()), "/favicon.ico").await.1, "own");
        }
    }

    #[tokio::test]
    async fn pages_tell_browsers_what_they_may_do() {
        let tree = tree();
        for (root, path, own) in [
            (None, "/Room", true),
            (Some(tree.path()), "/Room", false),
            (Some(tree.path()), "/static/close.html", false),
            (Some(tree.path()), "/libs/none.js", false),
        ] {
            let (_, _, headers) = get(root, path).await;
            let policy = headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(
                policy.contains("frame-ancestors 'self'"),
                "{path}: {policy}"
            );
            assert_eq!(policy.contains("script-src"), own, "{path}: {policy}");
            assert!(headers.contains_key(header::REFERRER_POLICY), "{path}");
            assert!(headers.contains_key("permissions-policy"), "{path}");
        }
    }
}
