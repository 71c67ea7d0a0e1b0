//! A conference: its endpoints and sources, who is to get what, who speaks.

use super::allocation::Settings;
use super::endpoint::{AudioSlot, Endpoint, Negotiated, SentSsrc, Traffic, audio_entry};
use super::event::{ChannelNotice, Event};
use super::ids::{ConferenceId, EndpointId, SourceName};
use super::numbers::Numbers;
use super::resend::ResendBudget;
use super::send::SendQueue;
use super::shard::{ControlError, ShardConfig};
use super::source::{Media, SourceState};
use super::speaker::{SpeakerChange, Speakers};
use super::spec::{
    EndpointSpec, EndpointUpdate, FeedbackSources, MediaKind, Source, Subscription, VideoType,
};
use super::stats::Stats;
use super::store::Store;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Video types remembered for sources that are not signalled yet.
const MAX_EARLY_TYPES: usize = 64;
/// Most sources of an endpoint.
const MAX_SOURCES: usize = 64;
/// Former speakers told to clients, besides the dominant one.
const RECENT_SPEAKERS: usize = 10;

/// Most endpoints remembered that were silent when they went.
const LEFT_SILENT: usize = 64;

/// What conference code needs of its shard.
pub(crate) struct Context<'a> {
    pub(crate) now: Instant,
    /// Microseconds of the shard's clock.
    pub(crate) us: u64,
    pub(crate) config: &'a ShardConfig,
    pub(crate) store: &'a mut Store,
    pub(crate) stats: &'a mut Stats,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) rng: &'a mut ChaCha12Rng,
    /// Endpoint indices (of this conference) with something to send.
    pub(crate) dirty: &'a mut Vec<usize>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Conference {
    pub(crate) id: ConferenceId,
    pub(crate) feedback: FeedbackSources,
    pub(crate) endpoints: Vec<Option<Box<Endpoint>>>,
    pub(crate) sources: Vec<Option<SourceState>>,
    pub(crate) by_id: HashMap<EndpointId, usize>,
    /// Endpoint indices, latest dominant speaker first.
    pub(crate) speech_order: Vec<usize>,
    pub(crate) recent_speakers: Vec<EndpointId>,
    pub(crate) silence: bool,
    pub(crate) speakers: Speakers,
    early_types: HashMap<SourceName, VideoType>,
    pub(crate) next_audio_review: u64,
    /// Endpoints that were said to be silent when they went, latest first: who comes again under the same name is said
    /// to be back.
    left_silent: VecDeque<EndpointId>,
    /// Layers or speakers changed: decide anew who gets what.
    pub(crate) unsettled: bool,
    pub(crate) created: u64,
    pub(crate) empty_since: Option<u64>,
    pub(crate) rates: Traffic,
}

impl Conference {
    pub(crate) fn new(id: ConferenceId, now: u64, rng: &mut ChaCha12Rng) -> Self {
        let feedback = FeedbackSources {
            audio: rng.random_range(1..u32::MAX),
            video: rng.random_range(1..u32::MAX),
        };
        Self {
            id,
            feedback,
            endpoints: Vec::new(),
            sources: Vec::new(),
            by_id: HashMap::new(),
            speech_order: Vec::new(),
            recent_speakers: Vec::new(),
            silence: false,
            speakers: Speakers::default(),
            early_types: HashMap::new(),
            next_audio_review: 0,
            left_silent: VecDeque::new(),
            unsettled: false,
            created: now,
            empty_since: Some(now),
            rates: Traffic::default(),
        }
    }

    pub(crate) fn endpoint(&self, index: usize) -> Option<&Endpoint> {
        self.endpoints.get(index)?.as_deref()
    }

    pub(crate) fn endpoint_mut(&mut self, index: usize) -> Option<&mut Endpoint> {
        self.endpoints.get_mut(index)?.as_deref_mut()
    }

    pub(crate) fn index_of(&self, id: &EndpointId) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(crate) fn notice(
        &self,
        ctx: &mut Context<'_>,
        endpoint: &EndpointId,
        notice: ChannelNotice,
    ) {
        ctx.events.push_back(Event::Notice {
            conference: self.id,
            endpoint: endpoint.clone(),
            notice,
        });
    }

    pub(crate) fn broadcast(&self, ctx: &mut Context<'_>, notice: &ChannelNotice) {
        for endpoint in self.endpoints.iter().flatten() {
            self.notice(ctx, &endpoint.id, notice.clone());
        }
    }

    /// Adds an endpoint whose transport was made; its index.
    pub(crate) fn add(
        &mut self,
        ctx: &mut Context<'_>,
        spec: EndpointSpec,
        transport: rtc::Transport,
    ) -> Result<usize, ControlError> {
        if self.by_id.contains_key(&spec.id) {
            return Err(ControlError::Exists);
        }
        let index = self
            .endpoints
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.endpoints.len());
        if index >= ctx.config.limits.1 {
            return Err(ControlError::Full);
        }
        let known_silent = self.left_silent.iter().any(|id| *id == spec.id);
        self.left_silent.retain(|id| *id != spec.id);
        let endpoint = Box::new(Endpoint {
            id: spec.id.clone(),
            visitor: spec.visitor,
            rewriting: spec.ssrc_rewriting,
            private_addresses: spec.private_addresses,
            negotiated: Negotiated::new(&spec.payload_types, &spec.header_extensions),
            transport,
            inbound: None,
            outbound: None,
            path: None,
            sources: Vec::new(),
            ssrcs: Vec::new(),
            force_mute_audio: false,
            force_mute_video: false,
            settings: Settings::new(spec.initial_last_n),
            subscription: Subscription::default(),
            video: Vec::new(),
            audio: Vec::new(),
            numbers: Numbers::default(),
            forwarded: Vec::new(),
            channel_open: false,
            queue: SendQueue::default(),
            resends: ResendBudget::new(ctx.us),
            recorder: rtp::rtcp::twcc::Recorder::new(),
            next_feedback: 0,
            next_report: 0,
            sent_reports: Vec::new(),
            rtt: None,
            created: ctx.us,
            last_media: None,
            active: !known_silent,
            media_noted: false,
            total: Traffic::default(),
            window: Traffic::default(),
            fir_seq: 0,
        });
        match self.endpoints.get_mut(index) {
            Some(slot) => *slot = Some(endpoint),
            None => self.endpoints.push(Some(endpoint)),
        }
        self.by_id.insert(spec.id, index);
        if !spec.visitor {
            self.speech_order.push(index);
        }
        self.empty_since = None;
        self.set_sources(ctx, index, spec.sources)?;
        self.unsettled = true;
        Ok(index)
    }

    /// Removes an endpoint and everything of it from the others.
    pub(crate) fn remove(&mut self, ctx: &mut Context<'_>, index: usize) -> Option<Box<Endpoint>> {
        let endpoint = self.endpoints.get_mut(index)?.take()?;
        self.by_id.remove(&endpoint.id);
        if !endpoint.active {
            self.left_silent.truncate(LEFT_SILENT.saturating_sub(1));
            self.left_silent.push_front(endpoint.id.clone());
        }
        for source in &endpoint.sources {
            self.drop_source(*source);
        }
        for source in self.sources.iter_mut().flatten() {
            if let Some(video) = source.video_mut() {
                video.takers.retain(|(receiver, _)| *receiver != index);
            }
        }
        self.speech_order.retain(|i| *i != index);
        self.speakers.remove(&endpoint.id);
        let was_listed = self.recent_speakers.contains(&endpoint.id);
        self.recent_speakers.retain(|id| *id != endpoint.id);
        if was_listed {
            self.tell_speakers(ctx);
        }
        if self.by_id.is_empty() {
            self.empty_since = Some(ctx.us);
        }
        self.unsettled = true;
        Some(endpoint)
    }

    /// Forgets a source: slots that carried it become free.
    fn drop_source(&mut self, index: usize) {
        if let Some(slot) = self.sources.get_mut(index) {
            *slot = None;
        }
        for endpoint in self.endpoints.iter_mut().flatten() {
            for slot in endpoint
                .video
                .iter_mut()
                .filter(|s| s.source == Some(index))
            {
                slot.source = None;
                slot.set_target(None);
            }
            for slot in endpoint
                .audio
                .iter_mut()
                .filter(|s| s.source == Some(index))
            {
                slot.source = None;
                slot.offsets = None;
            }
            if !endpoint.rewriting {
                // SSRCs are the sender's own: nothing to use again but the numbers, should they come back.
                let numbers = &mut endpoint.numbers;
                endpoint.audio.retain(|s| {
                    if s.source.is_none() {
                        s.retire(numbers);
                    }
                    s.source.is_some()
                });
            }
        }
    }

    /// Replaces the sources of an endpoint.
    fn set_sources(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        sources: Vec<Source>,
    ) -> Result<(), ControlError> {
        if sources.len() > MAX_SOURCES {
            return Err(ControlError::Full);
        }
        for source in &sources {
            for encoding in &source.encodings {
                let taken = |ssrc: u32| {
                    let others = self
                        .endpoints
                        .iter()
                        .enumerate()
                        .filter(|(i, _)| *i != index);
                    others
                        .filter_map(|(_, e)| e.as_ref())
                        .any(|e| e.find_ssrc(ssrc).is_some())
                };
                if taken(encoding.ssrc) || encoding.rtx.is_some_and(taken) {
                    return Err(ControlError::SsrcConflict);
                }
            }
        }
        let Some(endpoint) = self.endpoint(index) else {
            return Err(ControlError::NoEndpoint);
        };
        let (owner_id, repair) = (endpoint.id.clone(), endpoint.negotiated.nack);
        let old = endpoint.sources.clone();
        // Unchanged sources stay as they are, with their state.
        let mut kept = Vec::new();
        for source in old {
            let spec = self
                .sources
                .get(source)
                .and_then(|s| s.as_ref())
                .map(|s| &s.spec);
            let same = |new: &Source| {
                spec.is_some_and(|s| {
                    s.name == new.name && s.kind == new.kind && s.encodings == new.encodings
                })
            };
            match sources.iter().any(same) {
                true => kept.push(source),
                false => self.drop_source(source),
            }
        }
        let mut indices = Vec::with_capacity(sources.len());
        for spec in sources {
            let of_name = |i: &&usize| {
                self.sources
                    .get(**i)
                    .and_then(|s| s.as_ref())
                    .is_some_and(|s| s.name == spec.name)
            };
            if let Some(at) = kept.iter().find(of_name) {
                indices.push(*at);
                continue;
            }
            let video_type = self
                .early_types
                .remove(&spec.name)
                .unwrap_or(spec.video_type);
            let state = SourceState::new(index, owner_id.clone(), spec, video_type, repair);
            indices.push(self.insert_source(state));
        }
        self.list_ssrcs(index, indices);
        self.unsettled = true;
        self.tell_demands(ctx, index);
        Ok(())
    }

    fn insert_source(&mut self, state: SourceState) -> usize {
        let index = self
            .sources
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.sources.len());
        match self.sources.get_mut(index) {
            Some(slot) => *slot = Some(state),
            None => self.sources.push(Some(state)),
        }
        index
    }

    fn list_ssrcs(&mut self, index: usize, indices: Vec<usize>) {
        let mut ssrcs = Vec::new();
        for &source in &indices {
            let Some(state) = self.sources.get(source).and_then(|s| s.as_ref()) else {
                continue;
            };
            for (encoding, e) in state.spec.encodings.iter().enumerate() {
                let encoding = encoding as u8;
                ssrcs.push(SentSsrc {
                    ssrc: e.ssrc,
                    source,
                    encoding,
                    rtx: false,
                });
                ssrcs.extend(e.rtx.map(|ssrc| SentSsrc {
                    ssrc,
                    source,
                    encoding,
                    rtx: true,
                }));
            }
        }
        if let Some(endpoint) = self.endpoint_mut(index) {
            endpoint.sources = indices;
            endpoint.ssrcs = ssrcs;
        }
    }

    /// Everything of an update but the transport.
    pub(crate) fn update(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        update: &mut EndpointUpdate,
    ) -> Result<(), ControlError> {
        let endpoint = self.endpoint_mut(index).ok_or(ControlError::NoEndpoint)?;
        if let Some(payload_types) = &update.payload_types {
            let extensions = update.header_extensions.as_deref().unwrap_or_default();
            endpoint.negotiated = Negotiated::new(payload_types, extensions);
        }
        if let Some(mute) = update.force_mute_audio {
            endpoint.force_mute_audio = mute;
        }
        if let Some(mute) = update.force_mute_video {
            endpoint.force_mute_video = mute;
        }
        if let Some(last_n) = update.initial_last_n {
            endpoint.settings.set_initial_last_n(last_n);
            self.unsettled = true;
        }
        match update.sources.take() {
            Some(sources) => self.set_sources(ctx, index, sources),
            None => Ok(()),
        }
    }

    pub(crate) fn set_video_type(&mut self, index: usize, name: SourceName, video_type: VideoType) {
        let Some(endpoint) = self.endpoint(index) else {
            return;
        };
        let own = endpoint.sources.clone();
        for source in own {
            if let Some(state) = self
                .sources
                .get_mut(source)
                .and_then(|s| s.as_mut())
                .filter(|s| s.name == name)
            {
                if let Some(video) = state.video_mut() {
                    video.video_type = video_type;
                    self.unsettled = true;
                }
                return;
            }
        }
        if self.early_types.len() < MAX_EARLY_TYPES {
            self.early_types.insert(name, video_type);
        }
    }

    /// An SSRC that nobody uses towards or from this endpoint.
    pub(crate) fn new_ssrc(&self, ctx: &mut Context<'_>, index: usize) -> u32 {
        loop {
            let ssrc: u32 = ctx.rng.random_range(1..u32::MAX);
            let published = self
                .endpoints
                .iter()
                .flatten()
                .any(|e| e.find_ssrc(ssrc).is_some());
            let own = self.endpoint(index).is_some_and(|e| {
                e.video
                    .iter()
                    .any(|s| s.ssrc == ssrc || s.rtx_ssrc == Some(ssrc))
                    || e.audio.iter().any(|s| s.ssrc == ssrc)
            });
            if !published && !own && ssrc != self.feedback.audio && ssrc != self.feedback.video {
                return ssrc;
            }
        }
    }

    /// Tells an endpoint all demands for its own sources.
    fn tell_demands(&self, ctx: &mut Context<'_>, index: usize) {
        let Some(endpoint) = self.endpoint(index) else {
            return;
        };
        for source in endpoint
            .sources
            .iter()
            .filter_map(|s| self.sources.get(*s)?.as_ref())
        {
            if let Some(max_height) = source.video().and_then(|v| v.told_height) {
                let notice = ChannelNotice::SenderSourceConstraints {
                    source: source.name.clone(),
                    max_height,
                };
                self.notice(ctx, &endpoint.id, notice);
            }
        }
    }

    /// A bridge channel opened: everything its client must know.
    pub(crate) fn channel_opened(&mut self, ctx: &mut Context<'_>, index: usize) {
        self.settle(ctx);
        let Some(endpoint) = self.endpoint_mut(index) else {
            return;
        };
        endpoint.channel_open = true;
        let (id, forwarded) = (endpoint.id.clone(), endpoint.forwarded.clone());
        self.tell_demands(ctx, index);
        self.notice(ctx, &id, ChannelNotice::ForwardedSources(forwarded));
        let Some(endpoint) = self.endpoint(index) else {
            return;
        };
        if endpoint.rewriting {
            let slots: Vec<usize> = (0..endpoint.video.len()).collect();
            self.tell_video_map(ctx, index, &slots);
            let line = |s: &AudioSlot| Some(audio_entry(s, self.sources.get(s.source?)?.as_ref()?));
            let audio: Vec<_> = endpoint.audio.iter().filter_map(line).collect();
            if !audio.is_empty() {
                self.notice(ctx, &id, ChannelNotice::AudioSourcesMap(audio));
            }
        }
        for other in self.endpoints.iter().flatten().filter(|e| !e.active) {
            self.notice(
                ctx,
                &id,
                ChannelNotice::Connectivity {
                    endpoint: other.id.clone(),
                    active: false,
                },
            );
        }
        if let Some(notice) = self.speaker_notice() {
            self.notice(ctx, &id, notice);
        }
    }

    fn speaker_notice(&self) -> Option<ChannelNotice> {
        let (speaker, previous) = self.recent_speakers.split_first()?;
        Some(ChannelNotice::DominantSpeaker {
            speaker: speaker.clone(),
            previous: previous.to_vec(),
            silence: self.silence,
        })
    }

    fn tell_speakers(&self, ctx: &mut Context<'_>) {
        if let Some(notice) = self.speaker_notice() {
            self.broadcast(ctx, &notice);
        }
    }

    /// The dominant speaker changed.
    pub(crate) fn speaker_changed(&mut self, ctx: &mut Context<'_>, change: SpeakerChange) {
        match change {
            // Silence is not told to clients: the reference does not by default, and clients then keep the last speaker.
            SpeakerChange::Silence => self.silence = false,
            SpeakerChange::Speaker(id) => {
                if self.recent_speakers.first() == Some(&id) {
                    return;
                }
                let Some(index) = self.index_of(&id) else {
                    return;
                };
                self.silence = false;
                self.recent_speakers.retain(|s| *s != id);
                self.recent_speakers.insert(0, id);
                self.recent_speakers.truncate(RECENT_SPEAKERS + 1);
                if let Some(at) = self.speech_order.iter().position(|i| *i == index) {
                    let speaker = self.speech_order.remove(at);
                    self.speech_order.insert(0, speaker);
                }
                ctx.stats.dominant_speaker_changes += 1;
                self.unsettled = true;
                self.tell_speakers(ctx);
                self.preempt_keyframe(index);
            }
        }
    }

    /// A new speaker will soon be on many stages: have a key frame ready.
    fn preempt_keyframe(&mut self, speaker: usize) {
        let staged = self
            .endpoints
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != speaker);
        let staged = staged
            .filter_map(|(_, e)| e.as_ref())
            .any(|e| e.settings.is_stage_view());
        if self.by_id.len() <= 2 || !staged {
            return;
        }
        let sources = self
            .endpoint(speaker)
            .map(|e| e.sources.clone())
            .unwrap_or_default();
        for source in sources {
            if let Some(video) = self
                .sources
                .get_mut(source)
                .and_then(|s| s.as_mut()?.video_mut())
            {
                video.keyframe.wanted = true;
                return;
            }
        }
    }

    /// Sources that send, for statistics: whether an endpoint sends audio, video.
    pub(crate) fn is_sending(&self, endpoint: &Endpoint, now: u64) -> (bool, bool) {
        let mut sending = (false, false);
        for source in endpoint
            .sources
            .iter()
            .filter_map(|s| self.sources.get(*s)?.as_ref())
        {
            match &source.media {
                Media::Audio(audio) => sending.0 |= audio.stream.is_active(now) && audio.silent < 4,
                Media::Video(video) => {
                    sending.1 |= video.encodings.iter().any(|e| e.stream.is_active(now))
                }
            }
        }
        sending
    }

    /// Turns the counters of the last `span` microseconds into rates.
    pub(crate) fn take_rates(&mut self, span: u64) {
        let mut sum = Traffic::default();
        for endpoint in self.endpoints.iter_mut().flatten() {
            let window = std::mem::take(&mut endpoint.window);
            endpoint.total.add(&window);
            sum.add(&window);
        }
        let rate = |n: u64| n * 1_000_000 / span.max(1);
        self.rates = Traffic {
            packets_received: rate(sum.packets_received),
            bytes_received: rate(sum.bytes_received),
            packets_sent: rate(sum.packets_sent),
            bytes_sent: rate(sum.bytes_sent),
        };
    }

    /// Whether a receiver can take media of a kind.
    pub(crate) fn takes(&self, index: usize, kind: MediaKind) -> bool {
        self.endpoint(index)
            .is_some_and(|e| e.is_connected() && e.negotiated.takes(kind))
    }
}
