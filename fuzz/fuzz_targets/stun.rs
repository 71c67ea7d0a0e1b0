//! Telling datagrams apart, the user name of STUN requests that nobody has checked yet, and DTLS inside of STUN.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtc::{EmbeddedDtls, Fingerprint, PacketKind, demux, stun_username};

fuzz_target!(|data: &[u8]| {
    let kind = demux(data);
    if let Some(name) = stun_username(data) {
        assert_eq!(kind, Some(PacketKind::Stun));
        assert!(!name.is_empty() && !name.contains(':'));
    }
    let embedded = EmbeddedDtls::parse(data);
    if let Some(datagram) = embedded.data {
        assert!(!datagram.is_empty() && datagram.len() < data.len());
        embedded.acknowledges(datagram);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(fingerprint) = text.parse::<Fingerprint>() {
            let again = Fingerprint::parse(fingerprint.hash_name(), &fingerprint.to_string());
            assert_eq!(again, Ok(fingerprint));
        }
    }
});
