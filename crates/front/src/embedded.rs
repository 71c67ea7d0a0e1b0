//! The web client in the binary.

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

/// The page of the web client.
pub(crate) fn page() -> &'static str {
    let file = find("index.html");
    file.and_then(|file| std::str::from_utf8(file.plain).ok())
        .unwrap_or_default()
}

impl File {
    /// Answers a request for the file in the best form the client takes.
    pub(crate) fn respond(&self, request: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(header::ETAG, HeaderValue::from_static(self.tag));
        headers.insert(header::CACHE_CONTROL, self.cache_control());
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        let matches = request
            .get(header::IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|tags| {
                tags.split(',')
                    .any(|tag| tag.trim().trim_start_matches("W/") == self.tag)
            });
        if matches {
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

    use super::{File, accepts, content_type, find};

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
        let page = find("index.html")
            .expect("there is always a page")
            .respond(&HeaderMap::new());
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
