//! What endpoints do, and what a second brought: rates, loss, and what is counted by the second. It is counted while all of
//! them are looked at in turn: what is asked for often is not counted each time.

use super::Conference;
use crate::media::egress::PeerOut;
use crate::media::peer::{Link, Relay, Traffic};
use crate::media::spec::MediaKind;
use crate::media::stats::{ConferenceStats, Hearing, Loss, Stats};
use crate::media::table::PeerId;
use std::time::Instant;

/// Silence of an endpoint that says something is wrong with the way from it, microseconds: clients check the way at least
/// every 2.5 s.
const UNHEARD: u64 = 3_000_000;
/// The same of one that sent all the time.
const UNHEARD_LIVELY: u64 = 2_000_000;
/// The same before its transport is up.
const UNHEARD_AT_FIRST: u64 = 6_000_000;
/// Loss beyond which a way is bad.
const LOSSY: f64 = 0.1;

/// Loss is kept in thousandths of packets: of a few packets a second less than one may be lost.
const THOUSANDTHS: u64 = 1_000;

/// What was counted in a window so far.
#[derive(Debug, Default)]
pub(super) struct Window {
    sum: Traffic,
    relayed: Traffic,
    lost_received: Loss,
    lost_sent: Loss,
    encodings: usize,
}

/// See the module. Only what is of endpoints is filled in.
#[derive(Debug, Default)]
pub(super) struct Census {
    counting: ConferenceStats,
    last: ConferenceStats,
}

impl Census {
    /// All have been counted.
    pub(super) fn end(&mut self) {
        self.last = std::mem::take(&mut self.counting);
    }
}

impl Conference {
    /// The state; what is counted of each endpoint as it was when all were looked at last.
    pub(crate) fn stats(&self) -> ConferenceStats {
        let mut stats = ConferenceStats {
            bitrate_received: self.rates.bytes_received * 8,
            bitrate_sent: self.rates.bytes_sent * 8,
            packet_rate_received: self.rates.packets_received,
            packet_rate_sent: self.rates.packets_sent,
            relay_bitrate_received: self.relay_rates.bytes_received * 8,
            relay_bitrate_sent: self.relay_rates.bytes_sent * 8,
            relay_packet_rate_received: self.relay_rates.packets_received,
            relay_packet_rate_sent: self.relay_rates.packets_sent,
            ..self.census.last.clone()
        };
        stats.endpoints = self.clients.len();
        stats.visitors = self.visitors;
        (stats.lost_received, stats.lost_sent) = self.loss;
        stats.relays = self.relays.len();
        stats.relayed = self.relays.values().map(Relay::people).sum();
        stats
    }

    /// Whom it hears.
    pub(crate) fn hearing(&self, now: Instant, us: u64) -> Hearing {
        let mut hearing = Hearing::default();
        for (peer, link) in self.links.iter() {
            if self.clients.get(peer).is_none() {
                continue;
            }
            let out = self.outs.get(peer);
            let limit = match out.is_some_and(|out| out.is_connected()) {
                true if link.was_lively() => UNHEARD_LIVELY,
                true => UNHEARD,
                false => UNHEARD_AT_FIRST,
            };
            hearing.here += 1;
            hearing.unheard += usize::from(link.silence(now, us) > limit);
            hearing.lossy += usize::from(out.is_some_and(|out| out.loss() > LOSSY));
        }
        hearing
    }

    /// Counts an endpoint.
    pub(super) fn count(&mut self, now: u64, peer: PeerId) {
        let (Some(link), Some(_)) = (self.links.get(peer), self.clients.get(peer)) else {
            return;
        };
        let (audio, video) = self.is_sending(link, now);
        let stats = &mut self.census.counting;
        stats.sending_audio += usize::from(audio);
        stats.sending_video += usize::from(video);
        stats.inactive += usize::from(!link.is_active());
        stats.receiving_only += usize::from(!audio && !video);
        if let Some(rtt) = link.round_trip().filter(|rtt| *rtt > 0) {
            stats.round_trips.0 += rtt;
            stats.round_trips.1 += 1;
        }
        if let Some(out) = self.outs.get(peer) {
            stats.lossy += usize::from(out.loss() > LOSSY);
            stats.feedback_unmatched += out.feedback_unmatched();
        }
        if let Some(receiver) = self.receivers.get(peer) {
            stats.oversent += usize::from(receiver.budget().is_exceeded());
            stats.suspended += usize::from(receiver.has_suspended());
        }
    }

    /// Whether an endpoint sends audio, video.
    fn is_sending(&self, link: &Link, now: u64) -> (bool, bool) {
        let mut sending = (false, false);
        for feed in link.feeds().iter().filter_map(|f| self.feeds.get(*f)) {
            match feed.kind() {
                MediaKind::Audio => sending.0 |= feed.is_sending(now),
                MediaKind::Video => sending.1 |= feed.is_sending(now),
            }
        }
        sending
    }

    /// Adds what an endpoint or a relay had to the window.
    pub(super) fn end_window_of(&mut self, now: u64, peer: PeerId) {
        let Some(link) = self.links.get_mut(peer) else {
            return;
        };
        let out = self.outs.get_mut(peer);
        let loss = out.as_ref().map_or(0.0, |out| out.loss());
        let sent = out.map(PeerOut::take_counters);
        let traffic = link.take_window(sent.unwrap_or_default());
        let is_relay = self.relays.get(peer).is_some();
        let window = &mut self.window;
        for id in link.feeds() {
            let Some(feed) = self.feeds.get_mut(*id) else {
                continue;
            };
            let lost = feed.take_loss();
            if !is_relay {
                window.encodings += feed.encodings_sent(now);
                window.lost_received += Loss {
                    lost: lost.lost * THOUSANDTHS,
                    of: lost.of * THOUSANDTHS,
                };
            }
        }
        if is_relay {
            window.relayed.add(&traffic);
        } else {
            window.sum.add(&traffic);
            let of = traffic.packets_sent * THOUSANDTHS;
            // A part of a number that fits.
            let lost = (loss.clamp(0.0, 1.0) * of as f64) as u64;
            window.lost_sent += Loss { lost, of };
        }
    }

    /// Turns what was counted in the last `span` microseconds into rates and loss, and adds to `stats` what the shard counts
    /// of it.
    pub(crate) fn end_window(&mut self, span: u64, stats: &mut Stats) {
        let window = std::mem::take(&mut self.window);
        let relayed = &window.relayed;
        stats.relayed.packets_received += relayed.packets_received;
        stats.relayed.bytes_received += relayed.bytes_received;
        stats.relayed.packets_sent += relayed.packets_sent;
        stats.relayed.bytes_sent += relayed.bytes_sent;
        stats.video_ms_received += window.encodings as u64 * (span / 1_000);
        self.loss = (window.lost_received, window.lost_sent);
        let rate = |n: u64| n * 1_000_000 / span.max(1);
        let rates = |sum: &Traffic| Traffic {
            packets_received: rate(sum.packets_received),
            bytes_received: rate(sum.bytes_received),
            packets_sent: rate(sum.packets_sent),
            bytes_sent: rate(sum.bytes_sent),
        };
        (self.rates, self.relay_rates) = (rates(&window.sum), rates(relayed));
    }
}
