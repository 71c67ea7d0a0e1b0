//! What control asks of a shard about relays to other bridges.

use super::control::MAX_MESSAGE;
use super::{Place, Shard};
use crate::media::conference::Conference;
use crate::media::config::ControlError;
use crate::media::context::Context;
use crate::media::exchange::Text;
use crate::media::ids::{ConferenceId, EndpointId, RelayId, SourceName};
use crate::media::spec::{RelayChannel, RelaySpec, Source, VideoType};
use crate::media::table::PeerId;
use rtc::{Candidate, LocalParameters, RemoteParameters, Transport, TransportConfig};
use std::time::Instant;

/// How the data channel between bridges is called, and what is spoken on it.
const CHANNEL: (&str, &str) = ("default", "http://jitsi.org/protocols/colibri");

impl Shard {
    /// Creates a relay; the answer is this bridge's side of its transport.
    ///
    /// # Errors
    /// No such conference, a relay to this bridge, or too many of them.
    pub fn create_relay(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        spec: &RelaySpec,
    ) -> Result<LocalParameters, ControlError> {
        let at = *self
            .by_id
            .get(&conference)
            .ok_or(ControlError::NoConference)?;
        let own = spec.addresses.iter().enumerate();
        let own = own.map(|(i, a)| {
            let preference = u16::try_from(i).map_or(0, |i| u16::MAX - i);
            Candidate::host(*a, preference)
        });
        let candidates = match spec.addresses.is_empty() {
            // Bridges may reach each other where clients cannot.
            true => self.candidates(true),
            false => own.collect(),
        };
        let mut config = TransportConfig::new(candidates, self.config.certificate.clone());
        config.controlling = spec.ice_controlling;
        config.sctp = spec.sctp.is_some();
        config.open_channel = (spec.sctp == Some(RelayChannel::Opened))
            .then(|| (CHANNEL.0.to_owned(), CHANNEL.1.to_owned()));
        config.ufrag_prefix.clone_from(&self.config.ufrag_prefix);
        config.max_message_size = MAX_MESSAGE;
        let transport = Transport::new(now, config, &mut self.rng);
        let local = transport.local();
        let added = self.with(now, at, |c, cx| {
            let peer = c.add_relay(cx, spec, transport)?;
            c.settle(cx);
            Ok(peer)
        });
        let peer = added.ok_or(ControlError::NoConference)??;
        let place = Place {
            conference: at,
            peer,
        };
        let own = spec.addresses.iter().map(|address| (*address, place));
        self.own_addresses.extend(own);
        self.bind_ufrags(place);
        self.touched.push(place);
        Ok(local)
    }

    fn relay_place(&self, id: ConferenceId, relay: &RelayId) -> Result<Place, ControlError> {
        let conference = *self.by_id.get(&id).ok_or(ControlError::NoConference)?;
        let state = self.conference(id).ok_or(ControlError::NoConference)?;
        let peer = state.find_relay(relay).ok_or(ControlError::NoEndpoint)?;
        Ok(Place { conference, peer })
    }

    /// Runs `f` on a relay's conference and settles who gets what; `None` if there is none.
    fn on_relay<R>(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        f: impl FnOnce(&mut Conference, &mut Context<'_>, PeerId) -> R,
    ) -> Option<R> {
        let place = self.relay_place(conference, relay).ok()?;
        self.with(now, place.conference, |c, cx| {
            let result = f(c, cx, place.peer);
            c.settle(cx);
            result
        })
    }

    /// Bridges to which a conference has relays.
    pub fn relays(&self, conference: ConferenceId) -> Vec<RelayId> {
        let ids = self.conference(conference).map(Conference::relay_ids);
        ids.into_iter().flatten().cloned().collect()
    }

    /// The other bridge's ICE and DTLS parameters.
    ///
    /// # Errors
    /// No such relay.
    pub fn set_relay_remote(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        remote: RemoteParameters,
    ) -> Result<(), ControlError> {
        let place = self.relay_place(conference, relay)?;
        if let Some(transport) = self.transport(place) {
            transport.set_remote(now, remote);
        }
        self.touched.push(place);
        self.drain_transport_events(now, place);
        Ok(())
    }

    /// An endpoint is behind a relay; with `sources`, these are all it has.
    ///
    /// # Errors
    /// No such relay, an endpoint of this name here, SSRCs that others have, or too much of something.
    pub fn set_relayed(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        endpoint: &EndpointId,
        sources: Option<Vec<Source>>,
    ) -> Result<(), ControlError> {
        let set = self.on_relay(now, conference, relay, |c, cx, peer| {
            c.set_relayed(cx, peer, endpoint, sources)
        });
        set.ok_or(ControlError::NoEndpoint)?
    }

    /// An endpoint is not behind a relay any more.
    pub fn expire_relayed(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        endpoint: &EndpointId,
    ) {
        self.on_relay(now, conference, relay, |c, cx, peer| {
            c.expire_relayed(cx, peer, endpoint);
        });
    }

    /// Removes a relay with all endpoints behind it. No event follows.
    pub fn expire_relay(&mut self, now: Instant, conference: ConferenceId, relay: &RelayId) {
        if let Ok(place) = self.relay_place(conference, relay) {
            self.remove(now, place);
        }
    }

    /// The channel to another bridge opened: what it must know is told again by [`Event::RelayNotice`]s.
    pub fn relay_opened(&mut self, now: Instant, conference: ConferenceId, relay: &RelayId) {
        self.on_relay(now, conference, relay, |c, cx, peer| {
            c.relay_opened(cx, peer);
        });
    }

    /// Sends text on the data channel of a relay; `false` if it has none open, or if it is not taking any more.
    pub fn send_relay(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        text: &str,
    ) -> bool {
        let Ok(place) = self.relay_place(conference, relay) else {
            return false;
        };
        self.send_text(now, place, text)
    }

    /// The greatest height that is wanted of a source at another bridge; 0 for nothing, -1 for no limit.
    pub fn set_relay_wish(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        source: SourceName,
        max_height: i32,
    ) {
        self.on_relay(now, conference, relay, |c, _, peer| {
            c.relay_wishes(peer, source, max_height);
        });
    }

    /// What a source behind a relay shows; remembered if the source comes later.
    pub fn set_relayed_video_type(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        source: SourceName,
        video_type: VideoType,
    ) {
        self.on_relay(now, conference, relay, |c, cx, peer| {
            c.set_video_type(cx, peer, source, video_type);
        });
    }

    /// Something is heard of an endpoint behind a relay, or no more.
    pub fn set_relayed_activity(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        endpoint: &EndpointId,
        active: bool,
    ) {
        self.on_relay(now, conference, relay, |c, cx, peer| {
            c.relay_heard(cx, peer, endpoint, active);
        });
    }

    /// A message of an endpoint behind a relay; whether its sender is there.
    pub fn hear_relayed(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        text: &Text,
    ) -> bool {
        let heard = self.on_relay(now, conference, relay, |c, cx, peer| {
            c.relay_text(cx, peer, text)
        });
        heard == Some(true)
    }
}
