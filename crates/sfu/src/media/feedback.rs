//! RTCP: what peers say, and what is said to them at intervals; pictures that receivers wait for.

use super::conference::{Conference, Context};
use super::endpoint::Endpoint;
use super::event::ChannelNotice;
use super::receive::ClockPoint;
use super::send::Pending;
use super::slot::{Forward, Refusal};
use super::source::Media;
use super::stats::DropReason;
use rtp::rtcp::{
    FirEntry, ReportBlock, Rtcp, SenderInfo, SenderReport, Writer, compact_ntp, packets,
};
use std::net::SocketAddr;

const MS: u64 = 1_000;
/// Longest RTCP compound made here.
const MAX_COMPOUND: usize = 1200;
/// Transport-wide feedback to senders.
const FEEDBACK_INTERVAL: u64 = 50 * MS;
/// Receiver reports to senders.
const REPORT_INTERVAL: u64 = 500 * MS;
/// Sender reports to receivers.
const SENDER_REPORT_INTERVAL: u64 = 1_000 * MS;
/// A key frame was sent and nothing is heard of it: longer than between receiver reports, since whoever gets packets
/// but no picture says so.
pub(crate) const BLIND_INTERVAL: u64 = 1_600 * MS;
/// A sender that was asked for a key frame is asked again this often; later, if nothing helps, more seldom.
const PICTURE_INTERVAL: u64 = 300 * MS;
const PATIENT_INTERVAL: u64 = 2_000 * MS;
const EAGER_TRIES: u32 = 40;
/// Oldest key frame worth replaying to a receiver without a picture, and to one that has one.
const REPLAY_AGE: u64 = 2_500 * MS;
const REPLAY_AGE_SWITCH: u64 = 300 * MS;
/// A picture-loss indication this soon after a key frame may have crossed it.
const CROSSING: u64 = 30 * MS;
/// Round trip assumed while none is measured.
const DEFAULT_RTT: u64 = 100 * MS;
/// Greatest round trip that is believed.
const MAX_RTT: u64 = 7_000 * MS;

impl Conference {
    /// A datagram that looks like RTCP came from an endpoint.
    pub(crate) fn handle_rtcp(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        path: (SocketAddr, SocketAddr),
        datagram: &mut [u8],
    ) -> Result<(), DropReason> {
        let endpoint = self.endpoint_mut(index).ok_or(DropReason::UnknownAddress)?;
        let inbound = endpoint.inbound.as_mut().ok_or(DropReason::NoKeys)?;
        let bytes = datagram.len() as u64;
        let len = inbound
            .unprotect_rtcp(datagram)
            .map_err(|_| DropReason::Unauthenticated)?;
        endpoint.received(ctx, path, bytes);
        let mut result = Ok(());
        for packet in packets(datagram.get(..len).unwrap_or_default()) {
            match packet {
                Ok(packet) => self.rtcp_packet(ctx, index, &packet),
                Err(_) => result = Err(DropReason::BadRtcp),
            }
        }
        result
    }

    fn rtcp_packet(&mut self, ctx: &mut Context<'_>, index: usize, packet: &Rtcp<'_>) {
        match packet {
            Rtcp::SenderReport(report) => {
                self.sender_report(ctx, index, report);
                report
                    .blocks
                    .iter()
                    .for_each(|b| self.report_block(ctx, index, &b));
            }
            Rtcp::ReceiverReport { blocks, .. } => blocks
                .iter()
                .for_each(|b| self.report_block(ctx, index, &b)),
            Rtcp::Nack(nack) => self.answer_nack(ctx, index, nack.media.0, nack.sequence_numbers()),
            Rtcp::Pli { media, .. } => self.picture_lost(ctx, index, media.0),
            Rtcp::Fir(fir) => fir
                .entries()
                .for_each(|e| self.picture_lost(ctx, index, e.ssrc.0)),
            Rtcp::Twcc(feedback) => {
                if let Some(endpoint) = self.endpoint_mut(index) {
                    // A bandwidth estimator takes what this yields.
                    endpoint.queue.sent.feedback(feedback, |_| {});
                }
            }
            // Descriptions, goodbyes and the rest end here: signalling says who is there.
            _ => {}
        }
    }

    fn sender_report(&mut self, ctx: &mut Context<'_>, index: usize, report: &SenderReport<'_>) {
        let Some(sent) = self
            .endpoint(index)
            .and_then(|e| e.find_ssrc(report.ssrc.0))
            .filter(|s| !s.rtx)
        else {
            return;
        };
        let clock = ClockPoint {
            ntp: report.info.ntp,
            rtp: report.info.rtp_timestamp,
            arrival: ctx.us,
        };
        match self
            .sources
            .get_mut(sent.source)
            .and_then(|s| s.as_mut())
            .map(|s| &mut s.media)
        {
            Some(Media::Audio(audio)) => audio.stream.clock = Some(clock),
            Some(Media::Video(video)) => {
                if let Some(e) = video.encodings.get_mut(usize::from(sent.encoding)) {
                    e.stream.clock = Some(clock);
                }
            }
            None => {}
        }
    }

    fn report_block(&mut self, ctx: &mut Context<'_>, index: usize, block: &ReportBlock) {
        let Some(endpoint) = self.endpoint_mut(index) else {
            return;
        };
        if let Some(slot) = endpoint.video.iter_mut().find(|s| s.ssrc == block.ssrc.0) {
            slot.reported(block.highest_seq as u16);
        }
        if block.last_sr == 0 {
            return;
        }
        let matches = |r: &&super::endpoint::SentReport| {
            r.ssrc == block.ssrc.0 && r.compact_ntp == block.last_sr
        };
        let Some(sent) = endpoint.sent_reports.iter().rev().find(matches) else {
            return;
        };
        let delay = (u64::from(block.delay_since_last_sr) * 1_000_000) >> 16;
        if let Some(rtt) = ctx
            .us
            .saturating_sub(sent.at)
            .checked_sub(delay)
            .filter(|r| *r <= MAX_RTT)
        {
            endpoint.rtt = Some(rtt);
        }
    }

    fn answer_nack(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        ssrc: u32,
        lost: impl Iterator<Item = u16>,
    ) {
        let Some(endpoint) = self.endpoint_mut(index) else {
            return;
        };
        let rtt = endpoint.round_trip().unwrap_or(DEFAULT_RTT);
        let quiet = (rtt * 9 / 10).min(rtt.saturating_sub(5 * MS)).min(500 * MS);
        let Some(at) = endpoint.video.iter().position(|s| s.ssrc == ssrc) else {
            return;
        };
        for seq in lost {
            let Some(slot) = endpoint.video.get_mut(at) else {
                return;
            };
            let Some(rtx_ssrc) = slot.rtx_ssrc else {
                return;
            };
            let missed = slot.missed(ctx.us, seq, quiet).and_then(|forward| {
                let (bytes, _) = ctx.store.get(forward.id).ok_or(Refusal::Unknown)?;
                let spent = endpoint.resends.spend(ctx.us, bytes.len() as u64);
                spent.then_some(forward).ok_or(Refusal::Spent)
            });
            let forward = match missed {
                Ok(forward) => forward,
                Err(refusal) => {
                    ctx.stats.retransmit_missed += u64::from(refusal == Refusal::Unknown);
                    ctx.stats.retransmit_refused += u64::from(refusal == Refusal::Spent);
                    continue;
                }
            };
            let pending = Pending {
                id: forward.id,
                ssrc: rtx_ssrc,
                seq: slot.resent(ctx.us, seq),
                timestamp: forward.timestamp,
                picture_id: forward.picture_id,
                tl0: forward.tl0,
                osn: Some(forward.seq),
                video: true,
            };
            ctx.stats.retransmitted += 1;
            endpoint.enqueue(ctx, index, pending);
        }
    }

    /// A receiver says that it has no picture.
    fn picture_lost(&mut self, ctx: &mut Context<'_>, index: usize, ssrc: u32) {
        ctx.stats.keyframe_requests_received += 1;
        let Some(endpoint) = self.endpoint_mut(index) else {
            return;
        };
        let rtt = endpoint.round_trip().unwrap_or(DEFAULT_RTT / 4);
        let Some(at) = endpoint.video.iter().position(|s| s.ssrc == ssrc) else {
            return;
        };
        let Some(slot) = endpoint.video.get_mut(at) else {
            return;
        };
        slot.picture.confirmed = false;
        if let Some((sent, _)) = slot.picture.key_sent
            && ctx.us < sent + rtt + CROSSING
        {
            // A stream that never had a picture should not wait for the next indication.
            let patience = if slot.picture.shown {
                BLIND_INTERVAL
            } else {
                rtt + 3 * CROSSING
            };
            slot.picture.next_try = sent + patience;
            return;
        }
        self.see_to_picture(ctx, index, at);
    }

    /// Gets a slot a key frame: from the store if there is a recent one, else from the sender.
    pub(crate) fn see_to_picture(&mut self, ctx: &mut Context<'_>, index: usize, at: usize) {
        let Some(endpoint) = self.endpoints.get_mut(index).and_then(|e| e.as_deref_mut()) else {
            return;
        };
        let connected = endpoint.is_connected();
        let Some(slot) = endpoint.video.get_mut(at) else {
            return;
        };
        let (Some(target), Some(source)) = (slot.target, slot.source) else {
            return;
        };
        let Some(video) = self
            .sources
            .get_mut(source)
            .and_then(|s| s.as_mut()?.video_mut())
        else {
            return;
        };
        let eager = slot.picture.tries < EAGER_TRIES;
        slot.picture.tries = slot.picture.tries.saturating_add(1);
        let has_picture = slot.encoding().is_some() && slot.picture.confirmed;
        let max_age = if has_picture {
            REPLAY_AGE_SWITCH
        } else {
            REPLAY_AGE
        };
        if connected {
            let lowest = if has_picture { target.encoding } else { 0 };
            for encoding in (lowest..=target.encoding).rev() {
                let Some(stream) = video.encodings.get(usize::from(encoding)) else {
                    continue;
                };
                let Some(list) = stream.keys.replay(ctx.us, max_age) else {
                    continue;
                };
                let mut burst = smallvec::SmallVec::<[Forward; 64]>::new();
                if slot.start(ctx.us, encoding, list, true, ctx.store, |forward| {
                    burst.push(forward)
                }) {
                    ctx.stats.keyframe_replays += 1;
                    endpoint.enqueue_video(ctx, index, at, &burst);
                    if encoding == target.encoding {
                        return;
                    }
                    break;
                }
            }
        }
        if let Some(slot) = endpoint.video.get_mut(at) {
            let interval = if eager {
                PICTURE_INTERVAL
            } else {
                PATIENT_INTERVAL
            };
            slot.picture.next_try = ctx.us + interval;
        }
        video.keyframe.wanted = true;
        self.ask_for_keyframes(ctx);
    }

    /// Asks senders for the key frames that somebody waits for, as far as their turn has come.
    pub(crate) fn ask_for_keyframes(&mut self, ctx: &mut Context<'_>) {
        for source in self.sources.iter_mut().flatten() {
            let owner = source.owner;
            let primary = source.spec.encodings.first().map_or(0, |e| e.ssrc);
            let Some(video) = source.video_mut() else {
                continue;
            };
            if !video.keyframe.wanted {
                continue;
            }
            let Some(endpoint) = self.endpoints.get_mut(owner).and_then(|e| e.as_deref_mut())
            else {
                continue;
            };
            if !endpoint.is_connected() || !video.keyframe.due(ctx.us) {
                continue;
            }
            let mut buf = [0; 64];
            let mut writer = Writer::new(&mut buf);
            let feedback = self.feedback.video.into();
            // For the primary SSRC, on behalf of all encodings.
            let written = if endpoint.negotiated.pli {
                writer.pli(feedback, primary.into())
            } else {
                endpoint.fir_seq = endpoint.fir_seq.wrapping_add(1);
                writer.fir(
                    feedback,
                    &[FirEntry {
                        ssrc: primary.into(),
                        seq: endpoint.fir_seq,
                    }],
                )
            };
            if written.is_ok() {
                ctx.stats.keyframe_requests += 1;
                endpoint.queue.push_rtcp(writer.written());
                endpoint.mark_dirty(ctx, owner);
            }
        }
    }

    /// Everything periodic that concerns media; every 20 ms or so.
    pub(crate) fn tick_media(&mut self, ctx: &mut Context<'_>) {
        if let Some(change) = self.speakers.tick(ctx.us) {
            self.speaker_changed(ctx, change);
        }
        self.look_at_layers(ctx.us);
        self.settle(ctx);
        self.review_audio(ctx);
        for index in 0..self.endpoints.len() {
            if self.endpoint(index).is_some_and(Endpoint::is_connected) {
                self.request_missing(ctx, index);
                self.transport_feedback(ctx, index);
                self.receiver_report(ctx, index);
                self.sender_reports(ctx, index);
                self.missing_pictures(ctx, index);
            }
        }
        self.ask_for_keyframes(ctx);
    }

    /// Encodings that stopped coming in are no longer chosen.
    fn look_at_layers(&mut self, now: u64) {
        for video in self
            .sources
            .iter_mut()
            .flatten()
            .filter_map(|s| s.video_mut())
        {
            for encoding in &mut video.encodings {
                if encoding.active && !encoding.stream.is_active(now) {
                    encoding.active = false;
                    self.unsettled = true;
                }
            }
        }
    }

    fn request_missing(&mut self, ctx: &mut Context<'_>, index: usize) {
        let Some(endpoint) = self.endpoints.get_mut(index).and_then(|e| e.as_deref_mut()) else {
            return;
        };
        let retry =
            (endpoint.round_trip().unwrap_or(DEFAULT_RTT) + 10 * MS).clamp(30 * MS, 200 * MS);
        let mut buf = [0; MAX_COMPOUND];
        let mut writer = Writer::new(&mut buf);
        for source in &endpoint.sources {
            let Some(video) = self
                .sources
                .get_mut(*source)
                .and_then(|s| s.as_mut()?.video_mut())
            else {
                continue;
            };
            for encoding in video
                .encodings
                .iter_mut()
                .filter(|e| e.stream.has_missing())
            {
                let lost = encoding.stream.nacks(ctx.us, retry);
                if let Ok(written) = writer.nack(
                    self.feedback.video.into(),
                    encoding.stream.ssrc.into(),
                    &lost,
                ) {
                    ctx.stats.nacked += written as u64;
                }
            }
        }
        if !writer.is_empty() {
            endpoint.queue.push_rtcp(writer.written());
            endpoint.mark_dirty(ctx, index);
        }
    }

    fn transport_feedback(&mut self, ctx: &mut Context<'_>, index: usize) {
        let (feedback, video_ssrc) = (self.feedback.video, self.first_ssrc(index));
        let Some(endpoint) = self.endpoint_mut(index) else {
            return;
        };
        if ctx.us < endpoint.next_feedback || endpoint.recorder.is_empty() {
            return;
        }
        endpoint.next_feedback = ctx.us + FEEDBACK_INTERVAL;
        let mut buf = [0; MAX_COMPOUND];
        while let Ok(len) = endpoint
            .recorder
            .write(feedback.into(), video_ssrc.into(), &mut buf)
        {
            if len == 0 {
                break;
            }
            endpoint.queue.push_rtcp(buf.get(..len).unwrap_or_default());
            endpoint.mark_dirty(ctx, index);
        }
    }

    fn first_ssrc(&self, index: usize) -> u32 {
        self.endpoint(index)
            .and_then(|e| e.ssrcs.first())
            .map_or(0, |s| s.ssrc)
    }

    fn receiver_report(&mut self, ctx: &mut Context<'_>, index: usize) {
        let feedback = self.feedback.video;
        let Some(endpoint) = self.endpoints.get_mut(index).and_then(|e| e.as_deref_mut()) else {
            return;
        };
        if ctx.us < endpoint.next_report {
            return;
        }
        endpoint.next_report = ctx.us + REPORT_INTERVAL;
        endpoint.media_noted = false;
        let mut blocks: smallvec::SmallVec<[ReportBlock; 8]> = smallvec::SmallVec::new();
        for source in &endpoint.sources {
            match self
                .sources
                .get_mut(*source)
                .and_then(|s| s.as_mut())
                .map(|s| &mut s.media)
            {
                Some(Media::Audio(audio)) => blocks.extend(audio.stream.report(ctx.us)),
                Some(Media::Video(video)) => {
                    blocks.extend(
                        video
                            .encodings
                            .iter_mut()
                            .filter_map(|e| e.stream.report(ctx.us)),
                    );
                }
                None => {}
            }
        }
        let mut buf = [0; MAX_COMPOUND];
        for part in blocks.chunks(31) {
            let mut writer = Writer::new(&mut buf);
            if writer.receiver_report(feedback.into(), part).is_ok() {
                endpoint.queue.push_rtcp(writer.written());
                endpoint.mark_dirty(ctx, index);
            }
        }
    }

    /// Sender reports about what a receiver is sent, after what the sources' senders say of their clocks.
    fn sender_reports(&mut self, ctx: &mut Context<'_>, index: usize) {
        let Some(endpoint) = self.endpoints.get_mut(index).and_then(|e| e.as_deref_mut()) else {
            return;
        };
        let mut due: smallvec::SmallVec<[(u32, SenderInfo, &str); 8]> = smallvec::SmallVec::new();
        for slot in &mut endpoint.video {
            let source = slot.source.and_then(|s| self.sources.get(s)?.as_ref());
            let (Some(source), Some(encoding)) = (source, slot.encoding()) else {
                continue;
            };
            let clock = source
                .video()
                .and_then(|v| v.encodings.get(usize::from(encoding))?.stream.clock);
            let info = clock.and_then(|c| slot.sender_info(ctx.us, &c));
            if let Some(info) = info.filter(|_| ctx.us >= slot.next_report && slot.packets > 0) {
                slot.next_report = ctx.us + SENDER_REPORT_INTERVAL;
                due.push((slot.ssrc, info, source.owner_id.as_str()));
            }
        }
        for slot in &mut endpoint.audio {
            let source = slot.source.and_then(|s| self.sources.get(s)?.as_ref());
            let (Some(source), Some((_, offset))) = (source, slot.offsets) else {
                continue;
            };
            let Media::Audio(audio) = &source.media else {
                continue;
            };
            let recent = ctx.us.saturating_sub(slot.used_at) < 2 * SENDER_REPORT_INTERVAL;
            let Some(clock) = audio
                .stream
                .clock
                .filter(|_| ctx.us >= slot.next_report && recent)
            else {
                continue;
            };
            slot.next_report = ctx.us + SENDER_REPORT_INTERVAL;
            due.push((
                slot.ssrc,
                audio_info(ctx.us, &clock, offset, slot),
                source.owner_id.as_str(),
            ));
        }
        let mut buf = [0; MAX_COMPOUND];
        let mut writer = Writer::new(&mut buf);
        let mut sent: smallvec::SmallVec<[(u32, u32); 8]> = smallvec::SmallVec::new();
        for (ssrc, info, name) in &due {
            let ok = writer
                .sender_report((*ssrc).into(), info, &[])
                .and_then(|()| writer.sdes_cname((*ssrc).into(), name));
            if ok.is_err() {
                // Full: the rest has its turn soon.
                break;
            }
            sent.push((*ssrc, compact_ntp(info.ntp)));
        }
        if !writer.is_empty() {
            endpoint.queue.push_rtcp(writer.written());
            endpoint.mark_dirty(ctx, index);
        }
        for (ssrc, compact) in sent {
            endpoint.note_report(ssrc, compact, ctx.us);
        }
    }

    /// Receivers that have not shown yet that they have a picture are seen to again.
    fn missing_pictures(&mut self, ctx: &mut Context<'_>, index: usize) {
        let Some(endpoint) = self.endpoint(index) else {
            return;
        };
        let waits = |s: &super::slot::VideoSlot| {
            s.target.is_some()
                && (!s.picture.confirmed || s.wants_keyframe())
                && ctx.us >= s.picture.next_try
        };
        let waiting: smallvec::SmallVec<[usize; 8]> = endpoint
            .video
            .iter()
            .enumerate()
            .filter(|(_, s)| waits(s))
            .map(|(at, _)| at)
            .collect();
        for at in waiting {
            self.see_to_picture(ctx, index, at);
        }
    }

    /// Endpoints that fell silent or came back; every 500 ms.
    pub(crate) fn tick_activity(&mut self, ctx: &mut Context<'_>) {
        const FIRST_TRANSFER: u64 = 15_000 * MS;
        const MAX_SILENCE: u64 = 8_000 * MS;
        let mut changes = Vec::new();
        for endpoint in self.endpoints.iter_mut().flatten().filter(|e| !e.visitor) {
            let checked = endpoint.transport.last_activity();
            let checked = checked.map(|t| {
                ctx.us
                    .saturating_sub(ctx.now.saturating_duration_since(t).as_micros() as u64)
            });
            let active = match endpoint.last_media.max(checked) {
                Some(last) => ctx.us.saturating_sub(last) <= MAX_SILENCE,
                None => ctx.us.saturating_sub(endpoint.created) <= FIRST_TRANSFER,
            };
            if active != endpoint.active {
                endpoint.active = active;
                changes.push((endpoint.id.clone(), active));
            }
        }
        for (endpoint, active) in changes {
            match active {
                true => ctx.stats.endpoints_reconnected += 1,
                false => ctx.stats.endpoints_disconnected += 1,
            }
            self.broadcast(ctx, &ChannelNotice::Connectivity { endpoint, active });
        }
    }
}

fn audio_info(
    now: u64,
    clock: &ClockPoint,
    offset: u32,
    slot: &super::endpoint::AudioSlot,
) -> SenderInfo {
    let elapsed = now.saturating_sub(clock.arrival);
    SenderInfo {
        ntp: clock
            .ntp
            .wrapping_add((u128::from(elapsed) * (1 << 32) / 1_000_000) as u64),
        rtp_timestamp: clock
            .rtp
            .wrapping_add((elapsed * 48 / 1000) as u32)
            .wrapping_sub(offset),
        packet_count: slot.packets,
        octet_count: slot.octets,
    }
}
