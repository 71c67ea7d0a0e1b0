//! Payloads that participants write: each is read or refused, and what was read is written and read again.
#![no_main]

use fuzz::door::check_written;
use libfuzzer_sys::fuzz_target;
use stanza::Element;
use stanza::jingle::Jingle;
use stanza::jitsi::compact::CompactSources;
use stanza::jitsi::conference::ConferenceRequest;
use stanza::jitsi::moderation::ComponentMessage;
use stanza::jitsi::mute::Mute;
use stanza::jitsi::presence::ParticipantInfo;
use stanza::xml::{Limits, parse, to_string};

fuzz_target!(|data: &[u8]| {
    let _ = ConferenceRequest::from_json(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(sources) = CompactSources::from_json(text)
    {
        assert_eq!(CompactSources::from_json(&sources.to_json()), Ok(sources));
    }
    let Ok(element) = parse(data, &Limits::CLIENT) else {
        return;
    };
    let _ = ConferenceRequest::try_from(&element);
    let _ = ComponentMessage::of_message(&element);
    let _ = Mute::of_iq(&element);
    let _ = ParticipantInfo::of_presence(&element);
    if let Ok(jingle) = Jingle::try_from(&element) {
        let written = to_string(&Element::from(&jingle));
        let again = check_written(written.as_bytes(), data.len());
        assert!(
            Jingle::try_from(&again).is_ok(),
            "what was read must be readable when written: {written}"
        );
    }
});
