//! What a second brought: rates, loss, and what is counted by the second.

use super::Conference;
use crate::media::egress::PeerOut;
use crate::media::peer::Traffic;
use crate::media::stats::{Loss, Stats};

/// Loss is kept in thousandths of packets: of a few packets a second less than one may be lost.
const THOUSANDTHS: u64 = 1_000;

impl Conference {
    /// Turns what was counted in the last `span` microseconds into rates and loss, and adds to `stats` what the shard counts
    /// of it.
    pub(crate) fn end_window(&mut self, now: u64, span: u64, stats: &mut Stats) {
        let mut sum = Traffic::default();
        let mut relayed = Traffic::default();
        let (mut lost_received, mut lost_sent) = (Loss::default(), Loss::default());
        let mut encodings = 0;
        for (peer, link) in self.links.iter_mut() {
            let out = self.outs.get_mut(peer);
            let loss = out.as_ref().map_or(0.0, |out| out.loss());
            let sent = out.map(PeerOut::take_counters);
            let window = link.take_window(sent.unwrap_or_default());
            let is_relay = self.relays.get(peer).is_some();
            for id in link.feeds() {
                let Some(feed) = self.feeds.get_mut(*id) else {
                    continue;
                };
                let lost = feed.take_loss();
                if !is_relay {
                    encodings += feed.encodings_sent(now);
                    lost_received += Loss {
                        lost: lost.lost * THOUSANDTHS,
                        of: lost.of * THOUSANDTHS,
                    };
                }
            }
            if is_relay {
                relayed.add(&window);
            } else {
                sum.add(&window);
                let of = window.packets_sent * THOUSANDTHS;
                // A part of a number that fits.
                let lost = (loss.clamp(0.0, 1.0) * of as f64) as u64;
                lost_sent += Loss { lost, of };
            }
        }
        stats.relayed.packets_received += relayed.packets_received;
        stats.relayed.bytes_received += relayed.bytes_received;
        stats.relayed.packets_sent += relayed.packets_sent;
        stats.relayed.bytes_sent += relayed.bytes_sent;
        stats.video_ms_received += encodings as u64 * (span / 1_000);
        self.loss = (lost_received, lost_sent);
        let rate = |n: u64| n * 1_000_000 / span.max(1);
        let rates = |sum: &Traffic| Traffic {
            packets_received: rate(sum.packets_received),
            bytes_received: rate(sum.bytes_received),
            packets_sent: rate(sum.packets_sent),
            bytes_sent: rate(sum.bytes_sent),
        };
        (self.rates, self.relay_rates) = (rates(&sum), rates(&relayed));
    }
}
