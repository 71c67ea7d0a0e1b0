//! Conference requests as JSON over HTTP: a focus answers what is accepted, and writes nothing that its
//! peers could not read.
#![no_main]

use std::time::{Duration, Instant};

use focus::{ConferenceRequest, Focus, FocusConfig};
use fuzz::door::check_written;
use libfuzzer_sys::fuzz_target;
use stanza::FullJid;
use stanza::xml::to_string;

/// What the focus says by itself.
const OWN: usize = 4_096;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = ConferenceRequest::from_json(data) else {
        return;
    };
    let mut now = Instant::now();
    let mut focus = Focus::new(FocusConfig::for_domain("m.test").unwrap(), [3; 32]);
    focus.online(now, FullJid::new("focus@auth.m.test/focus").unwrap(), false);
    focus.conference_request(now, request);
    let mut answered = false;
    for _ in 0..40 {
        while let Some(sent) = focus.poll_transmit() {
            check_written(to_string(&sent).as_bytes(), data.len() + OWN);
        }
        while focus.poll_event().is_some() {}
        while focus.poll_reply().is_some() {
            answered = true;
        }
        now += Duration::from_secs(1);
        focus.handle_timeout(now);
    }
    assert!(answered, "whoever asks is answered");
});
