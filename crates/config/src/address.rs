//! Addresses of web pages as operators write them.

/// `https://host[:port]` without the slash that may follow it; `None` for anything else.
pub(crate) fn public_url(url: &str) -> Option<String> {
    let origin = url.strip_suffix('/').unwrap_or(url);
    origin
        .strip_prefix("https://")
        .filter(|host| is_host(host))?;
    Some(origin.to_owned())
}

/// The host of what [`public_url`] accepts, without its port.
pub(crate) fn host(url: &str) -> Option<&str> {
    let host = url.strip_prefix("https://")?;
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => Some(name),
        _ => Some(host),
    }
    .map(|host| host.trim_start_matches('[').trim_end_matches(']'))
}

/// An origin as browsers write it: scheme, host and port, nothing else.
pub(crate) fn origin(text: &str) -> Option<String> {
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (scheme, host) = text.split_once("://")?;
    if !["https", "http"].contains(&scheme) || !is_host(host) {
        return None;
    }
    // Browsers leave the usual port out.
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(usual).unwrap_or(host);
    Some(format!("{scheme}://{host}"))
}

/// The origin of a WebSocket address, `wss://host[:port]`.
pub(crate) fn socket_origin(base: &str) -> Option<String> {
    let rest = base.strip_prefix("wss://")?;
    let host = rest.split('/').next().unwrap_or_default();
    is_host(host).then(|| format!("wss://{host}"))
}

fn is_host(host: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    !host.is_empty() && host.bytes().all(plain)
}

/// Whether it is a host name of letters, digits, `-` and `.`.
pub(crate) fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

#[cfg(test)]
mod tests {
    use super::{origin, public_url, socket_origin};

    #[test]
    fn origins() {
        for (text, expected) in [
            (
                "https://Intra.example.com/",
                Some("https://intra.example.com"),
            ),
            (
                "https://intra.example.com:443",
                Some("https://intra.example.com"),
            ),
            ("https://a.test:8443", Some("https://a.test:8443")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://*.example.com", None),
            ("https://a.test/page", None),
            ("https://a.test; script-src *", None),
            ("a.test", None),
            ("https://", None),
            ("*", None),
        ] {
            assert_eq!(origin(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn public_addresses() {
        assert_eq!(
            public_url("https://meet.test/").as_deref(),
            Some("https://meet.test")
        );
        for text in ["http://meet.test", "https://meet.test/a", "meet.test"] {
            assert_eq!(public_url(text), None, "{text}");
        }
        assert_eq!(
            socket_origin("wss://media.test:8443/colibri-ws/jvb1").as_deref(),
            Some("wss://media.test:8443")
        );
        assert_eq!(socket_origin("wss://a b/"), None);
    }
}
