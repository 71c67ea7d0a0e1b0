//! Who watches: asks for what is missing, says what came, and for a key frame when it is stuck.

use super::pictures::Packet;
use super::support::{World, is_rtx};
use rtp::RtpView;
use rtp::rtcp::{ReportBlock, Writer};
use rtp::seq::Unwrapper;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

const ASK_EVERY: Duration = Duration::from_millis(60);
const REPORT_EVERY: Duration = Duration::from_millis(300);
/// A hole that is older than this is given up.
const STUCK: Duration = Duration::from_millis(400);

#[derive(Default)]
pub(crate) struct Viewer {
    ssrc: Option<u32>,
    numbers: Unwrapper,
    packets: BTreeMap<u64, Packet>,
    /// Missing ones: when they were missed, and when they were last asked for.
    missing: HashMap<u64, (Instant, Option<Instant>)>,
    checked: u64,
    next_report: Option<Instant>,
}

impl Viewer {
    /// Takes what the client got since, and lets it answer.
    pub(crate) fn step(&mut self, w: &mut World, client: usize) {
        let now = w.now;
        let client = &mut w.clients[client];
        for packet in std::mem::take(client.video.as_mut().unwrap()) {
            let view = RtpView::parse(&packet).unwrap();
            let rtx = is_rtx(view.payload_type);
            let streams = client.receiver.streams.values().map(|s| &s.entry);
            let mut entries = streams.filter(|e| match rtx {
                true => e.rtx == Some(view.ssrc.0),
                false => e.ssrc == view.ssrc.0,
            });
            let ssrc = entries.next().unwrap().ssrc;
            assert_eq!(*self.ssrc.get_or_insert(ssrc), ssrc, "one source, one SSRC");
            let (seq, payload) = match rtx {
                false => (view.sequence_number, view.payload()),
                true => match rtp::rtx::unwrap(view.payload()) {
                    Some(unwrapped) => unwrapped,
                    None => continue,
                },
            };
            if !payload.is_empty() {
                self.take(now, seq, &view, payload);
            }
        }
        let mut buf = vec![0; 4_000];
        let mut writer = Writer::new(&mut buf);
        self.answer(now, &mut writer);
        let len = writer.len();
        buf.truncate(len);
        if len > 0 {
            client.outbox.1.push(buf);
        }
    }

    fn take(&mut self, now: Instant, seq: u16, view: &RtpView<'_>, payload: &[u8]) {
        let seq = self.numbers.unwrap(seq);
        let packet = Packet {
            seq,
            timestamp: view.timestamp,
            marker: view.marker,
            payload: payload.to_vec(),
        };
        if self.packets.is_empty() {
            self.checked = seq;
        }
        for n in self.checked + 1..seq {
            self.missing.entry(n).or_insert((now, None));
        }
        self.checked = self.checked.max(seq);
        self.missing.remove(&seq);
        if let Some(old) = self.packets.insert(seq, packet.clone()) {
            assert_eq!(old, packet, "a number is of one packet");
        }
    }

    fn answer(&mut self, now: Instant, writer: &mut Writer<'_>) {
        let (Some(ssrc), Some(highest)) = (self.ssrc, self.numbers.highest()) else {
            return;
        };
        let mut ask = Vec::new();
        for (seq, (_, asked)) in &mut self.missing {
            if asked.is_none_or(|at| now - at >= ASK_EVERY) {
                *asked = Some(now);
                ask.push(*seq as u16);
            }
        }
        let count = self.missing.len();
        self.missing.retain(|_, (since, _)| now - *since < STUCK);
        ask.sort_unstable();
        ask.truncate(100);
        if !ask.is_empty() {
            writer.nack(9.into(), ssrc.into(), &ask).unwrap();
        }
        if self.missing.len() < count {
            writer.pli(9.into(), ssrc.into()).unwrap();
        }
        if self.next_report.is_none_or(|at| now >= at) {
            self.next_report = Some(now + REPORT_EVERY);
            let block = ReportBlock {
                ssrc: ssrc.into(),
                fraction_lost: 0,
                cumulative_lost: 0,
                highest_seq: (highest - 65_536) as u32,
                jitter: 0,
                last_sr: 0,
                delay_since_last_sr: 0,
            };
            writer.receiver_report(9.into(), &[block]).unwrap();
        }
    }

    /// All that came, in its order; time goes on from picture to picture, and each of which nothing is missing ends with its
    /// mark.
    pub(crate) fn packets(&self, what: &str) -> Vec<Packet> {
        let list: Vec<Packet> = self.packets.values().cloned().collect();
        for pair in list.windows(2) {
            let step = rtp::seq::diff32(pair[1].timestamp, pair[0].timestamp);
            let next = pair[1].seq == pair[0].seq + 1;
            assert!(step >= 0, "{what}: time goes back by {step}");
            if next {
                assert_eq!(
                    step > 0,
                    pair[0].marker,
                    "{what}: a picture ends with its mark, {}",
                    pair[0].seq
                );
            }
        }
        list
    }
}
