//! What to put on a server.

use std::net::IpAddr;
use std::time::Duration;

use crate::crowd::Local;
use crate::layout::Layout;
use crate::media::{Layer, VideoSpec};

/// What to put on a server.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Name or address of the server, for its HTTPS.
    pub host: String,
    /// The address behind that name.
    pub address: IpAddr,
    /// Port of HTTPS.
    pub port: u16,
    /// The XMPP domain.
    pub domain: String,
    /// Where media comes from.
    pub local: Local,
    /// Send media to bridges on other machines too.
    pub abroad: bool,
    /// Rooms are called this, with a number.
    pub room: String,
    /// Meetings.
    pub rooms: usize,
    /// People in each who send, and receive.
    pub senders: usize,
    /// People in each who only receive.
    pub receivers: usize,
    /// Simulcast layers of a camera, 0 (no camera) to 3.
    pub layers: usize,
    /// Frames a second.
    pub frame_rate: u32,
    /// Whether senders have a microphone.
    pub audio: bool,
    /// How people arrange the pictures.
    pub layout: Layout,
    /// Joins a second at the beginning.
    pub ramp: f64,
    /// People a second who leave and are followed by others, once all are there.
    pub churn: f64,
    /// Time until somebody else speaks in each meeting; zero for never.
    pub speaker_change: Duration,
    /// How long all are there.
    pub duration: Duration,
    /// Threads for media.
    pub threads: usize,
    /// Receivers, but for one in ten, count what comes instead of decrypting it.
    pub count: bool,
    /// Whether each person is looked at, and not only all of them.
    pub each: bool,
    /// The same seed gives the same decisions.
    pub seed: u64,
}

/// Bounds of a [`Plan`], so that a slip of the finger does not become a flood.
#[derive(Debug)]
pub struct Limits;

impl Limits {
    /// People at most.
    pub const PEOPLE: usize = 20_000;
    /// Joins, or changes of people, a second at most.
    pub const RATE: f64 = 1_000.0;
    /// Frames a second at most.
    pub const FRAME_RATE: u32 = 240;
    /// Threads at most.
    pub const THREADS: usize = 64;
}

/// Why a plan cannot be followed, as a sentence without its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PlanError(String);

impl Plan {
    /// People who are there at one time.
    #[must_use]
    pub fn people(&self) -> usize {
        self.rooms
            .saturating_mul(self.senders.saturating_add(self.receivers))
    }

    /// Whether the plan can be followed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), PlanError> {
        let rate = |rate: f64| rate.is_finite() && (0.0..=Limits::RATE).contains(&rate);
        let problem = if self.rooms == 0 {
            "there must be a room: --rooms 1".to_owned()
        } else if self.senders + self.receivers < 2 {
            "a meeting takes two: give --senders and --receivers so that there are two or more"
                .to_owned()
        } else if self.people() > Limits::PEOPLE {
            format!(
                "{} people are too many for one process; give at most {} in all rooms together",
                self.people(),
                Limits::PEOPLE
            )
        } else if self.layers > 3 {
            format!("a camera has 0 to 3 layers, not {}", self.layers)
        } else if self.layers == 0 && !self.audio {
            "senders send nothing: give --layers 1 or more, or leave out --no-audio".to_owned()
        } else if !(1..=Limits::FRAME_RATE).contains(&self.frame_rate) {
            format!(
                "a camera makes 1 to {} frames a second, not {}",
                Limits::FRAME_RATE,
                self.frame_rate
            )
        } else if !rate(self.ramp) || self.ramp == 0.0 {
            format!(
                "--ramp is more than 0 and at most {} a second",
                Limits::RATE
            )
        } else if !rate(self.churn) {
            format!("--churn is 0 to {} a second", Limits::RATE)
        } else if self.duration.is_zero() {
            "--duration must be at least a second".to_owned()
        } else if !(1..=Limits::THREADS).contains(&self.threads) {
            format!("--threads is 1 to {}", Limits::THREADS)
        } else {
            return Ok(());
        };
        Err(PlanError(problem))
    }

    /// The cameras of senders.
    pub(super) fn video(&self) -> Option<VideoSpec> {
        let whole = VideoSpec::default();
        // What is sent of a second is shared by its frames.
        let scale = |layer: &Layer| Layer {
            bitrate: u32::try_from(
                u64::from(layer.bitrate) * u64::from(self.frame_rate)
                    / u64::from(whole.frame_rate.max(1)),
            )
            .unwrap_or(u32::MAX),
            ..*layer
        };
        // One layer alone is the highest: that is what a camera without simulcast sends.
        let layers: &[Layer] = match self.layers {
            0 => return None,
            1 => &whole.layers[2..],
            2 => &whole.layers[..2],
            _ => &whole.layers,
        };
        Some(VideoSpec {
            layers: layers.iter().map(scale).collect(),
            frame_rate: self.frame_rate,
            temporal: false,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::load) fn plan() -> Plan {
        Plan {
            host: "127.0.0.1".into(),
            address: [127, 0, 0, 1].into(),
            port: 443,
            domain: "meet.internal".into(),
            local: Local::Loopback,
            abroad: false,
            room: "load".into(),
            rooms: 1,
            senders: 2,
            receivers: 3,
            layers: 3,
            frame_rate: 30,
            audio: true,
            layout: Layout::tiles(720),
            ramp: 10.0,
            churn: 0.0,
            speaker_change: Duration::from_secs(10),
            duration: Duration::from_secs(60),
            threads: 1,
            count: false,
            each: false,
            seed: 1,
        }
    }

    #[test]
    fn a_plan_that_makes_no_sense_is_refused_in_a_sentence() {
        assert_eq!(plan().check(), Ok(()));
        type Change = fn(&mut Plan);
        let bad: [(Change, &str); 9] = [
            (|p| p.rooms = 0, "--rooms"),
            (|p| (p.senders, p.receivers) = (1, 0), "takes two"),
            (|p| p.receivers = usize::MAX / 2, "too many"),
            (|p| p.layers = 4, "layers"),
            (|p| (p.layers, p.audio) = (0, false), "send nothing"),
            (|p| p.frame_rate = 0, "frames a second"),
            (|p| p.ramp = 0.0, "--ramp"),
            (|p| p.churn = f64::NAN, "--churn"),
            (|p| p.threads = 0, "--threads"),
        ];
        for (change, word) in bad {
            let mut plan = plan();
            change(&mut plan);
            let error = plan.check().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn cameras_have_the_layers_that_are_asked_for() {
        let heights = |layers| {
            let mut plan = plan();
            plan.layers = layers;
            let video = plan.video()?;
            Some(video.layers.iter().map(|l| l.height).collect::<Vec<_>>())
        };
        assert_eq!(heights(0), None);
        assert_eq!(heights(1), Some(vec![720]));
        assert_eq!(heights(2), Some(vec![180, 360]));
        assert_eq!(heights(3), Some(vec![180, 360, 720]));
    }
}
