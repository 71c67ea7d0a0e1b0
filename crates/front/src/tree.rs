//! Files of a foreign web tree. What is compressed once is kept, within a limit; `.br` and `.gz` files beside win.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use bytes::Bytes;
use tokio::sync::OnceCell;
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::answer::status;
use crate::client_config::encode_segment;
use crate::embedded::{accepts, content_type};
use crate::metrics::Counters;

/// Bytes of compressed files kept, at most.
const MAX_KEPT: usize = 64 * 1024 * 1024;
/// Sizes of files that are compressed, in bytes.
const COMPRESSED: std::ops::RangeInclusive<u64> = 860..=32 * 1024 * 1024;

/// A web tree on disk.
pub(crate) struct Tree {
    root: PathBuf,
    kept: Mutex<Kept>,
    counters: Counters,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    path: String,
    coding: Coding,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }
}

/// One compressed file; whoever asks while it is being compressed waits for it. Empty when it does not get smaller.
type Cell = Arc<OnceCell<Option<Bytes>>>;

struct Entry {
    /// Of which state of the file it was made.
    modified: SystemTime,
    length: u64,
    used: u64,
    size: usize,
    cell: Cell,
}

#[derive(Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    clock: u64,
    total: usize,
}

impl Tree {
    pub(crate) fn new(root: PathBuf, counters: Counters) -> Self {
        Self {
            root,
            kept: Mutex::default(),
            counters,
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the path is a file of the tree.
    pub(crate) async fn has(&self, path: &str) -> bool {
        tokio::fs::metadata(self.root.join(path))
            .await
            .is_ok_and(|file| file.is_file())
    }

    /// Whether the path is a directory of the tree.
    pub(crate) async fn has_directory(&self, path: &str) -> bool {
        tokio::fs::metadata(self.root.join(path))
            .await
            .is_ok_and(|file| file.is_dir())
    }

    /// The text of a file, when it is text.
    pub(crate) async fn text(&self, path: &str) -> Option<String> {
        tokio::fs::read_to_string(self.root.join(path)).await.ok()
    }

    /// Answers with the file at `path`.
    pub(crate) async fn respond(&self, path: &str, request: Request<Body>) -> Response<Body> {
        let versioned = request
            .uri()
            .query()
            .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("v=")));
        let mut response = match self.compressed(path, request.headers()).await {
            Some(response) => response,
            None => self.plain(path, request).await,
        };
        let cache = if versioned {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        };
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        // Pages of other sites embed meetings and load the library from here.
        headers.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        response
    }

    /// As it lies there, or as the compressed file beside it.
    async fn plain(&self, path: &str, mut request: Request<Body>) -> Response<Body> {
        let encoded: String = path.split('/').fold(String::new(), |all, segment| {
            format!("{all}/{}", encode_segment(segment))
        });
        let Ok(uri) = encoded.parse::<Uri>() else {
            return status(StatusCode::NOT_FOUND);
        };
        *request.uri_mut() = uri;
        let directory = ServeDir::new(&self.root)
            .append_index_html_on_directories(false)
            .precompressed_br()
            .precompressed_gzip();
        let Ok(response) = directory.oneshot(request).await;
        response.map(Body::new)
    }

    /// Compressed here, now or earlier.
    async fn compressed(&self, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        let coding = [Coding::Brotli, Coding::Gzip]
            .into_iter()
            .find(|coding| accepts(headers, coding.name()))?;
        // Parts are of the file as it lies there.
        if headers.contains_key(header::RANGE) || !is_compressible(path) {
            return None;
        }
        for beside in [Coding::Brotli, Coding::Gzip] {
            let there = accepts(headers, beside.name())
                && self.has(&format!("{path}{}", beside.ending())).await;
            if there {
                return None;
            }
        }
        let file = tokio::fs::metadata(self.root.join(path)).await.ok()?;
        let modified = file.modified().ok()?;
        if !COMPRESSED.contains(&file.len()) {
            return None;
        }
        let tag = tag(modified, file.len(), coding);
        if known(headers, &tag) {
            let mut response = status(StatusCode::NOT_MODIFIED);
            response.headers_mut().insert(header::ETAG, tag);
            return Some(response);
        }
        let key = Key {
            path: path.to_owned(),
            coding,
        };
        let bytes = self.bytes(key, modified, file.len()).await?;
        let mut response = Response::new(Body::from(bytes));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, content_type(path));
        headers.insert(
            header::CONTENT_ENCODING,
            HeaderValue::from_static(coding.name()),
        );
        headers.insert(header::ETAG, tag);
        Some(response)
    }

    async fn bytes(&self, key: Key, modified: SystemTime, length: u64) -> Option<Bytes> {
        let cell = self.kept().cell(&key, modified, length);
        let path = self.root.join(&key.path);
        let coding = key.coding;
        let bytes = cell
            .get_or_init(|| async {
                self.counters.compressed();
                let made = tokio::task::spawn_blocking(move || compress(&path, coding)).await;
                let bytes = made.ok()?.ok()?;
                (u64::try_from(bytes.len()).is_ok_and(|size| size < length)).then_some(bytes)
            })
            .await
            .clone();
        let size = bytes.as_ref().map_or(0, Bytes::len);
        self.kept().note(&key, &cell, size);
        bytes
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The place for a compressed file; a fresh one when the file has changed since.
    fn cell(&mut self, key: &Key, modified: SystemTime, length: u64) -> Cell {
        self.clock += 1;
        let used = self.clock;
        if let Some(entry) = self.entries.get_mut(key) {
            if entry.modified == modified && entry.length == length {
                entry.used = used;
                return Arc::clone(&entry.cell);
            }
            self.total -= entry.size;
        }
        let cell = Cell::default();
        let entry = Entry {
            modified,
            length,
            used,
            size: 0,
            cell: Arc::clone(&cell),
        };
        self.entries.insert(key.clone(), entry);
        cell
    }

    /// Notes how large a file became, and lets go of what was not asked for the longest while there is too much.
    fn note(&mut self, key: &Key, cell: &Cell, size: usize) {
        match self.entries.get_mut(key) {
            Some(entry) if Arc::ptr_eq(&entry.cell, cell) => {
                self.total = self.total - entry.size + size;
                entry.size = size;
            }
            _ => return,
        }
        while self.total > MAX_KEPT {
            let oldest = self
                .entries
                .iter()
                .filter(|(_key, entry)| entry.size > 0)
                .min_by_key(|(_key, entry)| entry.used)
                .map(|(key, _entry)| key.clone());
            let Some(entry) = oldest.and_then(|oldest| self.entries.remove(&oldest)) else {
                return;
            };
            self.total -= entry.size;
        }
    }
}

/// A tag for one state of a file in one coding.
fn tag(modified: SystemTime, length: u64, coding: Coding) -> HeaderValue {
    let since = modified.duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    HeaderValue::try_from(format!("\"{nanos:x}-{length:x}-{}\"", coding.name()))
        .unwrap_or(HeaderValue::from_static("\"\""))
}

fn known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let tag = tag.to_str().unwrap_or_default();
    headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|tags| {
            tags.split(',')
                .any(|known| known.trim().trim_start_matches("W/") == tag)
        })
}

/// Whether files of this name get much smaller by compressing.
fn is_compressible(path: &str) -> bool {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    let suffix = guess.suffix().map(|suffix| suffix.as_str());
    match (guess.type_().as_str(), guess.subtype().as_str()) {
        ("text", _) => true,
        ("application", subtype) => {
            ["javascript", "json", "xml", "wasm", "manifest"].contains(&subtype)
                || matches!(suffix, Some("json" | "xml"))
                || path.ends_with(".map")
        }
        ("image", _) => suffix == Some("xml"),
        ("font", subtype) => matches!(subtype, "ttf" | "otf"),
        _ => false,
    }
}

fn compress(path: &Path, coding: Coding) -> io::Result<Bytes> {
    let mut plain = Vec::new();
    std::fs::File::open(path)?
        .take(*COMPRESSED.end())
        .read_to_end(&mut plain)?;
    let mut out = Vec::with_capacity(plain.len() / 3);
    match coding {
        Coding::Brotli => {
            let quality = brotli::enc::BrotliEncoderParams {
                quality: 5,
                lgwin: 22,
                ..Default::default()
            };
            brotli::BrotliCompress(&mut plain.as_slice(), &mut out, &quality)?;
        }
        Coding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(&mut out, flate2::Compression::new(6));
            encoder.write_all(&plain)?;
            encoder.finish()?;
        }
    }
    Ok(Bytes::from(out))
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{HeaderMap, Request, StatusCode, header};

    use super::{Kept, Key, MAX_KEPT, Tree};
    use crate::metrics::Counters;

    fn tree(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Tree) {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let tree = Tree::new(directory.path().to_owned(), Counters::default());
        (directory, tree)
    }

    async fn get(
        tree: &Tree,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::get(format!("/{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = tree
            .respond(path, request.body(Body::empty()).unwrap())
            .await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 24).await.unwrap().to_vec();
        (parts.status, parts.headers, body)
    }

    fn script() -> Vec<u8> {
        b"function f() { return 42; }\n".repeat(4000)
    }

    #[tokio::test]
    async fn a_file_is_compressed_once_for_everybody() {
        let (_directory, tree) = tree(&[("app.js", &script())]);
        let br = [("accept-encoding", "gzip, br")];
        let loads = (0..8).map(|_| get(&tree, "app.js", &br));
        for (status, headers, body) in futures_util::future::join_all(loads).await {
            assert_eq!(status, StatusCode::OK);
            assert_eq!(headers[header::CONTENT_ENCODING], "br");
            assert_eq!(
                headers[header::CONTENT_TYPE],
                "text/javascript; charset=utf-8"
            );
            let mut plain = Vec::new();
            brotli::BrotliDecompress(&mut body.as_slice(), &mut plain).unwrap();
            assert_eq!(plain, script());
        }
        assert_eq!(tree.counters.compressions(), 1);
        let (_, headers, body) = get(&tree, "app.js", &[("accept-encoding", "gzip")]).await;
        assert_eq!(headers[header::CONTENT_ENCODING], "gzip");
        let mut plain = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(body.as_slice());
        std::io::Read::read_to_end(&mut gzip, &mut plain).unwrap();
        assert_eq!(plain, script());
        assert_eq!(tree.counters.compressions(), 2);
        let tag = headers[header::ETAG].to_str().unwrap().to_owned();
        let again = [("accept-encoding", "gzip"), ("if-none-match", &tag)];
        assert_eq!(
            get(&tree, "app.js", &again).await.0,
            StatusCode::NOT_MODIFIED
        );
    }

    #[tokio::test]
    async fn a_changed_file_is_compressed_again() {
        let (directory, tree) = tree(&[("app.js", &script())]);
        let br = [("accept-encoding", "br")];
        get(&tree, "app.js", &br).await;
        let other = b"const a = 1;\n".repeat(900);
        std::fs::write(directory.path().join("app.js"), &other).unwrap();
        let (_, _, body) = get(&tree, "app.js", &br).await;
        let mut plain = Vec::new();
        brotli::BrotliDecompress(&mut body.as_slice(), &mut plain).unwrap();
        assert_eq!(plain, other);
        let sizes: usize = tree.kept().entries.values().map(|entry| entry.size).sum();
        assert_eq!(tree.kept().total, sizes);
    }

    #[tokio::test]
    async fn compressed_files_beside_are_taken() {
        let (_directory, tree) = tree(&[
            ("app.js", &script()),
            ("app.js.br", b"made before"),
            ("lib.js", &script()),
            ("lib.js.gz", b"made before too"),
        ]);
        for (path, coding, expected) in [
            ("app.js", "br", &b"made before"[..]),
            ("lib.js", "gzip", b"made before too"),
        ] {
            let (_, headers, body) = get(&tree, path, &[("accept-encoding", "gzip, br")]).await;
            assert_eq!(headers[header::CONTENT_ENCODING], coding, "{path}");
            assert_eq!(body, expected, "{path}");
        }
        assert_eq!(tree.counters.compressions(), 0);
    }

    #[tokio::test]
    async fn pictures_small_files_and_parts_are_sent_as_they_are() {
        let (_directory, tree) = tree(&[
            ("a.png", &script()),
            ("small.js", b"1;"),
            ("app.js", &script()),
        ]);
        let plain = [("accept-encoding", "br")];
        for path in ["a.png", "small.js"] {
            let (_, headers, _) = get(&tree, path, &plain).await;
            assert!(!headers.contains_key(header::CONTENT_ENCODING), "{path}");
        }
        let part = [("accept-encoding", "br"), ("range", "bytes=0-7")];
        let (status, _, body) = get(&tree, "app.js", &part).await;
        assert_eq!(
            (status, body.as_slice()),
            (StatusCode::PARTIAL_CONTENT, &b"function"[..])
        );
        assert_eq!(tree.counters.compressions(), 0);
    }

    #[test]
    fn what_is_kept_has_a_limit() {
        let mut kept = Kept::default();
        let now = std::time::SystemTime::UNIX_EPOCH;
        for number in 0..10 {
            let key = Key {
                path: number.to_string(),
                coding: super::Coding::Gzip,
            };
            let cell = kept.cell(&key, now, 1);
            kept.note(&key, &cell, MAX_KEPT / 4);
            assert!(kept.total <= MAX_KEPT);
        }
        let left: Vec<&str> = kept.entries.keys().map(|key| key.path.as_str()).collect();
        assert_eq!(left.len(), 4);
        assert!(left.contains(&"9") && !left.contains(&"0"), "{left:?}");
    }
}
