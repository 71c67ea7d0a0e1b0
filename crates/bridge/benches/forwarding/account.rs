//! Processor time and memory of a process, as the kernel counts them.

use std::collections::BTreeMap;
use std::fs;

/// Of what the kernel counts in clock ticks.
const TICKS_PER_SECOND: f64 = 100.0;

/// What threads used so far.
#[derive(Default)]
pub(crate) struct Account {
    /// Seconds, counted exactly.
    pub(crate) total: f64,
    /// Seconds in the process and in the kernel for it, sampled.
    sampled: (f64, f64),
    /// Times that a thread gave up the processor by itself.
    pub(crate) waits: u64,
}

impl Account {
    /// The threads of a process whose name begins with `name`.
    pub(crate) fn of(process: u32, name: &str) -> Self {
        let mut account = Self::default();
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        for task in tasks.flatten() {
            let read = |file| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            if read("comm").starts_with(name) {
                account.add(&read("schedstat"), &read("stat"), &read("status"));
            }
        }
        account
    }

    /// Seconds that each of those threads used so far, by its name.
    pub(crate) fn threads(process: u32, name: &str) -> BTreeMap<String, f64> {
        let tasks = fs::read_dir(format!("/proc/{process}/task")).unwrap();
        let read = |task: fs::DirEntry| {
            let read = |file| fs::read_to_string(task.path().join(file)).ok();
            let nanoseconds: f64 = read("schedstat")?.split(' ').next()?.parse().ok()?;
            Some((read("comm")?.trim().to_owned(), nanoseconds / 1e9))
        };
        let all = tasks.flatten().filter_map(read);
        all.filter(|(comm, _)| comm.starts_with(name)).collect()
    }

    /// Seconds that this thread used so far.
    pub(crate) fn own() -> f64 {
        let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        let nanoseconds = text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
        nanoseconds.unwrap() / 1e9
    }

    fn add(&mut self, schedstat: &str, stat: &str, status: &str) {
        let nanoseconds = schedstat.split(' ').next().and_then(|n| n.parse().ok());
        self.total += nanoseconds.unwrap_or(0.0) / 1e9;
        // The name in brackets may hold spaces; user and system time are the 12th and 13th field behind it.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut ticks = fields.split_whitespace().skip(11).map(|t| t.parse::<f64>());
        let mut seconds = || ticks.next().and_then(Result::ok).unwrap_or(0.0) / TICKS_PER_SECOND;
        self.sampled.0 += seconds();
        self.sampled.1 += seconds();
        self.waits += field(status, "voluntary_ctxt_switches:");
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            total: self.total - before.total,
            sampled: (
                self.sampled.0 - before.sampled.0,
                self.sampled.1 - before.sampled.1,
            ),
            waits: self.waits - before.waits,
        }
    }

    /// Seconds in the process itself: its share of the samples.
    pub(crate) fn user(&self) -> f64 {
        self.total - self.system()
    }

    /// Seconds in the kernel.
    pub(crate) fn system(&self) -> f64 {
        let (user, system) = self.sampled;
        self.total * system / (user + system).max(f64::MIN_POSITIVE)
    }
}

/// Resident memory of a process, bytes.
pub(crate) fn memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    field(&status, "VmRSS:") << 10
}

/// Load average of the machine over the last minute.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// A number in `/proc/*/status`.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}
