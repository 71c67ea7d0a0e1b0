//! Beside the port of libwebrtc's congestion control: over the same paths, ours is as near or nearer, and no more often above.

mod path;

use std::time::Duration;

use bwe::{Acked, Probe};
use goog_cc::network_control::{NetworkControllerConfig, NetworkControllerInterface};
use goog_cc::transport::{
    NetworkAvailability, NetworkControlUpdate, PacedPacketInfo, PacketResult, ProcessInterval,
    SentPacket, StreamsConfig, TargetRateConstraints, TransportPacketsFeedback,
};
use goog_cc::units::{DataRate, DataSize, Timestamp};
use goog_cc::{GoogCcConfig, GoogCcNetworkController};
use path::{Controller, Run, Scene, name, ours, run};
use sim::{Course, LinkSpec, Loss, Queue};

/// How often it wants to be called, microseconds.
const PROCESS: u64 = 25_000;

struct Oracle {
    inner: GoogCcNetworkController,
    target: u64,
    wanted: u64,
    probes: Vec<(i32, Probe)>,
    /// Numbers of the clusters by ours.
    clusters: Vec<(Probe, i32)>,
    next: u64,
}

fn at(now: u64) -> Timestamp {
    Timestamp::from_micros(now as i64)
}

fn rate(rate: u64) -> DataRate {
    DataRate::from_bits_per_sec(rate as i64)
}

impl Oracle {
    fn new() -> Self {
        let config = NetworkControllerConfig {
            constraints: TargetRateConstraints {
                at_time: at(0),
                min_data_rate: Some(rate(30_000)),
                max_data_rate: Some(rate(20_000_000)),
                starting_rate: Some(rate(300_000)),
            },
            stream_based_config: StreamsConfig {
                requests_alr_probing: Some(true),
                ..StreamsConfig::default()
            },
            ..NetworkControllerConfig::default()
        };
        let mut oracle = Self {
            inner: GoogCcNetworkController::new(
                config,
                GoogCcConfig {
                    feedback_only: true,
                },
            ),
            target: 300_000,
            wanted: 0,
            probes: Vec::new(),
            clusters: Vec::new(),
            next: 0,
        };
        let available = NetworkAvailability {
            at_time: at(0),
            network_available: true,
        };
        let update = oracle.inner.on_network_availability(available);
        oracle.take(update);
        oracle
    }

    fn take(&mut self, update: NetworkControlUpdate) {
        if let Some(target) = update.target_rate {
            self.target = target.target_rate.bps() as u64;
        }
        for cluster in update.probe_cluster_configs {
            let bitrate = cluster.target_data_rate.bps() as u64;
            let duration = cluster.target_duration.us() as u64;
            let probe = Probe {
                id: name(cluster.id),
                bitrate,
                duration,
                min_packets: cluster.target_probe_count as u32,
                min_bytes: (bitrate * duration / 8_000_000) as u32,
            };
            self.probes.push((cluster.id, probe));
        }
    }

    fn packet(&self, sent: u64, size: usize, sequence: i64, probe: Option<Probe>) -> SentPacket {
        let cluster = probe.and_then(|p| self.clusters.iter().rev().find(|(known, _)| *known == p));
        let pacing_info = cluster.map_or_else(PacedPacketInfo::default, |(probe, id)| {
            PacedPacketInfo::new(
                *id,
                i64::from(probe.min_packets),
                i64::from(probe.min_bytes),
            )
        });
        SentPacket {
            send_time: at(sent),
            size: DataSize::from_bytes(size as i64),
            pacing_info,
            sequence_number: sequence,
            ..SentPacket::default()
        }
    }
}

impl Controller for Oracle {
    fn sent(&mut self, now: u64, size: usize, sequence: i64, probe: Option<Probe>) {
        let packet = self.packet(now, size, sequence, probe);
        let update = self.inner.on_sent_packet(packet);
        self.take(update);
    }

    fn feedback(&mut self, now: u64, packets: &[(i64, Acked, Option<Probe>)]) {
        if packets
            .iter()
            .all(|(_, packet, _)| packet.arrived.is_none())
        {
            return;
        }
        let results = packets
            .iter()
            .map(|(sequence, packet, probe)| PacketResult {
                sent_packet: self.packet(packet.sent, usize::from(packet.size), *sequence, *probe),
                receive_time: packet
                    .arrived
                    .map_or(Timestamp::plus_infinity(), Timestamp::from_micros),
                ..PacketResult::default()
            });
        let report = TransportPacketsFeedback {
            feedback_time: at(now),
            packet_feedbacks: results.collect(),
            ..TransportPacketsFeedback::default()
        };
        let update = self.inner.on_transport_packets_feedback(report);
        self.take(update);
    }

    fn advance(&mut self, now: u64) {
        while self.next <= now {
            let update = self.inner.on_process_interval(ProcessInterval {
                at_time: at(self.next),
                pacer_queue: None,
            });
            self.take(update);
            self.next += PROCESS;
        }
    }

    fn demand(&mut self, now: u64, wanted: u64) {
        if wanted != self.wanted {
            self.wanted = wanted;
            let update = self.inner.on_streams_config(StreamsConfig {
                at_time: at(now),
                max_total_allocated_bitrate: Some(rate(wanted)),
                ..StreamsConfig::default()
            });
            self.take(update);
        }
    }

    fn poll_probe(&mut self, _: u64) -> Option<Probe> {
        if self.probes.is_empty() {
            return None;
        }
        let (id, probe) = self.probes.remove(0);
        self.clusters.push((probe, id));
        Some(probe)
    }

    fn target(&self) -> u64 {
        self.target
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn link(rate: u64, round_trip: u64) -> LinkSpec {
    LinkSpec {
        rate: Some(rate),
        delay: ms(round_trip / 2),
        queue: Queue::Time(ms(300)),
        ..LinkSpec::default()
    }
}

/// Both over one path, several times: with jitter one time says little.
fn often(name: &str, course: &Course) -> Vec<(Run, Run)> {
    let again = |seed| beside_with(seed, name, course.clone(), &[]);
    (3..8).map(again).collect()
}

/// Both over one path.
fn beside(name: &str, course: Course, layers: &[u64]) -> (Run, Run) {
    beside_with(3, name, course, layers)
}

fn beside_with(seed: u64, name: &str, course: Course, layers: &[u64]) -> (Run, Run) {
    let scene = Scene {
        name: name.to_owned(),
        course,
        back: LinkSpec::default(),
        seconds: 30,
        layers: layers.to_vec(),
        wanted: 3_000_000,
    };
    let runs = (
        run(&scene, &mut ours(), seed),
        run(&scene, &mut Oracle::new(), seed),
    );
    for (who, run) in [("ours", &runs.0), ("port", &runs.1)] {
        println!(
            "{name:<28} {who}: error {:>3.0}%, above {:>3.0}%, queue {:>3.0} ms, dropped {:.2}%, median {} kbit/s",
            100.0 * run.median_error(5.0, scene.wanted),
            100.0 * run.above(5.0),
            run.queue(5.0),
            100.0 * run.dropped,
            run.median(5.0) / 1_000,
        );
    }
    runs
}

/// A sender that fills its estimate is what libwebrtc is made for: there both agree.
#[test]
fn both_agree_where_the_path_is_filled() {
    let paths = [
        ("300 kbit/s", Course::steady(link(300_000, 40))),
        ("700 kbit/s", Course::steady(link(700_000, 100))),
        ("2 Mbit/s", Course::steady(link(2_000_000, 40))),
        ("2 Mbit/s, 200 ms", Course::steady(link(2_000_000, 200))),
        (
            "2 Mbit/s, 2% lost",
            Course::steady(LinkSpec {
                loss: Loss::Random(0.02),
                ..link(2_000_000, 40)
            }),
        ),
        (
            "2 Mbit/s, jitter 20 ms",
            Course::steady(LinkSpec {
                jitter: ms(20),
                ..link(2_000_000, 40)
            }),
        ),
    ];
    for (name, course) in paths {
        let runs = often(name, &course);
        let mean = |of: &dyn Fn(&Run) -> f64| {
            let sum = |(a, b): (f64, f64), (ours, port): &(Run, Run)| (a + of(ours), b + of(port));
            let (ours, port) = runs.iter().fold((0.0, 0.0), sum);
            (ours / runs.len() as f64, port / runs.len() as f64)
        };
        let (ours, port) = mean(&|run| run.median(5.0) as f64);
        let ratio = ours / port;
        assert!(
            (0.75..1.6).contains(&ratio),
            "{name}: {ratio:.2} times the port's"
        );
        let (ours, port) = mean(&|run| run.median_error(5.0, 3_000_000));
        assert!(ours <= port + 0.1, "{name}: {ours:.2} {port:.2}");
        let (ours, port) = mean(&|run| run.above(5.0));
        assert!(ours <= port + 0.1, "{name}: {ours:.2} {port:.2}");
    }
}

/// A sender with layers is what ours is made for: it is as near, and surely back within the time of two probes.
#[test]
fn ours_is_nearer_where_there_are_layers() {
    let layers = [70_000, 150_000, 500_000, 1_000_000, 2_500_000];
    for rate in [400_000, 900_000, 1_700_000] {
        let name = format!("{rate} bit/s");
        let (ours, port) = beside(&name, Course::steady(link(rate, 60)), &layers);
        let error = |run: &Run| run.median_error(5.0, 3_000_000);
        assert!(error(&ours) <= error(&port) + 0.06, "{name}");
    }
    let course = Course::steady(link(5_000_000, 40))
        .then(ms(8_000), link(500_000, 40))
        .then(ms(20_000), link(5_000_000, 40));
    let (ours, port) = beside("5 - 0.5 - 5 Mbit/s", course, &layers);
    let back = |run: &Run| run.reaches(20.0, 2_600_000).unwrap_or(10.0);
    println!(
        "back after {:.1} s, the port after {:.1} s",
        back(&ours),
        back(&port)
    );
    assert!(back(&ours) <= 4.5);
    assert!(back(&ours) <= back(&port) + 2.0);
}
