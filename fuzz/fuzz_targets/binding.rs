//! What comes to a socket that asked a STUN server which address it sees: whatever it is, an address that is believed is one
//! that somebody can send to.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use turn::Binding;

const ID: [u8; 12] = [7; 12];

fuzz_target!(|data: &[u8]| {
    let binding = Binding::new(ID, Instant::now());
    let _ = binding.handle(data);
    // As an answer to this question.
    let body = data.get(..data.len().min(1_000) / 4 * 4).unwrap_or_default();
    let mut answer = vec![1, 1 | (data.len() as u8 & 0x10)];
    answer.extend((body.len() as u16).to_be_bytes());
    answer.extend([0x21, 0x12, 0xa4, 0x42]);
    answer.extend(ID);
    answer.extend(body);
    let told = binding.handle(&answer);
    assert!(told.is_some());
    if let Some(Ok(address)) = told {
        assert!(address.port() != 0 && !address.ip().is_unspecified());
        assert!(!address.ip().is_loopback() && !address.ip().is_multicast());
    }
});
