//! What clients are told on their bridge channels.

use super::Conference;
use crate::media::context::Context;
use crate::media::event::ChannelNotice;
use crate::media::exchange::Told;
use crate::media::forward::Receiver;
use crate::media::ids::EndpointId;
use crate::media::peer::{Client, Relay};
use crate::media::spec::{Encodings, Source};
use crate::media::table::{FeedId, PeerId};

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
        let shows_it = |r: &Receiver| r.is_stage_view() && r.id() != speaker;
        if self.people() <= 2 || !self.receivers.values().any(shows_it) {
            cx.stats.keyframes_not_ahead += 1;
            return;
        }
        let is_theirs = |id: &FeedId| self.feeds.get(*id).is_some_and(|f| f.owner() == speaker);
        if let Some(id) = self.videos.iter().copied().find(is_theirs) {
            cx.stats.keyframes_ahead += 1;
            self.key_frames_wanted(cx, id, Encodings::first(Source::MAX_ENCODINGS));
        }
    }
}
