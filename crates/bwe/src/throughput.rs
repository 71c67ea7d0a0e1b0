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

/// Packets that were sent together arrive as one within this time, microseconds.
const TOGETHER: i32 = 25_000;

/// Packets that were sent at one moment. Times are the low 32 bits of microseconds: the window is short.
#[derive(Debug, Clone, Copy)]
struct Burst {
    sent: u32,
    /// When the first and the last one arrived, and the longest time between two.
    began: u32,
    arrived: u32,
    gap: u32,
    bytes: u32,
    packets: u32,
    /// Size of the first one.
    first: u16,
}

impl Burst {
    /// Whether a packet belongs to it, which it then has.
    fn takes(&mut self, sent: u32, arrived: u32, size: u16) -> bool {
        let gap = after(arrived, self.arrived);
        let takes = sent == self.sent && gap >= 0 && after(arrived, self.began) < TOGETHER;
        if takes {
            self.gap = self.gap.max(gap as u32);
            self.arrived = arrived;
            self.bytes += u32::from(size);
            self.packets += 1;
        }
        takes
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Throughput {
    /// By arrival.
    window: VecDeque<Burst>,
    packets: usize,
    /// When the youngest of those was sent that have left the window.
    discarded: Option<u32>,
}

impl Throughput {
    /// A packet was acknowledged.
    #[inline]
    pub(crate) fn add(&mut self, sent: u64, arrived: i64, size: u16) {
        let (sent, arrived) = (sent as u32, arrived as u32);
        let newest = self.window.back().map_or(arrived, |p| p.arrived);
        if after(newest, arrived) > REORDERED {
            *self = Self::default();
            return;
        }
        self.packets += 1;
        let last = self.window.back_mut();
        if !last.is_some_and(|burst| burst.takes(sent, arrived, size)) {
            self.window.push_back(Burst {
                sent,
                began: arrived,
                arrived,
                gap: 0,
                bytes: u32::from(size),
                packets: 1,
                first: size,
            });
            if after(newest, arrived) > 0 {
                self.sort_in();
            }
        }
        if self.packets > MOST {
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
        if let Some(burst) = self.window.pop_front() {
            self.packets -= burst.packets as usize;
            let newer = self.discarded.is_none_or(|at| after(burst.sent, at) > 0);
            if newer {
                self.discarded = Some(burst.sent);
            }
        }
    }

    /// Drops what is too old; bits per second of the rest.
    pub(crate) fn rate(&mut self) -> Option<f64> {
        while let (Some(first), Some(last)) = (self.window.front(), self.window.back()) {
            let covers = after(last.arrived, first.arrived);
            if covers <= LONGEST && (self.packets <= PACKETS || covers <= WINDOW) {
                break;
            }
            self.discard();
        }
        (self.packets >= REQUIRED).then(|| self.measure())
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
        for burst in recent {
            bytes += burst.bytes;
            count += burst.packets as usize;
            first = (burst.began, burst.first);
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
        let (mut arrived_bytes, mut last, mut gaps) = (0, first.began, (0, 0));
        let mut sent = Sent::default();
        let (front, back) = self.window.as_slices();
        for burst in front.iter().chain(back) {
            let gap = after(burst.began, last).max(0) as u32;
            last = burst.arrived;
            for gap in [gap, burst.gap] {
                gaps.1 = u32::max(gaps.1, gap.min(gaps.0));
                gaps.0 = gaps.0.max(gap);
            }
            arrived_bytes += burst.bytes;
            let at = after(burst.sent, first.sent);
            if at >= oldest {
                sent.add(at, burst);
            }
        }
        let arrivals = last
            .wrapping_sub(first.began)
            .wrapping_sub(gaps.0)
            .wrapping_add(gaps.1);
        let arrived = per_second(arrived_bytes - u32::from(first.first), arrivals);
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
    count: u32,
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
    fn add(&mut self, at: i32, burst: &Burst) {
        self.first = self.first.min(at);
        if at > self.last {
            self.last = at;
            self.last_size = u32::from(burst.first);
        }
        self.bytes += burst.bytes;
        self.count += burst.packets;
    }

    fn rate(&self) -> Option<f64> {
        let passed = self.last.wrapping_sub(self.first) as u32;
        (self.count as usize >= REQUIRED).then(|| per_second(self.bytes - self.last_size, passed))
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

    /// A camera's frames leave in bursts: what is measured is the same as of packets that leave one by one.
    #[test]
    fn bursts_are_measured_as_their_packets_are() {
        let mut together = Throughput::default();
        let mut apart = Throughput::default();
        for n in 0..180_u64 {
            let (frame, nth) = (n / 6 * 33_000, n % 6);
            let arrived = (frame + nth * 800) as i64;
            together.add(frame, arrived, 1_000 + nth as u16);
            // One microsecond makes them six moments.
            apart.add(frame + nth, arrived, 1_000 + nth as u16);
        }
        assert_eq!((together.window.len(), apart.window.len()), (30, 180));
        let [together, apart] = [together, apart].map(|mut t| t.rate().unwrap());
        assert!((together / apart - 1.0).abs() < 0.01, "{together} {apart}");
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
