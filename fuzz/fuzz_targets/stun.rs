//! Telling datagrams apart, and the user name of STUN requests that nobody has checked yet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtc::{Fingerprint, PacketKind, demux, stun_username};

fuzz_target!(|data: &[u8]| {
    let kind = demux(data);
    if let Some(name) = stun_username(data) {
        assert_eq!(kind, Some(PacketKind::Stun));
        assert!(!name.is_empty() && !name.contains(':'));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(fingerprint) = text.parse::<Fingerprint>() {
            let again = Fingerprint::parse(fingerprint.hash_name(), &fingerprint.to_string());
            assert_eq!(again, Ok(fingerprint));
        }
    }
});
