//! What arrives: the rate of acknowledged packets over a second or so.

use std::collections::VecDeque;

/// The window has at least so many packets, and no more than so many.
const PACKETS: usize = 20;
const MOST: usize = 500;
/// Packets without which there is no estimate.
const REQUIRED: usize = 10;
/// The window covers this time, and no more than this, microseconds.
const WINDOW: i32 = 1_000_000;
const LONGEST: i32 = 5_000_000;
/// The last moments, microseconds.
const RECENT: i32 = 300_000;
/// Arrivals further back than this mean another clock, microseconds.
const REORDERED: i32 = 1_000_000;

/// Times are the low 32 bits of microseconds: the window is short.
#[derive(Debug, Clone, Copy)]
struct Packet {
    sent: u32,
    arrived: u32,
    size: u16,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Throughput {
    /// By arrival.
    window: VecDeque<Packet>,
    /// When the youngest of those was sent that have left the window.
    discarded: Option<u32>,
}

impl Throughput {
    /// A packet was acknowledged.
    #[inline]
    pub(crate) fn add(&mut self, sent: u64, arrived: i64, size: u16) {
        let packet = Packet {
            sent: sent as u32,
            arrived: arrived as u32,
            size,
        };
        let newest = self.window.back().map_or(packet.arrived, |p| p.arrived);
        if after(newest, packet.arrived) > REORDERED {
            self.window.clear();
            self.discarded = None;
            return;
        }
        self.window.push_back(packet);
        if after(newest, packet.arrived) > 0 {
            self.sort_in();
        }
        if self.window.len() > MOST {
            self.discard();
        }
    }

    /// The newest one came before others.
    #[cold]
    fn sort_in(&mut self) {
        let packets = self.window.make_contiguous();
        let mut at = packets.len() - 1;
        while at > 0 && after(packets[at - 1].arrived, packets[at].arrived) > 0 {
            packets.swap(at - 1, at);
            at -= 1;
        }
    }

    fn discard(&mut self) {
        if let Some(packet) = self.window.pop_front() {
            let newer = self.discarded.is_none_or(|at| after(packet.sent, at) > 0);
            if newer {
                self.discarded = Some(packet.sent);
            }
        }
    }

    /// Drops what is too old; bits per second of the rest.
    pub(crate) fn rate(&mut self) -> Option<f64> {
        while let (Some(first), Some(last)) = (self.window.front(), self.window.back()) {
            let covers = after(last.arrived, first.arrived);
            if covers <= LONGEST && (self.window.len() <= PACKETS || covers <= WINDOW) {
                break;
            }
            self.discard();
        }
        (self.window.len() >= REQUIRED).then(|| self.measure())
    }

    /// What arrived in the last moments, bits per second: as long as a queue grows, what the path carries now.
    pub(crate) fn recent(&self) -> Option<f64> {
        let last = self.window.back()?.arrived;
        let recent = self
            .window
            .iter()
            .rev()
            .take_while(|p| after(last, p.arrived) <= RECENT);
        let (mut bytes, mut count, mut first) = (0, 0, (last, 0));
        for packet in recent {
            bytes += u32::from(packet.size);
            count += 1;
            first = (packet.arrived, packet.size);
        }
        let passed = last.wrapping_sub(first.0);
        (count >= REQUIRED).then(|| per_second(bytes - u32::from(first.1), passed))
    }

    /// The first packet to arrive took no time of the window, nor did the last one sent. The longest gap counts as the
    /// second longest one: a path that stops for a moment and then delivers all has lost no throughput. What was sent
    /// bounds the error of that.
    fn measure(&self) -> f64 {
        let Some(first) = self.window.front() else {
            return 0.0;
        };
        // Sent before others that have left the window: its time of sending would stretch the whole.
        let oldest = self.discarded.map_or(i32::MIN, |at| after(at, first.sent));
        let (mut arrived_bytes, mut last, mut gaps) = (0, first.arrived, (0, 0));
        let mut sent = Sent::default();
        let (front, back) = self.window.as_slices();
        for packets in [front, back] {
            for packet in packets {
                let gap = packet.arrived.wrapping_sub(last);
                last = packet.arrived;
                gaps.1 = u32::max(gaps.1, gap.min(gaps.0));
                gaps.0 = gaps.0.max(gap);
                arrived_bytes += u32::from(packet.size);
                let at = after(packet.sent, first.sent);
                if at >= oldest {
                    sent.add(at, u32::from(packet.size));
                }
            }
        }
        let arrivals = last
            .wrapping_sub(first.arrived)
            .wrapping_sub(gaps.0)
            .wrapping_add(gaps.1);
        let arrived = per_second(arrived_bytes - u32::from(first.size), arrivals);
        sent.rate().map_or(arrived, |sent| arrived.min(sent))
    }
}

/// What was sent of a window.
#[derive(Debug)]
struct Sent {
    first: i32,
    last: i32,
    last_size: u32,
    bytes: u32,
    count: usize,
}

impl Default for Sent {
    fn default() -> Self {
        Self {
            first: i32::MAX,
            last: i32::MIN,
            last_size: 0,
            bytes: 0,
            count: 0,
        }
    }
}

impl Sent {
    #[inline]
    fn add(&mut self, at: i32, size: u32) {
        self.first = self.first.min(at);
        if at > self.last {
            self.last = at;
            self.last_size = size;
        }
        self.bytes += size;
        self.count += 1;
    }

    fn rate(&self) -> Option<f64> {
        let passed = self.last.wrapping_sub(self.first) as u32;
        (self.count >= REQUIRED).then(|| per_second(self.bytes - self.last_size, passed))
    }
}

fn per_second(bytes: u32, micros: u32) -> f64 {
    f64::from(bytes) * 8e6 / f64::from(micros.max(1_000))
}

/// Microseconds from `b` to `a`.
#[inline]
fn after(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(packets: u64, every: u64, arrives: impl Fn(u64) -> i64) -> Throughput {
        let mut throughput = Throughput::default();
        for n in 0..packets {
            throughput.add(n * every, arrives(n), 1_000);
        }
        throughput
    }

    #[test]
    fn steady_packets_are_counted() {
        // The clock wraps on the way.
        let start = i64::from(u32::MAX) - 500_000;
        let mut throughput = fill(200, 10_000, |n| start + n as i64 * 10_000);
        assert_eq!(throughput.rate(), Some(800_000.0));
        assert!(throughput.window.len() <= 102);
    }

    #[test]
    fn few_packets_tell_nothing() {
        assert_eq!(fill(9, 10_000, |n| n as i64 * 10_000).rate(), None);
    }

    #[test]
    fn a_pause_of_the_path_is_no_loss_of_rate() {
        let mut throughput = fill(100, 10_000, |n| {
            let at = n as i64 * 10_000;
            if (400_000..700_000).contains(&at) {
                700_000 + n as i64
            } else {
                at
            }
        });
        let rate = throughput.rate().unwrap();
        assert!((700_000.0..810_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn a_queue_is_slower_than_what_was_sent() {
        let mut throughput = fill(100, 5_000, |n| n as i64 * 10_000);
        let rate = throughput.rate().unwrap();
        assert!((790_000.0..=800_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn order_of_arrival_does_not_matter() {
        let mut throughput = fill(100, 10_000, |n| (n ^ 1) as i64 * 10_000);
        let rate = throughput.rate().unwrap();
        assert!((790_000.0..=810_000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn the_last_moments_show_a_change_at_once() {
        let mut throughput = fill(200, 5_000, |n| {
            let slow = n.saturating_sub(140);
            (n * 5_000 + slow * 5_000) as i64
        });
        let recent = throughput.recent().unwrap();
        assert!((790_000.0..=810_000.0).contains(&recent), "{recent}");
        assert!(throughput.rate().unwrap() > 1_000_000.0);
    }

    #[test]
    fn another_clock_begins_anew() {
        let mut throughput = fill(100, 10_000, |n| n as i64 * 10_000);
        throughput.add(1_000_000, -5_000_000, 1_000);
        assert_eq!(throughput.rate(), None);
    }
}
