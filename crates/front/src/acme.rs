//! A certificate by ACME (RFC 8555): asked for, proven over HTTP (HTTP-01) or TLS (TLS-ALPN-01, RFC 8737), and asked for
//! again when two thirds of its life are over.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::certificate::{Certificate, acme_file, keep_private, write_private};
use crate::served::{Certificates, Proof};

/// Wait after the first failure; three times as long after each further one. Authorities allow about five an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(120);
/// The longest wait after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);
/// The longest sleep: clocks jump, and machines are suspended.
const LONGEST_SLEEP: Duration = Duration::from_secs(12 * 3600);
/// How long an authority may take to look at a proof, or to issue.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_secs(90));

/// What to ask for, and whom.
#[derive(Clone, Debug)]
pub struct AcmeConfig {
    /// URL of the authority's directory.
    pub directory: String,
    /// Root certificate that vouches for the directory, PEM; else what the machine trusts.
    pub root: Option<PathBuf>,
    /// Where the authority writes to.
    pub email: Option<String>,
    /// The name to have a certificate for.
    pub host: String,
    /// Where account and certificate are kept.
    pub state: PathBuf,
    /// Whether the world reaches this server's plain HTTP on port 80.
    pub http: bool,
}

/// The account as it is kept.
#[derive(Deserialize, Serialize)]
struct KeptAccount {
    directory: String,
    credentials: AccountCredentials,
}

/// Has a certificate and keeps having one, for ever.
pub async fn keep(config: AcmeConfig, certificates: Certificates) {
    let mut failures: u32 = 0;
    loop {
        let wait = until_due(&certificates.current(), &config.host, SystemTime::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
            continue;
        }
        let way = way(&config, failures);
        match ask(&config, &certificates, &way).await {
            Ok(()) => {
                failures = 0;
                tracing::info!(
                    host = config.host,
                    "the certificate authority issued a certificate"
                );
            }
            Err(reason) => {
                let pause = pause(failures);
                failures = failures.saturating_add(1);
                tracing::warn!(
                    host = config.host,
                    directory = config.directory,
                    ?way,
                    reason,
                    again_in_minutes = pause.as_secs() / 60,
                    "no certificate by ACME; the one of before, or a self-signed one, is served meanwhile"
                );
                tokio::time::sleep(pause).await;
            }
        }
    }
}

fn pause(failures: u32) -> Duration {
    let factor = 3u32.saturating_pow(failures.min(10));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

/// Over HTTP first, where there is any, and over TLS every second time: often only one of the ports is open to the world.
fn way(config: &AcmeConfig, failures: u32) -> ChallengeType {
    if config.http && failures.is_multiple_of(2) {
        ChallengeType::Http01
    } else {
        ChallengeType::TlsAlpn01
    }
}

/// How long until another one is due; nothing when it is.
fn until_due(current: &Certificate, host: &str, now: SystemTime) -> Duration {
    let Some((from, until)) = current.validity().filter(|_| current.is_issued_for(host)) else {
        return Duration::ZERO;
    };
    let life = until.duration_since(from).unwrap_or_default();
    (from + life * 2 / 3)
        .duration_since(now)
        .unwrap_or_default()
}

async fn ask(
    config: &AcmeConfig,
    certificates: &Certificates,
    way: &ChallengeType,
) -> Result<(), String> {
    let account = account(config).await?;
    let identifiers = [Identifier::Dns(config.host.clone())];
    let mut order = account
        .new_order(&NewOrder::new(&identifiers))
        .await
        .map_err(said)?;
    let proofs = prove(&mut order, &config.host, certificates, way).await?;
    let status = order.poll_ready(&PATIENCE).await;
    if !matches!(status, Ok(OrderStatus::Ready)) {
        return Err(match objection(&mut order).await {
            Some(objection) => objection,
            None => status.map_or_else(said, |status| format!("the order is {status:?}")),
        });
    }
    drop(proofs);
    let key = order.finalize().await.map_err(said)?;
    let chain = order.poll_certificate(&PATIENCE).await.map_err(said)?;
    write_private(
        &acme_file(&config.state),
        format!("{key}{chain}").as_bytes(),
    )
    .map_err(|error| error.to_string())?;
    certificates.reload().map_err(|error| error.to_string())?;
    Ok(())
}

/// Stands ready for the authority's questions and tells it so.
async fn prove(
    order: &mut Order,
    host: &str,
    certificates: &Certificates,
    way: &ChallengeType,
) -> Result<Vec<Proof>, String> {
    let mut proofs = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(said)?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => return Err(format!("the authorization is {status:?}")),
        }
        let mut challenge = authorization
            .challenge(way.clone())
            .ok_or_else(|| format!("the authority does not ask by {way:?}"))?;
        let answer = challenge.key_authorization();
        proofs.push(match way {
            ChallengeType::Http01 => {
                certificates.prove_over_http(&challenge.token, answer.as_str())
            }
            _ => certificates.prove_over_tls(host, proof(host, answer.digest().as_ref())?),
        });
        challenge.set_ready().await.map_err(said)?;
    }
    Ok(proofs)
}

/// A self-signed certificate with the digest the authority asks for (RFC 8737, section 3).
fn proof(host: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    let wrong = |error: rcgen::Error| error.to_string();
    let mut params = CertificateParams::new([host.to_owned()]).map_err(wrong)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let pair = KeyPair::generate().map_err(wrong)?;
    let certificate = params.self_signed(&pair).map_err(wrong)?;
    let key = PrivateKeyDer::try_from(pair.serialize_der())?;
    let key = aws_lc_rs::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    Ok(CertifiedKey::new(vec![certificate.der().clone()], key))
}

/// What the authority found when it looked, in its words.
async fn objection(order: &mut Order) -> Option<String> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let state = authorization.refresh().await.ok()?;
        let error = state
            .challenges
            .iter()
            .find_map(|challenge| challenge.error.as_ref());
        if let Some(error) = error {
            return Some(error.detail.clone().unwrap_or_else(|| error.to_string()));
        }
    }
    None
}

/// The account that is kept, or another one.
async fn account(config: &AcmeConfig) -> Result<Account, String> {
    let builder = match &config.root {
        Some(root) => Account::builder_with_root(root),
        None => Account::builder(),
    }
    .map_err(said)?;
    let path = config.state.join("acme-account.json");
    let kept = std::fs::read_to_string(&path).ok();
    keep_private(&path);
    let kept = kept
        .and_then(|text| serde_json::from_str::<KeptAccount>(&text).ok())
        .filter(|kept| kept.directory == config.directory);
    if let Some(kept) = kept {
        return builder
            .from_credentials(kept.credentials)
            .await
            .map_err(said);
    }
    let contact = config.email.as_ref().map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    let new = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let (account, credentials) = builder
        .create(&new, config.directory.clone(), None)
        .await
        .map_err(said)?;
    let kept = KeptAccount {
        directory: config.directory.clone(),
        credentials,
    };
    let text = serde_json::to_string(&kept).map_err(|error| error.to_string())?;
    write_private(&path, text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(account)
}

/// An error with all that is behind it: the outermost words alone seldom tell.
fn said(error: Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
