//! What the packets of a probe say: how fast they were sent, and how fast they arrived.

use crate::report::{Acked, Probe, ProbeId};

/// Probes remembered.
const MOST: usize = 8;
/// Share of a probe's packets and bytes that must have arrived.
const REQUIRED: f64 = 0.8;
/// Faster arrival than this is no measurement.
const FASTEST: f64 = 2.0;
/// Arriving slower than this means that the path is full, which then gets a little less than that.
const FULL: f64 = 0.9;
const USE: f64 = 0.95;
/// Packets of a probe are no further apart, microseconds.
const LONGEST: u64 = 1_000_000;

#[derive(Debug, Clone, Copy)]
struct Cluster {
    id: ProbeId,
    min_packets: f64,
    min_bytes: f64,
    packets: u32,
    bytes: u64,
    sent: (u64, u64),
    arrived: (i64, i64),
    last_sent_size: u16,
    first_arrived_size: u16,
}

impl Cluster {
    fn new(probe: &Probe) -> Self {
        Self {
            id: probe.id,
            min_packets: f64::from(probe.min_packets) * REQUIRED,
            min_bytes: f64::from(probe.min_bytes) * REQUIRED,
            packets: 0,
            bytes: 0,
            sent: (u64::MAX, 0),
            arrived: (i64::MAX, i64::MIN),
            last_sent_size: 0,
            first_arrived_size: 0,
        }
    }

    fn add(&mut self, sent: u64, arrived: i64, size: u16) {
        self.sent.0 = self.sent.0.min(sent);
        if self.packets == 0 || sent > self.sent.1 {
            self.sent.1 = sent;
            self.last_sent_size = size;
        }
        if arrived < self.arrived.0 {
            self.arrived.0 = arrived;
            self.first_arrived_size = size;
        }
        self.arrived.1 = self.arrived.1.max(arrived);
        self.packets += 1;
        self.bytes += u64::from(size);
    }

    /// Bits per second, as soon as enough has arrived.
    fn measure(&self) -> Option<f64> {
        if f64::from(self.packets) < self.min_packets || (self.bytes as f64) < self.min_bytes {
            return None;
        }
        let sent = rate(
            self.bytes - u64::from(self.last_sent_size),
            self.sent.1.saturating_sub(self.sent.0),
        )?;
        let arrived = rate(
            self.bytes - u64::from(self.first_arrived_size),
            u64::try_from(self.arrived.1.saturating_sub(self.arrived.0)).unwrap_or(0),
        )?;
        if arrived > FASTEST * sent {
            return None;
        }
        if arrived < FULL * sent {
            return Some(USE * arrived);
        }
        Some(sent.min(arrived))
    }
}

fn rate(bytes: u64, micros: u64) -> Option<f64> {
    (1..=LONGEST)
        .contains(&micros)
        .then(|| bytes as f64 * 8e6 / micros as f64)
}

/// Probes under way.
#[derive(Debug, Default)]
pub(crate) struct Clusters {
    ring: [Option<Cluster>; MOST],
    next: usize,
    arrived: bool,
    result: Option<f64>,
}

impl Clusters {
    /// A probe is to be sent.
    pub(crate) fn begin(&mut self, probe: &Probe) {
        if let Some(place) = self.ring.get_mut(self.next % MOST) {
            *place = Some(Cluster::new(probe));
        }
        self.next = (self.next + 1) % MOST;
    }

    /// A packet of a probe has arrived.
    pub(crate) fn packet(&mut self, id: ProbeId, packet: &Acked, arrived: i64) {
        let mut known = self.ring.iter_mut().flatten();
        if let Some(cluster) = known.find(|cluster| cluster.id == id) {
            cluster.add(packet.sent, arrived, packet.size);
            self.arrived = true;
            self.result = cluster.measure().or(self.result);
        }
    }

    /// Since this was asked last: whether packets of probes have arrived, and what they have measured, bits per second.
    pub(crate) fn take(&mut self) -> (bool, Option<f64>) {
        (std::mem::take(&mut self.arrived), self.result.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU8;

    const ID: ProbeId = ProbeId(NonZeroU8::MIN);

    /// Ten packets of 1,000 bytes, sent and arriving this often (microseconds), the first `arrive` of them.
    fn measure(sent: u64, arrived: i64, arrive: usize) -> Option<f64> {
        let mut clusters = Clusters::default();
        clusters.begin(&Probe {
            id: ID,
            bitrate: 1,
            duration: 1,
            min_packets: 10,
            min_bytes: 10_000,
        });
        for n in 0..arrive {
            let at = n as i64 * arrived;
            let packet = Acked {
                sent: n as u64 * sent,
                arrived: Some(at),
                size: 1_000,
                probe: Some(ID),
            };
            clusters.packet(ID, &packet, at);
        }
        clusters.take().1
    }

    #[test]
    fn what_is_sent_and_arrives_alike_is_the_rate() {
        assert_eq!(measure(4_000, 4_000, 10), Some(2_000_000.0));
    }

    #[test]
    fn a_full_path_gets_a_little_less_than_what_arrives() {
        assert_eq!(measure(4_000, 8_000, 10), Some(950_000.0));
    }

    #[test]
    fn some_may_be_lost() {
        assert_eq!(measure(4_000, 4_000, 8), Some(2_000_000.0));
        assert_eq!(measure(4_000, 4_000, 7), None);
    }

    #[test]
    fn what_arrives_gathered_is_no_measurement() {
        assert_eq!(measure(4_000, 1_000, 10), None);
        assert_eq!(measure(4_000, 0, 10), None);
    }
}
