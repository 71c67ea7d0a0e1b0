//! What the doors for browsers have in common: the parameters of their URLs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use shares::AddressClass;
use xmpp::WebQuery;

/// Header in which a proxy names the region of the user.
const REGION_HEADER: &str = "x-proxy-region";
/// Longest value of a parameter that is kept; room names are shorter.
const MAX_VALUE: usize = 1024;

/// Seconds after which whoever was refused for its number may try again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Where a request comes from, if the server in front of the routes says so (`ConnectInfo`).
#[derive(Clone, Copy)]
pub(crate) struct Address(Option<AddressClass>);

impl Address {
    /// Who the address counts as.
    pub(crate) fn class(self) -> Option<AddressClass> {
        self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let info = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(info.map(|info| info.0.ip().into())))
    }
}

/// What is said to whoever has, or comes, too often.
pub(crate) fn busy() -> Response {
    let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, RETRY_AFTER);
    cross_origin(response.headers_mut());
    response
}

/// The parameters the server reads, and where the request comes from. Values that are too long count as absent.
pub(crate) fn query(
    parameters: &HashMap<String, String>,
    headers: &HeaderMap,
    address: Address,
) -> WebQuery {
    let parameter = |name: &str| {
        parameters
            .get(name)
            .filter(|value| value.len() <= MAX_VALUE)
            .cloned()
    };
    WebQuery {
        room: parameter("room"),
        prefix: parameter("prefix"),
        previd: parameter("previd"),
        region: headers
            .get(REGION_HEADER)
            .and_then(|value| value.to_str().ok())
            .filter(|value| value.len() <= MAX_VALUE)
            .map(str::to_owned),
        address: address.class(),
    }
}

/// Headers for pages of other origins. Nothing here depends on cookies.
pub(crate) fn cross_origin(headers: &mut HeaderMap) {
    let all = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "GET, POST, OPTIONS"),
        (
            "access-control-allow-headers",
            "content-type, authorization",
        ),
        ("access-control-max-age", "7200"),
    ];
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
