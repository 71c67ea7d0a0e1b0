//! Driving a shard: datagrams in, timers, runs out.

use super::egress::Egress;
use super::event::Event;
use super::send::Outlet;
use super::shard::{Disposition, Place, SLOW_TICK, Shard, TICK, endpoint_at_mut};
use super::stats::DropReason;
use rtc::PacketKind;
use std::net::SocketAddr;
use std::time::Instant;

/// Longest datagram a transport makes.
pub(crate) const MAX_DATAGRAM: usize = 1500;
/// Addresses of one endpoint remembered; ICE restarts and NAT rebinding add some.
const MAX_ADDRESSES: usize = 32;

impl Shard {
    /// A datagram arrived at local address `to`. It is decrypted in place.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        datagram: &mut [u8],
    ) -> Disposition {
        self.stats.packets_received += 1;
        self.stats.bytes_received += datagram.len() as u64;
        let Some(kind) = rtc::demux(datagram) else {
            self.stats.drop(DropReason::Malformed);
            return Disposition::Taken;
        };
        match kind {
            PacketKind::Stun | PacketKind::Dtls => {
                self.control_datagram(now, from, to, kind, datagram)
            }
            PacketKind::Rtp | PacketKind::Rtcp => {
                let Some(&place) = self.addresses.get(&from) else {
                    self.stats.drop(DropReason::UnknownAddress);
                    return Disposition::Foreign;
                };
                let path = (to, from);
                let handled = self.with(now, place.conference, |c, ctx| match kind {
                    PacketKind::Rtp => c.handle_rtp(ctx, place.endpoint, path, datagram),
                    _ => c.handle_rtcp(ctx, place.endpoint, path, datagram),
                });
                if let Some(Err(reason)) = handled {
                    self.stats.drop(reason);
                }
                Disposition::Taken
            }
        }
    }

    /// STUN requests go by user fragment; other STUN and DTLS by the address, which an authentic request has bound.
    fn control_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        kind: PacketKind,
        datagram: &[u8],
    ) -> Disposition {
        let ufrag = if kind == PacketKind::Stun {
            rtc::stun_username(datagram)
        } else {
            None
        };
        let (place, reason) = match ufrag {
            Some(ufrag) => (self.ufrags.get(ufrag), DropReason::UnknownUfrag),
            None => (self.addresses.get(&from), DropReason::UnknownAddress),
        };
        let Some(&place) = place else {
            self.stats.drop(reason);
            return Disposition::Foreign;
        };
        let Some(endpoint) = endpoint_at_mut(&mut self.conferences, place) else {
            return Disposition::Foreign;
        };
        let authentic = endpoint.transport.handle_control(now, from, to, datagram);
        if authentic && self.addresses.get(&from) != Some(&place) {
            let known = self.addresses.values().filter(|p| **p == place).count();
            if known < MAX_ADDRESSES {
                self.addresses.insert(from, place);
            }
        }
        self.touched.push(place);
        self.drain_transport_events(now, place);
        Disposition::Taken
    }

    pub(crate) fn drain_transport_events(&mut self, now: Instant, place: Place) {
        while let Some(endpoint) = endpoint_at_mut(&mut self.conferences, place) {
            let Some(event) = endpoint.transport.poll_event() else {
                break;
            };
            self.transport_event(now, place, event);
        }
    }

    fn transport_event(&mut self, now: Instant, place: Place, event: rtc::Event) {
        let Some(id) = self
            .conferences
            .get(place.conference)
            .and_then(|c| c.as_deref())
            .map(|c| c.id)
        else {
            return;
        };
        let Some(endpoint) = endpoint_at_mut(&mut self.conferences, place) else {
            return;
        };
        let (conference, name) = (id, endpoint.id.clone());
        match event {
            rtc::Event::Connected { .. } => {
                if let Some((inbound, outbound)) = endpoint.transport.take_srtp() {
                    endpoint.inbound = Some(inbound);
                    endpoint.outbound = Some(outbound);
                }
                endpoint.path = endpoint.transport.path().map(|p| (p.local, p.remote));
                self.stats.ice_succeeded += 1;
                self.events.push_back(Event::Connected {
                    conference,
                    endpoint: name,
                });
                self.with(now, place.conference, |c, ctx| {
                    c.unsettled = true;
                    c.settle(ctx);
                });
            }
            rtc::Event::PathChanged(path) => endpoint.path = Some((path.local, path.remote)),
            // Nothing more is sent to a peer that left or does not consent (RFC 7675).
            rtc::Event::ConsentLost | rtc::Event::ClosedByPeer => endpoint.path = None,
            rtc::Event::ConsentRestored => {
                endpoint.path = endpoint.transport.path().map(|p| (p.local, p.remote));
            }
            rtc::Event::IceRestarted { .. } | rtc::Event::IceRestartFailed { .. } => {
                self.bind_ufrags(place)
            }
            rtc::Event::ChannelOpen { .. } => {
                self.events.push_back(Event::ChannelOpen {
                    conference,
                    endpoint: name,
                });
            }
            rtc::Event::ChannelMessage(text) => {
                self.stats.channel_messages_received += 1;
                self.events.push_back(Event::ChannelText {
                    conference,
                    endpoint: name,
                    text,
                });
            }
            rtc::Event::ChannelClosed => endpoint.channel_open = false,
            rtc::Event::Failed(reason) => {
                self.stats.transport_failed += 1;
                let reason = format!("{reason:?}");
                self.events.push_back(Event::TransportFailed {
                    conference,
                    endpoint: name,
                    reason,
                });
            }
            _ => {}
        }
    }

    /// The deadline of [`Self::poll_timeout`] was reached.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.next_tick.is_none_or(|t| t > now) {
            return;
        }
        self.next_tick = Some(now + TICK);
        let us = self.micros(now);
        let slow = us >= self.next_slow;
        if slow {
            self.next_slow = us + SLOW_TICK;
        }
        for conference in 0..self.conferences.len() {
            self.tick_transports(now, conference);
            self.with(now, conference, |c, ctx| {
                c.tick_media(ctx);
                if slow {
                    c.tick_activity(ctx);
                }
            });
        }
        if slow {
            self.measure_rates(us);
            self.expire(now, us);
        }
    }

    fn tick_transports(&mut self, now: Instant, conference: usize) {
        let count = self
            .conferences
            .get(conference)
            .and_then(|c| c.as_deref())
            .map_or(0, |c| c.endpoints.len());
        for endpoint in 0..count {
            let place = Place {
                conference,
                endpoint,
            };
            let Some(target) = endpoint_at_mut(&mut self.conferences, place) else {
                continue;
            };
            if target.transport.poll_timeout().is_some_and(|t| t <= now) {
                target.transport.handle_timeout(now);
                self.touched.push(place);
                self.drain_transport_events(now, place);
            }
        }
    }

    fn measure_rates(&mut self, us: u64) {
        let span = us.saturating_sub(self.rates_since);
        if span < 1_000_000 {
            return;
        }
        self.rates_since = us;
        for conference in self.conferences.iter_mut().flatten() {
            conference.take_rates(span);
        }
    }

    fn expire(&mut self, now: Instant, us: u64) {
        let limit = self.config.endpoint_timeout.as_micros() as u64;
        let empty_limit = self.config.conference_timeout.as_micros() as u64;
        let mut endpoints = Vec::new();
        let mut conferences = Vec::new();
        for (at, conference) in self.conferences.iter().enumerate() {
            let Some(conference) = conference else {
                continue;
            };
            if conference
                .empty_since
                .is_some_and(|t| us.saturating_sub(t) > empty_limit)
            {
                conferences.push(conference.id);
            }
            for (index, endpoint) in conference.endpoints.iter().enumerate() {
                let Some(endpoint) = endpoint else { continue };
                let checked = endpoint.transport.last_activity();
                let age = checked.map(|t| now.saturating_duration_since(t).as_micros() as u64);
                let last = endpoint.created.max(endpoint.last_media.unwrap_or(0));
                let age = us.saturating_sub(last).min(age.unwrap_or(u64::MAX));
                if age > limit {
                    endpoints.push((
                        Place {
                            conference: at,
                            endpoint: index,
                        },
                        conference.id,
                        endpoint.id.clone(),
                    ));
                }
            }
        }
        for (place, conference, endpoint) in endpoints {
            self.remove(now, place);
            self.events.push_back(Event::EndpointExpired {
                conference,
                endpoint,
            });
        }
        for conference in conferences {
            let _ = self.expire_conference(now, conference);
            self.events
                .push_back(Event::ConferenceExpired { conference });
        }
    }

    /// Writes what is due into `egress`; `true` if the arena filled up and there is more. `drained`: the socket had no
    /// more input, so nothing is gained by waiting for the rest of a burst.
    pub fn poll_transmit(&mut self, now: Instant, drained: bool, egress: &mut Egress) -> bool {
        let us = self.micros(now);
        while let Some((from, to, bytes)) = self.farewells.pop_front() {
            egress.write(from, to, &bytes);
            self.count_sent(1, bytes.len() as u64);
        }
        while let Some(place) = self.touched.pop() {
            self.drain_transport(place, egress);
            if egress.is_full() {
                return true;
            }
        }
        let window = self.config.burst_window.as_micros() as u64;
        let mut kept = 0;
        while let Some(&place) = self.dirty.get(kept) {
            let Some(endpoint) = endpoint_at_mut(&mut self.conferences, place) else {
                self.dirty.swap_remove(kept);
                continue;
            };
            if !endpoint.queue.is_ready(us, drained, window) {
                kept += 1;
                continue;
            }
            self.dirty.swap_remove(kept);
            endpoint.queue.in_dirty_list = false;
            let (Some(outbound), Some(path)) = (endpoint.outbound.as_mut(), endpoint.path) else {
                endpoint.queue.clear();
                continue;
            };
            let mut outlet = Outlet {
                now: us,
                path,
                outbound,
                negotiated: &endpoint.negotiated,
                store: &self.store,
                stats: &mut self.stats,
                pad: self.config.pad_bursts,
            };
            let (packets, bytes) = endpoint.queue.flush(&mut outlet, egress);
            endpoint.window.packets_sent += packets;
            endpoint.window.bytes_sent += bytes;
            if egress.is_full() {
                return true;
            }
        }
        false
    }

    fn drain_transport(&mut self, place: Place, egress: &mut Egress) {
        let mut buf = [0; MAX_DATAGRAM];
        let mut sent = (0, 0);
        if let Some(endpoint) = endpoint_at_mut(&mut self.conferences, place) {
            while let Some(transmit) = endpoint.transport.poll_transmit(&mut buf) {
                egress.write(
                    transmit.from,
                    transmit.to,
                    buf.get(..transmit.len).unwrap_or_default(),
                );
                sent = (sent.0 + 1, sent.1 + transmit.len as u64);
            }
        }
        self.count_sent(sent.0, sent.1);
    }

    fn count_sent(&mut self, packets: u64, bytes: u64) {
        self.stats.packets_sent += packets;
        self.stats.runs_sent += packets;
        self.stats.bytes_sent += bytes;
    }
}
