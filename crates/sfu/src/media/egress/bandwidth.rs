//! What the line to a receiver carries: an estimate where it reports when packets arrived, else what it says itself and
//! what its reports say of loss.

use bwe::{Acked, Estimate, Estimator, Probe, Usage};
use rtc::ahead;
use rtp::rtcp::ReportBlock;
use smallvec::SmallVec;

/// One part in so many of the estimate stays free: for control, and because rates vary.
const RESERVE: u64 = 16;
/// What audio takes is measured over this long, microseconds, and so many of these in a row count: what one stall held up
/// comes at once, and must not look like so much more.
const AUDIO_WINDOW: u64 = 500_000;
const AUDIO_WINDOWS: usize = 4;
/// The estimator is told what left this often, microseconds, and before it is asked.
const TELL_INTERVAL: u64 = 100_000;
/// What a receiver says of its line counts for this long.
const REMB_KEPT: u64 = 10_000_000;
/// Whoever has reported nothing for so long after the first packets does not report at all.
const MUTE: u64 = 5_000_000;
/// The first reports and probes have said what they have to say after so long.
const GUESSED: u64 = 300_000;
/// The least pictures of all are sent on trust, up to this rate, as long as nothing is known of a line and nothing speaks
/// against it: the first pictures of a large meeting take more than the first guess.
const TRUST: u64 = 2_000_000;
/// For so long after a picture was wanted first.
const TRUSTED: u64 = 2_000_000;
/// A packet so large is of video; once one is reported, the receiver knows the streams that probes are made of, and it is
/// waited for no longer than this.
const LARGE: u16 = 500;
const UNKNOWN: u64 = 400_000;
/// Whoever reported and then did not for so long was cut off: what is known of the line is of another time, and what was
/// lost meanwhile says nothing of it.
const CUT: u64 = 2_000_000;
/// Whoever reports does so several times a second: after so long without a report nothing arrives.
const SILENT: u64 = 400_000;
/// Most loss that is made room for: more is repaired by less video.
const MOST_REPAIR: f64 = 0.3;
/// Most streams whose reports are told apart, and most packets of one between two reports.
const MOST_REPORTED: usize = 64;
const MOST_EXPECTED: u32 = 100_000;
/// What a report says of loss without that being of interest, as long as nothing else is known: 5 of 256.
const LITTLE_LOSS: u8 = 5;

/// See the module. Times are microseconds of the shard's clock, rates bits per second.
#[derive(Debug, Default)]
pub(crate) struct Bandwidth {
    estimator: Option<Box<Estimator>>,
    config: Option<bwe::Config>,
    /// Since when the estimator looks at the line: packets from before are not its own.
    since: u64,
    last_heard: u64,
    /// What the receiver said last, and when.
    told: Option<(u64, u64)>,
    /// Of a receiver that does not report when packets arrived.
    reported: Option<Box<Reported>>,
    /// When the first packet with a number left, and when the receiver reported one first.
    begun: Option<u64>,
    heard: Option<u64>,
    audio: AudioMeter,
    untold: Untold,
    first: First,
}

/// The first time that video is wanted.
#[derive(Debug, Default)]
struct First {
    /// When it was.
    wanted: Option<u64>,
    /// Packets of it were reported, or were waited for long enough.
    known: bool,
}

/// What left and the estimator was not told yet: it is out of the cache when a burst is sent, and may be told a little later.
#[derive(Debug, Default)]
struct Untold {
    since: u64,
    last: u64,
    bytes: usize,
}

/// By what a receiver says of loss, and of its line if it does.
#[derive(Debug)]
struct Reported {
    estimator: Estimator,
    /// Highest number of each stream in its last report.
    highest: SmallVec<[(u32, u32); 8]>,
}

impl Reported {
    fn new(config: bwe::Config, now: u64) -> Self {
        Self {
            estimator: Estimator::new(config, now),
            highest: SmallVec::new(),
        }
    }

    /// Packets that a report is about, and how many of them were lost; nothing of the first of a stream.
    fn count(&mut self, block: &ReportBlock) -> Option<(u32, u32)> {
        let (ssrc, highest) = (block.ssrc.0, block.highest_seq);
        let Some((_, before)) = self.highest.iter_mut().find(|(known, _)| *known == ssrc) else {
            if self.highest.len() < MOST_REPORTED {
                self.highest.push((ssrc, highest));
            }
            return None;
        };
        let expected = highest.wrapping_sub(std::mem::replace(before, highest));
        let lost = u64::from(expected) * u64::from(block.fraction_lost) / 256;
        (1..MOST_EXPECTED)
            .contains(&expected)
            .then_some((expected, lost as u32))
    }
}

#[derive(Debug, Default)]
struct AudioMeter {
    bytes: u64,
    since: u64,
    /// Rates of the newest windows, bits per second; how many there were.
    windows: [u64; AUDIO_WINDOWS],
    count: usize,
    rate: u64,
}

impl AudioMeter {
    fn rate(&mut self, now: u64) -> u64 {
        let span = now.saturating_sub(self.since);
        if span >= AUDIO_WINDOW {
            if let Some(window) = self.windows.get_mut(self.count % AUDIO_WINDOWS) {
                *window = self.bytes * 8_000_000 / span;
            }
            self.count += 1;
            let known = self.count.min(AUDIO_WINDOWS) as u64;
            self.rate = self.windows.iter().sum::<u64>() / known;
            (self.bytes, self.since) = (0, now);
        }
        self.rate
    }
}

impl Bandwidth {
    /// With an estimator, if the receiver reports when packets arrive.
    pub(super) fn new(reports: bool, config: bwe::Config, now: u64) -> Self {
        Self {
            estimator: reports.then(|| Box::new(Estimator::new(config, now))),
            config: Some(config),
            since: now,
            last_heard: now,
            told: None,
            reported: None,
            begun: None,
            heard: None,
            audio: AudioMeter {
                since: now,
                ..AudioMeter::default()
            },
            untold: Untold::default(),
            first: First::default(),
        }
    }

    /// Has the estimator fetched.
    #[inline]
    pub(super) fn fetch(&self) {
        if let Some(estimator) = &self.estimator {
            ahead::fetch(&**estimator);
        }
    }

    /// A packet with a transport-wide number left.
    #[inline]
    pub(super) fn sent(&mut self, now: u64, size: usize) {
        if self.estimator.is_some() {
            self.begun.get_or_insert(now);
            self.untold.last = now;
            self.untold.bytes += size;
            if now >= self.untold.since + TELL_INTERVAL {
                self.tell();
            }
        }
    }

    /// The estimator learns what left.
    fn tell(&mut self) {
        let Untold { last, bytes, .. } = self.untold;
        if let Some(estimator) = self.estimator.as_mut().filter(|_| bytes > 0) {
            estimator.sent(last, bytes);
            self.untold = Untold {
                since: last,
                last,
                bytes: 0,
            };
        }
    }

    /// Audio left.
    #[inline]
    pub(super) fn sent_audio(&mut self, size: usize) {
        self.audio.bytes += size as u64;
    }

    /// The receiver says what arrived.
    pub(super) fn feedback(&mut self, now: u64, acked: &[Acked], rtt: Option<u64>) {
        if acked.is_empty() || self.estimator.is_none() {
            return;
        }
        if self.heard.is_some() && now >= self.last_heard + CUT {
            self.begin_again(now);
        }
        self.last_heard = now;
        let since = self.since;
        let own = acked.iter().position(|packet| packet.sent >= since);
        let Some(acked) = own.and_then(|first| acked.get(first..)) else {
            return;
        };
        self.heard.get_or_insert(now);
        if !self.first.known {
            let is_video = |packet: &Acked| packet.arrived.is_some() && packet.size >= LARGE;
            self.first.known = acked.iter().any(is_video);
        }
        self.tell();
        if let Some(estimator) = &mut self.estimator {
            estimator.feedback(now, acked, rtt);
        }
    }

    /// Whether a receiver that reported before does not any more.
    pub(super) fn is_silent(&self, now: u64) -> bool {
        self.heard.is_some() && now >= self.last_heard + SILENT
    }

    /// The line is another one, or may be.
    pub(super) fn begin_again(&mut self, now: u64) {
        if let (Some(estimator), Some(config)) = (&mut self.estimator, self.config) {
            **estimator = Estimator::new(config, now);
            (self.since, self.last_heard) = (now, now);
            (self.begun, self.heard, self.told) = (None, None, None);
            self.untold = Untold::default();
        }
    }

    /// The receiver says what its line carries (REMB).
    pub(crate) fn told(&mut self, now: u64, bitrate: u64) {
        self.told = Some((bitrate, now));
        if self.estimator.is_none()
            && let Some(config) = self.config
        {
            let begin = || Box::new(Reported::new(config, now));
            let reported = self.reported.get_or_insert_with(begin);
            reported.estimator.told(now, bitrate);
        }
    }

    /// A receiver report on a stream. Where packets are reported one by one it says nothing new.
    pub(crate) fn reported(&mut self, now: u64, block: &ReportBlock, rtt: Option<u64>) {
        let (None, Some(config)) = (&self.estimator, self.config) else {
            return;
        };
        if self.reported.is_none() && block.fraction_lost > LITTLE_LOSS {
            self.reported = Some(Box::new(Reported::new(config, now)));
        }
        if let Some(reported) = &mut self.reported
            && let Some((expected, lost)) = reported.count(block)
        {
            reported.estimator.lost_report(now, expected, lost, rtt);
        }
    }

    /// What its estimator knows.
    pub(crate) fn estimate(&self) -> Option<Estimate> {
        self.estimator.as_ref().map(|e| e.estimate())
    }

    /// What the line carries, as far as that is known.
    pub(crate) fn target(&self, now: u64) -> Option<u64> {
        let told = self.told.filter(|(_, at)| now < at + REMB_KEPT);
        let is_mute = self.heard.is_none() && self.begun.is_some_and(|begun| now > begun + MUTE);
        match &self.estimator {
            Some(estimator) if !is_mute => Some(estimator.estimate().target),
            _ => match (&self.reported, told) {
                // What it said is in the estimate.
                (Some(reported), _) => Some(reported.estimator.estimate().target),
                (None, told) => told.map(|(bitrate, _)| bitrate),
            },
        }
    }

    /// Whether that is more than a guess.
    pub(crate) fn is_sure(&self, now: u64) -> bool {
        self.estimator.is_none() || self.heard.is_some_and(|heard| now >= heard + GUESSED)
    }

    /// What the least pictures may take of it on trust.
    pub(crate) fn trusted(&mut self, now: u64) -> Option<u64> {
        let (estimate, start) = (self.estimate()?, self.config?.start);
        let young = self
            .first
            .wanted
            .is_none_or(|wanted| now < wanted + TRUSTED);
        let well = estimate.target >= start && estimate.usage != Usage::Overuse;
        (young && well && !estimate.measured).then(|| TRUST.saturating_sub(self.audio.rate(now)))
    }

    /// What is left for video, repairs of it taken off.
    pub(crate) fn for_video(&mut self, now: u64) -> Option<u64> {
        let target = self.target(now)?;
        let loss = self.estimate().map_or(0.0, |e| f64::from(e.loss_ratio));
        let free = (target - target / RESERVE).saturating_sub(self.audio.rate(now));
        Some((free as f64 / (1.0 + loss.clamp(0.0, MOST_REPAIR))) as u64)
    }

    /// All that is wanted of it, so that more is looked for. `sent`: some of it is sent already, so that a probe of the
    /// receiver's streams waits until it knows them: it does not report others.
    pub(crate) fn demand(&mut self, now: u64, video: u64, sent: bool) {
        if video > 0 && !self.first.known {
            let since = *self.first.wanted.get_or_insert(now);
            self.first.known = !sent || now >= since + UNKNOWN;
            if !self.first.known {
                return;
            }
        }
        let wanted = video + video / RESERVE + self.audio.rate;
        if let Some(estimator) = &mut self.estimator {
            estimator.demand(now, wanted);
        }
    }

    /// When [`Self::on_timer`] is due.
    pub(crate) fn poll_timeout(&self) -> Option<u64> {
        self.estimator.as_ref()?.poll_timeout()
    }

    pub(crate) fn on_timer(&mut self, now: u64) {
        self.tell();
        if let Some(estimator) = &mut self.estimator {
            estimator.on_timer(now);
        }
    }

    /// Something to find out, if there is.
    pub(crate) fn poll_probe(&mut self, now: u64) -> Option<Probe> {
        self.estimator.as_mut()?.poll_probe(now)
    }

    /// There was not enough to fill the last probe with.
    pub(super) fn probe_unsent(&mut self) {
        if let Some(estimator) = &mut self.estimator {
            estimator.probe_unsent();
        }
    }
}

/// Acknowledged packets of one message.
pub(super) type AckedList = SmallVec<[Acked; 64]>;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000;
    const CONFIG: bwe::Config = bwe::Config {
        start: 800_000,
        min: 30_000,
        max: 20_000_000,
    };

    /// Ten packets a report, all of which arrived; there are twenty reports a second.
    fn report(line: &mut Bandwidth, now: u64) {
        let packet = |n: u64| {
            let sent = now - 50 * MS + n * 5 * MS;
            Acked {
                sent,
                arrived: Some(sent as i64 + 20_000),
                size: 1_000,
                probe: None,
            }
        };
        let packets: Vec<Acked> = (0..10).map(packet).collect();
        for packet in &packets {
            line.sent(packet.sent, 1_000);
        }
        line.feedback(now, &packets, Some(40 * MS));
    }

    #[test]
    fn who_reports_no_packets_is_sent_less_when_it_reports_loss() {
        let mut line = Bandwidth::new(false, CONFIG, 0);
        let mut now = 0;
        let mut highest = 1_000;
        let mut report = |line: &mut Bandwidth, fraction_lost: u8| {
            now += 1_000 * MS;
            highest += 200;
            let block = ReportBlock {
                ssrc: 7.into(),
                fraction_lost,
                cumulative_lost: 0,
                highest_seq: highest,
                jitter: 0,
                last_sr: 0,
                delay_since_last_sr: 0,
            };
            line.reported(now, &block, Some(40 * MS));
            now
        };
        // As long as it has nothing to say, there is no limit.
        for _ in 0..3 {
            let now = report(&mut line, 0);
            assert_eq!(line.target(now), None);
        }
        line.told(3_000 * MS, 2_000_000);
        let now = report(&mut line, 0);
        assert_eq!(line.target(now), Some(2_000_000), "what it says");
        for _ in 0..10 {
            report(&mut line, 77);
        }
        let now = report(&mut line, 77);
        let low = line.target(now).unwrap();
        assert!(low < 600_000, "30 % lost: {low}");
        for _ in 0..30 {
            report(&mut line, 0);
        }
        let now = report(&mut line, 0);
        let high = line.target(now).unwrap();
        assert!(high > 3 * low && high <= 2_000_000, "{high}");
    }

    #[test]
    fn sound_that_comes_in_bursts_takes_no_more_than_it_does() {
        let mut line = Bandwidth::new(true, CONFIG, 0);
        let free = CONFIG.start - CONFIG.start / RESERVE;
        for ms in 0..20_000 {
            let now = ms * MS;
            // 80 kbit/s, held up for 0.7 s each time.
            if ms % 700 == 0 {
                (0..35).for_each(|_| line.sent_audio(200));
            }
            let audio = free - line.for_video(now).unwrap();
            let settled = ms < 3_000 || (50_000..110_000).contains(&audio);
            assert!(settled, "{audio} after {ms} ms");
        }
    }

    #[test]
    fn what_was_lost_while_it_was_cut_off_says_nothing_of_a_line() {
        let mut line = Bandwidth::new(true, CONFIG, 0);
        line.demand(0, 2_000_000, false);
        let mut now = 1_000 * MS;
        for _ in 0..200 {
            now += 50 * MS;
            report(&mut line, now);
        }
        let before = line.target(now).unwrap();
        // Cut off for half a minute: nothing is reported, and then that all of it was lost.
        let cut = now;
        let mut lost = Vec::new();
        while now < cut + 30_000 * MS {
            now += 10 * MS;
            line.sent(now, 1_000);
            line.on_timer(now);
            lost.push(Acked {
                sent: now,
                arrived: None,
                size: 1_000,
                probe: None,
            });
        }
        line.feedback(now, &lost, None);
        for _ in 0..10 {
            now += 50 * MS;
            report(&mut line, now);
        }
        let after = line.target(now).unwrap();
        assert!(after >= before.min(CONFIG.start), "{before} {after}");
        assert!(line.is_sure(now));
    }
}
