//! A client's end of a stream: whatever a server says, or passes on from strangers.
//!
//! The first byte chooses the framing, how it logs in and whether the login is done already; a zero byte separates what
//! arrives together.
#![no_main]

use std::time::{Duration, Instant};

use fuzz::door::check_written;
use libfuzzer_sys::fuzz_target;
use stream::Framing;
use stream::client::{Client, ClientConfig, Event};

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>";
const OPEN: &str = "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='1' version='1.0'/>";
const FEATURES: &str = "<features xmlns='http://etherx.jabber.org/streams'><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>ANONYMOUS</mechanism></mechanisms></features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const BIND: &str = "<features xmlns='http://etherx.jabber.org/streams'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/></features>";
const BOUND: &str = "<iq xmlns='jabber:client' type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>u@a/r</jid></bind></iq>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>";

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let web = choice & 1 == 1;
    let password = (choice & 2 == 2).then(|| ("focus".to_owned(), "secret".to_owned()));
    let mut config = ClientConfig::new("a", password);
    if web {
        config.framing = Framing::WebSocket;
    }
    // Small limits are reached sooner.
    config.limits.bytes = 4096;
    config.limits.elements = 32;
    let mut now = Instant::now();
    let mut client = Client::new(config, [0; 32]);
    client.connect(now, choice & 4 == 0);
    let open = if web { OPEN } else { HEADER };
    let login = [open, FEATURES, SUCCESS, open, BIND, BOUND, ENABLED];
    let login = login
        .into_iter()
        .filter(|_| choice & 8 == 8)
        .map(str::as_bytes);
    let mut came = 0;
    let mut online = false;
    for part in login.chain(data.split(|byte| *byte == 0)) {
        came += part.len();
        client.handle_input(now, part);
        while let Some(event) = client.poll_event() {
            match event {
                Event::StartTls => client.tls_started(now),
                Event::Online { .. } => online = true,
                Event::Stanza(stanza) => {
                    assert!(online && stanza.has_ns(stanza::ns::CLIENT));
                    client.send(now, &stanza);
                }
                Event::Ignored(_) => assert!(online),
                Event::Closed(_) => {
                    client.disconnected();
                    client.connect(now, choice & 4 == 0);
                }
            }
        }
        while let Some(bytes) = client.poll_transmit() {
            if !bytes.starts_with(b"<?xml") && !bytes.starts_with(b"</") {
                check_written(&bytes, came);
            }
        }
        now += Duration::from_millis(300);
        client.handle_timeout(now);
    }
});
