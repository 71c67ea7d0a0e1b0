//! The last minutes of each receiver's line, a sample a second or so.

use super::Conference;
use crate::media::stats::LineSample;
use crate::media::table::PeerId;
use std::collections::VecDeque;

/// Samples are so far apart at least, microseconds, and so many are kept: two minutes and more.
const INTERVAL: u64 = 950_000;
const MOST: usize = 128;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// With the time instead of the age.
    samples: VecDeque<LineSample>,
    /// Bytes that had been sent by the newest sample.
    sent: u64,
}

impl Series {
    /// Oldest first.
    pub(super) fn get(&self, now: u64) -> Vec<LineSample> {
        let aged = |s: &LineSample| LineSample {
            ago: now.saturating_sub(s.ago),
            ..*s
        };
        self.samples.iter().map(aged).collect()
    }

    fn is_due(&self, now: u64) -> bool {
        self.samples.back().is_none_or(|s| now >= s.ago + INTERVAL)
    }

    fn push(&mut self, now: u64, sent: u64, sample: LineSample) {
        let span = self.samples.back().map(|s| now.saturating_sub(s.ago));
        let bytes = sent.saturating_sub(std::mem::replace(&mut self.sent, sent));
        if self.samples.len() >= MOST {
            self.samples.pop_front();
        }
        self.samples.push_back(LineSample {
            ago: now,
            sent: span.map_or(0, |span| bytes * 8_000_000 / span.max(1)),
            ..sample
        });
    }
}

impl Conference {
    /// Takes a sample of the line of a receiver that wants video, if one is due.
    pub(super) fn sample_line(&mut self, now: u64, peer: PeerId) {
        let (Some(receiver), Some(out), Some(link)) = (
            self.receivers.get(peer),
            self.outs.get(peer),
            self.links.get(peer),
        ) else {
            return;
        };
        let (taken, ideal) = receiver.budget().rates();
        if ideal == 0 && self.series.get(peer).is_none() {
            return;
        }
        if self.series.get(peer).is_none() {
            self.series.set(peer, Series::default());
        }
        let Some(series) = self.series.get_mut(peer).filter(|s| s.is_due(now)) else {
            return;
        };
        let mut heights = [0; 8];
        for (place, stream) in heights.iter_mut().zip(receiver.streams(now, &self.feeds)) {
            *place = stream.target.map_or(0, |(height, ..)| height);
        }
        let sample = LineSample {
            estimate: out.bandwidth().target(now).unwrap_or(0),
            for_video: receiver.budget().available().unwrap_or(0),
            taken,
            ideal,
            heights,
            ..LineSample::default()
        };
        series.push(now, link.traffic(out.counters()).bytes_sent, sample);
    }
}
