//! Where key frames of an encoding begin, and what came since: decided per frame, whatever the codec and the order in
//! which packets arrive.

use crate::media::packet::Published;

/// Longest list of packets since a key frame that can be replayed.
const MAX_SINCE_KEY: usize = 600;
/// Longest list that is worth replaying instead of asking for a new key frame.
const MAX_REPLAY: usize = 250;

/// What a packet tells of a key frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeySign {
    /// Nothing.
    None,
    /// It belongs to one, and something needed may come before it in the frame.
    Inside,
    /// It begins one: whatever comes before it in the frame is dispensable.
    Start,
    /// It begins one, but holds only parameters: some senders give them a timestamp of their own.
    Parameters,
}

/// A key frame that is known by one of its packets.
#[derive(Debug, Clone, Copy)]
struct Sign {
    seq: u64,
    timestamp: u32,
    starts: bool,
    parameters: bool,
}

#[derive(Debug, Clone, Copy)]
struct KeyFrame {
    arrival: u64,
    timestamp: u32,
    /// Only parameters came so far.
    parameters: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct KeyFrames {
    /// In order of numbers: from the newest key frame on; before any, what came lately.
    list: Vec<Published>,
    newest: Option<KeyFrame>,
    /// A newer key frame whose first packet is not known yet.
    pending: Option<Sign>,
}

impl KeyFrames {
    /// Notes a packet. Whether with it the newest key frame, all of what came of it, is known from its first packet on;
    /// said once for each key frame.
    pub(crate) fn note(&mut self, now: u64, packet: Published, sign: KeySign) -> bool {
        if let (Some(key), Some(first)) = (self.newest, self.list.first().copied())
            && packet.seq < first.seq
        {
            // A first packet that came late belongs to it; all else is past.
            if packet.timestamp == key.timestamp && packet.seq + 1 == first.seq {
                self.list.insert(0, packet);
            }
            return false;
        }
        self.insert(packet);
        match (sign, &mut self.newest) {
            (KeySign::None, _) => {}
            (_, Some(key)) if key.timestamp == packet.timestamp => {
                key.parameters &= sign == KeySign::Parameters;
            }
            _ => self.pend(Sign {
                seq: packet.seq,
                timestamp: packet.timestamp,
                starts: sign != KeySign::Inside,
                parameters: sign == KeySign::Parameters,
            }),
        }
        self.pending.is_some_and(|sign| self.resolve(now, sign))
    }

    /// Whether packets with this timestamp are of the newest key frame, or of one of which more is to come.
    #[inline]
    pub(super) fn is_of_key_frame(&self, timestamp: u32) -> bool {
        self.newest.is_some_and(|key| key.timestamp == timestamp)
            || self.pending.is_some_and(|key| key.timestamp == timestamp)
    }

    fn insert(&mut self, packet: Published) {
        if self.list.len() >= MAX_SINCE_KEY {
            // Too long to be of use. The frame that is coming in stays: it may turn out to be a key frame.
            self.newest = None;
            let coming = self.list.last().map(|p| p.timestamp);
            self.list.retain(|p| Some(p.timestamp) == coming);
            if self.list.len() >= MAX_SINCE_KEY {
                self.list.clear();
            }
        }
        let at = self.list.iter().rposition(|p| p.seq < packet.seq);
        self.list.insert(at.map_or(0, |i| i + 1), packet);
    }

    fn pend(&mut self, sign: Sign) {
        match &mut self.pending {
            Some(known) if known.timestamp == sign.timestamp => {
                known.parameters &= sign.parameters;
                // The earliest packet that may begin it.
                if sign.starts && !(known.starts && known.seq <= sign.seq) {
                    (known.starts, known.seq) = (true, sign.seq);
                } else if !known.starts {
                    known.seq = known.seq.min(sign.seq);
                }
            }
            Some(known) if known.seq > sign.seq => {}
            pending => *pending = Some(sign),
        }
    }

    /// Takes the pending key frame for the newest one if its first packet is there.
    fn resolve(&mut self, now: u64, sign: Sign) -> bool {
        let Ok(mut at) = self.list.binary_search_by_key(&sign.seq, |p| p.seq) else {
            // Forgotten with a list that grew too long.
            self.pending = None;
            return false;
        };
        let before = |at: usize| {
            let earlier = *self.list.get(at.checked_sub(1)?)?;
            (earlier.seq + 1 == self.list.get(at)?.seq).then_some(earlier)
        };
        while before(at).is_some_and(|p| p.timestamp == sign.timestamp) {
            at -= 1;
        }
        let earlier = before(at);
        if !sign.starts && earlier.is_none() {
            return false;
        }
        self.pending = None;
        if let (Some(key), Some(earlier)) = (&mut self.newest, earlier)
            && key.parameters
            && key.timestamp == earlier.timestamp
            && !sign.starts
        {
            // The picture to the parameters right before it.
            (key.timestamp, key.parameters) = (sign.timestamp, false);
            return false;
        }
        self.list.drain(..at);
        self.newest = Some(KeyFrame {
            arrival: now,
            timestamp: sign.timestamp,
            parameters: sign.parameters,
        });
        true
    }

    /// The key frame that began at most `max_age` microseconds ago and everything since, if there is no gap up to the
    /// newest packet.
    pub(crate) fn replay(&self, now: u64, max_age: u64) -> Option<&[Published]> {
        let key = self.newest.filter(|k| !k.parameters)?;
        let (first, last) = self.list.first().zip(self.list.last())?;
        let whole =
            last.seq - first.seq + 1 == self.list.len() as u64 && self.list.len() <= MAX_REPLAY;
        (whole && now.saturating_sub(key.arrival) <= max_age).then_some(&self.list)
    }

    /// From the newest key frame on, gaps included.
    pub(crate) fn since_key(&self) -> &[Published] {
        match self.newest {
            Some(_) => &self.list,
            None => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::packet::PacketId;
    use KeySign::{Inside, None as No, Parameters, Start};
    use proptest::prelude::*;

    fn packet(seq: u64, timestamp: u32) -> Published {
        Published {
            seq,
            timestamp,
            id: PacketId::for_test(seq as u32),
        }
    }

    /// Sends packets (number, timestamp, sign); number of the first packet of the list where a key frame was found.
    fn run(packets: &[(u64, u32, KeySign)]) -> (Vec<u64>, KeyFrames) {
        let mut keys = KeyFrames::default();
        let mut found = Vec::new();
        for &(seq, timestamp, sign) in packets {
            if keys.note(0, packet(seq, timestamp), sign) {
                found.push(keys.since_key()[0].seq);
            }
        }
        (found, keys)
    }

    #[test]
    fn a_key_frame_begins_once_and_with_its_first_packet() {
        for (what, packets, expected) in [
            (
                "parameters, then slices in parts",
                &[
                    (8, 0, No),
                    (9, 1, Parameters),
                    (10, 1, Inside),
                    (11, 1, Inside),
                    (12, 2, No),
                ][..],
                &[9][..],
            ),
            (
                "delimiter and parameters before the picture",
                &[
                    (8, 0, No),
                    (9, 1, No),
                    (10, 1, No),
                    (11, 1, Inside),
                    (12, 1, Inside),
                ],
                &[9],
            ),
            (
                "the first packet comes last",
                &[
                    (8, 0, No),
                    (10, 1, Inside),
                    (11, 1, Inside),
                    (9, 1, Parameters),
                    (12, 2, No),
                ],
                &[9],
            ),
            (
                "the packet before the frame comes last",
                &[(7, 0, No), (9, 1, Inside), (10, 1, Inside), (8, 0, No)],
                &[9],
            ),
            (
                "no beginning, no key frame",
                &[(7, 0, No), (9, 1, Inside), (10, 1, Inside), (11, 2, No)],
                &[],
            ),
            (
                "parameters with a timestamp of their own",
                &[
                    (8, 0, No),
                    (9, 1, Parameters),
                    (10, 2, Inside),
                    (11, 2, Inside),
                    (12, 3, No),
                ],
                &[9],
            ),
            (
                "two key frames",
                &[(9, 1, Start), (10, 1, No), (11, 2, Start), (12, 2, No)],
                &[9, 11],
            ),
            (
                "an older one that came late",
                &[(11, 2, Start), (9, 1, Start), (10, 1, No), (12, 2, No)],
                &[11],
            ),
        ] {
            assert_eq!(run(packets).0, expected, "{what}");
        }
    }

    #[test]
    fn a_replay_is_whole_and_has_a_picture() {
        let (_, keys) = run(&[(9, 1, Parameters), (10, 1, Inside), (11, 2, No)]);
        let numbers = |list: &[Published]| list.iter().map(|p| p.seq).collect::<Vec<_>>();
        assert_eq!(keys.replay(5, 10).map(numbers), Some(vec![9, 10, 11]));
        assert!(keys.replay(11, 10).is_none(), "too old");
        let (_, keys) = run(&[(9, 1, Parameters), (11, 2, No)]);
        assert!(keys.replay(5, 10).is_none(), "a gap");
        let (_, keys) = run(&[(9, 1, Parameters)]);
        assert!(keys.replay(5, 10).is_none(), "no picture");
        let (_, mut keys) = run(&[(9, 1, Start)]);
        for n in 10..10 + MAX_SINCE_KEY as u64 {
            assert!(!keys.note(0, packet(n, n as u32), No));
        }
        assert!(keys.since_key().is_empty(), "too long");
    }

    proptest! {
        /// Frames of several packets, some of them key frames, reordered: each list begins with a frame's first packet,
        /// and each key frame is found at most once.
        #[test]
        fn lists_begin_with_first_packets(
            keys in proptest::collection::vec(any::<bool>(), 40),
            delays in proptest::collection::vec(0u64..6, 160),
            signs in proptest::collection::vec(0u8..3, 40),
        ) {
            let mut packets = Vec::new();
            for (frame, key) in keys.iter().enumerate() {
                for n in 0..4 {
                    let seq = 100 + frame as u64 * 4 + n;
                    // H.264 with parameters, without any, or another codec.
                    let sign = match (key, signs[frame], n) {
                        (false, ..) => No,
                        (true, 0, 0) => Parameters,
                        (true, 0, _) | (true, 1, 2..) => Inside,
                        (true, 2, 0) => Start,
                        _ => No,
                    };
                    packets.push((seq + delays[frame * 4 + n as usize], (seq, frame as u32, sign)));
                }
            }
            packets.sort_by_key(|(time, _)| *time);
            let packets: Vec<_> = packets.into_iter().map(|(_, p)| p).collect();
            let (found, _) = run(&packets);
            for pair in found.windows(2) {
                prop_assert!(pair[0] < pair[1]);
            }
            for seq in &found {
                prop_assert!(seq % 4 == 0 && keys[((seq - 100) / 4) as usize], "{seq}");
            }
        }
    }
}
