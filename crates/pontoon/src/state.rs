//! What is made once and kept in the state directory: the cluster secret and the bridge's name. The directory is one
//! process's alone.

use std::fs::{DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use config::Settings;
use telemetry::Redacted;

use crate::failure::Failure;

/// Time for a process that is just ending to let go of the directory.
const ENDING: Duration = Duration::from_secs(5);

/// The state directory is this process's alone as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: Option<File>,
}

/// Takes the state directory for this process.
pub(crate) async fn lock(settings: &Settings) -> Result<Lock, Failure> {
    let directory = &settings.state_dir;
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory);
    let opened = made.and_then(|()| {
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        options.open(directory.join("lock"))
    });
    let Ok(file) = opened else {
        // Whoever needs the directory says what is wrong with it; a bridge that is told everything does not need it.
        return Ok(Lock { _file: None });
    };
    let patience = Instant::now() + ENDING;
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if Instant::now() >= patience {
            return Err(Failure::start(format!(
                "another pontoon runs with the state directory {}; stop it, or give this one another with --state-dir",
                directory.display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(Lock { _file: Some(file) })
}

/// The secret from which service passwords are derived.
pub(crate) fn cluster_secret(settings: &Settings) -> Result<Redacted<String>, Failure> {
    match &settings.cluster_secret {
        Some(secret) => Ok(secret.clone()),
        None => kept(&settings.state_dir, "cluster-secret", || random_hex(32)).map(Redacted::new),
    }
}

/// The bridge's name.
pub(crate) fn bridge_id(settings: &Settings) -> Result<String, Failure> {
    match &settings.bridge.id {
        Some(id) => Ok(id.clone()),
        None => kept(&settings.state_dir, "bridge-id", || {
            format!("bridge-{}", random_hex(4))
        }),
    }
}

/// What opens the private HTTP to orders from other machines.
pub(crate) fn operator_token(settings: &Settings) -> Result<Redacted<String>, Failure> {
    kept(&settings.state_dir, "operator-token", || random_hex(32)).map(Redacted::new)
}

/// The content of a file, which is made when missing.
fn kept(directory: &Path, name: &str, make: impl FnOnce() -> String) -> Result<String, Failure> {
    let path = directory.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => {
            front::keep_private(&path);
            Ok(text.trim().to_owned())
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unreadable(&path, &error)),
        _ => {
            let text = make();
            front::write_private(&path, format!("{text}\n").as_bytes()).map_err(Failure::start)?;
            Ok(text)
        }
    }
}

/// Why a file of the state directory is no use, and what to do about it.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let what_to_do = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "; run pontoon as its owner, or choose another directory with --state-dir"
        }
        io::ErrorKind::InvalidData => "; it is damaged: remove it, and another one is made",
        _ => "",
    };
    Failure::start(format!(
        "{} cannot be read: {error}{what_to_do}",
        path.display()
    ))
}

/// `bytes` random bytes as hexadecimal digits.
pub(crate) fn random_hex(bytes: usize) -> String {
    (0..bytes)
        .map(|_| format!("{:02x}", rand::random::<u8>()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{kept, random_hex};

    #[test]
    fn what_is_made_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let first = kept(&state, "secret", || random_hex(32)).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(kept(&state, "secret", || random_hex(32)).unwrap(), first);
        assert_ne!(kept(&state, "other", || random_hex(32)).unwrap(), first);
    }

    #[test]
    fn an_unreadable_file_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("secret")).unwrap();
        let failure = kept(directory.path(), "secret", || random_hex(32)).unwrap_err();
        assert!(failure.to_string().contains("cannot be read"), "{failure}");
    }
}
