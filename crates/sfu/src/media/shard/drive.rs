//! Driving a shard: datagrams in, timers, runs out.

use super::{Disposition, MAX_DATAGRAM, Place, Shard};
use crate::media::egress::Egress;
use crate::media::stats::DropReason;
use crate::media::timers::Due;
use rtc::PacketKind;
use std::net::SocketAddr;
use std::time::Instant;

/// What is done of what is due before packets have their turn again.
const DUE_SLICE: usize = 16;

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
                let Some(place) = self.place_of(from, to) else {
                    self.stats.drop(DropReason::UnknownAddress);
                    return Disposition::Foreign;
                };
                let path = (to, from);
                let handled = self.with(now, place.conference, |c, cx| match kind {
                    PacketKind::Rtp => c.handle_rtp(cx, place.peer, path, datagram),
                    _ => c.handle_rtcp(cx, place.peer, path, datagram),
                });
                if let Some(Err(reason)) = handled {
                    self.stats.drop(reason);
                }
                Disposition::Taken
            }
        }
    }

    /// Feedback that came from `from` to our address `to` is handled soon: what that takes is fetched meanwhile. To be told
    /// of each datagram in their order, a few ahead.
    pub fn announce(&mut self, from: SocketAddr, to: SocketAddr) {
        let place = self.place_of(from, to);
        let before = std::mem::replace(&mut self.expected, place);
        let conference = |place: Place| {
            Some((
                self.conferences.get(place.conference)?.as_deref()?,
                place.peer,
            ))
        };
        if let Some((conference, peer)) = place.and_then(conference) {
            conference.fetch_peer(peer);
        }
        if let Some((conference, peer)) = before.and_then(conference) {
            conference.fetch_for_rtcp(peer);
        }
    }

    /// Whose datagrams come from `from` to our address `to`.
    #[inline]
    fn place_of(&self, from: SocketAddr, to: SocketAddr) -> Option<Place> {
        // Without relays there is nothing to look up.
        if !self.own_addresses.is_empty()
            && let Some(place) = self.own_addresses.get(&to)
        {
            return Some(*place);
        }
        self.addresses.get(&from).copied()
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
            Some(ufrag) => (self.ufrags.get(ufrag).copied(), DropReason::UnknownUfrag),
            None => (self.place_of(from, to), DropReason::UnknownAddress),
        };
        let Some(place) = place else {
            self.stats.drop(reason);
            return Disposition::Foreign;
        };
        let conference = self.conferences.get_mut(place.conference);
        let Some(link) = conference.and_then(|c| c.as_deref_mut()?.link_mut(place.peer)) else {
            return Disposition::Foreign;
        };
        let authentic = link.transport.handle_control(now, from, to, datagram);
        // What has an address of its own is found by that: its peers may be behind one address.
        let bound =
            self.addresses.get(&from) == Some(&place) || self.own_addresses.contains_key(&to);
        if authentic && !bound && link.add_address(from) {
            self.addresses.insert(from, place);
        }
        self.touched.push(place);
        self.drain_transport_events(now, place);
        Disposition::Taken
    }

    /// The deadline of [`Self::poll_timeout`] was reached. Where much is due, some of it is done, and the deadline stays in
    /// the past: packets have their turn in between.
    pub fn handle_timeout(&mut self, now: Instant) {
        let us = self.micros(now);
        for _ in 0..DUE_SLICE {
            let Some((at, due)) = self.timers.pop(us) else {
                break;
            };
            match due {
                Due::Peer(conference, peer) => {
                    self.peer_due(now, Place { conference, peer }, at);
                }
                Due::Conference(place) => {
                    self.with(now, place, |c, cx| c.handle_look(cx, at));
                    // It may have decided for many, and want to go on at once.
                    break;
                }
                Due::Sweep => self.sweep(now, at),
            }
        }
    }

    fn peer_due(&mut self, now: Instant, place: Place, at: u64) {
        let Some(transport) = self.transport(place) else {
            return;
        };
        if transport.poll_timeout().is_some_and(|t| t <= now) {
            transport.handle_timeout(now);
            self.touched.push(place);
            self.drain_transport_events(now, place);
        }
        self.with(now, place.conference, |c, cx| {
            c.handle_due(cx, place.peer, at)
        });
    }

    /// Writes what is due into `egress`; `true` if the arena filled up and there is more.
    pub fn poll_transmit(&mut self, now: Instant, egress: &mut Egress) -> bool {
        while let Some((from, to, bytes)) = self.farewells.pop_front() {
            egress.write(from, to, &bytes);
            self.count_sent(1, bytes.len() as u64);
        }
        while let Some(place) = self.touched.pop() {
            self.drain_transport(now, place, egress);
            if egress.is_full() {
                return true;
            }
        }
        for _ in 0..self.listed.len() {
            let Some(&place) = self.listed.front() else {
                break;
            };
            let more = self.with(now, place, |c, cx| c.transmit(cx, egress));
            if more == Some(true) {
                return true;
            }
            self.listed.pop_front();
            let conference = self.conferences.get_mut(place);
            if let Some(conference) = conference.and_then(|c| c.as_deref_mut()) {
                // A burst that is not complete yet keeps it in the list.
                conference.listed = conference.has_output();
                if conference.listed {
                    self.listed.push_back(place);
                }
            }
        }
        false
    }

    /// Sends what a transport has to send, and has it looked at when it wants.
    fn drain_transport(&mut self, now: Instant, place: Place, egress: &mut Egress) {
        let mut buf = [0; MAX_DATAGRAM];
        let mut sent = (0, 0);
        while let Some(t) = self
            .transport(place)
            .and_then(|t| t.poll_transmit(&mut buf))
        {
            egress.write(t.from, t.to, buf.get(..t.len).unwrap_or_default());
            sent = (sent.0 + 1, sent.1 + t.len as u64);
        }
        self.count_sent(sent.0, sent.1);
        self.with(now, place.conference, |c, cx| c.schedule(cx, place.peer));
    }

    fn count_sent(&mut self, packets: u64, bytes: u64) {
        self.stats.packets_sent += packets;
        self.stats.runs_sent += packets;
        self.stats.bytes_sent += bytes;
    }
}
