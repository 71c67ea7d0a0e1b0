//! Stress: how much of what this bridge can carry is used.

use std::fs;
use std::path::Path;

use crate::shared::Snapshot;

/// Part of the machine's time that counts as full load.
const CPU_THRESHOLD: f64 = 0.9;
/// Part of a worker thread's time that counts as full load: above, bursts wait for each other.
const SHARD_THRESHOLD: f64 = 0.8;

/// Measures the load of the machine between calls.
#[derive(Debug, Default)]
pub(crate) struct Load {
    previous: Option<Jiffies>,
    steal: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Jiffies {
    busy: u64,
    stolen: u64,
    total: u64,
}

impl Load {
    /// The part of the machine's time that others on the same host took, between the last two calls of [`Self::sample`].
    pub(crate) fn steal(&self) -> f64 {
        self.steal
    }

    /// The stress since the last call: the largest of what the machine and its busiest worker say.
    pub(crate) fn sample(&mut self, proc_dir: &Path, snapshots: &[Snapshot]) -> f64 {
        let now = fs::read_to_string(proc_dir.join("stat"))
            .ok()
            .as_deref()
            .and_then(parse);
        let cpu;
        (cpu, self.steal) = match (self.previous, now) {
            (Some(a), Some(b)) if b.total > a.total => {
                let part = |now: u64, then: u64| {
                    now.saturating_sub(then) as f64 / (b.total - a.total) as f64
                };
                (part(b.busy, a.busy), part(b.stolen, a.stolen))
            }
            _ => (0.0, 0.0),
        };
        self.previous = now.or(self.previous);
        let busiest = snapshots.iter().map(|s| s.busy).fold(0.0, f64::max);
        let stress = (cpu / CPU_THRESHOLD).max(busiest / SHARD_THRESHOLD);
        (stress * 10_000.0).round() / 10_000.0
    }
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn parse(stat: &str) -> Option<Jiffies> {
    let mut fields = stat.lines().next()?.split_ascii_whitespace();
    if fields.next() != Some("cpu") {
        return None;
    }
    let values: Vec<u64> = fields.take(8).map_while(|f| f.parse().ok()).collect();
    let idle = values.get(3)?.saturating_add(*values.get(4)?);
    let total = values.iter().fold(0u64, |sum, v| sum.saturating_add(*v));
    Some(Jiffies {
        busy: total.saturating_sub(idle),
        stolen: values.get(7).copied().unwrap_or(0),
        total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_of_machine_and_shards_counts() {
        let dir = tempfile::tempdir().unwrap();
        let write = |line: &str| fs::write(dir.path().join("stat"), line).unwrap();
        let worker = |busy| Snapshot {
            busy,
            ..Snapshot::default()
        };
        let mut load = Load::default();
        write("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1\n");
        assert_eq!(load.sample(dir.path(), &[worker(0.0)]), 0.0);
        write("cpu  145 0 145 810 0 0 0 0 0 0\n");
        assert_eq!(load.sample(dir.path(), &[worker(0.1)]), 1.0);
        assert_eq!(load.steal(), 0.0);
        write("cpu  145 0 145 910 0 0 0 0 0 0\n");
        assert_eq!(load.sample(dir.path(), &[worker(0.1), worker(0.4)]), 0.5);
        write("cpu  145 0 145 985 0 0 0 25 0 0\n");
        load.sample(dir.path(), &[]);
        assert_eq!(load.steal(), 0.25);
        write("nonsense");
        assert_eq!(load.sample(dir.path(), &[]), 0.0);
    }
}
