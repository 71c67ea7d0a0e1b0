//! Random names: users, resources, stream management ids, meeting ids.

use base64::Engine as _;
use rand::RngExt as _;
use rand_chacha::ChaCha20Rng;

/// A connection of the host, named by the host. Never reused while the server knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A session: what a bound resource is called inside. It outlives its connection while it hibernates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub(crate) u64);

/// A UUID version 4 in lower case.
pub(crate) fn uuid(rng: &mut ChaCha20Rng) -> String {
    let mut bytes: [u8; 16] = rng.random();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = |range: std::ops::Range<usize>| -> String {
        bytes
            .iter()
            .skip(range.start)
            .take(range.len())
            .map(|byte| format!("{byte:02x}"))
            .collect()
    };
    format!(
        "{}-{}-{}-{}-{}",
        hex(0..4),
        hex(4..6),
        hex(6..8),
        hex(8..10),
        hex(10..16)
    )
}

/// A resource.
pub(crate) fn resource(rng: &mut ChaCha20Rng) -> String {
    let bytes: [u8; 9] = rng.random();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// An id nobody can guess, of `A-Z a-z 0-9 _ -`: whoever knows it may take a session over.
pub(crate) fn secret(rng: &mut ChaCha20Rng) -> String {
    let bytes: [u8; 18] = rng.random();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    #[test]
    fn ids_have_their_form_and_differ() {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let id = uuid(&mut rng);
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
        assert_ne!(id, uuid(&mut rng));
        let secret = secret(&mut rng);
        assert!(
            secret.len() == 24
                && secret
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        );
    }
}
