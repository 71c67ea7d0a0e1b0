//! SCRAM without channel binding, both ends (RFC 5802).

use std::num::NonZeroU32;

use aws_lc_rs::constant_time;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::condition::SaslCondition;
use crate::sasl::{Credentials, Hash};

/// Rounds of PBKDF2 a client is ready to do; a server that asks for more wants to keep it busy.
const MAX_ITERATIONS: u32 = 1_000_000;

/// The client's first message, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientFirst {
    gs2_header: String,
    pub(crate) authzid: Option<String>,
    pub(crate) user: String,
    nonce: String,
    bare: String,
}

impl ClientFirst {
    pub(crate) fn parse(message: &[u8]) -> Result<Self, SaslCondition> {
        let malformed = SaslCondition::MalformedRequest;
        let text = std::str::from_utf8(message).map_err(|_| malformed)?;
        let (flag, rest) = text.split_once(',').ok_or(malformed)?;
        // `p=` asks for channel binding, which no mechanism on offer has.
        if flag != "n" && flag != "y" {
            return Err(malformed);
        }
        let (authzid, bare) = rest.split_once(',').ok_or(malformed)?;
        let gs2_header = text.strip_suffix(bare).ok_or(malformed)?;
        let authzid = match authzid {
            "" => None,
            given => Some(decode_name(given.strip_prefix("a=").ok_or(malformed)?)?),
        };
        let mut fields = bare.split(',');
        let user = fields
            .next()
            .and_then(|f| f.strip_prefix("n="))
            .ok_or(malformed)?;
        let nonce = fields
            .next()
            .and_then(|f| f.strip_prefix("r="))
            .ok_or(malformed)?;
        if user.is_empty() || nonce.is_empty() {
            return Err(malformed);
        }
        Ok(Self {
            gs2_header: gs2_header.to_owned(),
            authzid,
            user: decode_name(user)?,
            nonce: nonce.to_owned(),
            bare: bare.to_owned(),
        })
    }
}

/// A server that has sent its challenge and waits for the proof.
pub(crate) struct ServerExchange {
    hash: Hash,
    credentials: Credentials,
    gs2_header: String,
    nonce: String,
    /// Both first messages, as they enter the signature.
    signed: String,
}

impl ServerExchange {
    /// Returns the exchange and the challenge.
    pub(crate) fn start(
        hash: Hash,
        first: ClientFirst,
        credentials: Credentials,
        server_nonce: &str,
    ) -> (Self, String) {
        let keys = credentials.keys(hash);
        let nonce = format!("{}{server_nonce}", first.nonce);
        let challenge = format!(
            "r={nonce},s={},i={}",
            BASE64.encode(&keys.salt),
            keys.iterations
        );
        let exchange = Self {
            hash,
            gs2_header: first.gs2_header,
            signed: format!("{},{challenge}", first.bare),
            nonce,
            credentials,
        };
        (exchange, challenge)
    }

    /// Checks the client's final message and returns the server's.
    pub(crate) fn finish(self, message: &[u8]) -> Result<String, SaslCondition> {
        let malformed = SaslCondition::MalformedRequest;
        let text = std::str::from_utf8(message).map_err(|_| malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(malformed)?;
        let mut fields = without_proof.split(',');
        let binding = fields
            .next()
            .and_then(|f| f.strip_prefix("c="))
            .ok_or(malformed)?;
        let nonce = fields
            .next()
            .and_then(|f| f.strip_prefix("r="))
            .ok_or(malformed)?;
        let proof = BASE64
            .decode(proof)
            .map_err(|_| SaslCondition::IncorrectEncoding)?;
        if binding != BASE64.encode(&self.gs2_header) || nonce != self.nonce {
            return Err(SaslCondition::NotAuthorized);
        }
        let keys = self.credentials.keys(self.hash);
        let signed = format!("{},{without_proof}", self.signed);
        let signature = self.hash.hmac(&keys.stored_key, signed.as_bytes());
        let client_key = xor(&signature, &proof).ok_or(malformed)?;
        let stored = self.hash.hash(&client_key);
        if constant_time::verify_slices_are_equal(&stored, &keys.stored_key).is_err() {
            return Err(SaslCondition::NotAuthorized);
        }
        let verifier = self.hash.hmac(&keys.server_key, signed.as_bytes());
        Ok(format!("v={}", BASE64.encode(verifier)))
    }
}

/// A client that has sent its first message.
pub(crate) struct ClientExchange {
    hash: Hash,
    nonce: String,
    bare: String,
    expected: Option<Vec<u8>>,
}

impl ClientExchange {
    /// Returns the exchange and the first message.
    pub(crate) fn start(hash: Hash, user: &str, nonce: &str) -> (Self, String) {
        let bare = format!("n={},r={nonce}", encode_name(user));
        let first = format!("n,,{bare}");
        let exchange = Self {
            hash,
            nonce: nonce.to_owned(),
            bare,
            expected: None,
        };
        (exchange, first)
    }

    /// The proof that answers the server's challenge; `None` when the challenge is not acceptable.
    pub(crate) fn respond(&mut self, challenge: &[u8], password: &str) -> Option<String> {
        let text = std::str::from_utf8(challenge).ok()?;
        let mut fields = text.split(',');
        let nonce = fields.next()?.strip_prefix("r=")?;
        let salt = BASE64.decode(fields.next()?.strip_prefix("s=")?).ok()?;
        let iterations: NonZeroU32 = fields.next()?.strip_prefix("i=")?.parse().ok()?;
        let fresh = nonce.len() > self.nonce.len() && nonce.starts_with(&self.nonce);
        if !fresh || iterations.get() > MAX_ITERATIONS || self.expected.is_some() {
            return None;
        }
        let salted = self.hash.salted_password(password, &salt, iterations);
        let client_key = self.hash.hmac(&salted, b"Client Key");
        let without_proof = format!("c=biws,r={nonce}");
        let signed = format!("{},{text},{without_proof}", self.bare);
        let signature = self
            .hash
            .hmac(&self.hash.hash(&client_key), signed.as_bytes());
        let proof = xor(&signature, &client_key)?;
        let server_key = self.hash.hmac(&salted, b"Server Key");
        self.expected = Some(self.hash.hmac(&server_key, signed.as_bytes()));
        Some(format!("{without_proof},p={}", BASE64.encode(proof)))
    }

    /// Whether the server's final message proves that it knows the password too.
    pub(crate) fn verify(&self, message: &[u8]) -> bool {
        let signature = std::str::from_utf8(message)
            .ok()
            .and_then(|text| text.strip_prefix("v="))
            .and_then(|text| BASE64.decode(text).ok());
        match (signature, &self.expected) {
            (Some(given), Some(expected)) => {
                constant_time::verify_slices_are_equal(&given, expected).is_ok()
            }
            _ => false,
        }
    }
}

fn xor(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    (a.len() == b.len()).then(|| a.iter().zip(b).map(|(a, b)| a ^ b).collect())
}

fn encode_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn decode_name(name: &str) -> Result<String, SaslCondition> {
    let mut parts = name.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (decoded, rest) = if let Some(rest) = part.strip_prefix("2C") {
            (',', rest)
        } else if let Some(rest) = part.strip_prefix("3D") {
            ('=', rest)
        } else {
            return Err(SaslCondition::MalformedRequest);
        };
        out.push(decoded);
        out.push_str(rest);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sasl::ScramKeys;

    fn credentials(salt: &str) -> Credentials {
        let salt = BASE64.decode(salt).expect("base64");
        Credentials {
            sha1: ScramKeys::derive(Hash::Sha1, "pencil", &salt, 4096),
            sha256: ScramKeys::derive(Hash::Sha256, "pencil", &salt, 4096),
        }
    }

    /// The exchanges printed in RFC 5802 section 5 and RFC 7677 section 3.
    #[test]
    fn exchanges_of_the_specifications() {
        let cases = [
            (
                Hash::Sha1,
                "QSXCR+Q6sek8bf92",
                "fyko+d2lbbFgONRv9qkxdawL",
                "3rfcNHYJY1ZVvWVs7j",
                "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
            (
                Hash::Sha256,
                "W22ZaJ0SNY7soEsUEjb6gQ==",
                "rOprNGfwEbeRWgbNEkqO",
                "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
                "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
        ];
        for (hash, salt, client_nonce, server_nonce, proof, verifier) in cases {
            let (mut client, first) = ClientExchange::start(hash, "user", client_nonce);
            let parsed = ClientFirst::parse(first.as_bytes()).expect("valid");
            assert_eq!(parsed.user, "user");
            let (server, challenge) =
                ServerExchange::start(hash, parsed, credentials(salt), server_nonce);
            let response = client
                .respond(challenge.as_bytes(), "pencil")
                .expect("acceptable");
            assert!(response.ends_with(&format!(",p={proof}")), "{response}");
            let last = server.finish(response.as_bytes()).expect("right password");
            assert_eq!(last, format!("v={verifier}"));
            assert!(client.verify(last.as_bytes()));
            assert!(!client.verify(b"v=AAAA"));
        }
    }

    #[test]
    fn a_wrong_password_or_a_changed_message_is_refused() {
        let run = |password: &str, change: fn(String) -> String| {
            let (mut client, first) = ClientExchange::start(Hash::Sha256, "user", "abc");
            let parsed = ClientFirst::parse(first.as_bytes()).expect("valid");
            let (server, challenge) =
                ServerExchange::start(Hash::Sha256, parsed, credentials("QSXCR+Q6sek8bf92"), "def");
            let response = client
                .respond(challenge.as_bytes(), password)
                .expect("acceptable");
            server.finish(change(response).as_bytes()).map(|_| ())
        };
        assert_eq!(run("pencil", |r| r), Ok(()));
        assert_eq!(run("pen", |r| r), Err(SaslCondition::NotAuthorized));
        assert_eq!(
            run("pencil", |r| r.replace("biws", "eSws")),
            Err(SaslCondition::NotAuthorized)
        );
        assert_eq!(
            run("pencil", |r| r.replace("abcdef", "abcdeg")),
            Err(SaslCondition::NotAuthorized)
        );
        assert_eq!(
            run("pencil", |_| "c=biws".into()),
            Err(SaslCondition::MalformedRequest)
        );
        assert_eq!(
            run("pencil", |r| format!("{r}!")),
            Err(SaslCondition::IncorrectEncoding)
        );
        assert_eq!(
            run("pencil", |_| "c=biws,r=abcdef,p=AAAA".into()),
            Err(SaslCondition::MalformedRequest)
        );
    }

    #[test]
    fn first_messages() {
        let first = ClientFirst::parse(b"y,a=x=2Cy,n=a=3Db,r=n1,ext=1").expect("valid");
        assert_eq!(first.user, "a=b");
        assert_eq!(first.authzid.as_deref(), Some("x,y"));
        assert_eq!(first.gs2_header, "y,a=x=2Cy,");
        for bad in [
            "",
            "n",
            "n,,",
            "p=tls-unique,,n=u,r=n",
            "n,,r=n,n=u",
            "n,,n=,r=x",
            "n,,n=u,r=",
            "n,b,n=u,r=x",
            "n,,n=a=4,r=x",
        ] {
            assert!(ClientFirst::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn servers_cannot_reuse_a_nonce_or_keep_a_client_busy() {
        let (mut client, _) = ClientExchange::start(Hash::Sha1, "user", "abc");
        for bad in [
            "r=abc,s=AAAA,i=4096",
            "r=xabc,s=AAAA,i=1",
            "r=abcd,s=AAAA,i=2000000",
            "r=abcd,s=AAAA,i=0",
            "",
            "r=abcd,s=!,i=1",
        ] {
            assert_eq!(client.respond(bad.as_bytes(), "p"), None, "{bad}");
        }
        assert!(!client.verify(b"v="), "nothing was proven yet");
    }
}
