//! A focus with a conference of two on a bridge takes any stanzas, one a line, with time passing between them.
//!
//! `%` in the input stands for the id of the latest request of the focus, so that answers can be hit upon.
#![no_main]

use std::time::{Duration, Instant};

use focus::{ConferenceRequest, Focus, FocusConfig};
use fuzz::door::check_written;
use libfuzzer_sys::fuzz_target;
use stanza::xml::{Limits, parse, to_string};
use stanza::{BareJid, FullJid};

/// A meeting up to the allocation; answers come from whatever the fuzzer writes.
const OPENING: [&str; 6] = [
    "<presence from='jvbbrewery@internal.auth.m.test/b'><stats xmlns='http://jitsi.org/protocol/colibri'><stat name='drain' value='false'/></stats></presence>",
    "<presence from='r@conference.m.test/focus'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner' role='moderator'/><status code='110'/></x></presence>",
    "<iq type='result' from='r@conference.m.test' id='%'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='form'/></query></iq>",
    "<iq type='result' from='r@conference.m.test' id='%'/>",
    "<presence from='r@conference.m.test/a'><features><feature var='urn:xmpp:jingle:apps:rtp:audio'/></features><x xmlns='http://jabber.org/protocol/muc#user'><item role='participant' jid='a@m.test/r'/></x></presence>",
    "<presence from='r@conference.m.test/b'><features><feature var='urn:xmpp:jingle:apps:rtp:audio'/></features><x xmlns='http://jabber.org/protocol/muc#user'><item role='participant' jid='b@m.test/r'/></x></presence>",
];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut now = Instant::now();
    let mut focus = Focus::new(FocusConfig::for_domain("m.test").unwrap(), [3; 32]);
    focus.online(now, FullJid::new("focus@auth.m.test/focus").unwrap(), false);
    focus.conference_request(
        now,
        ConferenceRequest::new(BareJid::new("r@conference.m.test").unwrap()),
    );
    let mut last = String::new();
    let came = data.len() + OPENING.iter().map(|line| line.len()).sum::<usize>();
    for line in OPENING.into_iter().chain(text.lines().take(64)) {
        while let Some(sent) = focus.poll_transmit() {
            check_written(to_string(&sent).as_bytes(), came);
            if let ("iq", Some("get" | "set"), Some(id)) =
                (sent.name(), sent.attr("type"), sent.attr("id"))
            {
                last = id.to_owned();
            }
        }
        while focus.poll_event().is_some() {}
        while focus.poll_reply().is_some() {}
        if line.is_empty() {
            now += Duration::from_millis(1500);
            focus.handle_timeout(now);
        } else if let Ok(stanza) = parse(line.replace('%', &last), &Limits::SERVICE) {
            focus.handle_stanza(now, &stanza);
        }
    }
    assert!(focus.stats().conferences <= 64);
});
