//! Colibri2 requests, one after the other, to a bridge's shard. A zero byte separates requests.
#![no_main]
#![allow(
    clippy::disallowed_methods,
    reason = "a start for the target's own time"
)]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use libfuzzer_sys::fuzz_target;
use sfu::control::{ControlConfig, Controller};
use sfu::{Certificate, Egress, ShardConfig};
use stanza::Element;
use stanza::colibri2::{ConferenceModified, ConferenceModify, ErrorAnswer};
use stanza::xml::{self, Limits};

static CERTIFICATE: LazyLock<Arc<Certificate>> =
    LazyLock::new(|| Arc::new(Certificate::generate(SystemTime::now()).expect("a certificate")));

fuzz_target!(|data: &[u8]| {
    let mut now = Instant::now();
    let mut shard = ShardConfig::new(CERTIFICATE.clone(), vec![([192, 0, 2, 1], 10_000).into()]);
    shard.store = (64, 128 * 1024);
    let mut controller = Controller::new(ControlConfig::default(), shard, [7; 32]);
    let mut egress = Egress::new(64 * 1024);
    for part in data.split(|b| *b == 0) {
        let Ok(element) = xml::parse(part, &Limits::SERVICE) else {
            continue;
        };
        let _ = ErrorAnswer::of_iq(&element);
        let Ok(request) = ConferenceModify::try_from(&element) else {
            continue;
        };
        // What is written means the same as what was read.
        let again = ConferenceModify::try_from(&Element::from(&request)).expect("our own request");
        if request.create || request.rtcstats_enabled {
            assert_eq!(again, request);
        }
        if let Ok(modified) = controller.modify(now, &request, true).result {
            let text = xml::to_string(&Element::from(&modified));
            let element = xml::parse(&text, &Limits::SERVICE).expect("our own answer");
            assert_eq!(
                ConferenceModified::try_from(&element).as_ref(),
                Ok(&modified)
            );
        }
        now += Duration::from_millis(50);
        if controller.poll_timeout().is_some_and(|t| t <= now) {
            controller.handle_timeout(now);
        }
        while controller.poll_output(now).is_some() {}
        while controller.poll_transmit(now, &mut egress) {
            egress.clear();
        }
        egress.clear();
    }
});
