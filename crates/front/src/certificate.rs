//! Certificates: the operator's, or a self-signed one made once and kept.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::aws_lc_rs::digest;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::{FrontError, pem, validity};

/// Age at which a self-signed web certificate is made anew; browsers distrust much longer lives.
const RENEW_AFTER: Duration = Duration::from_secs(300 * 24 * 3600);

/// Where the certificate of the web server comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// PEM files of the operator.
    Files {
        /// The chain, leaf first.
        chain: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// A self-signed one, kept in `directory` as `<name>-certificate.pem` and `<name>-key.pem`.
    SelfSigned {
        /// The state directory.
        directory: PathBuf,
        /// Beginning of the file names.
        name: &'static str,
        /// Host names and addresses it is for.
        hosts: Vec<String>,
        /// Whether it is made anew when it is old. Not where others have pinned its fingerprint.
        renew: bool,
    },
    /// One that ACME had for this server, kept in `directory` as `acme.pem`; until there is one, a self-signed one.
    Acme {
        /// The state directory.
        directory: PathBuf,
        /// Host names and addresses of the self-signed one.
        hosts: Vec<String>,
    },
}

impl CertificateSource {
    /// The files it is read from.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Files { chain, key } => vec![chain.clone(), key.clone()],
            Self::SelfSigned {
                directory, name, ..
            } => vec![
                directory.join(format!("{name}-certificate.pem")),
                directory.join(format!("{name}-key.pem")),
            ],
            Self::Acme { directory, .. } => vec![acme_file(directory)],
        }
    }
}

/// Where the certificate by ACME is kept, with its key: one file, so that they are always those of each other.
pub(crate) fn acme_file(directory: &Path) -> PathBuf {
    directory.join("acme.pem")
}

/// A certificate chain with its private key.
#[derive(Debug)]
pub struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Certificate {
    /// Reads the certificate, or makes a self-signed one when there is none yet.
    ///
    /// # Errors
    /// [`FrontError::Certificate`] or [`FrontError::State`].
    pub fn load(source: &CertificateSource) -> Result<Self, FrontError> {
        match source {
            CertificateSource::Files { chain, key } => {
                warn_if_open(key);
                Self::read(chain, key)
            }
            CertificateSource::SelfSigned {
                directory,
                name,
                hosts,
                renew,
            } => {
                let chain = directory.join(format!("{name}-certificate.pem"));
                let key = directory.join(format!("{name}-key.pem"));
                let old = *renew && age(&chain).is_some_and(|age| age > RENEW_AFTER);
                if old || !chain.exists() || !key.exists() {
                    make_self_signed(&chain, &key, hosts, *renew)?;
                }
                keep_private(&key);
                Self::read(&chain, &key)
            }
            CertificateSource::Acme { directory, hosts } => {
                let kept = acme_file(directory);
                if kept.exists() {
                    keep_private(&kept);
                    match Self::read(&kept, &kept) {
                        Ok(certificate) => return Ok(certificate),
                        Err(error) => tracing::warn!(%error, "another one is asked for"),
                    }
                }
                Self::load(&CertificateSource::SelfSigned {
                    directory: directory.clone(),
                    name: "web",
                    hosts: hosts.clone(),
                    renew: true,
                })
            }
        }
    }

    fn read(chain_path: &Path, key_path: &Path) -> Result<Self, FrontError> {
        let wrong = |path: &Path, problem: String| FrontError::Certificate {
            path: path.to_owned(),
            problem,
        };
        let chain = pem::chain(chain_path).map_err(|problem| wrong(chain_path, problem))?;
        let key = pem::key(key_path).map_err(|problem| wrong(key_path, problem))?;
        if let Some(problem) = chain.first().and_then(|leaf| validity::refusal(leaf)) {
            return Err(wrong(chain_path, problem));
        }
        let certificate = Self { chain, key };
        // Said now, by name, rather than at the first handshake.
        certificate.server_config(&[]).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => match certificate.place_of_leaf() {
                Some(place) => wrong(
                    chain_path,
                    format!("the key belongs to certificate {place} in it; the server's own certificate must stand first"),
                ),
                None => wrong(
                    key_path,
                    format!("it is not the key of the certificate in {}", chain_path.display()),
                ),
            },
            rustls::Error::InvalidCertificate(problem) => wrong(
                chain_path,
                format!("the first certificate in it cannot be used: {problem:?}"),
            ),
            other => wrong(key_path, format!("this server cannot use such a key: {other}")),
        })?;
        Ok(certificate)
    }

    /// At which place of the chain, counted from 1, the certificate of the key stands.
    fn place_of_leaf(&self) -> Option<usize> {
        let belongs = |certificate: &CertificateDer<'static>| {
            let alone = Self {
                chain: vec![certificate.clone()],
                key: self.key.clone_key(),
            };
            alone.server_config(&[]).is_ok()
        };
        Some(self.chain.iter().position(belongs)? + 1)
    }

    /// What clients will find wrong with the certificate, in sentences that follow its name; it is used all the same.
    /// `host` is the name people use, if it is known.
    pub fn warnings(&self, host: Option<&str>, now: SystemTime) -> Vec<String> {
        validity::warnings(&self.chain, host, now)
    }

    /// Since when and until when the leaf is valid.
    pub fn validity(&self) -> Option<(SystemTime, SystemTime)> {
        validity::of(self.chain.first()?)
    }

    /// Whether clients take it for this host, and it is signed by somebody else.
    pub(crate) fn is_issued_for(&self, host: &str) -> bool {
        self.chain
            .first()
            .is_some_and(|leaf| validity::is_issued_for(leaf, host))
    }

    /// In the form in which a handshake uses it.
    pub(crate) fn certified_key(&self) -> Result<CertifiedKey, rustls::Error> {
        let key = aws_lc_rs::sign::any_supported_type(&self.key)?;
        Ok(CertifiedKey::new(self.chain.clone(), key))
    }

    /// The chain, leaf first, DER.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The private key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    /// SHA-256 of the leaf, DER.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut fingerprint = [0; 32];
        if let Some(leaf) = self.chain.first() {
            let digest = digest::digest(&digest::SHA256, leaf);
            for (to, from) in fingerprint.iter_mut().zip(digest.as_ref()) {
                *to = *from;
            }
        }
        fingerprint
    }

    /// TLS settings of a server with this certificate, offering these application protocols.
    ///
    /// # Errors
    /// When certificate and key do not fit.
    pub fn server_config(&self, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

fn age(path: &Path) -> Option<Duration> {
    fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()
}

fn make_self_signed(
    chain: &Path,
    key: &Path,
    hosts: &[String],
    renew: bool,
) -> Result<(), FrontError> {
    let wrong = |error: rcgen::Error| FrontError::Certificate {
        path: chain.to_owned(),
        problem: error.to_string(),
    };
    let mut params = CertificateParams::new(hosts.to_vec()).map_err(wrong)?;
    let mut name = DistinguishedName::new();
    name.push(
        DnType::CommonName,
        hosts.first().map_or("pontoon", String::as_str),
    );
    params.distinguished_name = name;
    if renew {
        // A day back for clocks that lag; together less than the 398 days browsers accept.
        let now = SystemTime::now();
        params.not_before = (now - Duration::from_secs(24 * 3600)).into();
        params.not_after = (now + Duration::from_secs(396 * 24 * 3600)).into();
    }
    let pair = KeyPair::generate().map_err(wrong)?;
    let certificate = params.self_signed(&pair).map_err(wrong)?;
    write_private(key, pair.serialize_pem().as_bytes())?;
    write_private(chain, certificate.pem().as_bytes())
}

/// Writes a file that only its owner may read, whole or not at all; makes its directory.
///
/// # Errors
/// [`FrontError::State`].
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), FrontError> {
    let failed = |source| FrontError::State {
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
    }
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(failed)
}

/// Warns when others on this machine may read a file of the operator's with a secret.
pub fn warn_if_open(path: &Path) {
    if is_open(path) {
        tracing::warn!(
            path = %path.display(),
            "others on this machine may read this secret; \"chmod 600\" it, and make another one if somebody may have looked"
        );
    }
}

/// Takes the right to read one of our own files from others, and tells that they had it.
pub fn keep_private(path: &Path) {
    if !is_open(path) {
        return;
    }
    match fs::set_permissions(path, fs::Permissions::from_mode(0o600)) {
        Ok(()) => tracing::warn!(
            path = %path.display(),
            "others on this machine could read this secret; now they cannot. Make another one if somebody may have looked"
        ),
        Err(error) => tracing::warn!(
            path = %path.display(),
            %error,
            "others on this machine may read this secret, and its rights could not be narrowed"
        ),
    }
}

fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use super::{Certificate, CertificateSource, write_private};

    fn self_signed(directory: &Path) -> CertificateSource {
        CertificateSource::SelfSigned {
            directory: directory.join("state"),
            name: "web",
            hosts: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            renew: true,
        }
    }

    #[test]
    fn a_self_signed_certificate_is_made_once_and_kept_private() {
        let directory = tempfile::tempdir().unwrap();
        let source = self_signed(directory.path());
        let first = Certificate::load(&source).unwrap();
        let second = Certificate::load(&source).unwrap();
        assert_eq!(first.fingerprint(), second.fingerprint());
        assert_ne!(first.fingerprint(), [0; 32]);
        let mode = |name: &str| {
            directory
                .path()
                .join("state")
                .join(name)
                .metadata()
                .unwrap()
                .permissions()
                .mode()
                & 0o777
        };
        assert_eq!(mode("web-key.pem"), 0o600);
        assert_eq!(mode(""), 0o700);
    }

    #[test]
    fn a_secret_that_others_may_read_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let source = self_signed(directory.path());
        Certificate::load(&source).unwrap();
        let key = directory.path().join("state/web-key.pem");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(super::is_open(&key));
        Certificate::load(&source).unwrap();
        assert!(!super::is_open(&key));
    }

    #[test]
    fn mistakes_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        Certificate::load(&self_signed(directory.path())).unwrap();
        let state = directory.path().join("state");
        let other = tempfile::tempdir().unwrap();
        Certificate::load(&self_signed(other.path())).unwrap();
        let text = state.join("text.pem");
        write_private(&text, b"hello").unwrap();
        let why = |chain: &Path, key: &Path| {
            let source = CertificateSource::Files {
                chain: chain.to_owned(),
                key: key.to_owned(),
            };
            Certificate::load(&source).unwrap_err().to_string()
        };
        let chain = state.join("web-certificate.pem");
        let missing = state.join("none.pem");
        assert!(why(&missing, &missing).ends_with("none.pem: there is no such file"));
        assert!(
            why(&text, &missing).contains("text.pem: there is no"),
            "{}",
            why(&text, &missing)
        );
        assert!(why(&chain, &chain).contains("no private key in it, but a certificate"));
        let key = state.join("web-key.pem");
        assert!(
            why(&key, &key)
                .contains("web-key.pem: there is no certificate in it, but a private key")
        );
        let foreign = other.path().join("state/web-key.pem");
        assert!(
            why(&chain, &foreign)
                .contains("state/web-key.pem: it is not the key of the certificate in")
        );
        assert!(why(&state, &key).contains("state: it is a directory"));
        write_private(&text, b"\xff\xfe-\0-\0").unwrap();
        assert!(why(&text, &key).contains("UTF-16"));
        write_private(&text, b"\x30\x82\x01\x0a").unwrap();
        assert!(why(&text, &key).contains("openssl x509 -inform der"));
        assert!(why(&chain, &text).contains("openssl pkey -inform der"));
        let both = std::fs::read(other.path().join("state/web-certificate.pem")).unwrap();
        let both = [both, std::fs::read(&chain).unwrap()].concat();
        write_private(&text, &both).unwrap();
        assert!(why(&text, &key).contains("text.pem: the key belongs to certificate 2 in it"));
    }

    /// Files as operators' tools make them.
    #[test]
    fn files_of_openssl() {
        let directory = tempfile::tempdir().unwrap();
        let script = "set -e\n\
            openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 30 -subj /CN=RootCA\n\
            openssl genrsa -traditional -out k.key 2048\n\
            openssl req -new -key k.key -out k.csr -subj /CN=old.example.com\n\
            openssl x509 -req -in k.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out v1.crt -days 20\n\
            printf 'subjectAltName=DNS:old.example.com\\n' > ext\n\
            openssl x509 -req -in k.csr -CA ca.crt -CAkey ca.key -out good.crt -days 20 -extfile ext\n\
            (printf '\\357\\273\\277'; cat good.crt; printf '\\357\\273\\277'; cat ca.crt) > bom.crt\n\
            (printf '\\357\\273\\277'; cat k.key) > bom.key\n\
            openssl rsa -traditional -aes128 -passout pass:x -in k.key -out enc.key\n\
            openssl pkey -aes128 -passout pass:x -in k.key -out enc8.key\n";
        let made = std::process::Command::new("sh")
            .args(["-c", script])
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let load = |chain: &str, key: &str| {
            let source = CertificateSource::Files {
                chain: directory.path().join(chain),
                key: directory.path().join(key),
            };
            Certificate::load(&source)
        };
        let bom = load("bom.crt", "bom.key").unwrap();
        assert_eq!(bom.chain().len(), 2);
        for (chain, key, blamed, words) in [
            ("v1.crt", "k.key", "v1.crt: ", "X.509 version 1"),
            ("good.crt", "enc.key", "enc.key: ", "it is encrypted"),
            ("good.crt", "enc8.key", "enc8.key: ", "openssl pkey -in"),
        ] {
            let why = load(chain, key).unwrap_err().to_string();
            assert!(why.contains(blamed) && why.contains(words), "{why}");
        }
        let now = std::time::SystemTime::now();
        let found = load("good.crt", "k.key")
            .unwrap()
            .warnings(Some("new.test"), now);
        assert!(
            found[0].contains("for old.example.com, not for new.test"),
            "{found:?}"
        );
    }
}
