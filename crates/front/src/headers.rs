//! What browsers are told about a page: what it may load, who may frame it, which devices it may use.

use aws_lc_rs::digest;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
/// What a meeting needs; whoever frames it must grant it too.
const OWN_DEVICES: [&str; 3] = ["camera", "microphone", "display-capture"];
/// What no meeting needs.
const NO_DEVICES: &str = "geolocation=(), payment=(), usb=(), midi=()";

/// The headers of pages.
#[derive(Clone, Debug)]
pub(crate) struct PageHeaders {
    /// Origins whose pages may frame a meeting.
    embed_origins: Vec<String>,
    /// Origins of bridges' WebSockets besides our own.
    bridge_origins: Vec<String>,
    /// What names the scripts that stand in our own page, each with a space before it.
    own_scripts: String,
    permissions: HeaderValue,
}

impl PageHeaders {
    /// `page` is our own.
    pub(crate) fn new(page: &str, embed_origins: &[String], bridge_origins: &[String]) -> Self {
        let allowed: String = embed_origins
            .iter()
            .map(|origin| format!(" \"{origin}\""))
            .collect();
        let permissions: String = OWN_DEVICES
            .iter()
            .map(|device| format!("{device}=(self{allowed}), "))
            .collect();
        Self {
            embed_origins: embed_origins.to_vec(),
            bridge_origins: bridge_origins.to_vec(),
            own_scripts: inline_scripts(page)
                .map(|script| {
                    let hash = digest::digest(&digest::SHA256, script.as_bytes());
                    format!(" 'sha256-{}'", STANDARD.encode(hash))
                })
                .collect(),
            permissions: HeaderValue::try_from(permissions + NO_DEVICES)
                .unwrap_or(HeaderValue::from_static(NO_DEVICES)),
        }
    }

    /// For the built-in client, whose page reaches its server at `host` (and port): its own scripts only, no other hosts.
    pub(crate) fn own_page(&self, headers: &mut HeaderMap, host: &str) {
        let mut connect = "'self'".to_owned();
        // The policy's grammar has no IPv6 addresses; there 'self' must do.
        if !host.contains('[') {
            connect.push_str(&format!(" https://{host} wss://{host}"));
        }
        for origin in &self.bridge_origins {
            connect.push_str(&format!(" {origin}"));
        }
        let scripts = &self.own_scripts;
        let policy = format!(
            "default-src 'self'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
             media-src 'self' data: blob:; connect-src {connect}; worker-src 'self' blob:; object-src 'none'; \
             base-uri 'self'; form-action 'none'; {}",
            self.frame_ancestors()
        );
        // The name of a meeting stands in its address.
        self.put(headers, policy, "same-origin");
    }

    /// For a foreign tree, which has inline scripts and may be set up to load from anywhere.
    pub(crate) fn foreign_page(&self, headers: &mut HeaderMap) {
        let policy = format!(
            "object-src 'none'; base-uri 'self'; {}",
            self.frame_ancestors()
        );
        // Video sites it can show want to know the origin.
        self.put(headers, policy, "strict-origin-when-cross-origin");
    }

    fn frame_ancestors(&self) -> String {
        let mut sources = "frame-ancestors 'self'".to_owned();
        for origin in &self.embed_origins {
            sources.push_str(&format!(" {origin}"));
        }
        sources
    }

    fn put(&self, headers: &mut HeaderMap, policy: String, referrer: &'static str) {
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static(referrer));
        headers.insert(PERMISSIONS_POLICY, self.permissions.clone());
    }
}

/// The scripts that stand in a page.
fn inline_scripts(page: &str) -> impl Iterator<Item = &str> {
    page.split("<script>")
        .skip(1)
        .filter_map(|rest| rest.split_once("</script>"))
        .map(|(script, _)| script)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;

    use super::PageHeaders;

    const PAGE: &str = "<script src=\"config.js\"></script><script>alert(1)</script><p>";

    fn own(embed: &[&str], bridges: &[&str], host: &str) -> HeaderMap {
        let owned = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        let mut headers = HeaderMap::new();
        PageHeaders::new(PAGE, &owned(embed), &owned(bridges)).own_page(&mut headers, host);
        headers
    }

    #[test]
    fn the_own_page_reaches_its_server_and_the_bridges_only() {
        let headers = own(&[], &["wss://media.test"], "meet.test:8443");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains(
            "connect-src 'self' https://meet.test:8443 wss://meet.test:8443 wss://media.test;"
        ));
        for word in policy.split([' ', ';']) {
            assert!(
                !["wss:", "ws:", "https:", "http:", "*"].contains(&word),
                "{policy}"
            );
        }
        assert!(policy.ends_with("frame-ancestors 'self'"), "{policy}");
        assert_eq!(headers["referrer-policy"], "same-origin");
        assert!(
            !own(&[], &[], "[::1]:8443")["content-security-policy"]
                .to_str()
                .unwrap()
                .contains('[')
        );
    }

    #[test]
    fn only_the_scripts_that_stand_in_the_own_page_run_there() {
        let headers = own(&[], &[], "h");
        let policy = headers["content-security-policy"].to_str().unwrap();
        // printf 'alert(1)' | openssl dgst -sha256 -binary | base64
        let hash = "bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI=";
        let expected = format!("script-src 'self' 'sha256-{hash}';");
        assert!(policy.contains(&expected), "{policy}");
    }

    #[test]
    fn whoever_may_frame_a_meeting_is_named() {
        let headers = own(&["https://intra.example.com"], &[], "h");
        let text = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert!(
            text("content-security-policy")
                .ends_with("frame-ancestors 'self' https://intra.example.com")
        );
        for device in ["camera", "microphone", "display-capture"] {
            let grant = format!("{device}=(self \"https://intra.example.com\")");
            assert!(text("permissions-policy").contains(&grant));
        }
    }

    #[test]
    fn a_foreign_page_may_load_what_it_wants() {
        let mut headers = HeaderMap::new();
        PageHeaders::new("", &[], &[]).foreign_page(&mut headers);
        let policy = headers["content-security-policy"].to_str().unwrap();
        for directive in ["default-src", "script-src", "connect-src", "style-src"] {
            assert!(!policy.contains(directive), "{policy}");
        }
        assert!(policy.contains("frame-ancestors 'self'"));
    }
}
