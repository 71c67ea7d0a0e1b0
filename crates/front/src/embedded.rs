//! The web client in the binary.

use std::sync::Arc;

use aws_lc_rs::digest;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// One file of the built web client.
pub(crate) struct File {
    /// Path without a leading slash.
    pub(crate) name: &'static str,
    /// Entity tag, quoted.
    tag: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

/// All files, sorted by name.
static FILES: &[File] = include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The file with this path (no leading slash).
pub(crate) fn find(name: &str) -> Option<&'static File> {
    let at = FILES.binary_search_by(|file| file.name.cmp(name)).ok()?;
    FILES.get(at)
}

/// The page of the web client, of a server with this domain: so its script can begin the login before all else is there.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    text: Arc<str>,
    tag: String,
}

impl Page {
    pub(crate) fn new(domain: &str) -> Self {
        let file = find("index.html");
        let plain = file.and_then(|file| std::str::from_utf8(file.plain).ok());
        let plain = plain.unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let text = match domain.chars().all(is_plain) {
            true => plain.replacen("<html ", &format!("<html data-domain=\"{domain}\" "), 1),
            false => plain.to_owned(),
        };
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let tag = hash.as_ref().iter().take(8);
        Self {
            tag: format!(
                "\"{}\"",
                tag.map(|b| format!("{b:02x}")).collect::<String>()
            ),
            text: text.into(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Answers a request for it. It is small: whoever is in front of this compresses it.
    pub(crate) fn respond(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::try_from(&self.tag) {
            headers.insert(header::ETAG, tag);
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if has(request, &self.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, content_type("index.html"));
        *response.body_mut() = Body::from(self.text.as_bytes().to_vec());
        response
    }
}

/// Whether whoever asks has what this tag is of.
fn has(request: &HeaderMap, tag: &str) -> bool {
    let tags = request.get(header::IF_NONE_MATCH);
    tags.and_then(|value| value.to_str().ok())
        .is_some_and(|tags| {
            tags.split(',')
                .any(|one| one.trim().trim_start_matches("W/") == tag)
        })
}

impl File {
    /// Answers a request for the file in the best form the client takes.
    pub(crate) fn respond(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::ETAG, HeaderValue::from_static(self.tag));
        headers.insert(header::CACHE_CONTROL, self.cache_control());
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if has(request, self.tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, content_type(self.name));
        let (encoding, bytes) = match (self.brotli, self.gzip) {
            (Some(bytes), _) if accepts(request, "br") => (Some("br"), bytes),
            (_, Some(bytes)) if accepts(request, "gzip") => (Some("gzip"), bytes),
            _ => (None, self.plain),
        };
        if let Some(encoding) = encoding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        *response.body_mut() = Body::from(bytes);
        response
    }

    /// Files below `assets/` carry a hash of their content in their name.
    fn cache_control(&self) -> HeaderValue {
        HeaderValue::from_static(if self.name.starts_with("assets/") {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        })
    }
}

/// The media type by a file's extension.
pub(crate) fn content_type(name: &str) -> HeaderValue {
    let guess = mime_guess::from_path(name).first_or_octet_stream();
    let text = match (guess.type_().as_str(), guess.subtype().as_str()) {
        ("text", _) | (_, "javascript" | "json") => {
            format!("{}; charset=utf-8", guess.essence_str())
        }
        _ => guess.essence_str().to_owned(),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Whether `Accept-Encoding` has this coding with a weight above 0.
pub(crate) fn accepts(request: &HeaderMap, coding: &str) -> bool {
    request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value.split(',').any(|item| {
                let mut parts = item.split(';').map(str::trim);
                parts
                    .next()
                    .is_some_and(|name| name.eq_ignore_ascii_case(coding))
                    && !parts.any(|weight| matches!(weight, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
            })
        })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, StatusCode, header};

    use super::{File, Page, accepts, content_type};

    static FILE: File = File {
        name: "assets/app-1a2b.js",
        tag: "\"1a2b\"",
        plain: b"plain",
        brotli: Some(b"br"),
        gzip: Some(b"gz"),
    };

    fn request(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_best_accepted_form_is_sent() {
        let encoding = |accept| {
            FILE.respond(&request(header::ACCEPT_ENCODING, accept))
                .headers()
                .get(header::CONTENT_ENCODING)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(encoding("gzip, deflate, br, zstd").as_deref(), Some("br"));
        assert_eq!(encoding("gzip;q=1.0, br;q=0").as_deref(), Some("gzip"));
        assert_eq!(encoding("identity"), None);
    }

    #[test]
    fn a_known_tag_is_not_sent_again() {
        for (tag, status) in [
            ("\"1a2b\"", StatusCode::NOT_MODIFIED),
            ("W/\"1a2b\", \"x\"", StatusCode::NOT_MODIFIED),
            ("\"ffff\"", StatusCode::OK),
        ] {
            assert_eq!(
                FILE.respond(&request(header::IF_NONE_MATCH, tag)).status(),
                status,
                "{tag}"
            );
        }
    }

    #[test]
    fn hashed_files_are_kept_and_pages_are_not() {
        let cached = FILE.respond(&HeaderMap::new());
        assert!(
            cached.headers()[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
        let page = Page::new("meet.example.com");
        assert!(
            page.text()
                .contains("<html data-domain=\"meet.example.com\" ")
        );
        let again = page.respond(&HeaderMap::from_iter([(
            header::IF_NONE_MATCH,
            HeaderValue::try_from(&page.tag).unwrap(),
        )]));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert!(!Page::new("\"").text().contains("data-domain"));
        let page = page.respond(&HeaderMap::new());
        assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        assert_eq!(
            page.headers()[header::CONTENT_TYPE],
            "text/html; charset=utf-8"
        );
    }

    #[test]
    fn types() {
        assert_eq!(content_type("a.wasm"), "application/wasm");
        assert_eq!(content_type("a.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("a.wav"), "audio/wav");
        assert_eq!(content_type("a"), "application/octet-stream");
    }

    #[test]
    fn codings() {
        assert!(accepts(&request(header::ACCEPT_ENCODING, "BR"), "br"));
        assert!(!accepts(&request(header::ACCEPT_ENCODING, "brotli"), "br"));
    }
}
