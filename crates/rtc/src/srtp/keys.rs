//! Session keys of one direction: derivation (RFC 3711 §4.3, RFC 7714 §11) and what one packet needs of them.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::cipher::{AesCtr, HmacSha1};
use super::error::SrtpError;
use super::gcm::{GCM_NONCE_LEN, GCM_TAG_LEN, Gcm};

/// Length of the tag of AES_CM_128_HMAC_SHA1_80.
pub(super) const SHA1_80_TAG_LEN: usize = 10;
/// Length of the word after an SRTCP packet: encryption flag and index.
pub(super) const SRTCP_INDEX_LEN: usize = 4;
/// Length of the part of an RTCP packet that is never encrypted.
const RTCP_CLEAR_LEN: usize = 8;
/// The encryption flag.
const E_FLAG: u32 = 1 << 31;

/// Labels of derived keys.
const LABEL_RTP: u8 = 0;
const LABEL_RTCP: u8 = 3;

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

impl Profile {
    /// Length of the master key.
    pub(super) fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AesCm128HmacSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt.
    pub(super) fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => GCM_NONCE_LEN,
            Self::AesCm128HmacSha1_80 => 14,
        }
    }

    /// Length of the tag.
    pub(super) fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => GCM_TAG_LEN,
            Self::AesCm128HmacSha1_80 => SHA1_80_TAG_LEN,
        }
    }
}

/// Expanded session keys of RTP and RTCP.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) profile: Profile,
    rtp: Cipher,
    rtcp: Cipher,
}

#[derive(Debug)]
enum Cipher {
    Gcm {
        aead: Gcm,
        salt: [u8; GCM_NONCE_LEN],
    },
    Cm {
        ctr: Box<AesCtr>,
        hmac: Box<HmacSha1>,
        salt: [u8; 14],
    },
}

impl Keys {
    /// Derives and expands. `None` where the lengths are not the profile's.
    pub(super) fn new(profile: Profile, master_key: &[u8], master_salt: &[u8]) -> Option<Self> {
        if master_key.len() != profile.key_len() || master_salt.len() != profile.salt_len() {
            return None;
        }
        let prf = AesCtr::new(master_key)?;
        let cipher = |label| Cipher::derive(profile, &prf, master_salt, label);
        Some(Self {
            profile,
            rtp: cipher(LABEL_RTP)?,
            rtcp: cipher(LABEL_RTCP)?,
        })
    }

    /// Has the key of RTP fetched.
    pub(super) fn fetch_rtp(&self) {
        self.rtp.fetch();
    }

    /// Has the key of RTCP fetched.
    pub(super) fn fetch_rtcp(&self) {
        self.rtcp.fetch();
    }

    /// Encrypts the payload and appends the tag.
    pub(super) fn seal_rtp(
        &self,
        buf: &mut [u8],
        header_len: usize,
        len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let end = len + self.profile.tag_len();
        let packet = buf.get_mut(..end).ok_or(SrtpError::NoRoom)?;
        let (header, rest) = packet
            .split_at_mut_checked(header_len)
            .ok_or(SrtpError::Malformed)?;
        let (body, tag) = rest
            .split_at_mut_checked(len - header_len)
            .ok_or(SrtpError::Malformed)?;
        match &self.rtp {
            Cipher::Gcm { aead, salt } => {
                let tag = tag.first_chunk_mut().ok_or(SrtpError::NoRoom)?;
                let sealed = aead.seal(&gcm_rtp_iv(salt, ssrc, index), header, body, tag);
                sealed.then_some(end).ok_or(SrtpError::NoRoom)
            }
            Cipher::Cm { ctr, hmac, salt } => {
                ctr.apply(&cm_iv(salt, ssrc, index), body);
                let code = hmac.sign(&[header, body, &((index >> 16) as u32).to_be_bytes()]);
                tag.copy_from_slice(&code[..SHA1_80_TAG_LEN]);
                Ok(end)
            }
        }
    }

    /// Checks the tag, decrypts the payload, and returns the length without the tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header_len: usize,
        ssrc: u32,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let end = packet
            .len()
            .checked_sub(self.profile.tag_len())
            .ok_or(SrtpError::Malformed)?;
        let (plain, tag) = packet.split_at_mut(end);
        let (header, body) = plain
            .split_at_mut_checked(header_len)
            .ok_or(SrtpError::Malformed)?;
        match &self.rtp {
            Cipher::Gcm { aead, salt } => {
                let tag = tag.first_chunk().ok_or(SrtpError::Malformed)?;
                let opened = aead.open(&gcm_rtp_iv(salt, ssrc, index), header, body, tag);
                opened.then_some(end).ok_or(SrtpError::Authentication)
            }
            Cipher::Cm { ctr, hmac, salt } => {
                let code = hmac.sign(&[header, body, &((index >> 16) as u32).to_be_bytes()]);
                verify_slices_are_equal(&code[..SHA1_80_TAG_LEN], tag)
                    .map_err(|_| SrtpError::Authentication)?;
                ctr.apply(&cm_iv(salt, ssrc, index), body);
                Ok(end)
            }
        }
    }

    /// Encrypts a compound and appends tag and index in the profile's order.
    pub(super) fn seal_rtcp(
        &self,
        buf: &mut [u8],
        len: usize,
        ssrc: u32,
        index: u32,
    ) -> Result<usize, SrtpError> {
        let end = len + self.profile.tag_len() + SRTCP_INDEX_LEN;
        let packet = buf.get_mut(..end).ok_or(SrtpError::NoRoom)?;
        let (clear, rest) = packet
            .split_at_mut_checked(RTCP_CLEAR_LEN)
            .ok_or(SrtpError::Malformed)?;
        let (body, trailer) = rest
            .split_at_mut_checked(len.saturating_sub(RTCP_CLEAR_LEN))
            .ok_or(SrtpError::Malformed)?;
        let word = (E_FLAG | index).to_be_bytes();
        match &self.rtcp {
            Cipher::Gcm { aead, salt } => {
                let (tag, slot) = trailer.split_first_chunk_mut().ok_or(SrtpError::NoRoom)?;
                slot.copy_from_slice(&word);
                let sealed = aead.seal(
                    &gcm_rtcp_iv(salt, ssrc, index),
                    &rtcp_aad(clear, word),
                    body,
                    tag,
                );
                sealed.then_some(end).ok_or(SrtpError::NoRoom)
            }
            Cipher::Cm { ctr, hmac, salt } => {
                ctr.apply(&cm_iv(salt, ssrc, u64::from(index)), body);
                let (slot, tag) = trailer.split_first_chunk_mut().ok_or(SrtpError::NoRoom)?;
                *slot = word;
                tag.copy_from_slice(&hmac.sign(&[clear, body, &word])[..SHA1_80_TAG_LEN]);
                Ok(end)
            }
        }
    }

    /// The index of an SRTCP packet, before anything is checked.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Option<u32> {
        let tail = match self.rtcp {
            Cipher::Gcm { .. } => packet,
            Cipher::Cm { .. } => packet.get(..packet.len().checked_sub(SHA1_80_TAG_LEN)?)?,
        };
        tail.last_chunk().map(|w| u32::from_be_bytes(*w) & !E_FLAG)
    }

    /// Checks the tag, decrypts, and returns the length of the compound.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32) -> Result<usize, SrtpError> {
        let trailer_len = self.profile.tag_len() + SRTCP_INDEX_LEN;
        let end = packet
            .len()
            .checked_sub(trailer_len)
            .ok_or(SrtpError::Malformed)?;
        let (plain, trailer) = packet.split_at_mut(end);
        let (clear, body) = plain
            .split_at_mut_checked(RTCP_CLEAR_LEN)
            .ok_or(SrtpError::Malformed)?;
        match &self.rtcp {
            Cipher::Gcm { aead, salt } => {
                let (tag, word) = trailer.split_first_chunk().ok_or(SrtpError::Malformed)?;
                let word: [u8; 4] = *word.first_chunk().ok_or(SrtpError::Malformed)?;
                let index = u32::from_be_bytes(word);
                if index & E_FLAG == 0 {
                    return Err(SrtpError::Authentication); // authenticated only: not used in WebRTC
                }
                let iv = gcm_rtcp_iv(salt, ssrc, index & !E_FLAG);
                let opened = aead.open(&iv, &rtcp_aad(clear, word), body, tag);
                opened.then_some(end).ok_or(SrtpError::Authentication)
            }
            Cipher::Cm { ctr, hmac, salt } => {
                let (word, tag) = trailer
                    .split_first_chunk::<4>()
                    .ok_or(SrtpError::Malformed)?;
                let code = hmac.sign(&[clear, body, word]);
                verify_slices_are_equal(&code[..SHA1_80_TAG_LEN], tag)
                    .map_err(|_| SrtpError::Authentication)?;
                let index = u32::from_be_bytes(*word);
                if index & E_FLAG != 0 {
                    ctr.apply(&cm_iv(salt, ssrc, u64::from(index & !E_FLAG)), body);
                }
                Ok(end)
            }
        }
    }
}

impl Cipher {
    fn fetch(&self) {
        if let Self::Gcm { aead, .. } = self {
            aead.fetch();
        }
    }

    fn derive(profile: Profile, prf: &AesCtr, master_salt: &[u8], label: u8) -> Option<Self> {
        // RFC 3711 §4.3.2: consecutive labels for key, authentication key, salt. RFC 7714 §11: a salt of 12 bytes is
        // padded with zeros at its end.
        let mut key = [0u8; 32];
        let key = &mut key[..profile.key_len()];
        derive(prf, master_salt, label, key);
        match profile {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => {
                let mut salt = [0; GCM_NONCE_LEN];
                derive(prf, master_salt, label + 2, &mut salt);
                Some(Self::Gcm {
                    aead: Gcm::new(key)?,
                    salt,
                })
            }
            Profile::AesCm128HmacSha1_80 => {
                let (mut auth, mut salt) = ([0; 20], [0; 14]);
                derive(prf, master_salt, label + 1, &mut auth);
                derive(prf, master_salt, label + 2, &mut salt);
                let hmac = Box::new(HmacSha1::new(&auth)?);
                Some(Self::Cm {
                    ctr: Box::new(AesCtr::new(key)?),
                    hmac,
                    salt,
                })
            }
        }
    }
}

/// The key derivation function with a derivation rate of zero (RFC 3711 §4.3.1, §4.3.3).
pub(super) fn derive(prf: &AesCtr, master_salt: &[u8], label: u8, out: &mut [u8]) {
    let mut x = [0u8; 16];
    x.iter_mut().zip(master_salt).for_each(|(x, s)| *x = *s);
    x[7] ^= label;
    out.fill(0);
    prf.apply(&x, out);
}

/// RFC 3711 §4.1.1.
fn cm_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let mut iv = [0u8; 16];
    iv[..14].copy_from_slice(salt);
    xor(&mut iv[4..8], &ssrc.to_be_bytes());
    xor(&mut iv[8..14], &index.to_be_bytes()[2..]);
    iv
}

/// RFC 7714 §8.1.
fn gcm_rtp_iv(salt: &[u8; GCM_NONCE_LEN], ssrc: u32, index: u64) -> [u8; GCM_NONCE_LEN] {
    let mut iv = *salt;
    xor(&mut iv[2..6], &ssrc.to_be_bytes());
    xor(&mut iv[6..12], &index.to_be_bytes()[2..]);
    iv
}

/// RFC 7714 §9.1.
fn gcm_rtcp_iv(salt: &[u8; GCM_NONCE_LEN], ssrc: u32, index: u32) -> [u8; GCM_NONCE_LEN] {
    let mut iv = *salt;
    xor(&mut iv[2..6], &ssrc.to_be_bytes());
    xor(&mut iv[8..12], &index.to_be_bytes());
    iv
}

/// RFC 7714 §9.2: the clear part of the packet, then encryption flag and index.
fn rtcp_aad(clear: &[u8], word: [u8; 4]) -> [u8; RTCP_CLEAR_LEN + 4] {
    let mut aad = [0; RTCP_CLEAR_LEN + 4];
    aad.iter_mut()
        .zip(clear.iter().chain(&word))
        .for_each(|(a, b)| *a = *b);
    aad
}

fn xor(target: &mut [u8], with: &[u8]) {
    target.iter_mut().zip(with).for_each(|(t, w)| *t ^= w);
}

#[cfg(test)]
impl Keys {
    /// Keys for known answers that give session keys.
    pub(super) fn from_session_for_test(key: &[u8], salt: &[u8]) -> Self {
        let cipher = || Cipher::Gcm {
            aead: Gcm::new(key).unwrap(),
            salt: *salt.first_chunk().unwrap(),
        };
        let profile = if key.len() == 16 {
            Profile::AeadAes128Gcm
        } else {
            Profile::AeadAes256Gcm
        };
        Self {
            profile,
            rtp: cipher(),
            rtcp: cipher(),
        }
    }
}
