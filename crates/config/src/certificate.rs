//! Which certificate the web server has: the operator's, one by ACME, or a self-signed one.

use std::net::IpAddr;
use std::path::PathBuf;

/// Where Let's Encrypt takes orders.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The same for trying: its certificates are trusted by nobody.
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// How a certificate is had by ACME (RFC 8555).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// URL of the directory of the certificate authority.
    pub directory: String,
    /// Root certificate of a directory that is not of the public web, PEM.
    pub root: Option<PathBuf>,
    /// Where the authority writes to.
    pub email: Option<String>,
    /// The name to have a certificate for.
    pub host: String,
}

/// What was written about it.
pub(crate) struct Written {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) acme: Option<String>,
    pub(crate) email: Option<String>,
    pub(crate) root: Option<PathBuf>,
    /// The host people type, else the domain.
    pub(crate) host: String,
    /// Whether HTTPS is served at all.
    pub(crate) https: bool,
}

/// A mistake: key, what is wrong, what to do.
pub(crate) type Mistake = (&'static str, String, &'static str);

impl Written {
    /// The operator's files, if both are named.
    pub(crate) fn files(&self) -> Result<Option<(PathBuf, PathBuf)>, Mistake> {
        match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
            (None, None) => Ok(None),
            (Some(_), None) => Err((
                "front.certificate",
                "has no private key".to_owned(),
                "set front.key too",
            )),
            (None, Some(_)) => Err((
                "front.key",
                "has no certificate".to_owned(),
                "set front.certificate too",
            )),
        }
    }

    /// The order of a certificate, if there is one.
    pub(crate) fn acme(self) -> Result<Option<AcmeSettings>, Mistake> {
        let Some(acme) = self.acme else {
            let idle = "is of no use without front.acme".to_owned();
            let what_to_do = "write \"letsencrypt\" there";
            return match (self.email, self.root) {
                (Some(_), _) => Err(("front.acme_email", idle, what_to_do)),
                (None, Some(_)) => Err(("front.acme_root", idle, what_to_do)),
                (None, None) => Ok(None),
            };
        };
        let wrong = |problem: String, fix| Err(("front.acme", problem, fix));
        let directory = match acme.as_str() {
            "letsencrypt" => LETS_ENCRYPT.to_owned(),
            "letsencrypt-staging" => LETS_ENCRYPT_STAGING.to_owned(),
            url if url.starts_with("https://") => url.to_owned(),
            _ => {
                return wrong(
                    format!("\"{acme}\" is no certificate authority"),
                    "write \"letsencrypt\", \"letsencrypt-staging\", or the https address of an ACME directory",
                );
            }
        };
        if self.certificate.is_some() {
            return wrong(
                "is of no use beside front.certificate".to_owned(),
                "remove one of them",
            );
        }
        if !self.https {
            return wrong(
                "is of no use with front.https off".to_owned(),
                "the proxy that ends TLS has the certificate",
            );
        }
        let host = self.host;
        let public = host.contains('.') && !host.ends_with(".internal");
        if !public || host.parse::<IpAddr>().is_ok() {
            return wrong(
                format!("needs a name that the world can look up, and \"{host}\" is none"),
                "set front.public_url to the address people use",
            );
        }
        Ok(Some(AcmeSettings {
            directory,
            root: self.root,
            email: self.email,
            host,
        }))
    }
}
