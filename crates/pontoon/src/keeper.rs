//! Keeps the account that a meet node gave to this bridge, in the state directory: one file for each node.

use std::path::PathBuf;

use bridge::Keeper;
use config::{JoinToken, Settings};
use serde_json::{Value, json};
use telemetry::Redacted;

use crate::accounts::hex;

/// The account on one meet node.
#[derive(Debug)]
pub(crate) struct KeptAccount {
    path: PathBuf,
}

impl KeptAccount {
    /// For the node that this token leads to, which its certificate names.
    pub(crate) fn new(settings: &Settings, token: &JoinToken) -> Self {
        let node = hex(token.fingerprint.get(..8).unwrap_or_default());
        Self {
            path: settings.state_dir.join(format!("account-{node}.json")),
        }
    }
}

impl Keeper for KeptAccount {
    fn load(&self) -> Option<(String, Redacted<String>)> {
        let text = std::fs::read_to_string(&self.path).ok()?;
        front::keep_private(&self.path);
        let value: Value = serde_json::from_str(&text).ok()?;
        let part = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        Some((part("user")?, Redacted::new(part("password")?)))
    }

    fn keep(&self, user: &str, password: &str) -> Result<(), String> {
        let text = json!({ "user": user, "password": password });
        front::write_private(&self.path, format!("{text}\n").as_bytes())
            .map_err(|error| error.to_string())
    }
}
