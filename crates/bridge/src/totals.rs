//! Sums over all workers: of each meeting over its parts, of the bridge over its meetings.

use std::collections::BTreeMap;

use sfu::{ConferenceStats, Hearing, Stats};
use stanza::jitsi::evidence::{BrokenRelay, People, SilentMeeting};

use crate::shared::Snapshot;

/// What all workers have, and have counted.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) stats: Stats,
    /// Sums over the meetings.
    pub(crate) now: ConferenceStats,
    pub(crate) conferences: usize,
    /// People of the largest meeting, those on other bridges included.
    pub(crate) largest: usize,
    /// Meetings in which nobody sends anything, the people in them wherever they are, and those of them here.
    pub(crate) inactive_conferences: usize,
    pub(crate) inactive_endpoints: usize,
    pub(crate) inactive_here: usize,
    /// Of these, meetings of two: they have direct media.
    pub(crate) direct_conferences: usize,
    /// People in the other meetings who send nothing, and to whom much is lost.
    pub(crate) receiving_only: usize,
    pub(crate) lossy: usize,
    /// Conferences with relays.
    pub(crate) relayed_conferences: usize,
    /// Of each meeting: people, senders of audio, senders of video.
    pub(crate) sizes: Vec<[usize; 3]>,
    pub(crate) web_socket_received: u64,
    pub(crate) web_socket_sent: u64,
    pub(crate) endpoints_without_channel: u64,
    pub(crate) relays_without_channel: u64,
    pub(crate) udp: net::UdpStats,
    pub(crate) waits: u64,
    pub(crate) panics: u64,
    pub(crate) handed_over: u64,
    pub(crate) handover_dropped: u64,
    pub(crate) exchanges: u64,
    pub(crate) exchange_dropped: u64,
    pub(crate) requests: u64,
    pub(crate) request_errors: u64,
    pub(crate) channel_invalid: u64,
    pub(crate) channel_unknown: u64,
    pub(crate) channel_limited: u64,
}

impl Totals {
    pub(crate) fn of(snapshots: &[Snapshot]) -> Self {
        let mut t = Self::default();
        for c in meetings(snapshots).values() {
            let people = c.endpoints + c.relayed;
            t.conferences += 1;
            t.largest = t.largest.max(people);
            t.relayed_conferences += usize::from(c.relays > 0);
            t.sizes.push([people, c.sending_audio, c.sending_video]);
            // Of what people elsewhere send is known that it comes.
            let nobody = c.sending_audio + c.sending_video == 0;
            if nobody && c.relay_packet_rate_received == 0 {
                t.inactive_conferences += 1;
                t.inactive_endpoints += people;
                t.inactive_here += c.endpoints;
                t.direct_conferences += usize::from(people == 2);
            } else {
                t.receiving_only += c.receiving_only;
                t.lossy += c.lossy;
            }
            t.now += c;
        }
        for s in snapshots {
            t.stats.add(&s.stats);
            t.web_socket_received += s.control.web_socket_received;
            t.web_socket_sent += s.control.web_socket_sent;
            t.endpoints_without_channel += s.control.endpoints_without_channel;
            t.relays_without_channel += s.control.relays_without_channel;
            t.requests += s.control.requests;
            t.request_errors += s.control.request_errors;
            t.channel_invalid += s.control.invalid;
            t.channel_unknown += s.control.unknown;
            t.channel_limited += s.control.rate_limited;
            t.udp += s.udp;
            t.waits += s.waits;
            t.panics += s.panics;
            t.handed_over += s.handed_over;
            t.handover_dropped += s.handover_dropped;
            t.exchanges += s.exchanges;
            t.exchange_dropped += s.exchange_dropped;
        }
        t
    }

    /// People here.
    pub(crate) fn endpoints(&self) -> usize {
        self.now.endpoints
    }

    /// Mean round trip of those of whom one is known, milliseconds.
    pub(crate) fn round_trip_ms(&self) -> f64 {
        match self.now.round_trips {
            (_, 0) => 0.0,
            // Counts of microseconds and people are far below 2^52.
            (sum, count) => sum as f64 / count as f64 / 1_000.0,
        }
    }

    /// The parts lost on the way here, on the way from here, and of both together.
    pub(crate) fn loss(&self) -> [f64; 3] {
        let mut both = self.now.lost_received;
        both += self.now.lost_sent;
        [self.now.lost_received, self.now.lost_sent, both].map(|loss| loss.fraction())
    }
}

/// All meetings, each with the sums over its parts.
fn meetings(snapshots: &[Snapshot]) -> BTreeMap<&str, ConferenceStats> {
    let mut meetings: BTreeMap<&str, ConferenceStats> = BTreeMap::new();
    for (meeting, _, stats) in snapshots.iter().flat_map(|s| &s.conferences) {
        *meetings.entry(meeting).or_default() += stats;
    }
    meetings
}

/// Whom the bridge hears.
pub(crate) fn people(snapshots: &[Snapshot]) -> People {
    let mut meetings: BTreeMap<&str, Hearing> = BTreeMap::new();
    for (meeting, hearing) in snapshots.iter().flat_map(|s| &s.hearing) {
        *meetings.entry(meeting).or_default() += *hearing;
    }
    let mut all = Hearing::default();
    let mut silent = Vec::new();
    for (meeting, hearing) in meetings {
        all += hearing;
        if hearing.here > 0 && hearing.unheard == hearing.here {
            silent.push(SilentMeeting {
                meeting_id: meeting.to_owned(),
                here: hearing.here,
            });
        }
    }
    let broken = snapshots.iter().flat_map(|s| &s.broken);
    let broken = broken.map(|(meeting, relay)| BrokenRelay {
        meeting_id: meeting.clone(),
        relay: relay.as_str().to_owned(),
    });
    People {
        here: all.here,
        unheard: all.unheard,
        lossy: all.lossy,
        silent,
        broken: broken.collect(),
    }
}

#[cfg(test)]
mod tests {
    use sfu::ConferenceId;

    use super::*;

    #[test]
    fn who_only_watches_or_loses_much_counts_where_somebody_sends() {
        let meeting = |name: &str, sending_video, endpoints| {
            let stats = ConferenceStats {
                endpoints,
                relayed: 1,
                sending_video,
                receiving_only: endpoints - sending_video,
                lossy: 1,
                round_trips: (30_000, 1),
                ..ConferenceStats::default()
            };
            (name.to_owned(), ConferenceId(0), stats)
        };
        let snapshot = |conferences| Snapshot {
            conferences,
            ..Snapshot::default()
        };
        // One meeting is on two threads.
        let t = Totals::of(&[
            snapshot(vec![meeting("spread", 1, 2), meeting("quiet", 0, 1)]),
            snapshot(vec![meeting("spread", 0, 3)]),
        ]);
        assert_eq!((t.conferences, t.endpoints(), t.largest), (2, 6, 7));
        assert_eq!(
            (
                t.inactive_conferences,
                t.inactive_endpoints,
                t.direct_conferences
            ),
            (1, 2, 1)
        );
        assert_eq!((t.receiving_only, t.lossy), (4, 2));
        assert!((t.round_trip_ms() - 30.0).abs() < 1e-9);
        assert_eq!(t.loss(), [0.0; 3]);
    }
}
