//! AES in counter mode and HMAC-SHA1 with expanded keys, over aws-lc: each call passes pointers and lengths of live slices
//! to a C function.
#![allow(
    unsafe_code,
    reason = "aws-lc-rs has no kept AES-CTR key and no copyable HMAC state"
)]

use std::fmt;
use std::mem::MaybeUninit;
use std::ptr;

use aws_lc_sys as lc;

/// Length of a SHA-1 digest.
const SHA1_LEN: usize = 20;
/// Block length of SHA-1.
const SHA1_BLOCK: usize = 64;

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
