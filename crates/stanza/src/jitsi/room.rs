//! Which names are rooms, and the form in which they stand in addresses. Front, focus and web client share the rule; the
//! examples in `tests/room-names.json` hold for all of them.
use jid::BareJid;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

/// Bytes of a room's name in its address, at most (RFC 7622, section 3.3).
pub const MAX_NAME: usize = 1023;

/// Characters that clients leave out of a room's name: they have a meaning in addresses.
pub const LEFT_OUT: &str = ":?#[]@!$&'()*+,;=></\"";

/// First segments of paths that are the server's own: their pages could not be opened as rooms.
pub const RESERVED: [&str; 9] = [
    "_unlock",
    "config.js",
    "external_api.js",
    "favicon.ico",
    "http-bind",
    "index.html",
    "interface_config.js",
    "robots.txt",
    "xmpp-websocket",
];

/// Why a name is no room's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RoomNameError {
    /// Nothing is left of it.
    #[error("the room's name is empty without the characters {LEFT_OUT}, which cannot stand in it")]
    Empty,
    /// It is longer than an address can be.
    #[error(
        "the room's name is too long: percent-encoded it has {0} bytes, and {MAX_NAME} are possible"
    )]
    TooLong(usize),
    /// It is an address of the server itself.
    #[error("\"{0}\" is an address of the server itself and cannot be a room's name")]
    Reserved(String),
}

/// The name of the room whose page has this path segment (decoded), as it stands in the room's address.
///
/// # Errors
/// When no room can have it.
pub fn name_of(segment: &str) -> Result<String, RoomNameError> {
    let kept: String = segment
        .chars()
        .filter(|character| !LEFT_OUT.contains(*character))
        .collect();
    let name = encode(&kept);
    check(&name)?;
    Ok(name)
}

/// Whether a room can have this name, given as it stands in an address.
///
/// # Errors
/// When it cannot.
pub fn check(name: &str) -> Result<(), RoomNameError> {
    if name.is_empty() {
        Err(RoomNameError::Empty)
    } else if name.len() > MAX_NAME {
        Err(RoomNameError::TooLong(name.len()))
    } else if RESERVED.contains(&name) {
        Err(RoomNameError::Reserved(name.to_owned()))
    } else {
        Ok(())
    }
}

/// The form that names of rooms and tenants have in addresses: NFKC, lower case, percent-encoded, again lower case.
pub fn encode(text: &str) -> String {
    let plain: String = text.nfkc().collect::<String>().to_lowercase();
    let mut name = String::with_capacity(plain.len());
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

/// The label of a tenant in the domain of its rooms, `conference.<label>.<domain>`: lower case, with `_` for dots. A domain
/// cannot hold percent signs, so where a name must be encoded its bytes are written `=c3=bc`, otherwise as in rooms' names.
/// No label has other characters than letters, digits, `-`, `_` and `=`: pages echo it into HTML and scripts.
pub fn tenant_label(tenant: &str) -> String {
    let plain: String = tenant.nfkc().collect::<String>().to_lowercase();
    let plain = plain.replace('.', "_");
    let address = BareJid::new(&format!("r@{plain}.x"));
    let stays = address.is_ok_and(|room| room.domain().as_str() == format!("{plain}.x"));
    let inert = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if plain.bytes().all(inert) && stays {
        return plain;
    }
    let mut label = String::with_capacity(3 * plain.len());
    for byte in plain.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' {
            label.push(char::from(byte));
        } else {
            label.push_str(&format!("={byte:02x}"));
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{RoomNameError, check, encode, name_of, tenant_label};

    #[test]
    fn the_shared_examples_hold() {
        let text = include_str!("../../tests/room-names.json");
        let examples: Vec<Value> = serde_json::from_str(text).unwrap();
        for example in examples {
            let times = example["times"].as_u64().unwrap_or(1);
            let segment = example["segment"].as_str().unwrap();
            let segment = segment.repeat(usize::try_from(times).unwrap());
            let found = match name_of(&segment) {
                Ok(name) => name,
                Err(RoomNameError::Empty) => "refused: empty".to_owned(),
                Err(RoomNameError::TooLong(_)) => "refused: long".to_owned(),
                Err(RoomNameError::Reserved(_)) => "refused: reserved".to_owned(),
            };
            assert_eq!(example["name"].as_str(), Some(found.as_str()), "{segment}");
        }
    }

    #[test]
    fn the_reason_can_be_shown_to_people() {
        assert_eq!(
            check("").unwrap_err().to_string(),
            "the room's name is empty without the characters :?#[]@!$&'()*+,;=></\", which cannot stand in it"
        );
        assert_eq!(
            check(&"a".repeat(1024)).unwrap_err().to_string(),
            "the room's name is too long: percent-encoded it has 1024 bytes, and 1023 are possible"
        );
    }

    #[test]
    fn tenants_have_a_label_that_addresses_can_hold() {
        for (tenant, label) in [
            ("acme", "acme"),
            ("Acme.Inc", "acme_inc"),
            ("vpaas-magic-cookie-1a", "vpaas-magic-cookie-1a"),
            ("B\u{fc}cher AG", "b=c3=bccher=20ag"),
            ("Stra\u{df}e", "stra=c3=9fe"),
            ("-a-", "=2da=2d"),
            ("100%", "100=25"),
        ] {
            assert_eq!(tenant_label(tenant), label, "{tenant}");
            let room = format!("r@conference.{label}.meet.test");
            assert_eq!(jid::BareJid::new(&room).unwrap().to_string(), room);
        }
    }

    proptest! {
        #[test]
        fn any_tenant_has_a_label(tenant in "[^/]{1,6}") {
            let label = tenant_label(&tenant);
            prop_assert!(label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte)), "{}", label);
            let room = format!("r@conference.{label}.meet.test");
            if label.len() <= 63 {
                prop_assert_eq!(jid::BareJid::new(&room).unwrap().to_string(), room);
            }
        }

        #[test]
        fn a_name_stays_what_it_is(segment in "\\PC{0,24}") {
            if let Ok(name) = name_of(&segment) {
                prop_assert!(name.is_ascii());
                prop_assert_eq!(name.to_lowercase(), name.clone());
                let jid = jid::BareJid::new(&format!("{name}@conference.meet.test")).unwrap();
                prop_assert_eq!(jid.node().unwrap().as_str(), name);
            }
            prop_assert!(encode(&segment).is_ascii());
        }
    }
}
