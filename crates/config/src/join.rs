//! The one token a bridge needs to join a meet node.

use std::fmt;
use std::str::FromStr;

use telemetry::Redacted;

/// `<host:port>/<domain>/<user>:<password>/<fingerprint>`: where the meet node's XMPP port is, its XMPP domain, an account
/// on it, and the SHA-256 fingerprint (64 hexadecimal digits) of the certificate on that port.
///
/// The account is that of one bridge, or the one with which new bridges ask for an account of their own
/// ([`JoinToken::NEWCOMER`]). Neither opens more than the room where bridges wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinToken {
    /// Host name or address of the meet node. IPv6 addresses stand without brackets here.
    pub host: String,
    /// Port of the meet node's XMPP listener.
    pub port: u16,
    /// The XMPP domain.
    pub domain: String,
    /// The account's name.
    pub user: String,
    /// The account's password.
    pub password: Redacted<String>,
    /// SHA-256 of the listener's certificate (DER).
    pub fingerprint: [u8; 32],
}

/// A token that cannot be used; the text says which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinTokenError(&'static str);

impl fmt::Display for JoinTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the join token {}", self.0)
    }
}

impl std::error::Error for JoinTokenError {}

impl JoinToken {
    /// The account of bridges that have none yet.
    pub const NEWCOMER: &str = "join";

    /// Whether a bridge asks for an account of its own with it.
    pub fn is_for_newcomers(&self) -> bool {
        self.user == Self::NEWCOMER
    }

    /// The text to hand to a bridge. It contains the password: print it only where it was asked for.
    pub fn reveal(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let mut text = format!(
            "{host}:{}/{}/{}:{}/",
            self.port,
            self.domain,
            self.user,
            self.password.expose()
        );
        for byte in self.fingerprint {
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        // Whole lines as they are printed can be given.
        let text = text
            .trim()
            .trim_start_matches("pontoon bridge --join")
            .trim_start();
        let mut parts = text.split('/');
        let (Some(address), Some(domain), Some(account), Some(fingerprint), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(JoinTokenError(
                "does not have its four parts; copy it whole",
            ));
        };
        let (host, port) = address
            .rsplit_once(':')
            .ok_or(JoinTokenError("does not begin with host:port"))?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = port
            .parse()
            .map_err(|_error| JoinTokenError("does not begin with host:port"))?;
        // Tokens had no name of an account before each bridge got its own.
        let (user, password) = account.split_once(':').ok_or(JoinTokenError(
            "is one of an older version and opens nothing any more; copy the line the meet node prints now",
        ))?;
        let in_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
        if !host.bytes().all(in_host) {
            return Err(JoinTokenError("does not begin with host:port"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(JoinTokenError(
                "has characters that do not belong there; copy it whole",
            ));
        }
        if [host, domain, user, password].contains(&"") {
            return Err(JoinTokenError("has an empty part; copy it whole"));
        }
        let fingerprint = parse_fingerprint(fingerprint).ok_or(JoinTokenError(
            "does not end in 64 hexadecimal digits; copy it whole",
        ))?;
        Ok(Self {
            host: host.to_owned(),
            port,
            domain: domain.to_owned(),
            user: user.to_owned(),
            password: Redacted::new(password.to_owned()),
            fingerprint,
        })
    }
}

pub(crate) fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| !pair.starts_with('+'))?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::JoinToken;

    proptest! {
        #[test]
        fn a_revealed_token_parses_back(
            host in "[a-z0-9.-]{1,20}|2001:db8::[0-9a-f]{1,4}",
            port in 1u16..,
            user in "[a-z0-9._-]{1,64}",
            password in "[A-Za-z0-9_:-]{1,64}",
            fingerprint in any::<[u8; 32]>(),
        ) {
            let token = JoinToken {
                host, port, domain: "meet.internal".to_owned(), user, password: password.into(), fingerprint,
            };
            prop_assert_eq!(token.reveal().parse(), Ok(token));
        }

        #[test]
        fn any_text_is_answered(text in "\\PC{0,200}") {
            let _ = text.parse::<JoinToken>();
        }
    }

    #[test]
    fn mistakes_are_told_apart() {
        let digits = "0".repeat(64);
        let why = |text: &str| text.parse::<JoinToken>().unwrap_err().to_string();
        assert!(why("").contains("four parts"));
        assert!(why(&format!("host/d/u:p/{digits}")).contains("host:port"));
        // Printed again it would be another host.
        assert!(why(&format!("[[a]]:1/d/u:p/{digits}")).contains("host:port"));
        assert!(why(&format!("host:1/d/u:p p/{digits}")).contains("do not belong"));
        assert!(why(&format!("host:1//u:p/{digits}")).contains("empty part"));
        assert!(why(&format!("host:1/d/u:/{digits}")).contains("empty part"));
        assert!(why(&format!("host:1/d/u:p/{}", "+1".repeat(32))).contains("64 hexadecimal"));
        assert!(why(&format!("host:1/d/p/{digits}")).contains("older version"));
    }

    #[test]
    fn the_printed_line_is_a_token() {
        let token = format!("h:1/d/u:sesame/{}", "0".repeat(64));
        let line: JoinToken = format!("pontoon bridge --join {token}\n").parse().unwrap();
        assert_eq!(line.reveal(), token);
    }

    #[test]
    fn debug_output_hides_the_password() {
        let token: JoinToken = format!("h:1/d/u:sesame/{}", "0".repeat(64))
            .parse()
            .unwrap();
        assert!(!format!("{token:?}").contains("sesame"));
    }
}
