//! What strangers write into addresses and headers of web requests, and the pages with includes that operators serve.
#![no_main]

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use front::TrustedProxies;
use front::address::{decode, is_tenant, rewrite};
use front::ssi::{self, Source};
use libfuzzer_sys::fuzz_target;
use stanza::jitsi::room;

/// Every include is the input itself, as far as it goes.
struct Pages<'a>(&'a str);

impl Source for Pages<'_> {
    fn include(&self, path: &str) -> Option<String> {
        assert!(!path.split('/').any(|segment| segment == ".."), "{path}");
        (path.len() % 2 == 0).then(|| self.0.to_owned())
    }
}

fn path(text: &str) {
    if let Some(segments) = decode(text) {
        for segment in segments {
            assert!(!segment.contains(['/', '\0', '\\']) && segment != "..");
            if let Ok(name) = room::name_of(&segment) {
                assert!(room::check(&name).is_ok() && name.is_ascii());
            }
        }
    }
    let Ok(uri) = format!("/{text}").parse::<Uri>() else {
        return;
    };
    let found = rewrite(uri.clone());
    if found != uri {
        // One prefix, and it is the segment before the endpoint.
        let query = found.query().unwrap_or_default();
        let prefixes: Vec<&str> = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("prefix="))
            .collect();
        assert_eq!(prefixes.len(), 1, "{query}");
        assert!(
            prefixes
                .iter()
                .all(|tenant| tenant.is_empty() || is_tenant(tenant))
        );
    }
}

fn headers(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for name in ["x-forwarded-for", "x-forwarded-proto"] {
        headers.append(HeaderName::from_static(name), value.clone());
    }
    let stranger = HeaderValue::from_static("203.0.113.7");
    headers.append(HeaderName::from_static("x-forwarded-for"), stranger);
    let proxies = TrustedProxies::new(|ip| ip.is_loopback());
    let proxy = SocketAddr::from(([127, 0, 0, 1], 5));
    // Whatever stands before the last address that is not trusted counts for nothing.
    assert_eq!(
        proxies.person(proxy, &headers).address.to_string(),
        "203.0.113.7:0"
    );
}

fuzz_target!(|data: &[u8]| {
    headers(data);
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    path(text);
    let variables = HashMap::from([("subdir", "acme/".to_owned())]);
    let page = ssi::resolve(text, "static", &variables, &Pages(text));
    assert!(page.len() <= 4 * 1024 * 1024);
});
