//! Where a request by plain HTTP is sent.

use axum::body::Body;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::response::IntoResponse as _;

use crate::site::request_host;

/// What is known of the address at which HTTPS is served.
#[derive(Clone, Debug)]
pub(crate) struct Redirect {
    /// Host (and port) people use, when the operator said it.
    pub(crate) public_host: Option<String>,
    /// Port of our own HTTPS, if there is one.
    pub(crate) port: Option<u16>,
}

impl Redirect {
    /// Sends a request to the same page on HTTPS.
    pub(crate) fn respond(&self, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        match self.location(request_host(uri, headers), path) {
            Some(location) => (
                StatusCode::PERMANENT_REDIRECT,
                [(header::LOCATION, location)],
            )
                .into_response(),
            None => StatusCode::BAD_REQUEST.into_response(),
        }
    }

    /// What the operator wrote wins: our own port means nothing to people behind a translation of addresses or a proxy.
    fn location(&self, host: Option<&str>, path: &str) -> Option<String> {
        if let Some(public) = &self.public_host {
            return Some(format!("https://{public}{path}"));
        }
        let host = host?;
        // The last colon begins a port unless it stands inside an IPv6 address.
        let name = match host.rsplit_once(':') {
            Some((name, digits)) if !digits.contains(']') => name,
            _ => host,
        };
        Some(match self.port {
            None | Some(443) => format!("https://{name}{path}"),
            Some(port) => format!("https://{name}:{port}{path}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Redirect;

    #[test]
    fn host_and_path_are_kept() {
        for (host, port, expected) in [
            ("meet.test", 443, "https://meet.test/a?b"),
            ("meet.test:8080", 8443, "https://meet.test:8443/a?b"),
            ("[::1]:8080", 8443, "https://[::1]:8443/a?b"),
            ("[::1]", 443, "https://[::1]/a?b"),
        ] {
            let redirect = Redirect {
                public_host: None,
                port: Some(port),
            };
            assert_eq!(
                redirect.location(Some(host), "/a?b").as_deref(),
                Some(expected)
            );
        }
        let behind_a_proxy = Redirect {
            public_host: None,
            port: None,
        };
        assert_eq!(
            behind_a_proxy.location(Some("meet.test"), "/a").as_deref(),
            Some("https://meet.test/a")
        );
        assert_eq!(behind_a_proxy.location(None, "/a"), None);
    }

    #[test]
    fn the_address_people_use_wins() {
        for port in [Some(8443), Some(443), None] {
            let redirect = Redirect {
                public_host: Some("meet.example.com".to_owned()),
                port,
            };
            for host in [Some("10.0.0.5:8080"), None] {
                assert_eq!(
                    redirect.location(host, "/room").as_deref(),
                    Some("https://meet.example.com/room")
                );
            }
        }
    }
}
