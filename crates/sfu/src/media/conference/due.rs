//! What falls due: reports and requests of each endpoint, and looks at the conference as a whole.

use super::{Conference, DEFAULT_RTT};
use crate::media::context::Context;
use crate::media::ingest::Feed;
use crate::media::table::{FeedId, PeerId};
use rtp::Ssrc;
use rtp::rtcp::{ReportBlock, Writer, compact_ntp};
use smallvec::SmallVec;

const MS: u64 = 1_000;
/// Longest RTCP compound made here.
const MAX_COMPOUND: usize = 1200;
/// Most SSRCs that an estimate names.
const MAX_TOLD: usize = 128;
/// Speakers and layers are looked at this often, microseconds; with nobody speaking more seldom.
const LOOK: u64 = 20 * MS;
const SELDOM_LOOK: u64 = 200 * MS;

impl Conference {
    /// An endpoint was scheduled for `at`, which has come.
    pub(crate) fn handle_due(&mut self, cx: &mut Context<'_>, peer: PeerId, at: u64) {
        let Some(link) = self.links.get_mut(peer) else {
            return;
        };
        if !link.scheduled.take(at) {
            return;
        }
        if self.outs.get(peer).is_some_and(|out| out.is_connected()) {
            self.request_missing(cx, peer);
            self.transport_feedback(cx, peer);
            self.tell_estimate(cx, peer);
            self.receiver_report(cx, peer);
            self.sender_reports(cx, peer);
            self.tick_bandwidth(cx, peer);
            self.sample_line(cx.us, peer);
            self.let_waiting_leave(cx, peer);
            self.see_to_missing_pictures(cx, peer, cx.us);
        }
        self.schedule(cx, peer);
    }

    fn request_missing(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let Some(link) = self.links.get(peer) else {
            return;
        };
        let rtt = link.round_trip().unwrap_or(DEFAULT_RTT);
        let retry = (rtt + 10 * MS).clamp(30 * MS, 200 * MS);
        let mut buf = [0; MAX_COMPOUND];
        let mut writer = Writer::new(&mut buf);
        for id in link.feeds() {
            if let Some(feed) = self.feeds.get_mut(*id) {
                let asked = feed.write_nacks(cx.us, retry, self.feedback.video, &mut writer);
                cx.stats.nacked += asked;
            }
        }
        self.send_rtcp(peer, writer.written());
    }

    fn transport_feedback(&mut self, cx: &Context<'_>, peer: PeerId) {
        let bridge = self.feedback.video;
        let Some(link) = self.links.get_mut(peer) else {
            return;
        };
        if !link.is_feedback_due(cx.us) {
            return;
        }
        let media = link.ssrcs().next().unwrap_or(0);
        let mut buf = [0; MAX_COMPOUND];
        while let Some(link) = self.links.get_mut(peer)
            && let Ok(len) = link.recorder.write(bridge.into(), media.into(), &mut buf)
            && len > 0
        {
            self.send_rtcp(peer, buf.get(..len).unwrap_or_default());
        }
    }

    /// What the path from a sender carries that measures nothing itself.
    fn tell_estimate(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let bridge = self.feedback.video;
        let Some(link) = self.links.get_mut(peer) else {
            return;
        };
        let Some(rate) = link.take_estimate(cx.us) else {
            return;
        };
        let ssrcs: SmallVec<[Ssrc; 16]> = link.ssrcs().take(MAX_TOLD).map(Ssrc).collect();
        let mut buf = [0; MAX_COMPOUND];
        let mut writer = Writer::new(&mut buf);
        if writer.remb(bridge.into(), rate, &ssrcs).is_ok() {
            cx.stats.estimates_told += 1;
            self.send_rtcp(peer, writer.written());
        }
    }

    fn receiver_report(&mut self, cx: &Context<'_>, peer: PeerId) {
        let bridge = self.feedback.video;
        let Some(link) = self.links.get_mut(peer) else {
            return;
        };
        if !link.is_report_due(cx.us) {
            return;
        }
        let mut blocks: SmallVec<[ReportBlock; 8]> = SmallVec::new();
        for id in link.feeds() {
            if let Some(feed) = self.feeds.get_mut(*id) {
                feed.reports(cx.us, &mut |block| blocks.push(block));
            }
        }
        let mut buf = [0; MAX_COMPOUND];
        for part in blocks.chunks(31) {
            let mut writer = Writer::new(&mut buf);
            if writer.receiver_report(bridge.into(), part).is_ok() {
                self.send_rtcp(peer, writer.written());
            }
        }
    }

    /// Sender reports about what a receiver is sent, after what the sources' senders say of their clocks.
    fn sender_reports(&mut self, cx: &Context<'_>, peer: PeerId) {
        let (Some(receiver), Some(link)) = (self.receivers.get_mut(peer), self.links.get_mut(peer))
        else {
            return;
        };
        let due = receiver.reports_due(cx.us, &self.feeds);
        let mut buf = [0; MAX_COMPOUND];
        let mut writer = Writer::new(&mut buf);
        for (ssrc, info, name) in &due {
            let ok = writer
                .sender_report((*ssrc).into(), info, &[])
                .and_then(|()| writer.sdes_cname((*ssrc).into(), name.as_str()));
            if ok.is_err() {
                // Full: the rest has its turn soon.
                break;
            }
            link.note_report(*ssrc, compact_ntp(info.ntp), cx.us);
        }
        drop(due);
        self.send_rtcp(peer, writer.written());
    }

    /// The conference was scheduled for `at`, which has come: looks at who speaks, which layers come in, and what is to be
    /// decided.
    pub(crate) fn handle_look(&mut self, cx: &mut Context<'_>, at: u64) {
        if !self.scheduled.take(at) {
            return;
        }
        self.next_look = cx.us + LOOK;
        if self.siblings.leads()
            && let Some(speaker) = self.floor.tick(cx.us)
        {
            self.speaker_changed(cx, &speaker);
        }
        let stopped = self.videos_that(|feed| feed.sweep(cx.us));
        for feed in stopped {
            cx.stats.layering_changes += 1;
            self.plan.layers_changed(feed);
        }
        let fresh = self.videos_that(Feed::take_key_news);
        for feed in fresh {
            self.plan.key_frame_came(feed, &self.receivers);
        }
        self.decide(cx, |cx, plan, audio, stage, floor| {
            plan.settle(cx, stage, floor);
            audio.review(cx, stage);
        });
        let waiting = self.videos_that(|feed| feed.is_key_frame_wanted());
        for feed in waiting {
            self.ask_for_key_frames(cx, feed);
        }
        let next = match self.plan.is_unsettled() {
            true => cx.us,
            false if self.floor.is_awake(cx.us) => cx.us + LOOK,
            false => cx.us + SELDOM_LOOK,
        };
        if self.empty_since.is_none() {
            self.schedule_look(cx, next);
        }
    }

    /// Sources of video of which something is true.
    fn videos_that(&mut self, is: impl Fn(&mut Feed) -> bool) -> SmallVec<[FeedId; 8]> {
        let feeds = &mut self.feeds;
        let videos = self.videos.iter().copied();
        videos
            .filter(|id| feeds.get_mut(*id).is_some_and(&is))
            .collect()
    }
}
