//! One WebRTC session on str0m, set up from a Jingle offer instead of SDP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use rand::{Rng, RngExt};
use stanza::media::{
    Candidate as JingleCandidate, Fingerprint as JingleFingerprint, IceTransport, Setup,
};
use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::{DtlsCert, Fingerprint};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionMap, ExtensionValues, RtpPacket, RtpWrite, SeqNo, Ssrc};
use str0m::{Candidate, IceConnectionState, IceCreds, Input, Output, Rtc};
use thiserror::Error;

use crate::counting::Counting;
use crate::keys::{self, Keys};
use crate::session::{Codecs, LocalSources};

/// The offer cannot be used, or the session broke.
#[derive(Debug, Error)]
pub(crate) enum PeerError {
    /// The offer's transport has no credentials.
    #[error("the offer has no ICE credentials")]
    NoCredentials,
    /// The offer's transport has no fingerprint that can be read.
    #[error("the offer has no usable fingerprint")]
    NoFingerprint,
    /// str0m refused.
    #[error("WebRTC: {0}")]
    Rtc(#[from] str0m::RtcError),
    /// A datagram that is none of WebRTC's.
    #[error("datagram: {0}")]
    Datagram(#[from] str0m::error::NetError),
    /// An address that cannot be a candidate.
    #[error("candidate: {0}")]
    Ice(#[from] str0m::error::IceError),
}

/// What happened on a session.
#[derive(Debug)]
pub(crate) enum PeerEvent {
    Connected,
    ChannelOpen,
    Text(String),
    Rtp(Box<RtpPacket>),
    /// Somebody waits for a key frame, of one layer or of all.
    KeyFrameWanted(Option<usize>),
    /// No path works any more.
    Disconnected,
    Closed,
}

/// Where our datagrams come from, and what they are known by.
pub(crate) struct Local {
    pub(crate) address: SocketAddr,
    pub(crate) credentials: IceCreds,
    /// A new one, if none is given.
    pub(crate) certificate: Option<DtlsCert>,
}

/// Credentials of ICE (RFC 8445 §5.3).
pub(crate) fn credentials(rng: &mut impl Rng) -> IceCreds {
    let mut text = |length| {
        let digits = (0..length).map(|_| rng.random_range(0..36));
        digits.filter_map(|n| char::from_digit(n, 36)).collect()
    };
    IceCreds {
        ufrag: text(8),
        pass: text(24),
    }
}

pub(crate) struct Peer {
    rtc: Rtc,
    local: SocketAddr,
    channel: Option<ChannelId>,
    codecs: Codecs,
    /// What the handshake agreed on, once it has.
    keys: Option<Keys>,
    timeout: Instant,
    audio_seq: u64,
    video_seq: Vec<u64>,
    pub(crate) transmits: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(crate) events: VecDeque<PeerEvent>,
}

fn audio() -> Mid {
    Mid::from("0")
}

fn video() -> Mid {
    Mid::from("1")
}

fn extensions(codecs: &Codecs) -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    let known = [
        (codecs.audio_level, Extension::AudioLevel),
        (codecs.abs_send_time, Extension::AbsoluteSendTime),
        (codecs.transport_cc, Extension::TransportSequenceNumber),
    ];
    for (id, extension) in known {
        // str0m keeps 1 to 14.
        if let Some(id) = id.filter(|id| (1..=14).contains(id)) {
            map.set(id, extension);
        }
    }
    map
}

impl Peer {
    /// Begins the session: ICE controlled, DTLS client, the data channel opened by us.
    pub(crate) fn new(
        now: Instant,
        local: Local,
        offer: &IceTransport,
        codecs: Codecs,
        sources: &LocalSources,
    ) -> Result<Self, PeerError> {
        let mut config = Rtc::builder()
            .clear_codecs()
            .set_rtp_mode(true)
            .set_crypto_provider(keys::provider())
            .set_local_ice_credentials(local.credentials)
            .set_extension_map(extensions(&codecs));
        let params = FormatParams::default();
        let codec = config.codec_config();
        let opus = Pt::from(codecs.opus);
        codec.add_config(
            opus,
            None,
            Codec::Opus,
            Frequency::FORTY_EIGHT_KHZ,
            Some(2),
            params,
        );
        let (vp8, rtx) = (Pt::from(codecs.vp8), codecs.vp8_rtx.map(Pt::from));
        codec.add_config(vp8, rtx, Codec::Vp8, Frequency::NINETY_KHZ, None, params);
        if let Some(certificate) = local.certificate {
            config = config.set_dtls_cert(certificate);
        }
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(local.address, Protocol::Udp)?);
        let channel = begin(&mut rtc, offer, sources)?;
        let mut peer = Self {
            rtc,
            local: local.address,
            channel: Some(channel),
            codecs,
            keys: None,
            timeout: now,
            audio_seq: 0,
            video_seq: vec![0; sources.video.len()],
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        };
        peer.drain()?;
        Ok(peer)
    }

    /// Our side of the transport, for the answer.
    pub(crate) fn transport(&mut self) -> IceTransport {
        let local = self.local;
        let api = self.rtc.direct_api();
        let credentials = api.local_ice_credentials();
        let fingerprint = api.local_dtls_fingerprint();
        let hex: Vec<String> = fingerprint
            .bytes
            .iter()
            .map(|b| format!("{b:02X}"))
            .collect();
        IceTransport {
            ufrag: Some(credentials.ufrag),
            pwd: Some(credentials.pass),
            rtcp_mux: true,
            fingerprints: vec![JingleFingerprint {
                hash: fingerprint.hash_func.clone(),
                setup: Some(Setup::Active),
                cryptex: false,
                value: hex.join(":"),
            }],
            candidates: vec![JingleCandidate {
                id: "1".into(),
                foundation: "1".into(),
                component: 1,
                protocol: "udp".into(),
                priority: 2_130_706_431,
                ip: local.ip().to_string(),
                port: local.port(),
                kind: "host".into(),
                ..JingleCandidate::default()
            }],
            ..IceTransport::default()
        }
    }

    /// Adds candidates of the other side.
    pub(crate) fn add_candidates(&mut self, offer: &IceTransport) -> Result<(), PeerError> {
        add_candidates(&mut self.rtc, offer);
        self.drain()
    }

    /// Whether a datagram is for this session.
    pub(crate) fn accepts(&self, now: Instant, from: SocketAddr, bytes: &[u8]) -> bool {
        let receive = Receive::new(Protocol::Udp, from, self.local, bytes);
        receive.is_ok_and(|receive| self.rtc.accepts(&Input::Receive(now, receive)))
    }

    /// Takes a datagram.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Result<(), PeerError> {
        let receive = Receive::new(Protocol::Udp, from, self.local, bytes)?;
        self.rtc.handle_input(Input::Receive(now, receive))?;
        self.drain()
    }

    /// Lets time pass.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), PeerError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        self.drain()
    }

    /// When `handle_timeout` wants to be called.
    pub(crate) fn timeout(&self) -> Instant {
        self.timeout
    }

    /// What receives from now on without decrypting, once the session is up; `sender` is an SSRC that nothing else has.
    pub(crate) fn counting(&self, now: Instant, sender: u32) -> Option<Counting> {
        let keys = self.keys.as_ref()?.outbound()?;
        Some(Counting::new(now, keys, sender, self.codecs.transport_cc))
    }

    /// Queues a datagram that is not of str0m.
    pub(crate) fn send(&mut self, to: SocketAddr, bytes: Vec<u8>) {
        self.transmits.push_back((to, bytes));
    }

    /// Expects a stream of the bridge's.
    pub(crate) fn expect(
        &mut self,
        ssrc: u32,
        rtx: Option<u32>,
        is_video: bool,
    ) -> Result<(), PeerError> {
        let mid = if is_video { video() } else { audio() };
        self.rtc
            .direct_api()
            .expect_stream_rx(Ssrc::from(ssrc), rtx.map(Ssrc::from), mid, None);
        self.drain()
    }

    /// Asks the sender of a stream for a key frame.
    pub(crate) fn request_key_frame(&mut self, ssrc: u32) -> Result<(), PeerError> {
        if let Some(stream) = self.rtc.direct_api().stream_rx(&Ssrc::from(ssrc)) {
            stream.request_keyframe(str0m::media::KeyframeRequestKind::Pli);
        }
        self.drain()
    }

    /// Sends text on the bridge channel; without an open channel it is lost.
    pub(crate) fn send_text(&mut self, text: &str) -> Result<(), PeerError> {
        if let Some(mut channel) = self.channel.and_then(|id| self.rtc.channel(id)) {
            channel.write(false, text.as_bytes())?;
        }
        self.drain()
    }

    /// Sends an audio packet; `level` is in dBov, -127 to 0.
    pub(crate) fn send_audio(
        &mut self,
        now: Instant,
        ssrc: u32,
        timestamp: u32,
        level: i8,
        payload: Vec<u8>,
    ) -> Result<(), PeerError> {
        self.audio_seq += 1;
        let levels = ExtensionValues {
            audio_level: Some(level),
            voice_activity: Some(level > -60),
            ..ExtensionValues::default()
        };
        let pt = Pt::from(self.codecs.opus);
        let write = RtpWrite::new(pt, SeqNo::from(self.audio_seq), timestamp, now, payload)
            .ext_vals(levels);
        self.write(now, ssrc, write)
    }

    /// Sends a video packet of a layer.
    pub(crate) fn send_video(
        &mut self,
        now: Instant,
        layer: usize,
        ssrc: u32,
        timestamp: u32,
        marker: bool,
        payload: Vec<u8>,
    ) -> Result<(), PeerError> {
        let Some(seq) = self.video_seq.get_mut(layer) else {
            return Ok(());
        };
        *seq += 1;
        let pt = Pt::from(self.codecs.vp8);
        let write = RtpWrite::new(pt, SeqNo::from(*seq), timestamp, now, payload)
            .marker(marker)
            .nackable(true);
        self.write(now, ssrc, write)
    }

    fn write(&mut self, now: Instant, ssrc: u32, write: RtpWrite) -> Result<(), PeerError> {
        if let Some(stream) = self.rtc.direct_api().stream_tx(&Ssrc::from(ssrc)) {
            stream.write_rtp(write);
        }
        self.handle_timeout(now)
    }

    /// Collects what str0m has to say until it waits for time.
    fn drain(&mut self) -> Result<(), PeerError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Timeout(at) => {
                    self.timeout = at;
                    self.keys = Keys::take().or(self.keys.take());
                    return Ok(());
                }
                Output::Transmit(transmit) => {
                    let bytes = transmit.contents.to_vec();
                    self.transmits.push_back((transmit.destination, bytes));
                }
                Output::Event(event) => self.note(event),
            }
        }
    }

    fn note(&mut self, event: str0m::Event) {
        let event = match event {
            str0m::Event::Connected => PeerEvent::Connected,
            str0m::Event::ChannelOpen(..) => PeerEvent::ChannelOpen,
            str0m::Event::ChannelData(data) => match String::from_utf8(data.data) {
                Ok(text) => PeerEvent::Text(text),
                Err(_) => return,
            },
            str0m::Event::RtpPacket(packet) => PeerEvent::Rtp(Box::new(packet)),
            str0m::Event::KeyframeRequest(request) => {
                // As the streams are declared.
                let layer = request.rid.and_then(|rid| rid.to_string().parse().ok());
                PeerEvent::KeyFrameWanted(layer.filter(|_| self.codecs.each_key_frame))
            }
            str0m::Event::IceConnectionStateChange(IceConnectionState::Disconnected) => {
                PeerEvent::Disconnected
            }
            str0m::Event::Closed => PeerEvent::Closed,
            _ => return,
        };
        self.events.push_back(event);
    }
}

fn begin(
    rtc: &mut Rtc,
    offer: &IceTransport,
    sources: &LocalSources,
) -> Result<ChannelId, PeerError> {
    let (Some(ufrag), Some(pass)) = (offer.ufrag.clone(), offer.pwd.clone()) else {
        return Err(PeerError::NoCredentials);
    };
    let fingerprint = offer
        .fingerprints
        .iter()
        .find_map(read_fingerprint)
        .ok_or(PeerError::NoFingerprint)?;
    let mut api = rtc.direct_api();
    api.set_ice_controlling(false);
    api.set_remote_ice_credentials(IceCreds { ufrag, pass });
    api.set_remote_fingerprint(fingerprint);
    api.declare_media(audio(), MediaKind::Audio);
    api.declare_media(video(), MediaKind::Video);
    api.declare_stream_tx(Ssrc::from(sources.audio), None, audio(), None);
    for (layer, (ssrc, rtx)) in sources.video.iter().enumerate() {
        let rid = str0m::media::Rid::from(layer.to_string().as_str());
        api.declare_stream_tx(
            Ssrc::from(*ssrc),
            Some(Ssrc::from(*rtx)),
            video(),
            Some(rid),
        );
    }
    api.enable_twcc_feedback();
    api.start_dtls(true)?;
    api.start_sctp(true);
    let channel = api.create_data_channel(ChannelConfig {
        label: "JVB data channel".into(),
        protocol: "http://jitsi.org/protocols/colibri".into(),
        ..ChannelConfig::default()
    });
    add_candidates(rtc, offer);
    Ok(channel)
}

fn add_candidates(rtc: &mut Rtc, offer: &IceTransport) {
    for candidate in offer.candidates.iter().filter(|c| c.protocol == "udp") {
        let address = candidate
            .ip
            .parse()
            .map(|ip| SocketAddr::new(ip, candidate.port));
        if let Ok(Ok(candidate)) = address.map(|a| Candidate::host(a, Protocol::Udp)) {
            rtc.add_remote_candidate(candidate);
        }
    }
}

fn read_fingerprint(fingerprint: &JingleFingerprint) -> Option<Fingerprint> {
    let bytes: Result<Vec<u8>, _> = fingerprint
        .value
        .trim()
        .split(':')
        .map(|byte| u8::from_str_radix(byte, 16))
        .collect();
    Some(Fingerprint {
        hash_func: fingerprint.hash.clone(),
        bytes: bytes.ok().filter(|bytes| !bytes.is_empty())?,
    })
}
