//! Whole documents and streams of bytes; what is accepted is written and read back as the same tree, with what the server may
//! add to it, and is no larger than a small multiple of what came.
#![no_main]

use fuzz::door::check_accepted;
use libfuzzer_sys::fuzz_target;
use stanza::xml::{self, Limits, Reader};

fuzz_target!(|data: &[u8]| {
    for limits in [Limits::UNAUTHENTICATED, Limits::CLIENT, Limits::SERVICE] {
        if let Ok(element) = xml::parse(data, &limits) {
            check_accepted(&element, data.len());
        }
    }
    // The same events whether the bytes come at once or one by one.
    let limits = Limits {
        skip: data.len() % 2 == 1,
        ..Limits::UNAUTHENTICATED
    };
    let mut whole = Reader::new(limits);
    whole.push(data);
    let mut pieces = Reader::new(limits);
    let mut split = Vec::new();
    for byte in data {
        pieces.push(std::slice::from_ref(byte));
        while let Ok(Some(event)) = pieces.next_event() {
            split.push(event);
        }
    }
    let mut split = split.into_iter();
    while let Ok(Some(event)) = whole.next_event() {
        assert_eq!(Some(event), split.next());
    }
    assert_eq!(split.next(), None);
});
