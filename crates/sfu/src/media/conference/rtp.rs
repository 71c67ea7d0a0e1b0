//! RTP of an endpoint: to its feed, and into the burst.

use super::Conference;
use crate::media::context::Context;
use crate::media::ingest::Taken;
use crate::media::packet::{Arrival, Incoming};
use crate::media::spec::MediaKind;
use crate::media::stats::DropReason;
use crate::media::table::PeerId;
use std::net::SocketAddr;

impl Conference {
    /// A datagram that looks like RTP came from an endpoint. It is decrypted in place.
    pub(crate) fn handle_rtp(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        path: (SocketAddr, SocketAddr),
        datagram: &mut [u8],
    ) -> Result<(), DropReason> {
        let link = self.links.get_mut(peer).ok_or(DropReason::UnknownAddress)?;
        let len = link.decrypt_rtp(cx, path, datagram)?;
        let packet = datagram.get_mut(..len).ok_or(DropReason::Malformed)?;
        let incoming = link.classify(cx.us, packet);
        let due = link.feedback_due().into_iter().chain(link.estimate_due());
        if let Some(due) = due.min() {
            cx.wake(due, peer, &mut link.scheduled);
        }
        let incoming = incoming?;
        let packet = packet.get(..incoming.len).ok_or(DropReason::Malformed)?;
        let muted = link.is_muted(incoming.kind);
        self.siblings.export(cx.now, &incoming, packet, muted);
        let feed = self
            .feeds
            .get_mut(incoming.feed)
            .ok_or(DropReason::UnknownSsrc)?;
        let taken = feed.take(cx, &incoming, packet, muted);
        if feed.has_missing() {
            cx.wake(cx.us, peer, &mut link.scheduled);
        }
        let taken = taken?;
        let speaks = !link.is_visitor();
        self.arrived(cx, &incoming, taken, speaks);
        Ok(())
    }

    /// A feed took a packet.
    pub(super) fn arrived(
        &mut self,
        cx: &mut Context<'_>,
        incoming: &Incoming,
        taken: Taken,
        speaks: bool,
    ) {
        if incoming.kind == MediaKind::Audio
            && speaks
            && let Some(feed) = self.feeds.get(incoming.feed)
        {
            self.floor.heard(cx.us, feed.owner(), incoming.level);
        }
        if taken.layers_changed {
            cx.stats.layering_changes += 1;
            self.plan.layers_changed(incoming.feed);
        }
        // The first audio in a while wakes the look at speakers.
        if taken.arrived.what == Arrival::Audio {
            self.schedule_look(cx, self.next_look);
        }
        for arrived in taken.restored {
            self.burst.push(cx.us, arrived);
        }
        self.burst.push(cx.us, taken.arrived);
    }
}
