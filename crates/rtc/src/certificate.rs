//! The DTLS certificate and fingerprints (RFC 8122, RFC 8827 §6.5).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest;

/// Hash functions of fingerprints, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha-1",
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|h| name.eq_ignore_ascii_case(h.name()))
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A certificate fingerprint: hash function and value.
#[derive(Clone, PartialEq, Eq)]
pub struct Fingerprint {
    hash: Hash,
    value: Vec<u8>,
}

/// Why a fingerprint or certificate is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The hash function is not one we know.
    #[error("unknown fingerprint hash function")]
    UnknownHash,
    /// Not pairs of hexadecimal digits with colons, or not as many as the hash function makes.
    #[error("malformed fingerprint value")]
    MalformedFingerprint,
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Generation,
    /// The cryptographic provider does not have what DTLS needs.
    #[error("cryptographic provider is not usable for DTLS")]
    Provider,
}

impl Fingerprint {
    /// Reads the signalled form: hash name (any case) and hex pairs joined by colons (any case).
    ///
    /// # Errors
    /// [`CertificateError`]: the peer's fault.
    pub fn parse(hash: &str, value: &str) -> Result<Self, CertificateError> {
        let hash = Hash::from_name(hash.trim()).ok_or(CertificateError::UnknownHash)?;
        let pair = |p: &str| {
            (p.len() == 2)
                .then(|| u8::from_str_radix(p, 16).ok())
                .flatten()
        };
        let value: Option<Vec<u8>> = value.trim().split(':').map(pair).collect();
        let value = value.filter(|v| v.len() == hash.algorithm().output_len());
        Ok(Self {
            hash,
            value: value.ok_or(CertificateError::MalformedFingerprint)?,
        })
    }

    /// The SHA-256 fingerprint of a certificate in DER.
    pub fn sha256_of(der: &[u8]) -> Self {
        let hash = Hash::Sha256;
        Self {
            hash,
            value: digest::digest(hash.algorithm(), der).as_ref().to_vec(),
        }
    }

    /// Name of the hash function, `sha-256` for example.
    pub fn hash_name(&self) -> &'static str {
        self.hash.name()
    }

    /// The hash value.
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    fn matches(&self, der: &[u8]) -> bool {
        digest::digest(self.hash.algorithm(), der).as_ref() == self.value
    }

    /// Whether a certificate is one of those signalled: of the strongest hash function named, one must match
    /// (RFC 8122 §5).
    pub fn any_matches(signalled: &[Self], der: &[u8]) -> bool {
        let Some(strongest) = signalled.iter().map(|f| f.hash).max() else {
            return false;
        };
        signalled
            .iter()
            .any(|f| f.hash == strongest && f.matches(der))
    }
}

/// The value: upper-case hex pairs joined by colons.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.value.iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.hash_name())
    }
}

/// Reads `sha-256 AB:CD:...`.
impl FromStr for Fingerprint {
    type Err = CertificateError;

    fn from_str(s: &str) -> Result<Self, CertificateError> {
        let (hash, value) = s
            .trim()
            .split_once(' ')
            .ok_or(CertificateError::MalformedFingerprint)?;
        Self::parse(hash, value)
    }
}

/// Time that a DTLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// First retransmission of a flight: the path is known to work, and joins should not wait for a second.
const FLIGHT_RTO: Duration = Duration::from_millis(300);
/// Retransmissions of a flight; the handshake's time ends first.
const FLIGHT_RETRIES: usize = 30;
/// Largest DTLS datagram: inside an IPv6 packet of 1,280 bytes with a TURN header.
const DTLS_MTU: usize = 1200;

/// A self-signed ECDSA P-256 certificate with its key, and the DTLS settings that go with it. Shared by all transports.
pub struct Certificate {
    der: Vec<u8>,
    key: Vec<u8>,
    fingerprint: Fingerprint,
    config: Arc<dimpl::Config>,
}

impl Certificate {
    /// Makes a new certificate, valid from a day before `now` for a month. Keys come from the system's generator.
    ///
    /// # Errors
    /// [`CertificateError::Generation`].
    pub fn generate(now: SystemTime) -> Result<Self, CertificateError> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let failed = |_| CertificateError::Generation;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "pontoon");
        params.not_before = now
            .checked_sub(DAY)
            .ok_or(CertificateError::Generation)?
            .into();
        params.not_after = now
            .checked_add(30 * DAY)
            .ok_or(CertificateError::Generation)?
            .into();
        let certificate = params.self_signed(&key).map_err(failed)?;
        Self::from_der(certificate.der().to_vec(), key.serialize_der())
    }

    /// Takes a certificate and its PKCS #8 private key, both DER.
    ///
    /// # Errors
    /// [`CertificateError::Provider`].
    pub fn from_der(der: Vec<u8>, key: Vec<u8>) -> Result<Self, CertificateError> {
        let config = dtls_settings()
            .build()
            .map_err(|_| CertificateError::Provider)?;
        let fingerprint = Fingerprint::sha256_of(&der);
        Ok(Self {
            der,
            key,
            fingerprint,
            config: Arc::new(config),
        })
    }

    /// The same certificate with a fixed seed for the DTLS library and another MTU.
    #[cfg(test)]
    pub(crate) fn with_settings(&self, seed: u64, mtu: usize) -> Self {
        let config = dtls_settings()
            .mtu(mtu)
            .dangerously_set_rng_seed(seed)
            .build()
            .unwrap();
        Self {
            der: self.der.clone(),
            key: self.key.clone(),
            fingerprint: self.fingerprint.clone(),
            config: Arc::new(config),
        }
    }

    /// The certificate's SHA-256 fingerprint.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    pub(crate) fn dtls_config(&self) -> &Arc<dimpl::Config> {
        &self.config
    }

    pub(crate) fn dtls(&self) -> dimpl::DtlsCertificate {
        dimpl::DtlsCertificate {
            certificate: self.der.clone(),
            private_key: self.key.clone(),
        }
    }
}

fn dtls_settings() -> dimpl::ConfigBuilder {
    dimpl::Config::builder()
        .mtu(DTLS_MTU)
        // ICE has proved the peer's address before DTLS is answered: a cookie exchange would only cost a round trip.
        .use_server_cookie(false)
        .require_client_certificate(true)
        .flight_start_rto(FLIGHT_RTO)
        .flight_retries(FLIGHT_RETRIES)
        .handshake_timeout(HANDSHAKE_TIMEOUT)
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:?})", self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_round_trip_and_errors() {
        let f = Fingerprint::sha256_of(b"x");
        assert_eq!(
            Fingerprint::parse("SHA-256", &f.to_string().to_lowercase()),
            Ok(f.clone())
        );
        assert_eq!(format!("sha-256 {f}").parse(), Ok(f));
        assert_eq!(
            Fingerprint::parse("md5", "00"),
            Err(CertificateError::UnknownHash)
        );
        for bad in ["", "00", "0", "+1:00", "é"] {
            assert_eq!(
                Fingerprint::parse("sha-1", bad),
                Err(CertificateError::MalformedFingerprint),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_strongest_hash_decides() {
        let good = Fingerprint::sha256_of(b"cert");
        let weak = Fingerprint {
            hash: Hash::Sha1,
            value: digest::digest(Hash::Sha1.algorithm(), b"cert")
                .as_ref()
                .to_vec(),
        };
        let other = Fingerprint::sha256_of(b"other");
        assert!(Fingerprint::any_matches(
            &[weak.clone(), other.clone(), good],
            b"cert"
        ));
        assert!(!Fingerprint::any_matches(&[weak.clone(), other], b"cert"));
        assert!(Fingerprint::any_matches(&[weak], b"cert"));
        assert!(!Fingerprint::any_matches(&[], b"cert"));
    }
}
