//! One direction: frames are read, wait as long as the link says, and are written.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sim::{Link, LinkSpec, LinkStats};

/// Longest frame.
const FRAME: usize = 2048;

struct Waiting {
    link: Link,
    frames: BinaryHeap<Reverse<(Instant, u64, Vec<u8>)>>,
    next: u64,
}

struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(crate) struct Direction {
    shared: Arc<Shared>,
}

#[allow(
    clippy::disallowed_methods,
    reason = "frames of real programs travel in real time"
)]
fn now() -> Instant {
    Instant::now()
}

impl Direction {
    /// Carries frames from one device to the other in two threads of its own, without delay at first.
    pub(crate) fn start(from: Arc<File>, to: Arc<File>, seed: u64) -> Self {
        let spec = LinkSpec {
            delay: Duration::ZERO,
            ..LinkSpec::default()
        };
        let shared = Arc::new(Shared {
            waiting: Mutex::new(Waiting {
                link: Link::new(spec, seed),
                frames: BinaryHeap::new(),
                next: 0,
            }),
            changed: Condvar::new(),
        });
        let (reading, writing) = (shared.clone(), shared.clone());
        std::thread::spawn(move || read(&from, &reading));
        std::thread::spawn(move || write(&to, &writing));
        Self { shared }
    }

    /// What the link does from now on.
    pub(crate) fn set(&self, spec: LinkSpec) {
        self.shared.lock().link.set_spec(spec);
    }

    /// What became of the frames so far.
    pub(crate) fn stats(&self) -> LinkStats {
        self.shared.lock().link.stats()
    }
}

fn read(mut from: &File, shared: &Shared) {
    let mut buffer = [0; FRAME];
    while let Ok(len) = from.read(&mut buffer) {
        let mut waiting = shared.lock();
        if let Some(arrival) = waiting.link.send(now(), len) {
            let frame = buffer.get(..len).unwrap_or_default().to_vec();
            let number = waiting.next;
            waiting.next += 1;
            waiting.frames.push(Reverse((arrival, number, frame)));
            shared.changed.notify_one();
        }
    }
}

fn write(mut to: &File, shared: &Shared) {
    let mut waiting = shared.lock();
    loop {
        let due = waiting.frames.peek().map(|Reverse((at, ..))| *at);
        let now = now();
        waiting = match due {
            None => shared
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner),
            Some(at) if at > now => {
                let timeout = shared.changed.wait_timeout(waiting, at - now);
                timeout.unwrap_or_else(PoisonError::into_inner).0
            }
            Some(_) => {
                let frame = waiting.frames.pop();
                drop(waiting);
                if let Some(Reverse((_, _, frame))) = frame {
                    // A device that is down takes nothing, as a plug that is pulled.
                    let _ = to.write(&frame);
                }
                shared.lock()
            }
        };
    }
}
