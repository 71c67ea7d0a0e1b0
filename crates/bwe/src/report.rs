//! What goes into an estimator and what comes out.

use std::num::NonZeroU8;

/// Limits of an estimate, bits per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Where it starts.
    pub start: u64,
    /// It is never below.
    pub min: u64,
    /// It is never above.
    pub max: u64,
}

/// Name of a probe; names come again after 255 probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeId(pub NonZeroU8);

/// What the peer says of one packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    /// When it was sent, microseconds of our clock.
    pub sent: u64,
    /// When it arrived, microseconds of the peer's clock; `None`: it was lost.
    pub arrived: Option<i64>,
    /// Bytes.
    pub size: u16,
    /// The probe it belongs to.
    pub probe: Option<ProbeId>,
}

/// A wish: send this much in this time, in packets of the media or in padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// Its name, which goes along with its packets.
    pub id: ProbeId,
    /// Rate to send at, bits per second.
    pub bitrate: u64,
    /// How long at least, microseconds.
    pub duration: u64,
    /// Packets, at least.
    pub min_packets: u32,
    /// Bytes, at least.
    pub min_bytes: u32,
}

/// What the delay of what arrives says of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Usage {
    /// Queues neither grow nor shrink.
    #[default]
    Normal,
    /// Queues grow: more is sent than the path carries.
    Overuse,
    /// Queues shrink.
    Underuse,
}

/// What an estimator knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// What to send at most, bits per second.
    pub target: u64,
    /// What delay alone says, bits per second.
    pub delay: u64,
    /// What loss alone says, bits per second; `None` as long as it limits nothing.
    pub loss: Option<u64>,
    /// What arrives, bits per second.
    pub acknowledged: Option<u64>,
    /// What delay says of the path.
    pub usage: Usage,
    /// Less is sent than could be.
    pub in_alr: bool,
    /// Share of bytes lost lately, 0 to 1.
    pub loss_ratio: f32,
    /// A probe has measured the path: until then, and before delay or loss have said something, the target is a guess.
    pub measured: bool,
}
