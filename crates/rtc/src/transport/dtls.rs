//! DTLS 1.2 (RFC 6347) with SRTP keying (RFC 5764): the handshake, the check of the peer's certificate, and records.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use dimpl::{Dtls, Output, SrtpProfile};

use super::FailReason;
use crate::srtp::{self, DtlsRole, Inbound, Outbound, Profile};
use crate::{Certificate, Fingerprint};

/// Room for one record; larger ones do not occur below our MTU.
const RECORD_ROOM: usize = 2048;
/// Largest record that is asked for.
const MAX_RECORD: usize = 20_000;

/// What came out of the association.
pub(super) enum DtlsEvent {
    /// A datagram for the peer.
    Send(Vec<u8>),
    /// Application data: an SCTP packet.
    Data(Vec<u8>),
    /// It failed.
    Failed(FailReason),
    /// The peer said goodbye.
    Closed,
}

impl DtlsEvent {
    /// The datagram for the peer.
    pub(super) fn sent(&self) -> Option<&[u8]> {
        match self {
            Self::Send(datagram) => Some(datagram),
            _ => None,
        }
    }
}

/// One DTLS association.
pub(super) struct Association {
    dtls: Dtls,
    role: DtlsRole,
    timeout: Option<Instant>,
    verified: bool,
    contexts: Option<Box<(Inbound, Outbound)>>,
    connected: bool,
    dead: bool,
    buf: Vec<u8>,
}

impl Association {
    /// Begins an association; the client's first flight comes out of the first [`Association::poll`].
    pub(super) fn new(now: Instant, certificate: &Certificate, role: DtlsRole) -> Self {
        let mut dtls = Dtls::new_12(
            Arc::clone(certificate.dtls_config()),
            certificate.dtls(),
            now,
        );
        dtls.set_active(role == DtlsRole::Client);
        Self {
            dtls,
            role,
            timeout: Some(now),
            verified: false,
            contexts: None,
            connected: false,
            dead: false,
            buf: vec![0; RECORD_ROOM],
        }
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connected && !self.dead
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.timeout.filter(|_| !self.dead)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<FailReason> {
        let failed = !self.dead && self.dtls.handle_timeout(now).is_err();
        self.fail_if(failed)
    }

    /// Takes a datagram from a path that ICE has validated.
    pub(super) fn handle(&mut self, now: Instant, datagram: &[u8]) -> Option<FailReason> {
        if self.dead {
            return None;
        }
        let failed =
            self.dtls.handle_timeout(now).is_err() || self.dtls.handle_packet(datagram).is_err();
        self.fail_if(failed)
    }

    pub(super) fn send(&mut self, data: &[u8]) -> Option<FailReason> {
        let failed = self.is_connected() && self.dtls.send_application_data(data).is_err();
        self.fail_if(failed)
    }

    pub(super) fn close(&mut self) {
        if !self.dead {
            // Nothing more can be done about a failure to say goodbye.
            let _ = self.dtls.close();
        }
    }

    fn fail_if(&mut self, failed: bool) -> Option<FailReason> {
        self.dead |= failed;
        failed.then_some(FailReason::Dtls)
    }

    /// Drains the association into `events`. `signalled` are the fingerprints that the peer may have.
    pub(super) fn poll(&mut self, signalled: &[Fingerprint], events: &mut VecDeque<DtlsEvent>) {
        while !self.dead {
            match self.dtls.poll_output(&mut self.buf) {
                Output::Packet(packet) => events.push_back(DtlsEvent::Send(packet.to_vec())),
                Output::Timeout(at) => {
                    self.timeout = Some(at);
                    return;
                }
                Output::BufferTooSmall { needed } => {
                    if needed > MAX_RECORD {
                        self.die(FailReason::Dtls, events);
                    } else {
                        self.buf.resize(needed, 0);
                    }
                }
                Output::PeerCert(der) => {
                    self.verified = Fingerprint::any_matches(signalled, der);
                    if !self.verified {
                        self.die(FailReason::Fingerprint, events);
                    }
                }
                Output::KeyingMaterial(material, profile) => {
                    self.contexts = profile_of(profile)
                        .and_then(|p| srtp::contexts(p, &material, self.role))
                        .map(Box::new);
                }
                Output::Connected => self.connected = true,
                Output::ApplicationData(data) => events.push_back(DtlsEvent::Data(data.to_vec())),
                Output::CloseNotify => {
                    self.dead = true;
                    events.push_back(DtlsEvent::Closed);
                }
                _ => {}
            }
        }
    }

    /// Hands out the SRTP contexts once everything is in place. Called after [`Association::poll`], because the
    /// order of its outputs is the library's affair.
    pub(super) fn take_connected(
        &mut self,
        events: &mut VecDeque<DtlsEvent>,
    ) -> Option<Box<(Inbound, Outbound)>> {
        if !self.connected || self.dead {
            return None;
        }
        if !self.verified {
            self.die(FailReason::Fingerprint, events);
            return None;
        }
        self.contexts.take()
    }

    fn die(&mut self, reason: FailReason, events: &mut VecDeque<DtlsEvent>) {
        self.dead = true;
        events.push_back(DtlsEvent::Failed(reason));
    }
}

impl std::fmt::Debug for Association {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Association")
            .field("role", &self.role)
            .field("connected", &self.connected)
            .finish()
    }
}

fn profile_of(profile: SrtpProfile) -> Option<Profile> {
    match profile {
        SrtpProfile::AEAD_AES_128_GCM => Some(Profile::AeadAes128Gcm),
        SrtpProfile::AEAD_AES_256_GCM => Some(Profile::AeadAes256Gcm),
        SrtpProfile::AES128_CM_SHA1_80 => Some(Profile::AesCm128HmacSha1_80),
        _ => None,
    }
}
