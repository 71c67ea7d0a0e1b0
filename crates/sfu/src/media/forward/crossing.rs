//! What crosses to another bridge: packets as they came, under the numbers of their senders as long as these go on. The other
//! bridge does with them what it does with those of its own people.

use super::burst::Pass;
use super::history::{History, Refusal};
use crate::media::packet::{Outgoing, Ready};
use crate::media::spec::Source;
use crate::media::stats::Stats;
use crate::media::table::{FeedId, Table};
use smallvec::SmallVec;
use std::collections::HashMap;

/// SSRCs whose numbers are remembered, and retransmission streams. SRTP refuses more as well.
const MAX_REMEMBERED: usize = 16_384;
/// A stream that crosses again goes on under its sender's numbers where these are no further ahead than this, as after a pause.
/// SRTP takes what is far ahead for what is past (RFC 3711 §3.3.1), and nothing leaves twice under one number.
const AHEAD: u16 = 0x3FFF;
/// Else its numbers go on so far behind the last one: what comes late finds a number too.
const GAP: u16 = 32;

/// An encoding on its way.
#[derive(Debug)]
struct Stream {
    ssrc: u32,
    rtx: Option<u32>,
    /// The newest number that has left under its SSRC, and what is added to its sender's, which its first packet decides.
    newest: Option<u16>,
    shift: Option<u16>,
    history: History,
    packets: u32,
    octets: u32,
}

impl Stream {
    /// Under which number a packet leaves.
    #[inline]
    fn number(&mut self, seq: u16) -> u16 {
        let newest = self.newest;
        let goes_on = |newest: u16| (1..=AHEAD).contains(&seq.wrapping_sub(newest));
        let shift = *self.shift.get_or_insert_with(|| match newest {
            Some(newest) if !goes_on(newest) => newest.wrapping_add(GAP).wrapping_sub(seq),
            _ => 0,
        });
        let number = seq.wrapping_add(shift);
        if newest.is_none_or(|newest| number.wrapping_sub(newest) < 0x8000) {
            self.newest = Some(number);
        }
        number
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Crossing {
    /// Feeds that cross.
    lanes: Table<FeedId, SmallVec<[Stream; 3]>>,
    /// The newest number under each SSRC that has crossed and does not now: its sender may begin anew under it.
    numbers: HashMap<u32, u16>,
    /// The newest numbers of retransmission streams: they go on, however often a feed stops crossing and crosses again.
    repeats: HashMap<u32, u16>,
}

impl Crossing {
    /// A feed crosses from now on.
    pub(crate) fn open(&mut self, feed: FeedId, source: &Source) {
        self.close(feed);
        let streams = source.encodings.iter().map(|e| Stream {
            ssrc: e.ssrc,
            rtx: e.rtx,
            newest: self.numbers.get(&e.ssrc).copied(),
            shift: None,
            history: History::default(),
            packets: 0,
            octets: 0,
        });
        let streams = streams.collect();
        self.lanes.set(feed, streams);
    }

    /// It does not any more.
    pub(crate) fn close(&mut self, feed: FeedId) {
        for stream in self.lanes.remove(feed).into_iter().flatten() {
            let known = self.numbers.contains_key(&stream.ssrc);
            if let Some(newest) = stream.newest
                && (known || self.numbers.len() < MAX_REMEMBERED)
            {
                self.numbers.insert(stream.ssrc, newest);
            }
        }
    }

    /// Whether a feed crosses.
    #[inline]
    pub(crate) fn takes(&self, feed: FeedId) -> bool {
        self.lanes.get(feed).is_some()
    }

    /// The feed that crosses under an SSRC, and which of its encodings that is.
    pub(crate) fn find(&self, ssrc: u32) -> Option<(FeedId, u8)> {
        self.lanes.iter().find_map(|(feed, streams)| {
            let encoding = streams.iter().position(|s| s.ssrc == ssrc)?;
            Some((feed, encoding as u8))
        })
    }

    /// SSRC, packets and bytes of an encoding that has crossed.
    pub(crate) fn sent(&self, feed: FeedId, encoding: u8) -> Option<(u32, u32, u32)> {
        let stream = self.lanes.get(feed)?.get(usize::from(encoding))?;
        (stream.packets > 0).then_some((stream.ssrc, stream.packets, stream.octets))
    }

    /// Fills `ready` with what crosses of a burst.
    pub(crate) fn project<'a>(&mut self, pass: &Pass<'a>, ready: &mut SmallVec<[Ready<'a>; 64]>) {
        for segment in pass.segments() {
            let lane = self.lanes.get_mut(segment.feed);
            let stream = lane.and_then(|l| l.get_mut(usize::from(segment.encoding)));
            let Some(stream) = stream else {
                continue;
            };
            for loaded in pass.packets(segment) {
                // A number that carries nothing has no packet.
                let Some(record) = loaded.record else {
                    continue;
                };
                let codec = &record.codec;
                let out = Outgoing {
                    id: loaded.arrived.packet.id,
                    ssrc: stream.ssrc,
                    seq: stream.number(record.header.sequence_number),
                    timestamp: record.header.timestamp,
                    picture_id: codec.picture_id().map_or(0, |(id, _)| id),
                    tl0: codec.tl0(),
                    video: !segment.audio,
                    osn: None,
                    redundancy: 0,
                    ends: false,
                    templates: 0,
                    active: 0,
                };
                if out.video {
                    stream.history.remember(&out, pass.now());
                }
                stream.packets = stream.packets.wrapping_add(1);
                let octets = u32::from(record.header.payload_len);
                stream.octets = stream.octets.wrapping_add(octets);
                ready.push(Ready {
                    out,
                    bytes: loaded.bytes,
                    record,
                });
            }
        }
    }

    /// A packet that the other bridge asks for again: how it leaves, if it does.
    pub(crate) fn resend(
        &mut self,
        now: u64,
        (ssrc, seq): (u32, u16),
        quiet: u64,
        stats: &mut Stats,
    ) -> Option<Outgoing> {
        let mut streams = self.lanes.iter_mut().flat_map(|(_, lane)| lane);
        let stream = streams.find(|s| s.ssrc == ssrc)?;
        let rtx = stream.rtx?;
        let missed = match stream.history.missed(now, seq, quiet) {
            Ok(missed) => missed,
            Err(refusal) => {
                stats.retransmit_missed += u64::from(refusal == Refusal::Unknown);
                stats.retransmit_refused += u64::from(refusal == Refusal::Spent);
                return None;
            }
        };
        if self.repeats.len() >= MAX_REMEMBERED && !self.repeats.contains_key(&rtx) {
            stats.retransmit_refused += 1;
            return None;
        }
        stream.history.resent(now, seq);
        stats.retransmitted += 1;
        let number = self.repeats.entry(rtx).or_default();
        *number = number.wrapping_add(1);
        Some(Outgoing {
            ssrc: rtx,
            seq: *number,
            osn: Some(seq),
            ..missed
        })
    }
}
