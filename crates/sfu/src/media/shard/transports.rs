//! Transports of endpoints: what they have to say, and by what their datagrams are found.

use super::{MAX_DATAGRAM, Place, Shard};
use crate::media::event::Event;
use std::time::Instant;

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
            rtc::Event::PathChanged(_) | rtc::Event::ConsentRestored => {
                self.with(now, place.conference, |c, cx| {
                    c.path_changed(cx.us, place.peer)
                });
            }
            // Nothing more is sent to a peer that left or does not consent (RFC 7675).
            rtc::Event::ConsentLost | rtc::Event::ClosedByPeer => {
                self.with(now, place.conference, |c, cx| {
                    c.path_lost(cx.us, place.peer)
                });
            }
            rtc::Event::IceRestarted { .. } | rtc::Event::IceRestartFailed { .. } => {
                self.bind_ufrags(place)
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
            _ => {}
        }
    }

    /// Makes STUN for an endpoint's user fragments find it.
    pub(super) fn bind_ufrags(&mut self, place: Place) {
        let conference = self.conferences.get_mut(place.conference);
        let Some(client) = conference.and_then(|c| c.as_deref_mut()?.client_mut(place.peer)) else {
            return;
        };
        for ufrag in client.ufrags.drain(..) {
            self.ufrags.remove(&ufrag);
        }
        client.ufrags = client.transport.ufrags().map(str::to_owned).collect();
        let found = client.ufrags.iter().map(|u| (u.clone(), place));
        self.ufrags.extend(found);
    }

    /// Removes an endpoint and what leads to it.
    pub(super) fn remove(&mut self, now: Instant, place: Place) {
        let removed = self.with(now, place.conference, |c, cx| {
            let removed = c.remove(cx, place.peer);
            c.settle(cx);
            removed
        });
        let Some(mut client) = removed.flatten() else {
            return;
        };
        for ufrag in &client.ufrags {
            self.ufrags.remove(ufrag);
        }
        for address in client.addresses() {
            if self.addresses.get(address) == Some(&place) {
                self.addresses.remove(address);
            }
        }
        self.touched.retain(|p| *p != place);
        client.transport.close(now);
        let mut buf = [0; MAX_DATAGRAM];
        while let Some(transmit) = client.transport.poll_transmit(&mut buf) {
            let bytes = buf.get(..transmit.len).unwrap_or_default().to_vec();
            self.farewells
                .push_back((transmit.from, transmit.to, bytes));
        }
    }
}
