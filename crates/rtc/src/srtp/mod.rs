//! SRTP and SRTCP (RFC 3711, RFC 7714): keys expanded once, packets protected and unprotected in place.

use crate::srtp::keys::Keys;

mod keys;

/// A protection profile (RFC 5764 §4.1.2, RFC 7714 §14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// SRTP_AEAD_AES_128_GCM.
    AeadAes128Gcm,
    /// SRTP_AEAD_AES_256_GCM.
    AeadAes256Gcm,
    /// SRTP_AES128_CM_HMAC_SHA1_80.
    AesCm128HmacSha1_80,
}

/// Why a packet is not protected or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SrtpError {
    /// Not an RTP or RTCP packet, or too short.
    #[error("malformed packet")]
    Malformed,
    /// The authentication tag is wrong: not from the peer.
    #[error("authentication failed")]
    Authentication,
    /// The index was seen already, or is older than the window.
    #[error("replayed packet")]
    Replayed,
    /// This index of this source was used: a second packet under it would break the cipher.
    #[error("packet index used twice")]
    IndexReused,
    /// More sources than the limit.
    #[error("too many sources")]
    TooManySources,
    /// The buffer has no room for the tag.
    #[error("output buffer too small")]
    NoRoom,
    /// A key has protected as many packets as it may.
    #[error("key exhausted")]
    Exhausted,
}

/// Most bytes that protection adds to a packet.
pub const MAX_OVERHEAD: usize = 20;

/// Unprotects what the peer sends.
#[derive(Debug)]
pub struct Inbound {
    keys: Keys,
}

/// Protects what we send.
#[derive(Debug)]
pub struct Outbound {
    keys: Keys,
}

impl Inbound {
    /// The profile in use.
    pub fn profile(&self) -> Profile {
        self.keys.profile()
    }

    /// Authenticates and decrypts an SRTP packet in place and returns the length of the plaintext packet, which starts
    /// where the SRTP packet did. On error the bytes are undefined.
    ///
    /// # Errors
    /// [`SrtpError`].
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let _ = packet;
        Err(SrtpError::Malformed)
    }

    /// The same for SRTCP.
    ///
    /// # Errors
    /// [`SrtpError`].
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let _ = packet;
        Err(SrtpError::Malformed)
    }
}

impl Outbound {
    /// The profile in use.
    pub fn profile(&self) -> Profile {
        self.keys.profile()
    }

    /// Bytes that protection adds to an RTP packet.
    pub fn rtp_overhead(&self) -> usize {
        MAX_OVERHEAD
    }

    /// Encrypts in place the plaintext RTP packet in the first `len` bytes of `buf` and returns the length of the SRTP
    /// packet. `buf` needs [`Outbound::rtp_overhead`] bytes more. Each (SSRC, sequence number with its rollover) is
    /// protected once, ever: [`SrtpError::IndexReused`] the second time.
    ///
    /// # Errors
    /// [`SrtpError`].
    pub fn protect_rtp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let _ = (buf, len);
        Err(SrtpError::Malformed)
    }

    /// Encrypts in place the RTCP compound in the first `len` bytes of `buf` and returns the length of the SRTCP
    /// packet. `buf` needs [`MAX_OVERHEAD`] bytes more.
    ///
    /// # Errors
    /// [`SrtpError`].
    pub fn protect_rtcp(&mut self, buf: &mut [u8], len: usize) -> Result<usize, SrtpError> {
        let _ = (buf, len);
        Err(SrtpError::Malformed)
    }
}
