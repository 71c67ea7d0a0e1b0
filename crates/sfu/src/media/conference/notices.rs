//! What clients are told on their bridge channels.

use super::Conference;
use crate::media::context::Context;
use crate::media::event::ChannelNotice;
use crate::media::ids::EndpointId;
use crate::media::table::PeerId;

impl Conference {
    /// A bridge channel opened: everything its client must know.
    pub(crate) fn channel_opened(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        self.settle(cx);
        self.tell_demands(cx, peer);
        let Some(receiver) = self.receivers.get(peer) else {
            return;
        };
        let id = receiver.id().clone();
        let forwarded = receiver.forwarded().to_vec();
        cx.notice(&id, ChannelNotice::ForwardedSources(forwarded));
        if receiver.is_rewriting() {
            let (video, audio) = receiver.maps(&self.feeds);
            if !video.is_empty() {
                cx.notice(&id, ChannelNotice::VideoSourcesMap(video));
            }
            if !audio.is_empty() {
                cx.notice(&id, ChannelNotice::AudioSourcesMap(audio));
            }
        }
        let silent = self.clients.iter().filter(|(_, c)| !c.is_active());
        for (_, other) in silent {
            let endpoint = other.id().clone();
            let active = false;
            cx.notice(&id, ChannelNotice::Connectivity { endpoint, active });
        }
        if let Some(notice) = self.floor.notice() {
            cx.notice(&id, notice);
        }
    }

    pub(super) fn tell_speakers(&self, cx: &mut Context<'_>) {
        if let Some(notice) = self.floor.notice() {
            cx.broadcast(notice);
        }
    }

    /// Somebody else has the floor.
    pub(super) fn speaker_changed(&mut self, cx: &mut Context<'_>, speaker: &EndpointId) {
        cx.stats.dominant_speaker_changes += 1;
        self.plan.order_changed(&self.receivers);
        self.tell_speakers(cx);
        self.preempt_key_frame(cx, speaker);
    }

    /// A new speaker will soon be on many stages: have a key frame ready.
    fn preempt_key_frame(&mut self, cx: &mut Context<'_>, speaker: &EndpointId) {
        let Some(client) = self.find(speaker).and_then(|p| self.clients.get(p)) else {
            return;
        };
        let others = self.receivers.values().filter(|r| r.id() != speaker);
        if self.by_id.len() <= 2 || !others.into_iter().any(|r| r.is_stage_view()) {
            return;
        }
        let mut videos = client.feeds().iter().copied();
        let video = videos.find(|id| {
            self.feeds
                .get(*id)
                .is_some_and(|f| f.video_type().is_some())
        });
        if let Some(id) = video {
            if let Some(feed) = self.feeds.get_mut(id) {
                feed.want_key_frame();
            }
            self.ask_for_key_frame(cx, id);
        }
    }

    /// What an endpoint was told of the demand for its sources is told again.
    pub(super) fn tell_demands(&self, cx: &mut Context<'_>, peer: PeerId) {
        let Some(client) = self.clients.get(peer) else {
            return;
        };
        for id in client.feeds() {
            if let (Some(feed), Some(max_height)) = (self.feeds.get(*id), self.plan.told(*id)) {
                let source = feed.name().clone();
                let notice = ChannelNotice::SenderSourceConstraints { source, max_height };
                cx.notice(client.id(), notice);
            }
        }
    }
}
