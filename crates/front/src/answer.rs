//! Answers that need nothing but their code.

use axum::body::Body;
use axum::http::{Response, StatusCode};

/// An answer without a body.
pub(crate) fn status(code: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    response
}
