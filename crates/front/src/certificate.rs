//! Certificates: the operator's, or a self-signed one made once and kept.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ::aws_lc_rs::digest;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::FrontError;

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
            CertificateSource::Files { chain, key } => Self::read(chain, key),
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
                Self::read(&chain, &key)
            }
        }
    }

    fn read(chain_path: &Path, key_path: &Path) -> Result<Self, FrontError> {
        let wrong = |path: &Path, problem: String| FrontError::Certificate {
            path: path.to_owned(),
            problem,
        };
        let chain = CertificateDer::pem_file_iter(chain_path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(chain_path, pem_problem(&error)))?;
        if chain.is_empty() {
            return Err(wrong(
                chain_path,
                "there is no certificate in it".to_owned(),
            ));
        }
        let key = PrivateKeyDer::from_pem_file(key_path)
            .map_err(|error| wrong(key_path, pem_problem(&error)))?;
        let certificate = Self { chain, key };
        // Said now, by name, rather than at the first handshake.
        certificate.server_config(&[]).map_err(|error| {
            let problem = match error {
                rustls::Error::InconsistentKeys(_) => {
                    "it is not the key of the certificate".to_owned()
                }
                other => other.to_string(),
            };
            wrong(key_path, problem)
        })?;
        Ok(certificate)
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

fn pem_problem(error: &rustls::pki_types::pem::Error) -> String {
    use rustls::pki_types::pem::Error;
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::NotFound => {
            "there is no such file".to_owned()
        }
        Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "this user may not read it".to_owned()
        }
        Error::Io(error) => error.to_string(),
        Error::NoItemsFound => "there is no PEM item of the right kind in it".to_owned(),
        _ => "it is not in PEM format".to_owned(),
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
        let now = std::time::SystemTime::now();
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
        assert!(why(&chain, &chain).contains("no PEM item of the right kind"));
        let foreign = other.path().join("state/web-key.pem");
        assert!(
            why(&chain, &foreign).ends_with("web-key.pem: it is not the key of the certificate")
        );
    }
}
