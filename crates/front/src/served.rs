//! The certificate that is served. It changes while the server runs, and beside it stand the answers to a certificate
//! authority that asks whether this server has its name (RFC 8555, section 8).

use std::collections::BTreeMap;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::certificate::{Certificate, CertificateSource};
use crate::error::FrontError;

/// The protocol by which an authority asks (RFC 8737, section 6.2).
pub(crate) const ACME_TLS: &[u8] = b"acme-tls/1";
/// Time between two looks at the files.
const LOOK: Duration = Duration::from_secs(5);
/// Time after which it is read anew although no file has changed, and what is wrong with it is told again.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The certificate of a server, for those who serve it, change it and watch it.
#[derive(Clone)]
pub struct Certificates(Arc<Shared>);

struct Shared {
    source: CertificateSource,
    current: RwLock<Current>,
    /// Certificates that answer an authority, by host.
    proofs: RwLock<BTreeMap<String, Arc<CertifiedKey>>>,
    /// Texts that answer an authority over HTTP, by token.
    texts: RwLock<BTreeMap<String, String>>,
}

#[derive(Clone)]
struct Current {
    certificate: Arc<Certificate>,
    key: Arc<CertifiedKey>,
    /// Of the files, before they were read.
    signature: Signature,
}

/// Changes when a file does.
type Signature = Vec<Option<(u64, i64, i64, u64)>>;

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificates").field(&self.0.source).finish()
    }
}

impl Certificates {
    /// Reads the certificate, or makes a self-signed one.
    ///
    /// # Errors
    /// As [`Certificate::load`].
    pub fn load(source: CertificateSource) -> Result<Self, FrontError> {
        let current = Current::load(&source)?;
        Ok(Self(Arc::new(Shared {
            source,
            current: RwLock::new(current),
            proofs: RwLock::default(),
            texts: RwLock::default(),
        })))
    }

    /// What is served now.
    pub fn current(&self) -> Arc<Certificate> {
        self.0.current().certificate
    }

    /// Reads the certificate anew: new connections get it, those that are there stay. Whether it is another one.
    ///
    /// # Errors
    /// As [`Certificate::load`]; the one of before is served on then.
    pub fn reload(&self) -> Result<bool, FrontError> {
        let new = Current::load(&self.0.source)?;
        if new.certificate.fingerprint() == self.current().fingerprint() {
            return Ok(false);
        }
        *self
            .0
            .current
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    /// Reads it anew when its files change, or when somebody tells, for ever. The log has what became of it, and
    /// once a day what clients will find wrong with it under the name `host`.
    pub async fn watch(self, host: Option<String>, told: Arc<Notify>) {
        let mut seen = self.0.current().signature;
        let mut tried = seen.clone();
        let mut day = Instant::now() + DAY;
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(LOOK) => false,
                () = told.notified() => true,
            };
            let due = Instant::now() >= day;
            let now = signature(&self.0.source);
            // Certificate and key are written one after the other: what has just changed is looked at when it is still so.
            let settled = now == std::mem::replace(&mut tried, now.clone());
            if asked || due || (now != seen && settled) {
                seen = now;
                self.take_up(asked);
            }
            if due {
                day = Instant::now() + DAY;
                for warning in self.current().warnings(host.as_deref(), SystemTime::now()) {
                    tracing::warn!("the certificate of the web server: {warning}");
                }
            }
        }
    }

    fn take_up(&self, asked: bool) {
        match self.reload() {
            Ok(true) => {
                let until = self.current().validity().map(|(_from, until)| until);
                let days = until
                    .and_then(|until| until.duration_since(SystemTime::now()).ok())
                    .map_or(0, |left| left.as_secs() / (24 * 3600));
                tracing::info!(days, "the certificate of the web server is another one now");
            }
            Ok(false) if asked => {
                tracing::info!("the certificate of the web server is the same as before");
            }
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the certificate of before is served on"),
        }
    }

    /// TLS settings of a server that serves it, for HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When TLS cannot be set up at all.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, rustls::Error> {
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()?
                .with_no_client_auth()
                .with_cert_resolver(self.0.clone());
        config.alpn_protocols = [b"h2".as_slice(), b"http/1.1", ACME_TLS]
            .map(<[u8]>::to_vec)
            .to_vec();
        Ok(config)
    }

    /// Answers whoever asks for `token` over HTTP with `text`, until the proof is dropped.
    pub(crate) fn prove_over_http(&self, token: &str, text: &str) -> Proof {
        let mut texts = self.0.texts.write().unwrap_or_else(PoisonError::into_inner);
        texts.insert(token.to_owned(), text.to_owned());
        Proof::Http(self.clone(), token.to_owned())
    }

    /// Serves this certificate to whoever asks for `host` by [`ACME_TLS`], until the proof is dropped.
    pub(crate) fn prove_over_tls(&self, host: &str, key: CertifiedKey) -> Proof {
        let mut proofs = self
            .0
            .proofs
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        proofs.insert(host.to_owned(), Arc::new(key));
        Proof::Tls(self.clone(), host.to_owned())
    }

    /// The text to a token that somebody asks for over HTTP.
    pub(crate) fn text(&self, token: &str) -> Option<String> {
        let texts = self.0.texts.read().unwrap_or_else(PoisonError::into_inner);
        texts.get(token).cloned()
    }
}

/// An answer to an authority, as long as it lives.
pub(crate) enum Proof {
    Http(Certificates, String),
    Tls(Certificates, String),
}

impl Drop for Proof {
    fn drop(&mut self) {
        match self {
            Self::Http(Certificates(shared), token) => {
                let mut texts = shared.texts.write().unwrap_or_else(PoisonError::into_inner);
                texts.remove(token);
            }
            Self::Tls(Certificates(shared), host) => {
                let mut proofs = shared
                    .proofs
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                proofs.remove(host);
            }
        }
    }
}

fn signature(source: &CertificateSource) -> Signature {
    let of = |path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
    };
    source.files().into_iter().map(of).collect()
}

impl Current {
    fn load(source: &CertificateSource) -> Result<Self, FrontError> {
        let signature = signature(source);
        let certificate = Certificate::load(source)?;
        let key = certificate
            .certified_key()
            .map_err(|error| FrontError::Certificate {
                path: source.files().into_iter().next().unwrap_or_default(),
                problem: error.to_string(),
            })?;
        Ok(Self {
            certificate: Arc::new(certificate),
            key: Arc::new(key),
            signature,
        })
    }
}

impl Shared {
    fn current(&self) -> Current {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Shared {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello
            .alpn()
            .is_some_and(|mut names| names.any(|name| name == ACME_TLS))
        {
            let proofs = self.proofs.read().unwrap_or_else(PoisonError::into_inner);
            return proofs.get(hello.server_name()?).cloned();
        }
        Some(self.current().key)
    }
}
