//! `/conference-request/v1`: conference requests as JSON over HTTP.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use focus::{ConferenceRequest, RequestError};

use crate::body::Bodies;
use crate::focus_task::{FocusHandle, NoAnswer};
use crate::metrics::Metrics;
use crate::web::{self, Address};

/// Largest request read.
const MAX_BODY: usize = 64 * 1024;

/// What the route needs.
#[derive(Clone)]
pub(crate) struct Requests {
    focus: FocusHandle,
    bodies: Bodies,
    metrics: Metrics,
}

impl Requests {
    pub(crate) fn new(focus: FocusHandle, bodies: Bodies, metrics: Metrics) -> Self {
        Self {
            focus,
            bodies,
            metrics,
        }
    }
}

pub(crate) async fn handle(
    State(requests): State<Requests>,
    address: Address,
    method: Method,
    body: Body,
) -> Response {
    let mut response = match method {
        Method::POST => post(&requests, address, body).await,
        Method::OPTIONS => StatusCode::OK.into_response(),
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    };
    web::cross_origin(response.headers_mut());
    response
}

async fn post(requests: &Requests, address: Address, body: Body) -> Response {
    let body = match requests.bodies.read(body, MAX_BODY, address.class()).await {
        Ok(body) => body,
        Err(status) => return status.into_response(),
    };
    let request = match ConferenceRequest::from_json(&body) {
        Ok(request) => request,
        Err(error) => {
            requests.metrics.refused("conference-request");
            // The sentence is shown to people.
            return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
        }
    };
    let answer = requests.focus.request(request, body.len(), address.class());
    let answer = match answer.await {
        Ok(answer) => answer,
        Err(NoAnswer::Full) => {
            requests.metrics.refused("conference-requests");
            return web::busy();
        }
        Err(NoAnswer::Late) => {
            requests.metrics.refused("conference-request-late");
            return StatusCode::GATEWAY_TIMEOUT.into_response();
        }
    };
    match answer {
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
