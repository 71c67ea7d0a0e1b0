//! Addresses of pages and endpoints: segments of paths, and tenants: `/<tenant>/<endpoint>` is the endpoint with the tenant
//! in its query.

use axum::http::Uri;
use axum::http::uri::PathAndQuery;

/// Endpoints of the signalling that want to know the tenant.
const ENDPOINTS: [&str; 4] = [
    "xmpp-websocket",
    "http-bind",
    "conference-request/v1",
    "_unlock",
];

/// Rewrites the address of a signalling endpoint: the tenant before it becomes the parameter `prefix`, which is always
/// there, empty without a tenant. A `prefix` that the client wrote does not count. Other addresses are returned as they are.
pub fn rewrite(uri: Uri) -> Uri {
    let path = uri.path().trim_start_matches('/');
    let split = ENDPOINTS.iter().find_map(|&endpoint| {
        let before = path.strip_suffix(endpoint)?;
        let tenant = before.strip_suffix('/').unwrap_or(before);
        (before.is_empty() || (before.len() > tenant.len() && is_tenant(tenant)))
            .then_some((endpoint, tenant))
    });
    let Some((endpoint, tenant)) = split else {
        return uri;
    };
    let mut target = format!("/{endpoint}?prefix={tenant}");
    for pair in uri.query().unwrap_or_default().split('&') {
        if !pair.is_empty() && pair != "prefix" && !pair.starts_with("prefix=") {
            target.push('&');
            target.push_str(pair);
        }
    }
    let Ok(target) = PathAndQuery::try_from(target) else {
        return uri;
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target);
    Uri::from_parts(parts).unwrap_or(uri)
}

/// Whether a path segment, still encoded, can be a tenant.
pub fn is_tenant(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains(['/', '?', '&', ':', '\'', '"', '=', '#'])
}

/// The decoded segments of a path without empty ones; `None` when one of them would lead elsewhere in a tree of files.
pub fn decode(path: &str) -> Option<Vec<String>> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            // As in clients: what is not the encoding of a text is taken as it stands.
            let text = decode_segment(segment).unwrap_or_else(|| segment.to_owned());
            let elsewhere = text == "." || text == ".." || text.contains(['/', '\\', '\0']);
            (!elsewhere).then_some(text)
        })
        .collect()
}

fn decode_segment(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode, rewrite};

    #[test]
    fn endpoints_get_a_prefix() {
        for (from, to) in [
            ("/xmpp-websocket", "/xmpp-websocket?prefix="),
            ("/xmpp-websocket?room=a", "/xmpp-websocket?prefix=&room=a"),
            (
                "/acme/xmpp-websocket?room=a",
                "/xmpp-websocket?prefix=acme&room=a",
            ),
            ("/a%20b/http-bind", "/http-bind?prefix=a%20b"),
            (
                "/acme/conference-request/v1?x",
                "/conference-request/v1?prefix=acme&x",
            ),
            ("/http-bind?prefix=evil&room=b", "/http-bind?prefix=&room=b"),
            (
                "/acme/http-bind?room=b&prefix=evil",
                "/http-bind?prefix=acme&room=b",
            ),
            ("/a/b/http-bind", "/a/b/http-bind"),
            ("/a:b/http-bind", "/a:b/http-bind"),
            ("/myhttp-bind", "/myhttp-bind"),
            ("/room", "/room"),
            (
                "https://h/acme/http-bind?a=b",
                "https://h/http-bind?prefix=acme&a=b",
            ),
        ] {
            assert_eq!(rewrite(from.parse().unwrap()).to_string(), to, "{from}");
        }
    }

    #[test]
    fn paths_decode() {
        for (path, segments) in [
            ("//a//%20b/", vec!["a", " b"]),
            ("/100%", vec!["100%"]),
            ("/M%FCller", vec!["M%FCller"]),
            ("/%zz/%2", vec!["%zz", "%2"]),
        ] {
            let expected: Vec<String> = segments.into_iter().map(str::to_owned).collect();
            assert_eq!(decode(path), Some(expected), "{path}");
        }
        for path in ["/a/../b", "/%2e%2e", "/a%2fb", "/a%5Cb", "/a%00"] {
            assert_eq!(decode(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn exactly_one_prefix(query in "(prefix|=|&|a|%20){0,12}", tenant in "[a-z]{0,3}") {
            let from = if tenant.is_empty() { "/http-bind".to_owned() } else { format!("/{tenant}/http-bind") };
            let uri = rewrite(format!("{from}?{query}").parse().unwrap());
            let expected = format!("prefix={tenant}");
            let all: Vec<&str> = uri.query().unwrap()
                .split('&').filter(|pair| *pair == "prefix" || pair.starts_with("prefix=")).collect();
            prop_assert_eq!(all, [expected.as_str()]);
        }
    }
}
