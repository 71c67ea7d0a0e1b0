//! Whole documents and streams of bytes; what is accepted is written and read back as the same tree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use stanza::xml::{self, Limits, Reader};

fuzz_target!(|data: &[u8]| {
    if let Ok(element) = xml::parse(data, &Limits::UNAUTHENTICATED) {
        let text = xml::to_string(&element);
        let again = xml::parse(&text, &Limits::SERVICE);
        assert_eq!(again.as_ref(), Ok(&element), "{text}");
    }
    // The same events whether the bytes come at once or one by one.
    let mut whole = Reader::new(Limits::UNAUTHENTICATED);
    whole.push(data);
    let mut pieces = Reader::new(Limits::UNAUTHENTICATED);
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
