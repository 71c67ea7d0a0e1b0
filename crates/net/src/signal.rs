//! The flag and counter by which other threads wake a poller: many wakes cost one system call, and none is lost.

/// A flag that threads share.
pub(crate) trait Flag {
    /// Sets the flag and returns what it was, ordered with what comes before and after in both threads (acquire and
    /// release).
    fn swap(&self, value: bool) -> bool;
}

impl Flag for std::sync::atomic::AtomicBool {
    fn swap(&self, value: bool) -> bool {
        Self::swap(self, value, std::sync::atomic::Ordering::AcqRel)
    }
}

/// What a sleeping poller wakes by: it does as long as something was added that was not taken.
pub(crate) trait Counter {
    /// Adds one.
    fn add(&self);
    /// Sets it to zero.
    fn take(&self);
}

/// A flag in front of a counter. The flag is up from the first wake until the poller has taken the counter.
#[derive(Debug)]
pub(crate) struct Signal<F, C> {
    flag: F,
    pub(crate) counter: C,
}

impl<F: Flag, C: Counter> Signal<F, C> {
    pub(crate) fn new(flag: F, counter: C) -> Self {
        Self { flag, counter }
    }

    /// Wakes the poller. What the caller queued before is seen by it.
    pub(crate) fn raise(&self) {
        if !self.flag.swap(true) {
            self.counter.add();
        }
    }

    /// Takes the signal down, after which the poller's thread looks at its queue.
    ///
    /// The counter first: a wake before the flag falls adds nothing to it, and has queued what the poller looks at next;
    /// a wake after that adds to a counter that nobody takes before the next wait. The other way round a wake in between
    /// is taken with the flag left up, and no wake ever adds again.
    pub(crate) fn lower(&self) {
        self.counter.take();
        self.flag.swap(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    impl Flag for AtomicBool {
        fn swap(&self, value: bool) -> bool {
            Self::swap(self, value, Ordering::AcqRel)
        }
    }

    /// A counter that can be waited for, as the kernel's can.
    struct Count {
        value: Mutex<u64>,
        changed: Condvar,
    }

    impl Counter for Count {
        fn add(&self) {
            *self.value.lock().unwrap() += 1;
            self.changed.notify_one();
        }

        fn take(&self) {
            *self.value.lock().unwrap() = 0;
        }
    }

    impl Count {
        fn wait(&self) {
            let mut value = self.value.lock().unwrap();
            while *value == 0 {
                value = self.changed.wait(value).unwrap();
            }
        }
    }

    /// In every order of steps of a poller and of threads that queue and wake, the poller gets everything. A lost wake is
    /// a poller that waits for ever, which loom reports as a deadlock.
    fn explore(threads: usize, wakes: usize, preemptions: Option<usize>) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = preemptions;
        builder.check(move || {
            let count = Count {
                value: Mutex::new(0),
                changed: Condvar::new(),
            };
            let signal = Arc::new(Signal::new(AtomicBool::new(false), count));
            let queued = Arc::new(AtomicUsize::new(0));
            for _ in 0..threads {
                let (signal, queued) = (signal.clone(), queued.clone());
                thread::spawn(move || {
                    for _ in 0..wakes {
                        // Relaxed: the signal alone orders it.
                        queued.fetch_add(1, Ordering::Relaxed);
                        signal.raise();
                    }
                });
            }
            while queued.load(Ordering::Relaxed) < threads * wakes {
                signal.counter.wait();
                signal.lower();
            }
        });
    }

    #[test]
    fn no_order_of_two_threads_loses_a_wake() {
        // More preemptions find nothing that takes two threads and take minutes.
        explore(2, 1, Some(2));
    }

    #[test]
    fn no_order_of_repeated_wakes_loses_one() {
        explore(1, 2, None);
    }
}
