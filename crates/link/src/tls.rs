//! How a server's certificate is checked.

use std::sync::Arc;

use aws_lc_rs::{constant_time, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::TlsVerify;

/// The TLS settings for one way of checking.
pub(crate) fn client_config(verify: &TlsVerify) -> Result<Arc<ClientConfig>, Error> {
    let crypto = Arc::new(provider::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto))
        .with_safe_default_protocol_versions()?;
    let config = match verify {
        TlsVerify::Roots(roots) => builder
            .with_root_certificates(Arc::clone(roots))
            .with_no_client_auth(),
        TlsVerify::Fingerprint(digest) => own(builder, Some(*digest), crypto),
        TlsVerify::None => own(builder, None, crypto),
    };
    Ok(Arc::new(config))
}

fn own(
    builder: rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>,
    fingerprint: Option<[u8; 32]>,
    crypto: Arc<CryptoProvider>,
) -> ClientConfig {
    builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned {
            fingerprint,
            crypto,
        }))
        .with_no_client_auth()
}

/// Accepts one certificate, or any.
#[derive(Debug)]
struct Pinned {
    fingerprint: Option<[u8; 32]>,
    crypto: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(expected) = &self.fingerprint else {
            return Ok(ServerCertVerified::assertion());
        };
        let actual = digest::digest(&digest::SHA256, end_entity);
        if constant_time::verify_slices_are_equal(actual.as_ref(), expected).is_ok() {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            signature,
            &self.crypto.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            signature,
            &self.crypto.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto
            .signature_verification_algorithms
            .supported_schemes()
    }
}
