//! Receiving without decrypting: what is counted stands in the clear headers, and the bridge is told what came.
//!
//! An independent stack takes several times the processor for a packet that a bridge takes to send it. So that one
//! processor can receive what another one forwards at most, a participant who has joined as usual may go on like this.

use std::time::{Duration, Instant};

use rtc::srtp::{MAX_OVERHEAD, Outbound};
use rtp::rtcp::twcc::Recorder;
use rtp::{RtpView, Ssrc, ext};

/// Feedback is sent this often, as browsers do at these rates.
const FEEDBACK: Duration = Duration::from_millis(50);
/// Most bytes of one feedback.
const MOST: usize = 1_100;

/// See the module.
pub(crate) struct Counting {
    keys: Outbound,
    /// Who the feedback is from: an SSRC of its own, since each numbers its own messages.
    sender: Ssrc,
    transport_cc: Option<u8>,
    arrivals: Recorder,
    epoch: Instant,
    due: Instant,
    media: Ssrc,
}

/// What the clear part of a packet says.
pub(crate) struct Counted {
    pub(crate) ssrc: u32,
    pub(crate) seq: u16,
    /// Bytes of the payload, encrypted.
    pub(crate) bytes: usize,
}

impl Counting {
    pub(crate) fn new(now: Instant, keys: Outbound, sender: u32, transport_cc: Option<u8>) -> Self {
        Self {
            keys,
            sender: Ssrc(sender),
            transport_cc,
            arrivals: Recorder::new(),
            epoch: now,
            due: now + FEEDBACK,
            media: Ssrc(0),
        }
    }

    /// Takes a datagram if it is RTP (RFC 7983 §7, RFC 5761 §4).
    pub(crate) fn take(&mut self, now: Instant, bytes: &[u8]) -> Option<Counted> {
        let [128..=191, payload_type, ..] = bytes else {
            return None;
        };
        if (192..=223).contains(payload_type) {
            return None;
        }
        let header = rtp::RtpHeader::parse_encrypted(bytes).ok()?;
        let view = RtpView::new(bytes, header);
        let number = self.transport_cc.and_then(|id| view.extension(id));
        if let Some(number) = number.and_then(ext::transport_seq) {
            let micros = now.saturating_duration_since(self.epoch).as_micros() as u64;
            self.arrivals.record(number, micros);
            self.media = header.ssrc;
        }
        Some(Counted {
            ssrc: header.ssrc.0,
            seq: header.sequence_number,
            bytes: view.payload().len(),
        })
    }

    /// When [`Counting::feedback`] has something to say.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// Reports what came, once it is time.
    pub(crate) fn feedback(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        if now < self.due {
            return all;
        }
        self.due = now + FEEDBACK;
        loop {
            let mut packet = vec![0; MOST + MAX_OVERHEAD];
            let written = self
                .arrivals
                .write(self.sender, self.media, &mut packet[..MOST]);
            let Ok(length @ 1..) = written else {
                return all;
            };
            let Ok(length) = self.keys.protect_rtcp(&mut packet, length) else {
                return all;
            };
            packet.truncate(length);
            all.push(packet);
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant")]
mod tests {
    use super::*;
    use rtc::srtp::{DtlsRole, Profile, contexts};
    use rtp::rtcp::{Rtcp, packets};

    /// A packet with transport-wide number `number` as extension 5.
    fn packet(seq: u16, number: u16) -> Vec<u8> {
        let mut packet = vec![0x90, 100];
        packet.extend(seq.to_be_bytes());
        packet.extend([0, 0, 0, 0, 0, 0, 0, 7, 0xBE, 0xDE, 0, 1, 0x51]);
        packet.extend(number.to_be_bytes());
        packet.extend([0; 40]);
        packet
    }

    #[test]
    fn what_came_and_what_did_not_is_reported_to_the_bridge() {
        let material: Vec<u8> = (0..88).collect();
        let profile = Profile::AeadAes256Gcm;
        let (_, keys) = contexts(profile, &material, DtlsRole::Client).unwrap();
        let (mut bridge, _) = contexts(profile, &material, DtlsRole::Server).unwrap();
        let now = Instant::now();
        let mut counting = Counting::new(now, keys, 9, Some(5));
        for n in (0..20u16).filter(|n| n % 7 != 3) {
            let counted = counting.take(now + 2 * FEEDBACK, &packet(n, 500 + n));
            let counted = counted.unwrap();
            assert_eq!((counted.ssrc, counted.seq), (7, n));
        }
        assert!(counting.feedback(now).is_empty(), "not yet");
        let all = counting.feedback(now + 2 * FEEDBACK);
        let mut arrivals = Vec::new();
        for mut packet in all {
            let length = bridge.unprotect_rtcp(&mut packet).unwrap();
            for rtcp in packets(&packet[..length]) {
                let Ok(Rtcp::Twcc(twcc)) = rtcp else {
                    continue;
                };
                arrivals.extend(twcc.arrivals().map(|(n, at)| (n, at.is_some())));
            }
        }
        let expected = (0..20u16).map(|n| (500 + n, n % 7 != 3));
        assert_eq!(arrivals, expected.collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_media_is_not_taken() {
        let material: Vec<u8> = (0..88).collect();
        let (_, keys) = contexts(Profile::AeadAes256Gcm, &material, DtlsRole::Client).unwrap();
        let now = Instant::now();
        let mut counting = Counting::new(now, keys, 9, Some(5));
        let mut rtcp = packet(1, 1);
        rtcp[1] = 205;
        let stun = [&[0, 1][..], &[0; 30]].concat();
        for other in [&rtcp[..], &stun, &[], &[0x80], &[22; 40]] {
            assert!(counting.take(now, other).is_none());
        }
    }
}
