//! Ciphers with expanded keys, over aws-lc. The only unsafe code of this crate: each call passes pointers and lengths
//! of live slices to a C function.
#![allow(
    unsafe_code,
    reason = "aws-lc-rs has no scatter/gather AEAD, no kept AES-CTR key and no copyable HMAC state"
)]

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use aws_lc_sys as lc;

/// Length of a GCM tag.
pub(super) const GCM_TAG_LEN: usize = 16;
/// Length of a GCM nonce.
pub(super) const GCM_NONCE_LEN: usize = 12;
/// Length of a SHA-1 digest.
const SHA1_LEN: usize = 20;
/// Block length of SHA-1.
const SHA1_BLOCK: usize = 64;

/// AES-GCM with an expanded key of 16 or 32 bytes.
pub(super) struct Gcm {
    ctx: NonNull<lc::EVP_AEAD_CTX>,
}

// SAFETY: the context is memory owned by this value, bound to no thread; sealing and opening take it as const and
// aws-lc documents them as safe to call at the same time.
unsafe impl Send for Gcm {}
// SAFETY: as for `Send`: no call through a shared reference changes the context.
unsafe impl Sync for Gcm {}

impl Gcm {
    /// `None` for a key that is not 16 or 32 bytes long.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
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

    /// Encrypts `body` in place and writes the tag. `false`: failed, nothing may be sent.
    pub(super) fn seal(
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

    /// Checks the tag and decrypts `body` in place. `false`: not authentic, `body` is undefined.
    pub(super) fn open(
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

impl Drop for Gcm {
    fn drop(&mut self) {
        // SAFETY: the context came from `EVP_AEAD_CTX_new` and is freed once.
        unsafe { lc::EVP_AEAD_CTX_free(self.ctx.as_ptr()) }
    }
}

impl fmt::Debug for Gcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gcm")
    }
}

/// AES in counter mode with an expanded key of 16 or 32 bytes.
#[derive(Clone)]
pub(super) struct AesCtr(lc::AES_KEY);

impl AesCtr {
    /// `None` for a key that is not 16 or 32 bytes long.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let bits = match key.len() {
            16 => 128,
            32 => 256,
            _ => return None,
        };
        let mut expanded = MaybeUninit::<lc::AES_KEY>::zeroed();
        // SAFETY: `key` has `bits` bits; the function writes the expanded key to memory of its type.
        let failed = unsafe { lc::AES_set_encrypt_key(key.as_ptr(), bits, expanded.as_mut_ptr()) };
        // SAFETY: zeroed integers are a valid value, and the function has filled it in.
        (failed == 0).then(|| Self(unsafe { expanded.assume_init() }))
    }

    /// Adds the key stream that starts at counter block `iv` to `data`.
    pub(super) fn apply(&self, iv: &[u8; 16], data: &mut [u8]) {
        let (mut counter, mut key_stream, mut used) = (*iv, [0u8; 16], 0);
        // SAFETY: input and output are the same live slice, which counter mode allows; counter and key stream are
        // blocks of 16 bytes; the key is expanded.
        unsafe {
            lc::AES_ctr128_encrypt(
                data.as_ptr(),
                data.as_mut_ptr(),
                data.len(),
                &self.0,
                counter.as_mut_ptr(),
                key_stream.as_mut_ptr(),
                &mut used,
            );
        }
    }
}

impl Drop for AesCtr {
    fn drop(&mut self) {
        // SAFETY: the key is live memory of its own size.
        unsafe { lc::OPENSSL_cleanse(ptr::from_mut(&mut self.0).cast(), size_of::<lc::AES_KEY>()) }
    }
}

impl fmt::Debug for AesCtr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AesCtr")
    }
}

/// HMAC-SHA1 with both pads hashed once.
#[derive(Clone)]
pub(super) struct HmacSha1 {
    inner: lc::SHA_CTX,
    outer: lc::SHA_CTX,
}

impl HmacSha1 {
    /// `None` for a key longer than a block.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let state = |pad: u8| {
            let mut block = [pad; SHA1_BLOCK];
            block.iter_mut().zip(key).for_each(|(b, k)| *b ^= k);
            let mut ctx = start();
            update(&mut ctx, &block);
            ctx
        };
        (key.len() <= SHA1_BLOCK).then(|| Self {
            inner: state(0x36),
            outer: state(0x5C),
        })
    }

    /// The code of the concatenated parts.
    pub(super) fn sign(&self, parts: &[&[u8]]) -> [u8; SHA1_LEN] {
        let mut inner = self.inner;
        for part in parts {
            update(&mut inner, part);
        }
        let mut outer = self.outer;
        update(&mut outer, &finish(inner));
        finish(outer)
    }
}

impl Drop for HmacSha1 {
    fn drop(&mut self) {
        // SAFETY: both are live memory of their own size.
        unsafe {
            lc::OPENSSL_cleanse(
                ptr::from_mut(&mut self.inner).cast(),
                size_of::<lc::SHA_CTX>(),
            );
            lc::OPENSSL_cleanse(
                ptr::from_mut(&mut self.outer).cast(),
                size_of::<lc::SHA_CTX>(),
            );
        }
    }
}

impl fmt::Debug for HmacSha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha1")
    }
}

fn start() -> lc::SHA_CTX {
    let mut ctx = MaybeUninit::<lc::SHA_CTX>::zeroed();
    // SAFETY: the function writes a state to memory of its type; it cannot fail.
    unsafe { lc::SHA1_Init(ctx.as_mut_ptr()) };
    // SAFETY: zeroed integers are a valid value, and the function has filled it in.
    unsafe { ctx.assume_init() }
}

fn update(ctx: &mut lc::SHA_CTX, data: &[u8]) {
    // SAFETY: `data` is a live slice of the given length; the function cannot fail.
    unsafe { lc::SHA1_Update(ctx, data.as_ptr().cast(), data.len()) };
}

fn finish(mut ctx: lc::SHA_CTX) -> [u8; SHA1_LEN] {
    let mut digest = [0; SHA1_LEN];
    // SAFETY: the digest has the length that the function writes; it cannot fail.
    unsafe { lc::SHA1_Final(digest.as_mut_ptr(), &mut ctx) };
    digest
}
