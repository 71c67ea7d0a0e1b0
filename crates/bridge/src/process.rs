//! What the kernel says of this process and its machine.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Figures of the process, as they were read last.
#[derive(Debug, Default)]
pub(crate) struct Process {
    threads: AtomicU64,
    files: AtomicU64,
    memory: AtomicU64,
    /// Bits of an `f64`.
    steal: AtomicU64,
}

impl Process {
    /// Reads them. `steal`: the part of the machine's time that another machine on the same host took, 0 to 1.
    pub(crate) fn read(&self, proc_dir: &Path, steal: f64) {
        let own = proc_dir.join("self");
        let status = fs::read_to_string(own.join("status")).unwrap_or_default();
        let figure = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let first = line.and_then(|rest| rest.split_whitespace().next());
            first.and_then(|figure| figure.parse().ok()).unwrap_or(0)
        };
        // Reading a directory takes a descriptor of its own.
        let files = fs::read_dir(own.join("fd")).map_or(0, |all| all.count().saturating_sub(1));
        self.threads.store(figure("Threads:"), Ordering::Relaxed);
        self.memory
            .store(figure("VmRSS:") * 1024, Ordering::Relaxed);
        self.files.store(files as u64, Ordering::Relaxed);
        self.steal.store(steal.to_bits(), Ordering::Relaxed);
    }

    /// Threads.
    pub(crate) fn threads(&self) -> u64 {
        self.threads.load(Ordering::Relaxed)
    }

    /// Open files, sockets included.
    pub(crate) fn files(&self) -> u64 {
        self.files.load(Ordering::Relaxed)
    }

    /// Memory in use, bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// The part of the machine's time that it did not get, 0 to 1.
    pub(crate) fn steal(&self) -> f64 {
        f64::from_bits(self.steal.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked() {
        let process = Process::default();
        process.read(Path::new("/proc"), 0.25);
        assert!(process.threads() >= 1 && process.files() >= 1);
        assert!(process.memory() > 1024 * 1024);
        assert!((process.steal() - 0.25).abs() < 1e-9);
        process.read(Path::new("/nowhere"), 0.0);
        assert_eq!((process.threads(), process.files()), (0, 0));
    }
}
