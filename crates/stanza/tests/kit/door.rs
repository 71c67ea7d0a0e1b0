//! The one property of all doors: whatever is accepted is written in a form that every peer of ours accepts under its
//! limits, and no larger than a small multiple of what came in.

use stanza::Element;
use stanza::xml::{Limits, parse, to_string, written_len};

/// What a stanza may grow to when it is written.
pub const GROWTH: usize = 8;
/// What the server may add to it: addresses, a name, the item of a room, the growth that is always allowed.
pub const ADDED: usize = 16 * 1024;

/// Checks something that is written for a peer of ours and caused by `came` accepted bytes. `came` counts everything that
/// can have gone into it.
#[track_caller]
pub fn check_written(written: &[u8], came: usize) -> Element {
    let read = parse(written, &Limits::FROM_SERVER);
    let start = String::from_utf8_lossy(written.get(..written.len().min(400)).unwrap_or(written));
    assert!(read.is_ok(), "{read:?} of {} bytes: {start}", written.len());
    assert!(
        written.len() <= GROWTH * came + ADDED,
        "{} bytes of {came}: {start}",
        written.len()
    );
    read.unwrap_or_else(|_| Element::bare("unreachable", ""))
}

/// Checks a stanza that was accepted as `came` bytes: written, it is read again as the same, also with everything that the
/// server may add to it.
#[track_caller]
pub fn check_accepted(stanza: &Element, came: usize) {
    let text = to_string(stanza);
    assert_eq!(text.len(), written_len(stanza), "{text:.400}");
    assert_eq!(&check_written(text.as_bytes(), came), stanza, "{text:.400}");
    let mut addressed = Element::clone(stanza);
    let address = "\"".repeat(1023);
    for name in ["from", "to", "id", "type"] {
        stanza::ElementExt::put(&mut addressed, name, address.as_str());
    }
    for _ in 0..32 {
        addressed.append_child(Element::bare("status", stanza::ns::MUC_USER));
    }
    let mut body = Element::bare("body", stanza::ns::HTTP_BIND);
    body.append_child(addressed);
    // Four addresses of the longest kind, escaped.
    check_written(to_string(&body).as_bytes(), came + 4 * 1023);
}
