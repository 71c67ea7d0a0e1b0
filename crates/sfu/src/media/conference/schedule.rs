//! When an endpoint, or the conference, has something to do next.

use super::Conference;
use crate::media::context::Context;
use crate::media::table::PeerId;
use crate::media::timers::Due;

const MS: u64 = 1_000;
/// Each endpoint is looked at this often at least, for reports, microseconds.
const VISIT: u64 = 1_000 * MS;
/// An endpoint that publishes.
const PUBLISHER_VISIT: u64 = 500 * MS;

impl Conference {
    /// Sees to it that an endpoint is looked at when it has something to do next.
    pub(crate) fn schedule(&mut self, cx: &mut Context<'_>, peer: PeerId) {
        let Some(link) = self.links.get_mut(peer) else {
            return;
        };
        // Relays have none.
        let receiver = self.receivers.get(peer).filter(|r| r.is_live());
        let visit = match link.feeds().is_empty() {
            true => VISIT,
            false => PUBLISHER_VISIT,
        };
        // Shortly after its deadline a transport has what its deadline was for.
        let transport = link.transport.poll_timeout().map(|t| {
            let left = t.saturating_duration_since(cx.now);
            cx.us + left.as_micros() as u64 + 1
        });
        let out = self.outs.get(peer).filter(|out| out.is_connected());
        let bandwidth = out.and_then(|o| o.bandwidth().poll_timeout());
        let missing = link.feeds().iter().any(|id| {
            let feed = self.feeds.get(*id);
            feed.is_some_and(|f| f.has_missing())
        });
        let pictures = receiver.and_then(|r| r.pictures_due());
        let due = [
            transport,
            // Nothing is reported to who cannot be sent anything.
            out.and_then(|_| link.feedback_due()),
            out.and_then(|_| link.estimate_due()),
            pictures.map(|t| t.max(cx.us + MS)),
            bandwidth.map(|t| t.max(cx.us + 20 * MS)),
            out.and_then(|o| o.due(cx.us)).map(|t| t.max(cx.us + MS)),
            missing.then_some(cx.us + 20 * MS),
        ];
        let next = due.into_iter().flatten().fold(cx.us + visit, u64::min);
        // Whatever is due already waits for the next moment, or no other would come.
        cx.wake(next.max(cx.us + 1), peer, &mut link.scheduled);
    }

    /// Sees to it that the conference is looked at.
    pub(super) fn schedule_look(&mut self, cx: &mut Context<'_>, at: u64) {
        let due = Due::Conference(cx.place);
        cx.timers.schedule(at, due, &mut self.scheduled);
    }
}
