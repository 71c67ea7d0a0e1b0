//! Accounts: derived passwords, SCRAM keys, checks of plain passwords.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2};
use base64::Engine as _;

/// Rounds of PBKDF2 for stored keys (RFC 7677 asks for at least 4096).
pub const ITERATIONS: u32 = 4096;

/// The password of the built-in account `name` (`focus`, and `jvb` of the bridge in the same process), derived from the
/// cluster secret.
#[must_use]
pub fn derive_password(cluster_secret: &[u8], name: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, cluster_secret);
    let tag = hmac::sign(&key, format!("pontoon account {name}").as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag.as_ref())
}

/// Stored keys of one account for one SCRAM hash (RFC 5802 §3).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramKeys {
    /// Salt given to the client.
    pub salt: Vec<u8>,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// H(HMAC(SaltedPassword, "Client Key")).
    pub stored_key: Vec<u8>,
    /// HMAC(SaltedPassword, "Server Key").
    pub server_key: Vec<u8>,
}

/// What the server keeps of an account's password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// For SCRAM-SHA-1.
    pub sha1: ScramKeys,
    /// For SCRAM-SHA-256.
    pub sha256: ScramKeys,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

impl Credentials {
    /// Keys for `password` with `salt`. The password is used as given (ASCII passwords need no SASLprep).
    #[must_use]
    pub fn new(password: &str, salt: &[u8]) -> Self {
        Self {
            sha1: keys(
                password,
                salt,
                pbkdf2::PBKDF2_HMAC_SHA1,
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            ),
            sha256: keys(
                password,
                salt,
                pbkdf2::PBKDF2_HMAC_SHA256,
                hmac::HMAC_SHA256,
            ),
        }
    }

    /// Whether `password` is the account's (SASL PLAIN), in constant time.
    #[must_use]
    pub fn verify_plain(&self, password: &str) -> bool {
        let tried = keys(
            password,
            &self.sha256.salt,
            pbkdf2::PBKDF2_HMAC_SHA256,
            hmac::HMAC_SHA256,
        );
        constant_time::verify_slices_are_equal(&tried.stored_key, &self.sha256.stored_key).is_ok()
    }
}

fn keys(password: &str, salt: &[u8], kdf: pbkdf2::Algorithm, mac: hmac::Algorithm) -> ScramKeys {
    let hash = mac.digest_algorithm();
    let mut salted = vec![0; hash.output_len()];
    let rounds = NonZeroU32::new(ITERATIONS).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(kdf, rounds, salt, password.as_bytes(), &mut salted);
    let key = hmac::Key::new(mac, &salted);
    let client_key = hmac::sign(&key, b"Client Key");
    ScramKeys {
        salt: salt.to_vec(),
        iterations: ITERATIONS,
        stored_key: digest::digest(hash, client_key.as_ref()).as_ref().to_vec(),
        server_key: hmac::sign(&key, b"Server Key").as_ref().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7677 §3: user `user`, password `pencil`.
    #[test]
    fn keys_give_the_signature_of_rfc_7677() {
        let b64 = base64::engine::general_purpose::STANDARD;
        let salt = b64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let credentials = Credentials::new("pencil", &salt);
        let auth_message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
            r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
            c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let key = hmac::Key::new(hmac::HMAC_SHA256, &credentials.sha256.server_key);
        let signature = b64.encode(hmac::sign(&key, auth_message.as_bytes()).as_ref());
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn plain_password_is_checked() {
        let credentials = Credentials::new("pencil", b"salt");
        assert!(credentials.verify_plain("pencil"));
        assert!(!credentials.verify_plain("Pencil"));
        assert!(!credentials.verify_plain(""));
    }

    #[test]
    fn derived_passwords_differ_by_account_and_secret() {
        assert_ne!(derive_password(b"a", "focus"), derive_password(b"a", "jvb"));
        assert_ne!(
            derive_password(b"a", "focus"),
            derive_password(b"b", "focus")
        );
    }
}
