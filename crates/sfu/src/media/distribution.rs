//! Carrying out what the allocator decides: slots, takers, and what clients are told of it.

use super::allocation::{self, Candidate, Decision, Layer};
use super::conference::{Conference, Context};
use super::endpoint::{MAX_SLOTS, video_entry};
use super::event::ChannelNotice;
use super::slot::VideoSlot;
use super::spec::VideoType;
use rand::RngExt;
use std::collections::HashMap;

impl Conference {
    /// Endpoints that have video on first, each group in the order of speech.
    fn last_n_order(&self) -> Vec<usize> {
        let has_video = |i: &usize| {
            let sources = self
                .endpoint(*i)
                .map(|e| e.sources.as_slice())
                .unwrap_or_default();
            let states = sources
                .iter()
                .filter_map(|s| self.sources.get(*s)?.as_ref()?.video());
            states
                .into_iter()
                .any(|v| v.video_type != VideoType::Disabled)
        };
        let (with, without): (Vec<usize>, Vec<usize>) =
            self.speech_order.iter().partition(|i| has_video(i));
        with.into_iter().chain(without).collect()
    }

    fn candidates(&self) -> Vec<(usize, Candidate<'_>)> {
        let mut list = Vec::new();
        for owner in self.last_n_order() {
            let Some(endpoint) = self.endpoint(owner) else {
                continue;
            };
            for &index in &endpoint.sources {
                let Some(state) = self.sources.get(index).and_then(|s| s.as_ref()) else {
                    continue;
                };
                let Some(video) = state.video() else { continue };
                let layers = video
                    .encodings
                    .iter()
                    .map(|e| Layer {
                        height: e.height,
                        active: e.active,
                    })
                    .collect();
                list.push((
                    owner,
                    Candidate {
                        index,
                        name: &state.name,
                        video_type: video.video_type,
                        layers,
                    },
                ));
            }
        }
        list
    }

    /// Decides who gets what, and brings everything into line with it.
    pub(crate) fn settle(&mut self, ctx: &mut Context<'_>) {
        if !self.unsettled {
            return;
        }
        self.unsettled = false;
        let mut demands: HashMap<usize, i32> = HashMap::new();
        let mut decided = Vec::new();
        {
            let candidates = self.candidates();
            for (index, endpoint) in self.endpoints.iter().enumerate() {
                let Some(endpoint) = endpoint else { continue };
                let others: Vec<_> = candidates
                    .iter()
                    .filter(|(owner, _)| *owner != index)
                    .map(|(_, c)| c.clone())
                    .collect();
                let decisions = allocation::allocate(&endpoint.settings, &others, MAX_SLOTS);
                for d in &decisions {
                    let demand = demands.entry(d.source).or_insert(0);
                    // -1 is no limit and beats all heights.
                    *demand = if *demand < 0 || d.constraint < 0 {
                        -1
                    } else {
                        (*demand).max(d.constraint)
                    };
                }
                decided.push((index, decisions));
            }
        }
        for (index, decisions) in decided {
            self.apply(ctx, index, &decisions);
        }
        self.tell_senders(ctx, &demands);
    }

    fn apply(&mut self, ctx: &mut Context<'_>, index: usize, decisions: &[Decision]) {
        let bound = self.bind_video(ctx, index, decisions);
        let Some(endpoint) = self.endpoints.get_mut(index).and_then(|e| e.as_deref_mut()) else {
            return;
        };
        let mut forwarded = Vec::new();
        let mut wanting = Vec::new();
        for decision in decisions {
            let Some(source) = self
                .sources
                .get_mut(decision.source)
                .and_then(|s| s.as_mut())
            else {
                continue;
            };
            let name = source.name.clone();
            let Some(video) = source.video_mut() else {
                continue;
            };
            let Some(at) = endpoint
                .video
                .iter()
                .position(|s| s.source == Some(decision.source))
            else {
                continue;
            };
            let Some(slot) = endpoint.video.get_mut(at) else {
                continue;
            };
            let had = slot.target.is_some();
            if slot.target != decision.target && slot.set_target(decision.target) {
                wanting.push(at);
            }
            match (had, decision.target.is_some()) {
                (false, true) if !video.takers.contains(&(index, at)) => {
                    video.takers.push((index, at))
                }
                (true, false) => video.takers.retain(|t| *t != (index, at)),
                _ => {}
            }
            if decision.target.is_some() {
                forwarded.push(name);
            }
        }
        let same = forwarded.len() == endpoint.forwarded.len()
            && forwarded.iter().all(|f| endpoint.forwarded.contains(f));
        if !same {
            endpoint.forwarded.clone_from(&forwarded);
        }
        let id = endpoint.id.clone();
        if !same {
            self.notice(ctx, &id, ChannelNotice::ForwardedSources(forwarded));
        }
        if !bound.is_empty() {
            self.tell_video_map(ctx, index, &bound);
        }
        for at in wanting {
            self.see_to_picture(ctx, index, at);
        }
    }

    /// Gives slots to sources that need one; indices of the slots that were bound.
    fn bind_video(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        decisions: &[Decision],
    ) -> Vec<usize> {
        let mut bound = Vec::new();
        let wanted = decisions
            .iter()
            .filter(|d| d.constraint != 0 && d.available);
        let idle = decisions
            .iter()
            .filter(|d| d.constraint == 0 && d.available);
        for (decision, needed) in wanted.map(|d| (d, true)).chain(idle.map(|d| (d, false))) {
            let Some(endpoint) = self.endpoint(index) else {
                break;
            };
            if endpoint
                .video
                .iter()
                .any(|s| s.source == Some(decision.source))
            {
                continue;
            }
            // Nothing is announced to who has not asked for anything yet.
            let may_announce = endpoint.rewriting && endpoint.settings.was_heard();
            if !needed && !may_announce {
                continue;
            }
            let Some(at) = self.free_video_slot(ctx, index, decision.source, needed, decisions)
            else {
                continue;
            };
            let us = ctx.us;
            if let Some(slot) = self.endpoint_mut(index).and_then(|e| e.video.get_mut(at)) {
                slot.bind(decision.source, us);
            }
            bound.push(at);
        }
        let rewriting = self.endpoint(index).is_some_and(|e| e.rewriting);
        if rewriting { bound } else { Vec::new() }
    }

    /// A slot for a source: a new one while there may be more, else a free one, else the longest unused one.
    fn free_video_slot(
        &mut self,
        ctx: &mut Context<'_>,
        index: usize,
        source: usize,
        needed: bool,
        decisions: &[Decision],
    ) -> Option<usize> {
        let start: u64 = ctx.rng.random();
        let endpoint = self.endpoint(index)?;
        let count = endpoint.video.len();
        if !endpoint.rewriting {
            let encoding = *self.sources.get(source)?.as_ref()?.spec.encodings.first()?;
            let endpoint = self.endpoints.get_mut(index)?.as_deref_mut()?;
            // What is free is given up first, so that the numbers of its SSRCs are known.
            let free = endpoint.video.iter().position(|s| s.source.is_none());
            for slot in endpoint.video.iter().filter(|s| s.source.is_none()) {
                slot.retire(&mut endpoint.numbers);
            }
            let slot = VideoSlot::resume(encoding.ssrc, encoding.rtx, start, &endpoint.numbers);
            return Some(
                match free.and_then(|f| endpoint.video.get_mut(f).map(|s| (f, s))) {
                    Some((free, old)) => {
                        *old = slot;
                        free
                    }
                    None => {
                        endpoint.video.push(slot);
                        count
                    }
                },
            );
        }
        if count < MAX_SLOTS {
            let (ssrc, rtx) = (self.new_ssrc(ctx, index), self.new_ssrc(ctx, index));
            self.endpoint_mut(index)?
                .video
                .push(VideoSlot::new(ssrc, Some(rtx), start));
            return Some(count);
        }
        let slots = || endpoint.video.iter().enumerate();
        if let Some((free, _)) = slots()
            .filter(|(_, s)| s.source.is_none())
            .min_by_key(|(_, s)| s.used_at)
        {
            return Some(free);
        }
        if !needed {
            return None;
        }
        let in_use = |s: &VideoSlot| {
            decisions
                .iter()
                .any(|d| Some(d.source) == s.source && d.constraint != 0)
        };
        let (oldest, _) = slots()
            .filter(|(_, s)| !in_use(s))
            .min_by_key(|(_, s)| s.used_at)?;
        let endpoint = self.endpoint_mut(index)?;
        let slot = endpoint.video.get_mut(oldest)?;
        let former = slot.source.take();
        slot.set_target(None);
        if let Some(video) = former.and_then(|f| self.sources.get_mut(f)?.as_mut()?.video_mut()) {
            video.takers.retain(|t| *t != (index, oldest));
        }
        Some(oldest)
    }

    pub(crate) fn tell_video_map(&self, ctx: &mut Context<'_>, index: usize, slots: &[usize]) {
        let Some(endpoint) = self.endpoint(index) else {
            return;
        };
        let entry = |at: &usize| {
            let slot = endpoint.video.get(*at)?;
            Some(video_entry(slot, self.sources.get(slot.source?)?.as_ref()?))
        };
        let entries: Vec<_> = slots.iter().filter_map(entry).collect();
        if !entries.is_empty() {
            self.notice(ctx, &endpoint.id, ChannelNotice::VideoSourcesMap(entries));
        }
    }

    fn tell_senders(&mut self, ctx: &mut Context<'_>, demands: &HashMap<usize, i32>) {
        let mut notices = Vec::new();
        for (index, source) in self.sources.iter_mut().enumerate() {
            let Some(source) = source else { continue };
            let (name, owner) = (source.name.clone(), source.owner_id.clone());
            let Some(video) = source.video_mut() else {
                continue;
            };
            let demand = demands.get(&index).copied().unwrap_or(0);
            if video.told_height != Some(demand) {
                video.told_height = Some(demand);
                notices.push((
                    owner,
                    ChannelNotice::SenderSourceConstraints {
                        source: name,
                        max_height: demand,
                    },
                ));
            }
        }
        for (owner, notice) in notices {
            self.notice(ctx, &owner, notice);
        }
    }
}
