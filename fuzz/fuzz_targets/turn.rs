//! What a stranger says to the relay: without credentials nothing is opened or sent, whatever the bytes are.
#![no_main]

use std::sync::Arc;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use turn::{MAX_MESSAGE, Now, Output, Session, Settings, message_len};

fuzz_target!(|data: &[u8]| {
    let now = Now {
        at: Instant::now(),
        unix: 1_000,
    };
    let settings = Settings {
        realm: "meet.test".to_owned(),
        secret: b"secret".to_vec(),
        allows: Arc::new(|_| true),
    };
    let client = ([192, 0, 2, 1], 1).into();
    let mut session = Session::new(Arc::new(settings), client, [7; 16], now);
    let mut rest = data;
    while let Ok(Some(len)) = message_len(rest) {
        assert!(len <= MAX_MESSAGE);
        let Some((message, tail)) = rest.split_at_checked(len) else {
            break;
        };
        match session.handle_client(now, message) {
            None => {}
            Some(Output::Reply(reply)) => assert_eq!(message_len(&reply), Ok(Some(reply.len()))),
            other => panic!("{other:?}"),
        }
        rest = tail;
    }
    assert_eq!(session.handle_peer(now, client, data), None);
});
