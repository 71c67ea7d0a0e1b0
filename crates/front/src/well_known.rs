//! What is served below `/.well-known/` (RFC 8615): proofs for a certificate authority, and the operator's files.

use std::path::Path;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use tower::ServiceExt as _;
use tower_http::services::ServeDir;

use crate::served::Certificates;

/// Where an authority looks (RFC 8555, section 8.3), by plain HTTP.
const CHALLENGE: &str = "acme-challenge/";

/// The answers.
pub(crate) struct WellKnown {
    certificates: Option<Certificates>,
    files: Option<ServeDir>,
}

impl WellKnown {
    pub(crate) fn new(certificates: Option<Certificates>, directory: Option<&Path>) -> Self {
        let files =
            directory.map(|path| ServeDir::new(path).append_index_html_on_directories(false));
        Self {
            certificates,
            files,
        }
    }

    /// The answer to an authority, which asks by plain HTTP; nothing if the request is of another kind.
    pub(crate) async fn proof<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let name = request.uri().path().strip_prefix("/.well-known/")?;
        let token = name.strip_prefix(CHALLENGE)?;
        let text = self.certificates.as_ref().and_then(|all| all.text(token));
        if let Some(text) = text {
            let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
            return Some((kind, text).into_response());
        }
        self.file(name, request.method()).await
    }

    /// The operator's file; nothing if there is none of that name, except for an authority, which gets no page instead.
    pub(crate) async fn respond<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let name = request.uri().path().strip_prefix("/.well-known/")?;
        if name.starts_with(CHALLENGE) {
            return self.proof(request).await;
        }
        let answer = self.file(name, request.method()).await?;
        (answer.status() != StatusCode::NOT_FOUND).then_some(answer)
    }

    async fn file(&self, name: &str, method: &Method) -> Option<Response<Body>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/{name}"))
            .body(Body::empty())
            .ok()?;
        match self.files.clone()?.oneshot(request).await {
            Ok(answer) => Some(answer.map(Body::new)),
            Err(never) => match never {},
        }
    }
}
