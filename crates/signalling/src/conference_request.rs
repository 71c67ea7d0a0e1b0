//! `/conference-request/v1`: conference requests as JSON over HTTP.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use focus::{ConferenceRequest, RequestError};

use crate::focus_task::FocusHandle;
use crate::metrics::Metrics;
use crate::web;

/// Largest request read.
const MAX_BODY: usize = 64 * 1024;

pub(crate) async fn handle(
    State((focus, metrics)): State<(FocusHandle, Metrics)>,
    method: Method,
    body: Body,
) -> Response {
    let mut response = match method {
        Method::POST => post(&focus, &metrics, body).await,
        Method::OPTIONS => StatusCode::OK.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    web::cross_origin(response.headers_mut());
    response
}

async fn post(focus: &FocusHandle, metrics: &Metrics, body: Body) -> Response {
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let request = match ConferenceRequest::from_json(&body) {
        Ok(request) => request,
        Err(error) => {
            metrics.refused("conference-request");
            // The sentence is shown to people.
            return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
        }
    };
    match focus.request(request).await {
        Ok(answer) => {
            let mut response = answer.to_json().into_response();
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert("content-type", json);
            response
        }
        Err(error @ RequestError::ForeignRoom) => {
            (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
        }
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")).into_response(),
    }
}
