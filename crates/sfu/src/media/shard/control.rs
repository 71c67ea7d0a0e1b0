//! What control asks of a shard: conferences, endpoints, wishes, channels.

use super::{Place, SWEEP, Shard};
use crate::media::conference::Conference;
use crate::media::config::ControlError;
use crate::media::ids::{ConferenceId, EndpointId, SourceName};
use crate::media::spec::{
    ConferenceSpec, EndpointSpec, EndpointUpdate, FeedbackSources, ReceiverConstraints,
    Subscription, VideoType,
};
use rtc::{Candidate, LocalParameters, Transport, TransportConfig};
use std::net::SocketAddr;
use std::time::Instant;

/// Longest text on a data channel from a client, bytes.
pub(super) const MAX_MESSAGE: usize = 64 * 1024;
/// Up to this many endpoints everybody gets the statistics of everybody.
const SMALL: usize = 20;

impl Shard {
    /// Creates a conference; the answer names the SSRCs the bridge uses in it.
    pub fn create_conference(
        &mut self,
        now: Instant,
        spec: ConferenceSpec,
    ) -> Result<FeedbackSources, ControlError> {
        if self.by_id.contains_key(&spec.id) {
            return Err(ControlError::Exists);
        }
        let index = self
            .conferences
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.conferences.len());
        if index >= self.config.limits.0 {
            return Err(ControlError::Full);
        }
        let us = self.micros(now);
        let number = self.config.number;
        let conference = Box::new(Conference::new(&spec, number, us, &mut self.rng));
        let (feedback, is_first) = (conference.feedback(), conference.is_first());
        if spec.part.is_some() {
            self.by_meeting.insert(conference.meeting().clone(), index);
        }
        match self.conferences.get_mut(index) {
            Some(slot) => *slot = Some(conference),
            None => self.conferences.push(Some(conference)),
        }
        self.by_id.insert(spec.id, index);
        self.stats.conferences_created += u64::from(is_first);
        self.with(now, index, |_, _| {});
        self.sweep_at(us + SWEEP);
        Ok(feedback)
    }

    /// The SSRCs the bridge uses in a conference.
    pub fn feedback_sources(&self, conference: ConferenceId) -> Option<FeedbackSources> {
        self.conference(conference).map(Conference::feedback)
    }

    /// Creates an endpoint; the answer is the bridge's side of its transport.
    pub fn create_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        spec: EndpointSpec,
    ) -> Result<LocalParameters, ControlError> {
        let at = *self
            .by_id
            .get(&conference)
            .ok_or(ControlError::NoConference)?;
        let mut config = TransportConfig::new(
            self.candidates(spec.private_addresses),
            self.config.certificate.clone(),
        );
        config.controlling = spec.ice_controlling;
        config.sctp = spec.sctp;
        config.ufrag_prefix.clone_from(&self.config.ufrag_prefix);
        config.max_message_size = MAX_MESSAGE;
        let transport = Transport::new(now, config, &mut self.rng);
        let local = transport.local();
        let visitor = spec.visitor;
        let added = self.with(now, at, |c, cx| {
            let peer = c.add(cx, spec, transport)?;
            c.settle(cx);
            Ok(peer)
        });
        let peer = added.ok_or(ControlError::NoConference)??;
        match visitor {
            true => self.stats.visitors_created += 1,
            false => self.stats.endpoints_created += 1,
        }
        let place = Place {
            conference: at,
            peer,
        };
        self.bind_ufrags(place);
        self.touched.push(place);
        Ok(local)
    }

    pub(super) fn candidates(&self, private: bool) -> Vec<Candidate> {
        let hosts = self.config.host_candidates.iter().enumerate();
        let preference = |i: usize| u16::try_from(i).map_or(0, |i| u16::MAX - i);
        let hidden =
            |a: &SocketAddr| !private && is_private(a) && !self.config.mapped_candidates.is_empty();
        let hosts = hosts
            .filter(|(_, a)| !hidden(a))
            .map(|(i, a)| Candidate::host(*a, preference(i)));
        let mapped = self.config.mapped_candidates.iter().enumerate();
        let mapped =
            mapped.map(|(i, (public, base))| Candidate::srflx(*public, *base, preference(i)));
        hosts.chain(mapped).collect()
    }

    /// The host's addresses changed: what new endpoints are offered, and those that run after an ICE restart.
    pub fn set_addresses(
        &mut self,
        now: Instant,
        hosts: Vec<SocketAddr>,
        mapped: Vec<(SocketAddr, SocketAddr)>,
    ) {
        self.config.host_candidates = hosts;
        self.config.mapped_candidates = mapped;
        for conference in 0..self.conferences.len() {
            let state = self.conferences.get(conference).and_then(|c| c.as_deref());
            for peer in state.map(Conference::peers).unwrap_or_default() {
                let place = Place { conference, peer };
                // What has addresses of its own keeps them.
                if self.own_addresses.values().any(|own| *own == place) {
                    continue;
                }
                let state = self.conferences.get(conference).and_then(|c| c.as_deref());
                let relay = state.is_some_and(|c| c.relay_id(peer).is_some());
                let client = state.and_then(|c| c.client(peer));
                let Some(private) = client
                    .map(|c| c.takes_private_addresses())
                    .or(relay.then_some(true))
                else {
                    continue;
                };
                let candidates = self.candidates(private);
                if let Some(transport) = self.transport(place) {
                    transport.set_candidates(now, candidates);
                    self.touched.push(place);
                    self.drain_transport_events(now, place);
                }
            }
        }
    }

    /// Changes an endpoint; the answer is the bridge's side of its transport (new after an ICE restart).
    pub fn update_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        mut update: EndpointUpdate,
    ) -> Result<LocalParameters, ControlError> {
        let place = self.place(conference, endpoint)?;
        let restart = update.ice_restart;
        let remote = update.remote.take();
        let conferences = &mut self.conferences;
        let conference = conferences.get_mut(place.conference);
        if let Some(link) = conference.and_then(|c| c.as_deref_mut()?.link_mut(place.peer)) {
            if let Some(remote) = remote {
                link.transport.set_remote(now, remote);
            }
            if restart {
                let begun = link.transport.restart_ice(now, &mut self.rng);
                self.stats.ice_restarts.started += u64::from(begun.is_some());
            }
        }
        self.touched.push(place);
        self.bind_ufrags(place);
        let updated = self.with(now, place.conference, |c, cx| {
            let result = c.update(cx, place.peer, &mut update);
            c.settle(cx);
            result
        });
        self.drain_transport_events(now, place);
        updated.ok_or(ControlError::NoConference)??;
        self.transport(place)
            .map(|t| t.local())
            .ok_or(ControlError::NoEndpoint)
    }

    /// Removes an endpoint. No event follows.
    pub fn expire_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) -> Result<(), ControlError> {
        let place = self.place(conference, endpoint)?;
        self.remove(now, place);
        Ok(())
    }

    /// Removes a conference with its endpoints. No event follows.
    pub fn expire_conference(
        &mut self,
        now: Instant,
        conference: ConferenceId,
    ) -> Result<(), ControlError> {
        let at = *self
            .by_id
            .get(&conference)
            .ok_or(ControlError::NoConference)?;
        let state = self.conferences.get(at).and_then(|c| c.as_deref());
        for peer in state.map(Conference::peers).unwrap_or_default() {
            let place = Place {
                conference: at,
                peer,
            };
            self.remove(now, place);
        }
        self.by_id.remove(&conference);
        let us = self.micros(now);
        if let Some(state) = self.conferences.get_mut(at).and_then(Option::take) {
            self.last_words.extend(state.farewells());
            self.by_meeting.remove(state.meeting());
            if state.is_first() {
                self.stats.conferences_completed += 1;
                self.stats.conference_seconds += us.saturating_sub(state.created()) / 1_000_000;
            }
        }
        while self.conferences.last().is_some_and(Option::is_none) {
            self.conferences.pop();
        }
        Ok(())
    }

    /// Ids of a conference's endpoints, with whether each is a visitor.
    pub fn endpoints(&self, conference: ConferenceId) -> Vec<(EndpointId, bool)> {
        let clients = self.conference(conference).map(Conference::clients);
        let clients = clients.into_iter().flatten();
        clients
            .map(|(_, c, l)| (c.id().clone(), l.is_visitor()))
            .collect()
    }

    /// A bridge channel opened: everything its client must know is told again by [`Event::Notice`]s.
    pub fn channel_opened(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
    ) {
        self.on_endpoint(now, conference, endpoint, |c, cx, peer| {
            c.channel_opened(cx, peer)
        });
    }

    /// Sends text on the data channel of an endpoint; `false` if it has none open, or if it is not taking any more.
    pub fn send_channel(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        text: &str,
    ) -> bool {
        let Ok(place) = self.place(conference, endpoint) else {
            return false;
        };
        self.send_text(now, place, text)
    }

    /// Sends text on the data channel of whoever is at a place; whether it was taken.
    pub(super) fn send_text(&mut self, now: Instant, place: Place, text: &str) -> bool {
        let Some(transport) = self.transport(place) else {
            return false;
        };
        let sent = transport.send_channel(now, text).is_ok();
        if sent {
            self.stats.channel_messages_sent += 1;
            self.touched.push(place);
        }
        sent
    }

    /// What a receiver wants (`ReceiverVideoConstraints`, `LastNChangedEvent`).
    pub fn set_receiver_constraints(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        constraints: ReceiverConstraints,
    ) {
        self.on_endpoint(now, conference, endpoint, |c, _, peer| {
            if let Some(receiver) = c.receiver_mut(peer) {
                receiver.constrain(constraints);
            }
            c.receiver_changed(peer);
        });
    }

    /// Which audio a receiver wants (`ReceiverAudioSubscription`).
    pub fn set_audio_subscription(
        &mut self,
        conference: ConferenceId,
        endpoint: &EndpointId,
        subscription: Subscription,
    ) {
        if let Ok(place) = self.place(conference, endpoint)
            && let Some(Some(state)) = self.conferences.get_mut(place.conference)
        {
            state.subscribe(place.peer, subscription);
        }
    }

    /// What an own source of an endpoint shows (`SourceVideoTypeMessage`); remembered if the source comes later.
    pub fn set_video_type(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        endpoint: &EndpointId,
        source: SourceName,
        video_type: VideoType,
    ) {
        self.on_endpoint(now, conference, endpoint, |c, cx, peer| {
            c.set_video_type(cx, peer, source, video_type)
        });
    }

    /// Who should be sent the `EndpointStats` of `sender`.
    pub fn stats_audience(&self, conference: ConferenceId, sender: &EndpointId) -> Vec<EndpointId> {
        let conference = self.conference(conference);
        conference.map_or_else(Vec::new, |c| c.stats_audience(sender, SMALL))
    }
}

fn is_private(address: &SocketAddr) -> bool {
    match address.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => ip.is_private(),
        std::net::IpAddr::V6(ip) => ip.is_unique_local(),
    }
}
