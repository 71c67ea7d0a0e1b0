//! What the doors for browsers have in common: the parameters of their URLs.

use std::collections::HashMap;

use axum::http::{HeaderMap, HeaderValue};
use xmpp::WebQuery;

/// Header in which a proxy names the region of the user.
const REGION_HEADER: &str = "x-proxy-region";
/// Longest value of a parameter that is kept; room names are shorter.
const MAX_VALUE: usize = 1024;

/// The parameters the server reads. Values that are too long count as absent.
pub(crate) fn query(parameters: &HashMap<String, String>, headers: &HeaderMap) -> WebQuery {
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
        address: None,
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
