//! Passwords as SASL needs them (RFC 5802, RFC 7677, RFC 4616).

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SCRAM-SHA-1.
    Sha1,
    /// SCRAM-SHA-256.
    Sha256,
}

impl Hash {
    /// The mechanism's name.
    #[must_use]
    pub const fn mechanism(self) -> &'static str {
        match self {
            Self::Sha1 => "SCRAM-SHA-1",
            Self::Sha256 => "SCRAM-SHA-256",
        }
    }

    fn mac(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
        }
    }

    fn kdf(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        }
    }

    pub(crate) fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.mac(), key), data)
            .as_ref()
            .to_vec()
    }

    pub(crate) fn hash(self, data: &[u8]) -> Vec<u8> {
        digest::digest(self.mac().digest_algorithm(), data)
            .as_ref()
            .to_vec()
    }

    pub(crate) fn salted_password(
        self,
        password: &str,
        salt: &[u8],
        iterations: NonZeroU32,
    ) -> Vec<u8> {
        let mut out = vec![0; self.mac().digest_algorithm().output_len()];
        pbkdf2::derive(self.kdf(), iterations, salt, password.as_bytes(), &mut out);
        out
    }
}

/// What a server keeps of one password for one hash (RFC 5802 section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// The salt, told to the client.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2, told to the client.
    pub iterations: u32,
    /// `H(HMAC(SaltedPassword, "Client Key"))`.
    pub stored_key: Vec<u8>,
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: Vec<u8>,
}

impl ScramKeys {
    /// Derives the keys. `iterations` of 0 count as 1. Passwords are used as they are, which for ASCII is what SASLprep
    /// makes of them.
    #[must_use]
    pub fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Self {
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let salted = hash.salted_password(password, salt, rounds);
        Self {
            salt: salt.to_vec(),
            iterations: rounds.get(),
            stored_key: hash.hash(&hash.hmac(&salted, b"Client Key")),
            server_key: hash.hmac(&salted, b"Server Key"),
        }
    }
}

/// What a server keeps of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// For SCRAM-SHA-1.
    pub sha1: ScramKeys,
    /// For SCRAM-SHA-256, and to check a plain password.
    pub sha256: ScramKeys,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// Derives all keys of `password`.
    #[must_use]
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Self {
        Self {
            sha1: ScramKeys::derive(Hash::Sha1, password, salt, iterations),
            sha256: ScramKeys::derive(Hash::Sha256, password, salt, iterations),
        }
    }

    /// The keys for one hash.
    #[must_use]
    pub fn keys(&self, hash: Hash) -> &ScramKeys {
        match hash {
            Hash::Sha1 => &self.sha1,
            Hash::Sha256 => &self.sha256,
        }
    }

    /// Whether `password` is the account's, in constant time.
    #[must_use]
    pub fn verify_plain(&self, password: &str) -> bool {
        let keys = &self.sha256;
        let tried = ScramKeys::derive(Hash::Sha256, password, &keys.salt, keys.iterations);
        constant_time::verify_slices_are_equal(&tried.stored_key, &keys.stored_key).is_ok()
    }
}

/// The three parts of a PLAIN message (RFC 4616): who to act as, who logs in, the password.
pub(crate) fn parse_plain(message: &[u8]) -> Option<(&str, &str, &str)> {
    let mut parts = std::str::from_utf8(message).ok()?.split('\0');
    let parsed = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && !parsed.1.is_empty()).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_passwords() {
        let credentials = Credentials::derive("pencil", b"salt", 4096);
        assert!(credentials.verify_plain("pencil"));
        assert!(!credentials.verify_plain("pencil "));
        assert_eq!(format!("{credentials:?}"), "Credentials");
    }

    #[test]
    fn plain_messages() {
        assert_eq!(parse_plain(b"\0jvb\0pw"), Some(("", "jvb", "pw")));
        assert_eq!(parse_plain(b"a\0jvb\0pw"), Some(("a", "jvb", "pw")));
        for bad in [
            &b""[..],
            b"jvb",
            b"\0jvb",
            b"\0\0pw",
            b"\0a\0b\0c",
            b"\0\xff\0b",
        ] {
            assert_eq!(parse_plain(bad), None, "{bad:?}");
        }
    }
}
