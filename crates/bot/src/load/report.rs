//! What a load run has seen: once a second, and in the end; as JSON, and as a page.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::plan::Plan;
use crate::crowd::{Local, Look};
use crate::receive::Tally;

/// Samples that are kept: a longer run keeps every second one, and so on.
const MAX_SAMPLES: usize = 4_000;

/// Delays, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Delays {
    /// How many were measured.
    pub count: u64,
    /// Half of them are at most this long.
    pub p50: f64,
    /// 95 of 100.
    pub p95: f64,
    /// 99 of 100.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Delays {
    /// Of microseconds.
    fn of(histogram: &Histogram<u64>) -> Self {
        let at = |q| histogram.value_at_quantile(q) as f64 / 1e3;
        Self {
            count: histogram.len(),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: histogram.max() as f64 / 1e3,
        }
    }
}

/// What was seen in a second.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Sample {
    /// Seconds since the beginning.
    pub at: f64,
    /// People the plan wants.
    pub planned: usize,
    /// People who came and have not left.
    pub people: usize,
    /// Of these, whose session with the bridge is up.
    pub connected: usize,
    /// Cameras received now, over all people.
    pub pictures: usize,
    /// RTP packets sent, a second.
    pub sent_rate: f64,
    /// RTP packets received, a second.
    pub received_rate: f64,
    /// Bits of media received, a second.
    pub received_bits: f64,
    /// Packets that are missing, of all that should have come: 0 to 1.
    pub loss: f64,
    /// Frames that could have been shown, a second.
    pub frame_rate: f64,
    /// From the camera until the whole frame is there.
    pub frame_delay: Delays,
    /// From the microphone until the packet is there.
    pub voice_delay: Delays,
    /// Sessions with the bridge so far.
    pub joins: u64,
    /// What went wrong so far.
    pub failures: u64,
}

impl Sample {
    pub(super) fn of(at: Duration, passed: f64, planned: usize, now: &Look, before: &Look) -> Self {
        let tally = now.tally.since(before.tally);
        let rate = |count: u64| round(count as f64 / passed.max(1e-9));
        Self {
            at: round(at.as_secs_f64()),
            planned,
            people: now.members,
            connected: now.connected,
            pictures: now.pictures,
            sent_rate: rate(tally.sent_packets),
            received_rate: rate(tally.packets()),
            received_bits: rate((tally.video_bytes + tally.audio_bytes) * 8),
            loss: loss(tally),
            frame_rate: rate(now.frames.saturating_sub(before.frames)),
            frame_delay: Delays::of(&now.frame_delay),
            voice_delay: Delays::of(&now.voice_delay),
            joins: now.joins,
            failures: now.failures,
        }
    }
}

fn loss(tally: Tally) -> f64 {
    tally.lost as f64 / (tally.lost + tally.packets()).max(1) as f64
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

/// What was asked for.
#[derive(Debug, Clone, Serialize)]
struct Asked {
    server: String,
    own_machine: bool,
    rooms: usize,
    senders: usize,
    receivers: usize,
    layers: usize,
    frame_rate: u32,
    audio: bool,
    layout: String,
    ramp: f64,
    churn: f64,
    speaker_change: f64,
    duration: f64,
    seed: u64,
}

/// A bar of a histogram.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Bar {
    /// Milliseconds at most.
    pub(super) to: f64,
    /// How many.
    pub(super) count: u64,
}

/// What was seen while all were there.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Whole {
    pub(super) seconds: f64,
    pub(super) sent_packets: u64,
    pub(super) received_packets: u64,
    pub(super) received_rate: f64,
    pub(super) received_bits: f64,
    pub(super) lost_packets: u64,
    pub(super) loss: f64,
    pub(super) frames: u64,
    pub(super) skipped_frames: u64,
    pub(super) frame_delay: Delays,
    pub(super) voice_delay: Delays,
}

/// What a run has seen.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    plan: Asked,
    /// While all were there.
    pub(super) whole: Whole,
    /// People who came, those who took others' places included.
    joins: u64,
    /// From the beginning of the login until the session with the bridge is up, ms.
    pub(super) join_time: Delays,
    /// Until the first picture, ms.
    pub(super) picture_time: Delays,
    failures: u64,
    pub(super) troubles: Vec<String>,
    /// Datagrams not sent because the bridge is on another machine.
    refused_datagrams: u64,
    /// Frames that other processes sent: their clocks are not ours, so that their delays are not known.
    pub(super) undated_frames: u64,
    /// Delays of frames while all were there.
    pub(super) frame_delays: Vec<Bar>,
    pub(super) samples: Vec<Sample>,
    #[serde(skip)]
    every: usize,
    #[serde(skip)]
    taken: usize,
    #[serde(skip)]
    frame_delay: Option<Histogram<u64>>,
    #[serde(skip)]
    voice_delay: Option<Histogram<u64>>,
}

impl Report {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            plan: Asked {
                server: format!("{}:{}", plan.host, plan.port),
                own_machine: plan.local == Local::Loopback,
                rooms: plan.rooms,
                senders: plan.senders,
                receivers: plan.receivers,
                layers: plan.layers,
                frame_rate: plan.frame_rate,
                audio: plan.audio,
                layout: format!("{:?}", plan.layout),
                ramp: plan.ramp,
                churn: plan.churn,
                speaker_change: plan.speaker_change.as_secs_f64(),
                duration: plan.duration.as_secs_f64(),
                seed: plan.seed,
            },
            whole: Whole::default(),
            joins: 0,
            join_time: Delays::default(),
            picture_time: Delays::default(),
            failures: 0,
            troubles: Vec::new(),
            refused_datagrams: 0,
            undated_frames: 0,
            frame_delays: Vec::new(),
            samples: Vec::new(),
            every: 1,
            taken: 0,
            frame_delay: None,
            voice_delay: None,
        }
    }

    /// All are there: what is measured from now on counts.
    pub(super) fn begin(&mut self) {
        self.frame_delay = None;
        self.voice_delay = None;
    }

    /// Takes what was seen in a second; `whole` says whether all were there.
    pub(super) fn add(&mut self, sample: Sample, look: &Look, whole: bool) {
        if whole {
            let add = |sum: &mut Option<Histogram<u64>>, more: &Histogram<u64>| match sum {
                Some(sum) => *sum += more,
                None => *sum = Some(more.clone()),
            };
            add(&mut self.frame_delay, &look.frame_delay);
            add(&mut self.voice_delay, &look.voice_delay);
        }
        if self.taken.is_multiple_of(self.every) {
            self.samples.push(sample);
        }
        self.taken += 1;
        if self.samples.len() > MAX_SAMPLES {
            let mut keep = false;
            self.samples.retain(|_| {
                keep = !keep;
                keep
            });
            self.every *= 2;
        }
    }

    /// Ends the run: `first` was seen when all were there, `last` at the end.
    pub(super) fn end(&mut self, seconds: f64, first: &Look, last: &Look) {
        let tally = last.tally.since(first.tally);
        let rate = |count: u64| round(count as f64 / seconds.max(1e-9));
        let delays = |h: &Option<Histogram<u64>>| h.as_ref().map(Delays::of).unwrap_or_default();
        if seconds > 0.0 {
            self.whole = Whole {
                seconds: round(seconds),
                sent_packets: tally.sent_packets,
                received_packets: tally.packets(),
                received_rate: rate(tally.packets()),
                received_bits: rate((tally.video_bytes + tally.audio_bytes) * 8),
                lost_packets: tally.lost,
                loss: loss(tally),
                frames: last.frames - first.frames,
                skipped_frames: last.skipped - first.skipped,
                frame_delay: delays(&self.frame_delay),
                voice_delay: delays(&self.voice_delay),
            };
        }
        self.frame_delays = self.frame_delay.as_ref().map(bars).unwrap_or_default();
        self.joins = last.joins;
        self.join_time = Delays::of(&last.join_time);
        self.picture_time = Delays::of(&last.picture_time);
        self.failures = last.failures;
        self.troubles.clone_from(&last.troubles);
        self.refused_datagrams = last.refused;
        self.undated_frames = last.undated;
    }

    /// People whose session with the bridge came up.
    #[must_use]
    pub fn joins(&self) -> u64 {
        self.joins
    }

    /// What went wrong first, in words.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.troubles.first().map(String::as_str)
    }

    /// Whether media was kept from a bridge on another machine.
    #[must_use]
    pub fn kept_back(&self) -> bool {
        self.refused_datagrams > 0
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Plain numbers and texts: there is nothing in it that JSON cannot say.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// What came of it, in a few lines.
    #[must_use]
    pub fn summary(&self) -> String {
        self.facts()
            .into_iter()
            .map(|(name, value)| format!("{name:<24} {value}\n"))
            .collect()
    }

    /// What came of it, in words.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let delays = |d: Delays| match d.count {
            0 => "none measured".to_owned(),
            _ => format!(
                "p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
                d.p50, d.p95, d.p99, d.max
            ),
        };
        let whole = &self.whole;
        let mut facts = vec![
            ("Server", self.plan.server.clone()),
            (
                "Plan",
                format!(
                    "{} rooms, in each {} who send and {} who receive",
                    self.plan.rooms, self.plan.senders, self.plan.receivers
                ),
            ),
            ("All were there for", format!("{:.0} s", whole.seconds)),
            (
                "Received",
                format!(
                    "{:.0} packets/s, {:.1} Mbit/s",
                    whole.received_rate,
                    whole.received_bits / 1e6
                ),
            ),
            (
                "Lost",
                format!(
                    "{} packets, {:.3} %",
                    whole.lost_packets,
                    whole.loss * 100.0
                ),
            ),
            (
                "Frames",
                format!("{} shown, {} skipped", whole.frames, whole.skipped_frames),
            ),
            ("Camera to receiver", delays(whole.frame_delay)),
            ("Microphone to receiver", delays(whole.voice_delay)),
            ("Joins", format!("{}", self.joins)),
            ("Until connected", delays(self.join_time)),
            ("Until the first picture", delays(self.picture_time)),
            ("Failures", format!("{}", self.failures)),
        ];
        if self.undated_frames > 0 {
            facts.push((
                "Delay not known",
                format!("of {} frames that others sent", self.undated_frames),
            ));
        }
        for trouble in &self.troubles {
            facts.push(("Trouble", trouble.clone()));
        }
        facts
    }
}

/// Bars whose bounds grow by a fifth each.
fn bars(histogram: &Histogram<u64>) -> Vec<Bar> {
    const FIRST: u64 = 100;
    const GROWTH: f64 = 1.2;
    histogram
        .iter_log(FIRST, GROWTH)
        .map(|step| Bar {
            to: step.value_iterated_to() as f64 / 1e3,
            count: step.count_since_last_iteration(),
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::plan::tests::plan;
    use super::*;

    pub(in crate::load) fn seen(packets: u64, lost: u64) -> Look {
        let mut look = Look {
            members: 5,
            connected: 5,
            joins: 5,
            ..Look::default()
        };
        look.tally.video_packets = packets;
        look.tally.lost = lost;
        look.frame_delay.saturating_record(2_000);
        look
    }

    #[test]
    fn only_what_came_while_all_were_there_counts() {
        let mut report = Report::new(&plan());
        let (first, last) = (seen(1_000, 50), seen(3_000, 150));
        report.add(Sample::default(), &first, false);
        report.begin();
        report.add(Sample::default(), &last, true);
        report.end(10.0, &first, &last);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let whole = &json["whole"];
        assert_eq!(whole["received_packets"], 2_000);
        assert_eq!(whole["received_rate"], 200.0);
        assert_eq!(whole["lost_packets"], 100);
        assert_eq!(whole["frame_delay"]["count"], 1);
        assert_eq!(json["samples"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_long_run_keeps_its_whole_course() {
        let mut report = Report::new(&plan());
        for n in 0..3 * MAX_SAMPLES {
            let sample = Sample {
                at: n as f64,
                ..Sample::default()
            };
            report.add(sample, &Look::default(), true);
        }
        assert!(report.samples.len() <= MAX_SAMPLES + 1);
        assert_eq!(report.samples[0].at, 0.0);
        assert!(report.samples.last().unwrap().at > 2.9 * MAX_SAMPLES as f64);
    }
}
