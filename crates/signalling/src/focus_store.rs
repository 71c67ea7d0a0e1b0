//! The file in which the focus finds its conferences again after the process was replaced.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use focus::Snapshot;
use tokio::task::JoinHandle;

/// Shortest time between two writes. What a focus that is killed did since the last one, the next one does not know.
const INTERVAL: Duration = Duration::from_millis(100);
/// Pause after a write for each of its bytes: a second for a MiB.
const OF_ONE_BYTE: Duration = Duration::from_nanos(954);
/// A larger file is not read.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
/// Meetings of which nothing was written for so long are over; people may be in one for hours without any change.
const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// Writes snapshots, not too often, and reads the last one.
pub(crate) struct Store {
    path: Option<PathBuf>,
    due: Instant,
    writing: Option<JoinHandle<()>>,
    /// The last write failed, which was said.
    failing: Arc<AtomicBool>,
}

impl Store {
    /// Without a path nothing is written and nothing is found.
    pub(crate) fn new(path: Option<PathBuf>, now: Instant) -> Self {
        Self {
            path,
            due: now,
            writing: None,
            failing: Arc::default(),
        }
    }

    /// The conferences of the focus before this one. A file that cannot be used is set aside.
    pub(crate) fn load(&self) -> Snapshot {
        let Some(path) = &self.path else {
            return Snapshot::default();
        };
        match read(path) {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => Snapshot::default(),
            Err(error) => {
                let aside = path.with_extension("broken");
                let moved = fs::rename(path, &aside).is_ok();
                tracing::warn!(
                    "the meetings of {} cannot be taken up again: {error}{}",
                    path.display(),
                    if moved {
                        "; the file is set aside as *.broken"
                    } else {
                        ""
                    }
                );
                Snapshot::default()
            }
        }
    }

    /// When the next snapshot may be written; `None` without a path, or while one is being written.
    pub(crate) fn due(&self) -> Option<Instant> {
        let busy = self.writing.as_ref().is_some_and(|w| !w.is_finished());
        (self.path.is_some() && !busy).then_some(self.due)
    }

    /// Writes a snapshot beside the runtime's own threads.
    pub(crate) fn write(&mut self, now: Instant, snapshot: &Snapshot) {
        let Some(path) = self.path.clone() else {
            return;
        };
        let json = snapshot.to_json();
        let bytes = u32::try_from(json.len()).unwrap_or(u32::MAX);
        self.due = now + INTERVAL + OF_ONE_BYTE * bytes;
        let failing = Arc::clone(&self.failing);
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let result = put(&path, &json);
            let known = failing.swap(result.is_err(), Ordering::Relaxed);
            if let (Err(error), false) = (result, known) {
                let path = path.display();
                tracing::warn!("the meetings cannot be written to {path}: {error}");
            }
        }));
    }

    /// Writes the last snapshot and waits for it.
    pub(crate) async fn finish(mut self, snapshot: &Snapshot) {
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
        let now = self.due;
        self.write(now, snapshot);
        if let Some(writing) = self.writing.take() {
            let _ = writing.await;
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "a file's age is a matter of the calendar"
)]
fn read(path: &Path) -> Result<Option<Snapshot>, String> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let about = file.metadata().map_err(|error| error.to_string())?;
    if about.len() > MOST_BYTES {
        return Err(format!("it has {} bytes", about.len()));
    }
    let mut json = Vec::new();
    file.take(MOST_BYTES)
        .read_to_end(&mut json)
        .map_err(|error| error.to_string())?;
    let snapshot = Snapshot::from_json(&json).map_err(|error| error.to_string())?;
    let age = about
        .modified()
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    if !snapshot.is_empty() && age.is_some_and(|age| age > MAX_AGE) {
        tracing::info!("meetings from before a longer pause are not taken up again");
        return Ok(None);
    }
    Ok(Some(snapshot))
}

/// Replaces the file in one step.
fn put(path: &Path, json: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut directories = fs::DirBuilder::new();
    directories.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        options.mode(0o600);
        directories.mode(0o700);
    }
    if let Some(parent) = path.parent() {
        directories.create(parent)?;
    }
    let new = path.with_extension("new");
    let mut file = options.open(&new)?;
    file.write_all(json)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(path: &Path) -> Store {
        Store::new(Some(path.to_owned()), crate::now())
    }

    #[tokio::test]
    async fn what_was_written_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("meetings.json");
        assert!(store(&path).load().is_empty(), "there is none at first");
        store(&path).finish(&Snapshot::default()).await;
        // A snapshot without a version, which only `default` makes, is not one of this version.
        assert!(store(&path).load().is_empty());
        let json = r#"{"version":1,"conferences":[]}"#;
        let empty = Snapshot::from_json(json.as_bytes()).unwrap();
        store(&path).finish(&empty).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), json);
        assert_eq!(store(&path).load(), empty);
        let files = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, 2, "itself, and the one set aside before");
    }

    #[tokio::test]
    async fn a_broken_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("meetings.json");
        fs::write(&path, "{\"version\":1,").unwrap();
        assert!(store(&path).load().is_empty());
        assert!(!path.exists());
        assert!(path.with_extension("broken").exists());
    }

    #[tokio::test]
    async fn writes_have_pauses() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("meetings.json");
        let mut store = store(&path);
        let now = store.due().unwrap();
        store.write(now, &Snapshot::default());
        while store.due().is_none() {
            tokio::task::yield_now().await;
        }
        let due = store.due().unwrap();
        assert!(due >= now + INTERVAL && due < now + 2 * INTERVAL);
        assert!(path.exists());
    }
}
