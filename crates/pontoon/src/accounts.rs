//! The accounts of bridges on a meet node: a file for each in the state directory, watched while the node runs.
//!
//! Only salted keys are kept, never a password. A file that comes, changes or goes is taken up within a second, so
//! `pontoon token` needs no way to the running node.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use config::JoinToken;
use serde_json::{Value, json};
use signalling::{BridgeDoor, NewBridge};
use stanza::error::Condition;
use telemetry::Redacted;
use tokio::sync::Mutex;
use xmpp::BridgeAccounts;
use xmpp::auth::{Credentials, ScramKeys};

use crate::failure::Failure;
use crate::state::{self, random_hex};

/// Bridges that may have an account by asking for it.
const MAX_ASKED: usize = 1_000;
/// Time between two looks at the files.
const WATCH: Duration = Duration::from_secs(1);

/// One bridge's account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    credentials: Credentials,
    /// Seconds since 1970.
    pub(crate) made: u64,
    /// Whether the bridge asked for it with the token of newcomers.
    pub(crate) asked: bool,
}

/// The accounts and the token of a state directory.
#[derive(Clone, Debug)]
pub(crate) struct Accounts {
    state: PathBuf,
    directory: PathBuf,
    /// Held while files are changed by this process or handed to the node, so that it never sees an older state after
    /// a newer one.
    order: Arc<Mutex<()>>,
}

impl Accounts {
    pub(crate) fn new(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
            directory: state.join("bridges"),
            order: Arc::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.json"))
    }

    fn token_path(&self) -> PathBuf {
        self.state.join("join-token")
    }

    /// All accounts, by name. Files that are none are told and left out.
    pub(crate) fn list(&self) -> Result<BTreeMap<String, Account>, Failure> {
        let entries = match std::fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(state::unreadable(&self.directory, &error)),
        };
        let mut accounts = BTreeMap::new();
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let Some(name) = name_of(&path) else { continue };
            front::keep_private(&path);
            match std::fs::read_to_string(&path).map(|text| read(&text)) {
                Ok(Some(account)) => drop(accounts.insert(name, account)),
                Ok(None) => {
                    tracing::warn!(path = %path.display(), "this is no account of a bridge; it is left out")
                }
                // Revoked between the two looks.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "the account of a bridge cannot be read")
                }
            }
        }
        Ok(accounts)
    }

    /// Gives `name` a new password, which is returned; the one it had opens nothing any more.
    pub(crate) fn make(&self, name: &str) -> Result<String, Failure> {
        let password = random_hex(32);
        self.write(name, &password, false)?;
        Ok(password)
    }

    fn write(&self, name: &str, password: &str, asked: bool) -> Result<Credentials, Failure> {
        let credentials = Credentials::new(password, &rand::random::<[u8; 16]>());
        let made = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let text = json!({
            "made": made,
            "asked": asked,
            "sha1": keys_to_json(&credentials.sha1),
            "sha256": keys_to_json(&credentials.sha256),
        });
        self.write_file(&self.path(name), &format!("{text}\n"))?;
        Ok(credentials)
    }

    /// Writes a file that the state directory's owner can read, whoever runs this command.
    fn write_file(&self, path: &Path, text: &str) -> Result<(), Failure> {
        use std::os::unix::fs::{MetadataExt as _, chown};
        front::write_private(path, text.as_bytes()).map_err(Failure::start)?;
        if let Ok(owner) = std::fs::metadata(&self.state) {
            for path in [path, &self.directory] {
                // Only root may, and only then it is needed.
                let _ = chown(path, Some(owner.uid()), Some(owner.gid()));
            }
        }
        Ok(())
    }

    /// Takes an account away. Returns it, unless there is none.
    pub(crate) fn revoke(&self, name: &str) -> Result<Option<Account>, Failure> {
        let Some(account) = self.list()?.remove(name) else {
            return Ok(None);
        };
        let path = self.path(name);
        std::fs::remove_file(&path).map_err(|error| {
            Failure::start(format!("{} cannot be removed: {error}", path.display()))
        })?;
        Ok(Some(account))
    }

    /// The token that was written last, if there is one of this version.
    pub(crate) fn token(&self) -> Result<Option<JoinToken>, Failure> {
        let path = self.token_path();
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                front::keep_private(&path);
                let token = text.parse::<JoinToken>().ok();
                Ok(token.filter(JoinToken::is_for_newcomers))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(state::unreadable(&path, &error)),
        }
    }

    /// Writes the token for newcomers. The one of before opens nothing any more.
    pub(crate) fn write_token(&self, token: &JoinToken) -> Result<(), Failure> {
        self.write_file(&self.token_path(), &format!("{}\n", token.reveal()))
    }

    /// Makes a new password for newcomers and writes the token.
    pub(crate) fn renew_token(&self, mut token: JoinToken) -> Result<JoinToken, Failure> {
        token.password = new_password();
        self.write_token(&token)?;
        Ok(token)
    }

    /// What the node shall know.
    pub(crate) fn for_node(
        &self,
        join: Option<&Redacted<String>>,
    ) -> Result<BridgeAccounts, Failure> {
        let accounts = self.list()?.into_iter();
        Ok(BridgeAccounts {
            bridges: accounts
                .map(|(name, account)| (name, account.credentials))
                .collect(),
            join: join.map(|password| {
                // Always the same salt for the same password: what did not change must look the same.
                Credentials::new(password.expose(), b"newcomers of this node")
            }),
        })
    }

    /// Makes accounts for bridges that ask.
    pub(crate) fn new_bridge(&self) -> NewBridge {
        let accounts = self.clone();
        NewBridge(Arc::new(move |name, password| {
            let _order = accounts.order.blocking_lock();
            accounts.asked(name, password).inspect_err(
                |condition| tracing::warn!(%condition, "a bridge asked for an account and got none"),
            )
        }))
    }

    fn asked(&self, name: &str, password: &str) -> Result<(String, Credentials), Condition> {
        let failed = |failure: Failure| {
            tracing::error!("{}", failure.to_string().trim_end());
            Condition::InternalServerError
        };
        let accounts = self.list().map_err(failed)?;
        if accounts.values().filter(|account| account.asked).count() >= MAX_ASKED {
            tracing::error!(
                "{MAX_ASKED} bridges have accounts; take some away with \"pontoon token revoke\""
            );
            return Err(Condition::ResourceConstraint);
        }
        let name = free_name(name, &accounts).ok_or(Condition::Conflict)?;
        let credentials = self.write(&name, password, true).map_err(failed)?;
        tracing::info!(name, "a bridge got an account with the join token");
        Ok((name, credentials))
    }

    /// Hands what changes in the files to the node, for ever. `last` is what it knows already.
    pub(crate) async fn watch(self, door: BridgeDoor, mut last: BridgeAccounts) {
        let mut seen = Vec::new();
        loop {
            tokio::time::sleep(WATCH).await;
            let _order = self.order.lock().await;
            let now = self.signature();
            if now == seen {
                continue;
            }
            let accounts = self
                .token()
                .and_then(|token| self.for_node(token.as_ref().map(|token| &token.password)));
            match accounts {
                Ok(accounts) if accounts == last => seen = now,
                Ok(accounts) => {
                    tracing::info!(
                        bridges = accounts.bridges.len(),
                        "accounts of bridges have changed"
                    );
                    door.set(accounts.clone()).await;
                    (seen, last) = (now, accounts);
                }
                // As it was, until they can be read.
                Err(failure) => tracing::error!("{}", failure.to_string().trim_end()),
            }
        }
    }

    /// Changes when a file does.
    fn signature(&self) -> Vec<(PathBuf, u64, i64, i64)> {
        use std::os::unix::fs::MetadataExt as _;
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| name_of(path).is_some())
            .collect();
        paths.push(self.token_path());
        paths.sort();
        let of = |path: PathBuf| {
            let file = std::fs::metadata(&path).ok()?;
            Some((path, file.ino(), file.mtime(), file.mtime_nsec()))
        };
        paths.into_iter().filter_map(of).collect()
    }
}

/// A password that nobody guesses.
pub(crate) fn new_password() -> Redacted<String> {
    Redacted::new(random_hex(32))
}

fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
    xmpp::is_bridge_name(name).then(|| name.to_owned())
}

/// The name, or one that begins with it and that nobody has.
fn free_name(name: &str, taken: &BTreeMap<String, Account>) -> Option<String> {
    if !taken.contains_key(name) {
        return Some(name.to_owned());
    }
    let base: String = name.chars().take(54).collect();
    (0..8)
        .map(|_| format!("{base}-{}", random_hex(4)))
        .find(|name| !taken.contains_key(name))
}

fn keys_to_json(keys: &ScramKeys) -> Value {
    json!({
        "salt": hex(&keys.salt),
        "iterations": keys.iterations,
        "stored": hex(&keys.stored_key),
        "server": hex(&keys.server_key),
    })
}

fn keys_from_json(value: &Value, length: usize) -> Option<ScramKeys> {
    let bytes = |name: &str| from_hex(value.get(name)?.as_str()?);
    let keys = ScramKeys {
        salt: bytes("salt")?,
        iterations: u32::try_from(value.get("iterations")?.as_u64()?).ok()?,
        stored_key: bytes("stored")?,
        server_key: bytes("server")?,
    };
    let whole = keys.stored_key.len() == length && keys.server_key.len() == length;
    (whole && !keys.salt.is_empty() && keys.iterations > 0).then_some(keys)
}

fn read(text: &str) -> Option<Account> {
    let value: Value = serde_json::from_str(text).ok()?;
    Some(Account {
        credentials: Credentials {
            sha1: keys_from_json(value.get("sha1")?, 20)?,
            sha256: keys_from_json(value.get("sha256")?, 32)?,
        },
        made: value.get("made")?.as_u64()?,
        asked: value.get("asked")?.as_bool()?,
    })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    let pairs = digits.chunks_exact(2);
    Some(
        pairs
            .filter_map(|pair| Some(pair.first()? << 4 | pair.last()?))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::Accounts;

    #[test]
    fn accounts_are_kept_without_their_passwords() {
        let state = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(state.path());
        assert!(accounts.list().unwrap().is_empty());
        let password = accounts.make("alpha").unwrap();
        let path = state.path().join("bridges/alpha.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&password), "{text}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let known = accounts.for_node(None).unwrap().bridges;
        assert!(known["alpha"].verify_plain(&password));
        // Made again, the old password opens nothing.
        let other = accounts.make("alpha").unwrap();
        let known = accounts.for_node(None).unwrap().bridges;
        assert!(known["alpha"].verify_plain(&other) && !known["alpha"].verify_plain(&password));
        assert!(accounts.revoke("alpha").unwrap().is_some());
        assert!(accounts.revoke("alpha").unwrap().is_none());
    }

    #[test]
    fn a_name_that_is_taken_is_not_given_again() {
        let state = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(state.path());
        let (first, one) = accounts.asked("jvb-1", "a password of sixteen").unwrap();
        let (second, two) = accounts.asked("jvb-1", "another one of sixteen").unwrap();
        assert_eq!(first, "jvb-1");
        assert!(
            second.starts_with("jvb-1-") && xmpp::is_bridge_name(&second),
            "{second}"
        );
        let known = accounts.for_node(None).unwrap().bridges;
        assert!(known[&first] == one && known[&second] == two);
    }

    #[test]
    fn files_that_are_no_accounts_are_left_out() {
        let state = tempfile::tempdir().unwrap();
        let accounts = Accounts::new(state.path());
        accounts.make("good").unwrap();
        let directory = state.path().join("bridges");
        let good = std::fs::read_to_string(directory.join("good.json")).unwrap();
        for (name, text) in [
            ("empty.json", ""),
            ("half.json", &good[..good.len() / 2]),
            ("focus.json", &good),
            ("note.txt", &good),
            ("short.json", &good.replace("stored", "salt")),
        ] {
            std::fs::write(directory.join(name), text).unwrap();
        }
        let names: Vec<String> = accounts.list().unwrap().into_keys().collect();
        assert_eq!(names, ["good"]);
    }
}
