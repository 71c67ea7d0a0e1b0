//! Session keys of one direction.

use super::Profile;

/// Expanded session keys.
#[derive(Debug)]
pub(super) struct Keys {
    profile: Profile,
}

impl Keys {
    pub(super) fn profile(&self) -> Profile {
        self.profile
    }
}
