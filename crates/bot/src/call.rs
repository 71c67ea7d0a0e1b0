//! One session of a bot with a bridge: its peer, and the streams that come on it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stanza::jingle::{Jingle, Moving};

use crate::counting::Counting;
use crate::media::voice_stamp;
use crate::pauses::Pauses;
use crate::peer::{Peer, PeerError};
use crate::receive::{Assembler, Gaps, SourceStats, Tally};

/// How long a receiver needs to be ready for a newly announced stream, as browsers do: what came before is lost.
const RENEGOTIATION: Duration = Duration::from_millis(150);
/// How often a receiver without a picture asks for a key frame, as browsers do.
const KEY_FRAME_RETRY: Duration = Duration::from_millis(200);
/// Sound that came so lately is wanted on another session too before this one is left.
const HEARD: Duration = Duration::from_millis(200);

struct Stream {
    source: String,
    rtx: Option<u32>,
    is_video: bool,
    gaps: Gaps,
    assembler: Assembler,
    /// When the receiver for it is ready.
    ready_at: Option<Instant>,
    asked_at: Instant,
    heard_at: Option<Instant>,
}

/// What came, by source name.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) video: BTreeMap<String, SourceStats>,
    pub(crate) audio: BTreeMap<String, u64>,
    pub(crate) latencies: Vec<u64>,
    pub(crate) voice_latencies: Vec<u64>,
    pub(crate) tally: Tally,
    pub(crate) pauses: Pauses,
}

impl Seen {
    /// What is shown from now on is what came on another session.
    pub(crate) fn go_on_with(&mut self, other: Self) {
        for (source, theirs) in other.video {
            match self.video.get_mut(&source) {
                Some(ours) => ours.go_on_with(&theirs),
                None => {
                    self.video.insert(source, theirs);
                }
            }
        }
        for (source, packets) in other.audio {
            self.audio.entry(source).or_insert(packets);
        }
        self.tally = self.tally.plus(other.tally);
    }
}

/// See the module.
pub(crate) struct Call {
    pub(crate) offer: Jingle,
    pub(crate) peer: Peer,
    /// When ICE and DTLS were done, or a spare session came to carry something.
    pub(crate) connected: Option<Instant>,
    pub(crate) channel_open: bool,
    /// The focus was told that its media are dead.
    pub(crate) complained: bool,
    /// Highest picture of ours that the bridge wants, once it has said so.
    pub(crate) wanted: Option<i32>,
    /// Nothing goes over it yet.
    pub(crate) spare: bool,
    streams: BTreeMap<u32, Stream>,
    /// What comes is counted and not decrypted; and where the bridge is.
    counting: Option<(Counting, SocketAddr)>,
}

impl Call {
    pub(crate) fn new(offer: Jingle, peer: Peer) -> Self {
        Self {
            offer,
            peer,
            connected: None,
            channel_open: false,
            complained: false,
            wanted: None,
            spare: false,
            streams: BTreeMap::new(),
            counting: None,
        }
    }

    /// Whether a session is offered beside this one. A spare one may come while this one is still being connected.
    pub(crate) fn bears(&self, offer: &Jingle) -> bool {
        match &offer.moving {
            Some(Moving::Beside(sid)) => sid == self.sid() && self.connected.is_some(),
            Some(Moving::Spare(sid)) => sid == self.sid(),
            _ => false,
        }
    }

    /// A spare session is one like others from now on.
    pub(crate) fn fill(&mut self, now: Instant) {
        self.spare = false;
        self.connected = self.connected.map(|_| now);
    }

    /// Whether media go over it.
    pub(crate) fn carries(&self) -> bool {
        self.connected.is_some() && !self.spare
    }

    pub(crate) fn sid(&self) -> &str {
        &self.offer.sid
    }

    /// Cameras received now.
    pub(crate) fn pictures(&self) -> usize {
        self.streams.values().filter(|s| s.is_video).count()
    }

    /// When something is to be done for a stream.
    pub(crate) fn stream_due(&self) -> Option<Instant> {
        let ready = self.streams.values().filter_map(|s| s.ready_at).min();
        let feedback = self.counting.as_ref().map(|(counting, _)| counting.due());
        ready.into_iter().chain(feedback).min()
    }

    /// Takes a datagram of media by counting it. Where nothing is counted yet, it begins, with feedback from `sender`.
    pub(crate) fn count(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
        sender: u32,
        seen: &mut Seen,
    ) -> bool {
        if self.counting.is_none() {
            let counting = self.peer.counting(now, sender);
            self.counting = counting.map(|counting| (counting, from));
        }
        let taken = self.counting.as_mut();
        let Some(packet) = taken.and_then(|(counting, _)| counting.take(now, bytes)) else {
            return false;
        };
        // Repairs and padding come on other streams: those are not expected here.
        if let Some(stream) = self.streams.get_mut(&packet.ssrc) {
            let seq = stream.gaps.unwrap(packet.seq);
            stream.gaps.note(seq, &mut seen.tally.lost);
            let (packets, all) = match stream.is_video {
                true => (&mut seen.tally.video_packets, &mut seen.tally.video_bytes),
                false => (&mut seen.tally.audio_packets, &mut seen.tally.audio_bytes),
            };
            *packets += 1;
            *all += packet.bytes as u64;
        }
        true
    }

    /// The bridge says which SSRC carries a source.
    pub(crate) fn map(
        &mut self,
        now: Instant,
        ssrc: u32,
        source: String,
        rtx: Option<u32>,
        seen: &mut Seen,
    ) {
        // A map may come again while its stream is still being made.
        let ready_at = match self.streams.get(&ssrc) {
            Some(stream) => stream.ready_at,
            None => Some(now + RENEGOTIATION),
        };
        self.streams
            .retain(|other, stream| *other == ssrc || stream.source != source);
        let is_video = rtx.is_some();
        if is_video {
            seen.video.entry(source.clone()).or_default();
        }
        let stream = Stream {
            source,
            rtx,
            is_video,
            gaps: Gaps::default(),
            assembler: Assembler::default(),
            ready_at,
            asked_at: now,
            heard_at: None,
        };
        self.streams.insert(ssrc, stream);
    }

    /// Makes the receivers that are due, and asks for the pictures that are missing.
    pub(crate) fn receive_due(&mut self, now: Instant) -> Result<(), PeerError> {
        let peer = &mut self.peer;
        if let Some((counting, bridge)) = &mut self.counting {
            for feedback in counting.feedback(now) {
                peer.send(*bridge, feedback);
            }
        }
        let counts = self.counting.is_some();
        for (ssrc, stream) in &mut self.streams {
            if stream.ready_at.is_some_and(|at| at <= now) {
                stream.ready_at = None;
                peer.expect(*ssrc, stream.rtx, stream.is_video)?;
                stream.asked_at = now;
            }
            if stream.is_video
                && !counts
                && stream.ready_at.is_none()
                && stream.assembler.lacks_picture(now)
                && stream.asked_at + KEY_FRAME_RETRY <= now
            {
                stream.asked_at = now;
                peer.request_key_frame(*ssrc)?;
            }
        }
        Ok(())
    }

    /// Takes a packet; `elapsed` is the time since the zero of stamps, in microseconds.
    pub(crate) fn handle_rtp(
        &mut self,
        now: Instant,
        elapsed: u64,
        packet: &str0m::rtp::RtpPacket,
        seen: &mut Seen,
    ) {
        let Some(stream) = self.streams.get_mut(&*packet.header.ssrc) else {
            return;
        };
        stream.heard_at = Some(now);
        stream.gaps.note(*packet.seq_no, &mut seen.tally.lost);
        let bytes = packet.payload.len() as u64;
        if !stream.is_video {
            seen.tally.audio_packets += 1;
            seen.tally.audio_bytes += bytes;
            seen.pauses.heard(now);
            match seen.audio.get_mut(&stream.source) {
                Some(packets) => *packets += 1,
                None => {
                    seen.audio.insert(stream.source.clone(), 1);
                }
            }
            let stamp = voice_stamp(&packet.payload);
            let latency = stamp.map(|stamp| elapsed.saturating_sub(stamp));
            seen.voice_latencies.extend(latency);
            return;
        }
        seen.tally.video_packets += 1;
        seen.tally.video_bytes += bytes;
        let Some(stats) = seen.video.get_mut(&stream.source) else {
            return;
        };
        let header = &packet.header;
        let shown = stats.decoded;
        stream.assembler.receive(
            now,
            *packet.seq_no,
            header.timestamp,
            header.marker,
            &packet.payload,
            stats,
        );
        if stats.decoded > shown {
            seen.pauses.saw(now, &stream.source);
        }
        for stamp in stream.assembler.stamps.drain(..) {
            seen.latencies.push(elapsed.saturating_sub(stamp));
        }
    }

    /// Whether everything that is seen and heard on another session is seen and heard on this one.
    pub(crate) fn has_all_of(&self, now: Instant, other: &Self) -> bool {
        let comes = |stream: &Stream| match stream.is_video {
            true => stream.assembler.moves(now),
            false => stream.heard_at.is_some_and(|at| at + HEARD >= now),
        };
        let mut there = other.streams.values().filter(|stream| comes(stream));
        there.all(|stream| {
            let mut here = self.streams.values();
            here.any(|s| s.source == stream.source && s.is_video == stream.is_video && comes(s))
        })
    }

    /// What comes on it is shown from now on, in place of what came on another session: not what was shown already.
    pub(crate) fn go_on(&mut self) {
        for stream in self.streams.values_mut() {
            stream.assembler.go_on();
        }
    }
}
