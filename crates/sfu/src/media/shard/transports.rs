//! Transports of endpoints: what they have to say, and by what their datagrams are found.

use super::{MAX_DATAGRAM, Place, Shard};
use crate::media::event::Event;
use crate::media::ids::{ConferenceId, RelayId};
use crate::media::peer::Link;
use std::time::Instant;

/// Who had less time has not failed, microseconds.
const TIME_TO_CONNECT: u64 = 10_000_000;

impl Shard {
    /// What transports have to say.
    pub(super) fn drain_transport_events(&mut self, now: Instant, place: Place) {
        while let Some(event) = self.transport(place).and_then(|t| t.poll_event()) {
            self.transport_event(now, place, event);
        }
    }

    fn transport_event(&mut self, now: Instant, place: Place, event: rtc::Event) {
        let conference = self.conferences.get(place.conference);
        let Some(conference) = conference.and_then(|c| c.as_deref()) else {
            return;
        };
        if let Some(relay) = conference.relay_id(place.peer).cloned() {
            return self.relay_event(now, place, (conference.id(), relay), event);
        }
        let Some(client) = conference.client(place.peer) else {
            return;
        };
        let (conference, endpoint) = (conference.id(), client.id().clone());
        match event {
            rtc::Event::Connected { .. } => {
                self.stats.ice_succeeded += 1;
                self.events.push_back(Event::Connected {
                    conference,
                    endpoint,
                });
                self.with(now, place.conference, |c, cx| c.connected(cx, place.peer));
            }
            rtc::Event::ChannelOpen { .. } => {
                self.events.push_back(Event::ChannelOpen {
                    conference,
                    endpoint,
                });
            }
            rtc::Event::ChannelMessage(text) => {
                self.stats.channel_messages_received += 1;
                self.events.push_back(Event::ChannelText {
                    conference,
                    endpoint,
                    text,
                });
            }
            rtc::Event::Failed(reason) => {
                self.stats.transport_failed += 1;
                let reason = format!("{reason:?}");
                self.events.push_back(Event::TransportFailed {
                    conference,
                    endpoint,
                    reason,
                });
            }
            other => self.path_event(now, place, &other),
        }
    }

    /// What the transport of a relay has to say.
    fn relay_event(
        &mut self,
        now: Instant,
        place: Place,
        (conference, relay): (ConferenceId, RelayId),
        event: rtc::Event,
    ) {
        match event {
            rtc::Event::Connected { .. } => {
                self.stats.ice_succeeded += 1;
                self.events
                    .push_back(Event::RelayConnected { conference, relay });
                self.with(now, place.conference, |c, cx| c.connected(cx, place.peer));
            }
            rtc::Event::ChannelOpen { .. } => {
                self.events
                    .push_back(Event::RelayChannelOpen { conference, relay });
            }
            rtc::Event::ChannelMessage(text) => {
                self.stats.channel_messages_received += 1;
                self.events.push_back(Event::RelayText {
                    conference,
                    relay,
                    text,
                });
            }
            rtc::Event::Failed(reason) => {
                self.stats.transport_failed += 1;
                self.events.push_back(Event::RelayFailed {
                    conference,
                    relay,
                    reason: format!("{reason:?}"),
                });
            }
            other => self.path_event(now, place, &other),
        }
    }

    /// What is done about the path to anybody.
    fn path_event(&mut self, now: Instant, place: Place, event: &rtc::Event) {
        match event {
            rtc::Event::PathChanged(_) | rtc::Event::ConsentRestored => {
                self.with(now, place.conference, |c, cx| {
                    c.path_changed(cx, place.peer)
                });
            }
            // Nothing more is sent to a peer that left or does not consent (RFC 7675).
            rtc::Event::ConsentLost | rtc::Event::ClosedByPeer => {
                self.with(now, place.conference, |c, cx| {
                    c.path_lost(cx.us, place.peer)
                });
            }
            rtc::Event::IceRestarted { .. } => {
                self.stats.ice_restarts.succeeded += 1;
                self.bind_ufrags(place);
            }
            rtc::Event::IceRestartFailed { .. } => {
                self.stats.ice_restarts.failed += 1;
                self.bind_ufrags(place);
            }
            _ => {}
        }
    }

    fn is_relay(&self, place: Place) -> bool {
        let conference = self.conferences.get(place.conference);
        let conference = conference.and_then(|c| c.as_deref());
        conference.is_some_and(|c| c.relay_id(place.peer).is_some())
    }

    /// What goes without ever having been connected, though it had the time, has failed: ICE if it found no path, else
    /// DTLS.
    fn count_failure(&mut self, now: Instant, link: &Link, is_relay: bool) {
        let age = link.age(self.micros(now));
        if link.was_connected() || age < TIME_TO_CONNECT {
            return;
        }
        let failures = match link.transport.path() {
            Some(_) => &mut self.stats.dtls_failed,
            None => &mut self.stats.ice_failed,
        };
        match is_relay {
            true => failures.relays += 1,
            false => failures.clients += 1,
        }
    }

    /// Makes STUN for an endpoint's user fragments find it.
    pub(super) fn bind_ufrags(&mut self, place: Place) {
        let conference = self.conferences.get_mut(place.conference);
        let Some(link) = conference.and_then(|c| c.as_deref_mut()?.link_mut(place.peer)) else {
            return;
        };
        for ufrag in link.ufrags.drain(..) {
            self.ufrags.remove(&ufrag);
        }
        link.ufrags = link.transport.ufrags().map(str::to_owned).collect();
        let found = link.ufrags.iter().map(|u| (u.clone(), place));
        self.ufrags.extend(found);
    }

    /// Removes an endpoint, or a relay, and what leads to it.
    pub(super) fn remove(&mut self, now: Instant, place: Place) {
        let is_relay = self.is_relay(place);
        let removed = self.with(now, place.conference, |c, cx| {
            let removed = c.remove(cx, place.peer);
            c.settle(cx);
            removed
        });
        let Some(mut link) = removed.flatten() else {
            return;
        };
        self.count_failure(now, &link, is_relay);
        for ufrag in &link.ufrags {
            self.ufrags.remove(ufrag);
        }
        self.own_addresses.retain(|_, p| *p != place);
        for address in link.addresses() {
            if self.addresses.get(address) == Some(&place) {
                self.addresses.remove(address);
            }
        }
        self.touched.retain(|p| *p != place);
        link.transport.close(now);
        let mut buf = [0; MAX_DATAGRAM];
        while let Some(transmit) = link.transport.poll_transmit(&mut buf) {
            let bytes = buf.get(..transmit.len).unwrap_or_default().to_vec();
            self.farewells
                .push_back((transmit.from, transmit.to, bytes));
        }
    }
}
