//! The model of a path: what it loses by itself, and the rate beyond which it loses the rest; and how likely it makes what
//! was seen.

use super::observations::{AGING, Observations, WINDOW};

/// Inherent loss at first, and at least.
const INHERENT: f64 = 0.01;
const INHERENT_LEAST: f64 = 1e-3;
/// Inherent loss at most: this, and more the lower the rate.
const INHERENT_MOST: f64 = 0.05;
const INHERENT_BALANCE: f64 = 150_000.0;
/// Newton's method: part of a step, steps at most, and what is near enough.
const NEWTON: f64 = 0.75;
const STEPS: usize = 4;
const CLOSE: f64 = 1e-3;
/// Up to this share of loss higher rates are preferred, beyond it lower ones; how much, and how abruptly.
const PREFERENCE: f64 = 0.3;
const PREFERENCE_SMOOTHING: f64 = 0.002;
const PREFERENCE_LINEAR: f64 = 0.0002;
const PREFERENCE_LOG: f64 = 0.02;

/// A path. Rate in bits per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Channel {
    pub(super) rate: f64,
    pub(super) inherent: f64,
}

impl Channel {
    pub(super) fn new(rate: f64) -> Self {
        Self {
            rate,
            inherent: INHERENT,
        }
    }

    /// Probability of loss at what is sent.
    fn loss(&self, sent: f64) -> f64 {
        let inherent = self.inherent.clamp(0.0, 1.0);
        let beyond = if sent > self.rate {
            (sent - self.rate) / sent
        } else {
            0.0
        };
        (inherent + (1.0 - inherent) * beyond).clamp(1e-6, 1.0 - 1e-6)
    }

    fn feasible(self, inherent: f64) -> Self {
        let most = (INHERENT_MOST + INHERENT_BALANCE / self.rate.max(1.0)).min(1.0);
        Self {
            inherent: inherent.max(INHERENT_LEAST).min(most),
            ..self
        }
    }
}

/// Kilobytes with their weight.
#[derive(Debug, Clone, Copy, Default)]
struct Piece {
    lost: f64,
    arrived: f64,
    rate: f64,
}

/// What was seen.
#[derive(Debug)]
pub(super) struct Evidence {
    pieces: [Piece; WINDOW],
    len: usize,
    /// Preference of higher rates at the share of loss seen.
    preference: f64,
}

impl Evidence {
    pub(super) fn new(observations: &Observations) -> Self {
        let mut pieces = [Piece::default(); WINDOW];
        let (mut len, mut weight) = (0, 1.0);
        for (piece, seen) in pieces.iter_mut().zip(observations.iter()) {
            *piece = Piece {
                lost: weight * seen.lost / 1_000.0,
                arrived: weight * (seen.bytes - seen.lost) / 1_000.0,
                rate: seen.rate,
            };
            weight *= AGING;
            len += 1;
        }
        let below = PREFERENCE - observations.ratio();
        Self {
            pieces,
            len,
            preference: below / (PREFERENCE_SMOOTHING + below.abs()),
        }
    }

    /// What was sent within the path's rate, which all has the same probability of loss: kilobytes lost and arrived.
    fn within(&self, rate: f64) -> (f64, f64) {
        let within = self.pieces().filter(|piece| piece.rate <= rate);
        within.fold((0.0, 0.0), |(lost, arrived), piece| {
            (lost + piece.lost, arrived + piece.arrived)
        })
    }

    /// Whether nothing was lost.
    pub(super) fn is_clean(&self) -> bool {
        self.pieces().all(|piece| piece.lost <= 0.0)
    }

    fn pieces(&self) -> impl Iterator<Item = &Piece> {
        self.pieces.iter().take(self.len)
    }

    /// The channel with the inherent loss that suits what was seen best: the share lost of what was sent within its rate,
    /// and from there Newton's method if more was sent.
    pub(super) fn fit(&self, channel: Channel) -> Channel {
        let within = self.within(channel.rate);
        let all = within.0 + within.1;
        let mut channel = channel.feasible(if all > 0.0 {
            within.0 / all
        } else {
            channel.inherent
        });
        if self.pieces().all(|piece| piece.rate <= channel.rate) {
            return channel;
        }
        for _ in 0..STEPS {
            let (mut first, mut second) = (0.0, -1e-6);
            let mut add = |p: f64, lost: f64, arrived: f64| {
                let (lost, arrived) = (lost / p, arrived / (1.0 - p));
                first += lost - arrived;
                second -= lost / p + arrived / (1.0 - p);
            };
            add(channel.loss(0.0), within.0, within.1);
            for piece in self.pieces().filter(|piece| piece.rate > channel.rate) {
                add(channel.loss(piece.rate), piece.lost, piece.arrived);
            }
            let before = channel.inherent;
            channel = channel.feasible(before - NEWTON * first / second);
            if (channel.inherent - before).abs() < CLOSE {
                break;
            }
        }
        channel
    }

    /// Logarithm of how likely the channel makes what was seen, with the preference of higher rates.
    pub(super) fn likelihood(&self, channel: &Channel) -> f64 {
        let kilobits = channel.rate / 1_000.0;
        let bias = self.preference
            * (PREFERENCE_LINEAR * kilobits + PREFERENCE_LOG * (1.0 + kilobits).ln());
        let likelihood = |p: f64, lost: f64, arrived: f64| {
            lost * p.ln() + arrived * (1.0 - p).ln() + bias * (lost + arrived)
        };
        let (lost, arrived) = self.within(channel.rate);
        let beyond = self.pieces().filter(|piece| piece.rate > channel.rate);
        beyond.fold(
            likelihood(channel.loss(0.0), lost, arrived),
            |sum, piece| sum + likelihood(channel.loss(piece.rate), piece.lost, piece.arrived),
        )
    }
}
