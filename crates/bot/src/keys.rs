//! The SRTP keys of str0m's sessions: it has no word for them, but asks its cryptography for DTLS, and that is told here.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use rtc::srtp::{DtlsRole, Outbound, Profile, contexts};
use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider};
use str0m::crypto::dtls::{ProtocolVersion, SrtpProfile};

thread_local! {
    /// Of the handshake that ended last in this thread, until they are taken.
    static LAST: RefCell<Option<Keys>> = const { RefCell::new(None) };
}

/// What a handshake agreed on (RFC 5764 §4.2).
pub(crate) struct Keys {
    profile: Profile,
    material: Vec<u8>,
}

impl Keys {
    /// Those of the handshake that ended in this thread since the last call.
    pub(crate) fn take() -> Option<Self> {
        LAST.with_borrow_mut(Option::take)
    }

    /// What the DTLS client sends with.
    pub(crate) fn outbound(&self) -> Option<Outbound> {
        contexts(self.profile, &self.material, DtlsRole::Client).map(|(_, outbound)| outbound)
    }

    fn note(profile: SrtpProfile, material: &[u8]) {
        let profile = match profile {
            SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
            SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
            _ => Profile::AesCm128HmacSha1_80,
        };
        let material = material.to_vec();
        LAST.set(Some(Self { profile, material }));
    }
}

/// str0m's own cryptography, whose handshakes are seen here.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static WATCHED: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let watched = WATCHED.get_or_init(|| {
        let mut provider = str0m::crypto::from_feature_flags();
        provider.dtls_provider = Box::leak(Box::new(Watched(provider.dtls_provider)));
        Arc::new(provider)
    });
    watched.clone()
}

#[derive(Debug)]
struct Watched(&'static dyn DtlsProvider);

impl DtlsProvider for Watched {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        self.0.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let dtls = self.0.new_dtls(certificate, now, version, mtu)?;
        Ok(Box::new(WatchedDtls(dtls)))
    }

    fn is_test(&self) -> bool {
        self.0.is_test()
    }
}

#[derive(Debug)]
struct WatchedDtls(Box<dyn DtlsInstance>);

impl DtlsInstance for WatchedDtls {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.0.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, profile) = &output {
            Keys::note(*profile, material);
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
