//! Accounts of services: their names, and how many sessions they may have.

use std::collections::BTreeMap;

use crate::auth::Credentials;

/// Local part of the account with which a bridge asks for one of its own.
pub const JOIN: &str = "join";
/// Local part of the account of the bridge in this process.
pub const LOCAL_BRIDGE: &str = "jvb";
/// Local part of the account of the focus.
pub(crate) const FOCUS: &str = "focus";
/// Longest name of a bridge's account, in bytes.
const MAX_NAME: usize = 64;
/// Sessions one bridge's account may have: a bridge that comes back, and some more for bridges that share one.
pub(crate) const SESSIONS_PER_BRIDGE: usize = 32;
/// Bridges that may ask for an account at one time.
pub(crate) const SESSIONS_OF_JOIN: usize = 64;

/// Where a peer wants to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// WebSocket and BOSH, which everybody reaches: no service accounts.
    Web,
    /// XMPP over TCP, for services elsewhere.
    Service,
    /// Inside the process.
    Process,
}

/// The accounts of bridges elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeAccounts {
    /// By local part.
    pub bridges: BTreeMap<String, Credentials>,
    /// Of the account with which new bridges ask for one; nobody can without.
    pub join: Option<Credentials>,
}

/// Whether `name` can be the account of a bridge: letters in lower case, digits, `-`, `_` and `.`, and none of ours.
#[must_use]
pub fn is_bridge_name(name: &str) -> bool {
    let plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.')
    };
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && ![JOIN, LOCAL_BRIDGE, FOCUS].contains(&name)
}

#[cfg(test)]
mod tests {
    use super::is_bridge_name;

    #[test]
    fn names_of_bridges() {
        for good in ["bridge-1a2b3c4d", "jvb1", "eu.west_2", "0"] {
            assert!(is_bridge_name(good), "{good}");
        }
        let long = "a".repeat(65);
        for bad in [
            "", "jvb", "focus", "join", "-a", ".", "a b", "A", "a/b", "a:b", "ä", &long,
        ] {
            assert!(!is_bridge_name(bad), "{bad}");
        }
    }
}
