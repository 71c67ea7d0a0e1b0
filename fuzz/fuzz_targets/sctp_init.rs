//! What a client says in signalling of its SCTP (draft-hancke-tsvwg-snap): what is read of it is written the same way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtc::SctpInit;

fuzz_target!(|data: &[u8]| {
    // Any bytes, and the same as a chunk whose head is right.
    let mut chunk = data.to_vec();
    if let (len @ 4.., Some(head)) = (data.len(), chunk.first_chunk_mut::<4>()) {
        head[0] = 1;
        head[2..].copy_from_slice(&(len as u16).to_be_bytes());
    }
    for bytes in [data, &chunk] {
        if let Some(init) = SctpInit::parse(bytes) {
            assert_eq!(SctpInit::parse(&init.to_bytes()), Some(init));
        }
    }
});
