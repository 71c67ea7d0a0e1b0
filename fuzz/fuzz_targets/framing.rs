//! The frames that media travels in over TCP: however the stream is cut, the same datagrams come out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtc::{MAX_FRAME, frames, whole_frames, write_frame};

fuzz_target!(|input: (&[u8], u16)| {
    let (stream, cut) = input;
    let Ok(whole) = whole_frames(stream) else {
        return;
    };
    let mut bytes = stream[..whole].to_vec();
    let datagrams: Vec<Vec<u8>> = frames(&mut bytes).map(|d| d.to_vec()).collect();
    assert!(datagrams.iter().all(|d| d.len() <= MAX_FRAME));
    // What comes in two parts is the same.
    let cut = usize::from(cut).min(whole);
    let first = whole_frames(&stream[..cut]).unwrap_or(0);
    let (head, tail) = bytes.split_at_mut(first);
    let again: Vec<Vec<u8>> = frames(head).chain(frames(tail)).map(|d| d.to_vec()).collect();
    assert_eq!(again, datagrams);
    // Written again it reads the same.
    let mut written = Vec::new();
    datagrams.iter().for_each(|d| write_frame(d, &mut written));
    let back: Vec<Vec<u8>> = frames(&mut written).map(|d| d.to_vec()).collect();
    assert_eq!(back, datagrams);
});
