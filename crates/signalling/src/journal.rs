//! The file in which the next process finds the sessions and rooms of this one.
//!
//! A thread writes it, so that nobody waits for a disk: what a killed process had not written yet is what it did in its
//! last moment. The file is begun anew, beside the old one, when what was appended is more than what it began with. Where
//! the disk does not keep up, or refuses, nothing more is appended, and later the file is begun anew.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A larger file is not read.
const MOST_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes that may be appended in any case before the file is begun anew.
const APPENDED: usize = 4 * 1024 * 1024;
/// Bytes that may wait for the disk.
const WAITING: usize = 32 * 1024 * 1024;
/// Time after which a file that could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(5);

enum Order {
    /// The file begins anew with this.
    Begin(Vec<u8>),
    Append(Vec<u8>),
}

/// What the two sides know of each other.
#[derive(Default)]
struct Shared {
    /// Bytes on their way to the disk.
    waiting: AtomicUsize,
    /// Something was not written: what comes now makes no sense without it.
    broken: AtomicBool,
}

/// The file, as the server's task sees it.
pub(crate) struct Journal {
    path: PathBuf,
    orders: Option<Sender<Order>>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// Bytes the file began with, and bytes appended since.
    begun: usize,
    appended: usize,
    /// When a broken file is begun anew.
    again: Option<Instant>,
}

/// What the process before this one has left; nothing when there was none. A file that cannot be used is set aside.
pub(crate) fn read(path: &Path) -> Vec<u8> {
    let read = || -> io::Result<Vec<u8>> {
        let file = File::open(path)?;
        let size = file.metadata()?.len();
        if size > MOST_BYTES {
            return Err(io::Error::other(format!("it has {size} bytes")));
        }
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            set_aside(path, &error.to_string());
            Vec::new()
        }
    }
}

/// Moves a file out of the way that is no use.
pub(crate) fn set_aside(path: &Path, why: &str) {
    let moved = fs::rename(path, path.with_extension("broken")).is_ok();
    tracing::warn!(
        "the sessions of {} cannot be taken up again: {why}{}",
        path.display(),
        if moved {
            "; the file is set aside as *.broken"
        } else {
            ""
        }
    );
}

impl Journal {
    /// Begins the file with `whole`.
    pub(crate) fn new(path: PathBuf, whole: Vec<u8>) -> Self {
        let shared = Arc::<Shared>::default();
        let (orders, received) = channel();
        let writer = Writer {
            path: path.clone(),
            file: None,
            shared: Arc::clone(&shared),
            failing: false,
        };
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let writer = thread.spawn(move || writer.run(&received));
        let mut journal = Self {
            path,
            orders: Some(orders),
            writer: writer.ok(),
            shared,
            begun: 0,
            appended: 0,
            again: None,
        };
        journal.begin(whole);
        journal
    }

    /// Whether the file shall begin anew, with all there is.
    pub(crate) fn wants_whole(&mut self, now: Instant) -> bool {
        if self.shared.broken.load(Ordering::Acquire) {
            let again = *self.again.get_or_insert(now + AGAIN);
            return again <= now && self.shared.waiting.load(Ordering::Acquire) == 0;
        }
        self.appended > APPENDED.max(self.begun)
    }

    /// Begins the file anew.
    pub(crate) fn begin(&mut self, whole: Vec<u8>) {
        (self.begun, self.appended, self.again) = (whole.len(), 0, None);
        self.shared.broken.store(false, Ordering::Release);
        self.order(Order::Begin(whole));
    }

    /// Appends what is new.
    pub(crate) fn append(&mut self, news: Vec<u8>) {
        if news.is_empty() || self.shared.broken.load(Ordering::Acquire) {
            return;
        }
        if self.shared.waiting.load(Ordering::Acquire) > WAITING {
            self.shared.broken.store(true, Ordering::Release);
            tracing::warn!("the disk does not keep up with {}", self.path.display());
            return;
        }
        self.appended += news.len();
        self.order(Order::Append(news));
    }

    fn order(&self, order: Order) {
        let bytes = order.bytes();
        self.shared.waiting.fetch_add(bytes, Ordering::AcqRel);
        if self.orders.as_ref().is_none_or(|o| o.send(order).is_err()) {
            self.shared.broken.store(true, Ordering::Release);
            self.shared.waiting.fetch_sub(bytes, Ordering::AcqRel);
        }
    }

    /// Returns when all is written.
    pub(crate) fn finish(mut self) {
        drop(self.orders.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Order {
    fn bytes(&self) -> usize {
        match self {
            Self::Begin(bytes) | Self::Append(bytes) => bytes.len(),
        }
    }
}

/// The thread's side.
struct Writer {
    path: PathBuf,
    file: Option<File>,
    shared: Arc<Shared>,
    /// The last attempt failed, which was said.
    failing: bool,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            let done = match &order {
                Order::Begin(whole) => self.begin(whole),
                Order::Append(news) => match &mut self.file {
                    Some(file) => file.write_all(news),
                    // After a failure: the next beginning will tell.
                    None => Ok(()),
                },
            };
            let failed = done.is_err();
            if let Err(error) = done {
                // Half a line may be there; what follows it would be lost with it.
                self.file = None;
                self.shared.broken.store(true, Ordering::Release);
                if !self.failing {
                    let path = self.path.display();
                    tracing::warn!("sessions and rooms cannot be written to {path}: {error}");
                }
            }
            if failed || matches!(order, Order::Begin(_)) {
                self.failing = failed;
            }
            self.shared
                .waiting
                .fetch_sub(order.bytes(), Ordering::AcqRel);
        }
    }

    /// Replaces the file in one step.
    fn begin(&mut self, whole: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        self.file = None;
        if let Some(parent) = self.path.parent() {
            let mut directories = fs::DirBuilder::new();
            directories.recursive(true).mode(0o700).create(parent)?;
        }
        let new = self.path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(whole)?;
        // A name that is there after a power cut must not be one of an empty file.
        file.sync_data()?;
        fs::rename(&new, &self.path)?;
        self.file = Some(file);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_was_written_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/sessions.journal");
        assert!(read(&path).is_empty(), "there is none at first");
        let mut journal = Journal::new(path.clone(), b"whole\n".to_vec());
        journal.append(b"one\n".to_vec());
        journal.append(b"two\n".to_vec());
        journal.finish();
        assert_eq!(read(&path), b"whole\none\ntwo\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let journal = Journal::new(path.clone(), b"again\n".to_vec());
        journal.finish();
        assert_eq!(read(&path), b"again\n");
    }

    #[test]
    fn it_begins_anew_before_it_is_twice_as_long_as_need_be() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions.journal");
        let mut journal = Journal::new(path, Vec::new());
        let now = crate::now();
        journal.append(vec![b'x'; APPENDED]);
        assert!(!journal.wants_whole(now));
        journal.append(vec![b'x'; 1]);
        assert!(journal.wants_whole(now));
        journal.begin(vec![b'y'; 3 * APPENDED]);
        journal.append(vec![b'x'; 2 * APPENDED]);
        assert!(!journal.wants_whole(now));
        journal.finish();
    }

    #[test]
    fn a_file_that_cannot_be_written_is_begun_anew_later() {
        let directory = tempfile::tempdir().unwrap();
        // A directory is in its place.
        let path = directory.path().join("sessions.journal");
        fs::create_dir(&path).unwrap();
        let mut journal = Journal::new(path.clone(), b"whole\n".to_vec());
        while !journal.shared.broken.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        while journal.shared.waiting.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        let now = crate::now();
        journal.append(b"lost\n".to_vec());
        assert!(!journal.wants_whole(now));
        assert!(journal.wants_whole(now + AGAIN));
        fs::remove_dir(&path).unwrap();
        journal.begin(b"anew\n".to_vec());
        journal.append(b"more\n".to_vec());
        journal.finish();
        assert_eq!(read(&path), b"anew\nmore\n");
    }
}
