//! SRTP and SRTCP (RFC 3711, RFC 7714): keys expanded once, packets protected and unprotected in place.

mod cipher;
mod error;
mod gcm;
mod keys;
mod streams;
#[cfg(test)]
mod tests;

use rtp::RtpHeader;

pub use error::SrtpError;
use keys::Keys;
pub use keys::Profile;
use streams::Streams;

/// Which end of the DTLS association we are; decides which keys are whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// We sent the ClientHello.
    Client,
    /// The peer did.
    Server,
}

/// Most bytes that protection adds to a packet.
pub const MAX_OVERHEAD: usize = 20;
/// Sources remembered for receiving; beyond it the longest unused is forgotten.
const MAX_INBOUND_SOURCES: usize = 1024;
/// Sources ever used for sending; none may be forgotten while the key lives.
const MAX_OUTBOUND_SOURCES: usize = 16_384;
/// Largest SRTCP index.
const MAX_RTCP_INDEX: u32 = (1 << 31) - 1;

/// Splits the keying material of DTLS-SRTP (RFC 5764 §4.2: client key, server key, client salt, server salt) and
/// expands the keys of both directions. `None` where its length is not the profile's.
pub fn contexts(profile: Profile, material: &[u8], role: DtlsRole) -> Option<(Inbound, Outbound)> {
    let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
    if material.len() != 2 * (key_len + salt_len) {
        return None;
    }
    let (keys, salts) = material.split_at(2 * key_len);
    let (client_key, server_key) = keys.split_at(key_len);
    let (client_salt, server_salt) = salts.split_at(salt_len);
    let client = Keys::new(profile, client_key, client_salt)?;
    let server = Keys::new(profile, server_key, server_salt)?;
    let secret = secret_of(material);
    let (ours, theirs) = match role {
        DtlsRole::Client => (client, server),
        DtlsRole::Server => (server, client),
    };
    let inbound = Inbound {
        keys: theirs,
        rtp: Streams::new(secret),
        rtcp: Streams::new(secret),
    };
    let outbound = Outbound {
        keys: ours,
        rtp: Streams::new(secret),
        rtcp_index: 0,
    };
    Some((inbound, outbound))
}

/// A secret for hashing, which tells nothing of the keys.
fn secret_of(material: &[u8]) -> u64 {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, material);
    digest
        .as_ref()
        .first_chunk()
        .map_or(1, |b| u64::from_be_bytes(*b))
}

/// Unprotects what the peer sends.
#[derive(Debug)]
pub struct Inbound {
    keys: Keys,
    rtp: Streams,
    rtcp: Streams,
}

impl Inbound {
    /// The profile in use.
    pub fn profile(&self) -> Profile {
        self.keys.profile
    }

    /// Has fetched what [`Self::unprotect_rtcp`] needs ([`crate::ahead`]).
    pub fn fetch_for_rtcp(&self) {
        self.keys.fetch_rtcp();
        self.rtcp.fetch();
    }

    /// Authenticates and decrypts an SRTP packet in place and returns the length of the plaintext packet, which starts
    /// where the SRTP packet did. On error the bytes are undefined.
    ///
    /// # Errors
    /// [`SrtpError`].
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = RtpHeader::parse_encrypted(packet).map_err(|_| SrtpError::Malformed)?;
        let ssrc = header.ssrc.0;
        let index = match self.rtp.get(ssrc) {
            None => u64::from(header.sequence_number),
            Some(window) => window
                .index_of(header.sequence_number)
                .filter(|i| window.is_free(*i))
                .ok_or(SrtpError::Replayed)?,
        };
        let len = self
            .keys
            .open_rtp(packet, usize::from(header.header_len), ssrc, index)?;
        note(&mut self.rtp, ssrc, index);
        Ok(len)
    }

    /// The same for SRTCP.
    ///
    /// # Errors
    /// [`SrtpError`].
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let ssrc = rtcp_sender(packet).ok_or(SrtpError::Malformed)?;
        let index = u64::from(self.keys.rtcp_index(packet).ok_or(SrtpError::Malformed)?);
        if self.rtcp.get(ssrc).is_some_and(|w| !w.is_free(index)) {
            return Err(SrtpError::Replayed);
        }
        let len = self.keys.open_rtcp(packet, ssrc)?;
        note(&mut self.rtcp, ssrc, index);
        Ok(len)
    }
}

/// Remembers an authentic packet's index. Only authentic packets make a source known.
fn note(streams: &mut Streams, ssrc: u32, index: u64) {
    if streams.len() >= MAX_INBOUND_SOURCES && streams.get(ssrc).is_none() {
        streams.evict_oldest();
    }
    if let Some(window) = streams.entry(ssrc, MAX_INBOUND_SOURCES) {
        window.mark(index);
    }
}

/// Protects what we send.
///
/// The rule that keeps counter modes secure is enforced here: each (SSRC, sequence number with its rollover) is
/// encrypted once, ever. A resend without RTX must send the stored ciphertext.
#[derive(Debug)]
pub struct Outbound {
    keys: Keys,
    rtp: Streams,
    rtcp_index: u32,
}

impl Outbound {
    /// The profile in use.
    pub fn profile(&self) -> Profile {
        self.keys.profile
    }

    /// Has fetched what [`Self::protect`] needs ([`crate::ahead`]).
    pub fn fetch(&self) {
        self.keys.fetch_rtp();
        self.rtp.fetch();
    }

    /// Bytes that protection adds to an RTP packet: 16 (GCM) or 10.
    pub fn rtp_overhead(&self) -> usize {
        self.keys.profile.tag_len()
    }

    /// Encrypts in place the plaintext RTP packet in the first `len` bytes of `buf` and returns the length of the SRTP
    /// packet. `buf` needs [`Outbound::rtp_overhead`] bytes more. A source's sequence numbers should start below
    /// 32,768 and may be out of order by up to 1,023; the second packet of an index is [`SrtpError::IndexReused`].
    ///
    /// # Errors
    /// [`SrtpError`].
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let packet = buf.get(..len).ok_or(SrtpError::NoRoom)?;
        let header = RtpHeader::parse_encrypted(packet).map_err(|_| SrtpError::Malformed)?;
        let header_len = usize::from(header.header_len);
        self.protect(buf, header_len, len, header.ssrc.0, header.sequence_number)
    }

    /// As [`Outbound::protect_rtp`], for who has just written the header and knows what is in it.
    ///
    /// # Errors
    /// [`SrtpError`].
    #[inline]
    pub fn protect(
        &mut self,
        buf: &mut [u8],
        header_len: usize,
        len: usize,
        ssrc: u32,
        sequence_number: u16,
    ) -> Result<usize, SrtpError> {
        if buf.len() < len + self.rtp_overhead() {
            return Err(SrtpError::NoRoom);
        }
        let window = self
            .rtp
            .entry(ssrc, MAX_OUTBOUND_SOURCES)
            .ok_or(SrtpError::TooManySources)?;
        let index = window
            .index_of(sequence_number)
            .filter(|i| window.is_free(*i))
            .ok_or(SrtpError::IndexReused)?;
        // Marked first: should sealing fail half way, the index is lost rather than used again.
        window.mark(index);
        self.keys.seal_rtp(buf, header_len, len, ssrc, index)
    }

    /// Encrypts in place the RTCP compound in the first `len` bytes of `buf` and returns the length of the SRTCP
    /// packet. `buf` needs [`MAX_OVERHEAD`] bytes more.
    ///
    /// # Errors
    /// [`SrtpError`].
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let packet = buf.get(..len).ok_or(SrtpError::NoRoom)?;
        let ssrc = rtcp_sender(packet).ok_or(SrtpError::Malformed)?;
        if self.rtcp_index >= MAX_RTCP_INDEX {
            return Err(SrtpError::Exhausted);
        }
        // One counter for all senders: indices only need to differ per sender.
        self.rtcp_index += 1;
        self.keys.seal_rtcp(buf, len, ssrc, self.rtcp_index)
    }
}

/// Sender of the first packet of a compound.
fn rtcp_sender(packet: &[u8]) -> Option<u32> {
    let head: &[u8; 8] = packet.first_chunk()?;
    (head[0] >> 6 == 2).then(|| u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
}
