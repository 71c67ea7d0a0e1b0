//! What clients are told on their bridge channels.

use super::Conference;
use crate::media::context::Context;
use crate::media::event::ChannelNotice;
use crate::media::exchange::Told;
use crate::media::ids::EndpointId;
use crate::media::ingest::Feed;
use crate::media::peer::{Client, Relay};
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
        let silent: Vec<_> = self.silent().cloned().collect();
        for endpoint in silent {
            let active = false;
            cx.notice(&id, ChannelNotice::Connectivity { endpoint, active });
        }
        if let Some(notice) = self.floor.notice() {
            cx.notice(&id, notice);
        }
    }

    /// Endpoints of which nothing is heard, wherever they are.
    fn silent(&self) -> impl Iterator<Item = &EndpointId> {
        let links = self.links.iter().filter(|(_, l)| !l.is_active());
        let here = links.filter_map(|(peer, _)| self.clients.get(peer).map(Client::id));
        let relayed = self.relays.values().flat_map(Relay::silent);
        here.chain(self.siblings.silent()).chain(relayed)
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
        if self.siblings.leads() {
            let recent = self.floor.recent();
            self.siblings.tell(|| Told::Speakers(recent.to_vec()));
        }
        self.preempt_key_frame(cx, speaker);
    }

    /// A new speaker will soon be on many stages: have a key frame ready.
    fn preempt_key_frame(&mut self, cx: &mut Context<'_>, speaker: &EndpointId) {
        let others = self.receivers.values().filter(|r| r.id() != speaker);
        if self.people() <= 2 || !others.into_iter().any(|r| r.is_stage_view()) {
            cx.stats.keyframes_not_ahead += 1;
            return;
        }
        let is_video = |f: &Feed| f.owner() == speaker && f.video_type().is_some();
        let video = self.feeds.iter_mut().find(|(_, f)| is_video(f));
        if let Some((id, feed)) = video {
            cx.stats.keyframes_ahead += 1;
            feed.want_key_frame();
            self.ask_for_key_frame(cx, id);
        }
    }
}
