//! AES-GCM with an expanded key, by the library that is faster on this processor: aws-lc where there is AVX-512 or no VAES
//! at all, ring where the processor has VAES for 256 bits only, which aws-lc does not use (`docs/performance.md`).
#![allow(
    unsafe_code,
    reason = "aws-lc-rs keeps no tag apart from the text without a copy: each call passes pointers and lengths of live slices to a C function"
)]

use std::fmt;
use std::ptr::{self, NonNull};

use crate::ahead;
use aws_lc_sys as lc;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

/// Length of a GCM tag.
pub(super) const GCM_TAG_LEN: usize = 16;
/// Length of a GCM nonce.
pub(super) const GCM_NONCE_LEN: usize = 12;

/// AES-GCM with an expanded key of 16 or 32 bytes.
pub(super) struct Gcm(Library);

enum Library {
    AwsLc(Wide),
    Ring(Box<LessSafeKey>),
}

impl Gcm {
    /// `None` for a key that is not 16 or 32 bytes long.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let library = match ring_is_faster() {
            true => Library::ring(key),
            false => Library::aws_lc(key),
        };
        library.map(Self)
    }

    /// Has the expanded key fetched, as far as its place is known.
    pub(super) fn fetch(&self) {
        match &self.0 {
            // What is behind the context is the library's.
            Library::AwsLc(_) => {}
            Library::Ring(key) => ahead::fetch(&**key),
        }
    }

    /// Encrypts `body` in place and writes the tag. `false`: failed, nothing may be sent.
    pub(super) fn seal(
        &self,
        nonce: &[u8; GCM_NONCE_LEN],
        aad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; GCM_TAG_LEN],
    ) -> bool {
        match &self.0 {
            Library::AwsLc(key) => key.seal(nonce, aad, body, tag),
            Library::Ring(key) => {
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(aad), body);
                sealed.is_ok_and(|made| {
                    tag.copy_from_slice(made.as_ref());
                    true
                })
            }
        }
    }

    /// Checks the tag and decrypts `body` in place. `false`: not authentic, `body` is undefined.
    pub(super) fn open(
        &self,
        nonce: &[u8; GCM_NONCE_LEN],
        aad: &[u8],
        body: &mut [u8],
        tag: &[u8; GCM_TAG_LEN],
    ) -> bool {
        match &self.0 {
            Library::AwsLc(key) => key.open(nonce, aad, body, tag),
            Library::Ring(key) => {
                let nonce = Nonce::assume_unique_for_key(*nonce);
                key.open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), body, 0..)
                    .is_ok()
            }
        }
    }
}

impl fmt::Debug for Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm")
    }
}

impl Library {
    fn aws_lc(key: &[u8]) -> Option<Self> {
        Wide::new(key).map(Self::AwsLc)
    }

    fn ring(key: &[u8]) -> Option<Self> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            _ => return None,
        };
        let key = UnboundKey::new(algorithm, key).ok()?;
        Some(Self::Ring(Box::new(LessSafeKey::new(key))))
    }
}

/// Whether the processor encrypts 256 bits at a time, and not 512.
#[cfg(target_arch = "x86_64")]
fn ring_is_faster() -> bool {
    std::arch::is_x86_feature_detected!("vaes")
        && std::arch::is_x86_feature_detected!("vpclmulqdq")
        && std::arch::is_x86_feature_detected!("avx2")
        && !std::arch::is_x86_feature_detected!("avx512f")
}

#[cfg(not(target_arch = "x86_64"))]
fn ring_is_faster() -> bool {
    false
}

/// A context of aws-lc.
struct Wide {
    ctx: NonNull<lc::EVP_AEAD_CTX>,
}

// SAFETY: the context is memory owned by this value, bound to no thread; sealing and opening take it as const and
// aws-lc documents them as safe to call at the same time.
unsafe impl Send for Wide {}
// SAFETY: as for `Send`: no call through a shared reference changes the context.
unsafe impl Sync for Wide {}

impl Wide {
    fn new(key: &[u8]) -> Option<Self> {
        let aead = match key.len() {
            // SAFETY: only returns a pointer to a constant.
            16 => unsafe { lc::EVP_aead_aes_128_gcm() },
            // SAFETY: only returns a pointer to a constant.
            32 => unsafe { lc::EVP_aead_aes_256_gcm() },
            _ => return None,
        };
        // SAFETY: `key` is readable for its length; the result is null or owned by us.
        let ctx = unsafe { lc::EVP_AEAD_CTX_new(aead, key.as_ptr(), key.len(), GCM_TAG_LEN) };
        NonNull::new(ctx).map(|ctx| Self { ctx })
    }

    fn seal(
        &self,
        nonce: &[u8; GCM_NONCE_LEN],
        aad: &[u8],
        body: &mut [u8],
        tag: &mut [u8; GCM_TAG_LEN],
    ) -> bool {
        let mut tag_len = 0usize;
        // SAFETY: all pointers are of live slices of the given lengths; `in` and `out` are equal, which the function
        // allows; `tag` is a slice apart from them with room for the maximum given.
        let ok = unsafe {
            lc::EVP_AEAD_CTX_seal_scatter(
                self.ctx.as_ptr(),
                body.as_mut_ptr(),
                tag.as_mut_ptr(),
                &mut tag_len,
                tag.len(),
                nonce.as_ptr(),
                nonce.len(),
                body.as_ptr(),
                body.len(),
                ptr::null(),
                0,
                aad.as_ptr(),
                aad.len(),
            )
        };
        ok == 1 && tag_len == GCM_TAG_LEN
    }

    fn open(
        &self,
        nonce: &[u8; GCM_NONCE_LEN],
        aad: &[u8],
        body: &mut [u8],
        tag: &[u8; GCM_TAG_LEN],
    ) -> bool {
        // SAFETY: all pointers are of live slices of the given lengths; `in` and `out` are equal, which the function
        // allows.
        let ok = unsafe {
            lc::EVP_AEAD_CTX_open_gather(
                self.ctx.as_ptr(),
                body.as_mut_ptr(),
                nonce.as_ptr(),
                nonce.len(),
                body.as_ptr(),
                body.len(),
                tag.as_ptr(),
                tag.len(),
                aad.as_ptr(),
                aad.len(),
            )
        };
        ok == 1
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        // SAFETY: the context came from `EVP_AEAD_CTX_new` and is freed once.
        unsafe { lc::EVP_AEAD_CTX_free(self.ctx.as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whichever library a processor gets, the packets are the same, and each opens what the other one sealed.
        #[test]
        fn both_libraries_make_the_same(
            key in prop_oneof![prop::collection::vec(any::<u8>(), 16), prop::collection::vec(any::<u8>(), 32)],
            nonce: [u8; GCM_NONCE_LEN],
            aad in prop::collection::vec(any::<u8>(), 0..60),
            body in prop::collection::vec(any::<u8>(), 0..1_500),
        ) {
            let both = [Gcm(Library::aws_lc(&key).unwrap()), Gcm(Library::ring(&key).unwrap())];
            let sealed = both.each_ref().map(|gcm| {
                let (mut text, mut tag) = (body.clone(), [0; GCM_TAG_LEN]);
                assert!(gcm.seal(&nonce, &aad, &mut text, &mut tag));
                (text, tag)
            });
            prop_assert_eq!(&sealed[0], &sealed[1]);
            for gcm in &both {
                let (mut text, mut tag) = sealed[0].clone();
                prop_assert!(gcm.open(&nonce, &aad, &mut text, &tag));
                prop_assert_eq!(&text, &body);
                tag[3] ^= 1;
                prop_assert!(!gcm.open(&nonce, &aad, &mut sealed[0].0.clone(), &tag));
            }
        }
    }

    #[test]
    fn keys_of_other_lengths_are_refused_by_both() {
        for len in [0, 15, 24, 33] {
            assert!(
                Library::aws_lc(&vec![1; len]).is_none(),
                "aws-lc, {len} bytes"
            );
            assert!(Library::ring(&vec![1; len]).is_none(), "ring, {len} bytes");
        }
    }
}
