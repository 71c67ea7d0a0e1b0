//! RTCP of an endpoint: what it says as a sender, and as a receiver.

use super::{Conference, DEFAULT_RTT};
use crate::media::context::Context;
use crate::media::exchange::Told;
use crate::media::ingest::ClockPoint;
use crate::media::spec::{Encodings, Source};
use crate::media::stats::DropReason;
use crate::media::table::{FeedId, PeerId};
use rtp::rtcp::{ReportBlock, Rtcp, SenderReport, packets};
use std::net::SocketAddr;

const MS: u64 = 1_000;

impl Conference {
    /// RTCP of an endpoint comes soon: has its state fetched.
    pub(crate) fn fetch_peer(&self, peer: PeerId) {
        self.links.fetch(peer);
        self.outs.fetch(peer);
        self.receivers.fetch(peer);
    }

    /// It comes next: has fetched what that points at.
    pub(crate) fn fetch_for_rtcp(&self, peer: PeerId) {
        self.links.get(peer).inspect(|link| link.fetch_for_rtcp());
        self.outs.get(peer).inspect(|out| out.fetch_for_feedback());
    }

    /// A datagram that looks like RTCP came from an endpoint. It is decrypted in place.
    pub(crate) fn handle_rtcp(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        path: (SocketAddr, SocketAddr),
        datagram: &mut [u8],
    ) -> Result<(), DropReason> {
        let link = self.links.get_mut(peer).ok_or(DropReason::UnknownAddress)?;
        let len = link.decrypt_rtcp(cx, path, datagram)?;
        let mut result = Ok(());
        for packet in packets(datagram.get(..len).unwrap_or_default()) {
            match packet {
                Ok(packet) => self.rtcp_packet(cx, peer, &packet),
                Err(_) => result = Err(DropReason::BadRtcp),
            }
        }
        result
    }

    fn rtcp_packet(&mut self, cx: &mut Context<'_>, peer: PeerId, packet: &Rtcp<'_>) {
        match packet {
            Rtcp::SenderReport(report) => {
                self.sender_report(cx, peer, report);
                let blocks = report.blocks.iter();
                blocks.for_each(|b| self.report_block(cx, peer, &b));
            }
            Rtcp::ReceiverReport { blocks, .. } => {
                blocks.iter().for_each(|b| self.report_block(cx, peer, &b))
            }
            Rtcp::Nack(nack) => self.answer_nack(cx, peer, nack.media.0, nack.sequence_numbers()),
            Rtcp::Pli { media, .. } => self.picture_lost(cx, peer, media.0, false),
            Rtcp::Fir(fir) => fir
                .entries()
                .for_each(|e| self.picture_lost(cx, peer, e.ssrc.0, true)),
            Rtcp::Twcc(feedback) => {
                let rtt = self.links.get(peer).and_then(|l| l.round_trip());
                if let (Some(out), Some(receiver)) =
                    (self.outs.get_mut(peer), self.receivers.get_mut(peer))
                {
                    out.feedback(cx.us, feedback, rtt);
                    receiver.set_loss(out.loss());
                }
                self.review_budget(cx, peer);
            }
            Rtcp::Remb(remb) => {
                if let Some(out) = self.outs.get_mut(peer) {
                    out.bandwidth_mut().told(cx.us, remb.bitrate);
                }
                self.review_budget(cx, peer);
            }
            // Descriptions, goodbyes and the rest end here: signalling says who is there.
            _ => {}
        }
    }

    fn sender_report(&mut self, cx: &Context<'_>, peer: PeerId, report: &SenderReport<'_>) {
        let link = self.links.get(peer);
        let sent = link.and_then(|c| c.find_ssrc(report.ssrc.0));
        let Some(sent) = sent.filter(|s| !s.rtx) else {
            return;
        };
        let clock = ClockPoint {
            ntp: report.info.ntp,
            rtp: report.info.rtp_timestamp,
            arrival: cx.us,
        };
        self.clock_told(cx, sent.feed, sent.encoding, clock);
        self.siblings.tell(|| Told::Clock {
            feed: sent.feed,
            encoding: sent.encoding,
            ntp: clock.ntp,
            rtp: clock.rtp,
            at: cx.now,
        });
    }

    /// The sender of a feed says where the clock of an encoding stands. Other bridges are told at once.
    pub(super) fn clock_told(
        &mut self,
        cx: &Context<'_>,
        id: FeedId,
        encoding: u8,
        clock: ClockPoint,
    ) {
        if let Some(feed) = self.feeds.get_mut(id) {
            feed.set_clock(encoding, clock);
            self.pass_clock_on(cx, id, encoding, &clock);
        }
    }

    fn report_block(&mut self, cx: &Context<'_>, peer: PeerId, block: &ReportBlock) {
        if let Some(receiver) = self.receivers.get_mut(peer) {
            receiver.reported(block);
        }
        if let Some(link) = self.links.get_mut(peer) {
            link.measure(cx.us, block);
            if let Some(out) = self.outs.get_mut(peer) {
                let bandwidth = out.bandwidth_mut();
                bandwidth.reported(cx.us, block, link.round_trip());
            }
        }
    }

    fn answer_nack(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        ssrc: u32,
        lost: impl Iterator<Item = u16>,
    ) {
        let (Some(link), Some(out)) = (self.links.get(peer), self.outs.get_mut(peer)) else {
            return;
        };
        let rtt = link.round_trip().unwrap_or(DEFAULT_RTT);
        let quiet = (rtt * 9 / 10).min(rtt.saturating_sub(5 * MS)).min(500 * MS);
        let mut receiver = self.receivers.get_mut(peer);
        let mut crossing = self.crossings.get_mut(peer);
        for seq in lost {
            let again = match (&mut receiver, &mut crossing) {
                (Some(receiver), _) => {
                    receiver.resend(cx.us, (ssrc, seq), quiet, (cx.store, cx.stats))
                }
                (None, Some(crossing)) => crossing.resend(cx.us, (ssrc, seq), quiet, cx.stats),
                (None, None) => None,
            };
            if let Some(again) = again {
                out.push(cx.us, again, cx.stats);
            }
        }
        if out.has_pending() {
            self.has_single(peer);
        }
    }

    /// A receiver says that it has no picture. `precise`: another bridge means this one encoding, also if it is the first,
    /// by which bridges ask that know of no other.
    fn picture_lost(&mut self, cx: &mut Context<'_>, peer: PeerId, ssrc: u32, precise: bool) {
        cx.stats.keyframe_requests_received += 1;
        let rtt = self.links.get(peer).and_then(|l| l.round_trip());
        let rtt = rtt.unwrap_or(DEFAULT_RTT / 4);
        let Some(receiver) = self.receivers.get_mut(peer) else {
            let wanted = self.crossings.get(peer).and_then(|c| c.find(ssrc));
            if let Some((feed, encoding)) = wanted {
                let of = match precise || encoding > 0 {
                    true => Encodings::one(encoding),
                    false => Encodings::first(Source::MAX_ENCODINGS),
                };
                self.key_frames_wanted(cx, feed, of);
            }
            return;
        };
        match receiver.picture_lost(cx.us, ssrc, rtt) {
            Some(feed) => self.decide(cx, |cx, _, _, stage, _| {
                stage.see_to_picture(cx, peer, feed);
            }),
            None => self.schedule(cx, peer),
        }
    }
}
