//! The data channel: SCTP over DTLS (RFC 8831) and its opening (DCEP, RFC 8832). One channel, text messages.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use dcsctp::api::{
    DcSctpSocket, Message, Options, PpId, SendError as SctpSendError, SendOptions, Socket,
    SocketEvent, SocketTime, StreamId,
};

use super::SendError;
use crate::sctp_init::{INIT, SctpInit};

/// Payload protocol identifiers (RFC 8831 §8).
const PPID_DCEP: PpId = PpId(50);
const PPID_STRING: PpId = PpId(51);
const PPID_STRING_EMPTY: PpId = PpId(56);

const DCEP_ACK: u8 = 0x02;
const DCEP_OPEN: u8 = 0x03;
/// Length of an opening message before label and protocol.
const OPEN_HEAD_LEN: usize = 12;
/// Longest label and subprotocol accepted, bytes.
const MAX_NAME_LEN: usize = 256;

/// Longest time between retransmissions: how long a path that is back may wait for what it lost. A line whose round trip is
/// longer carries no conversation.
const MAX_BACKOFF: Duration = Duration::from_millis(1_500);
/// A peer of which no INIT came this long after DTLS, or after its last INIT, is met half way: its own repeats come after
/// one, two and four seconds more, and no video is sent before it has told what it wants.
pub(super) const PATIENCE: Duration = Duration::from_millis(600);
/// Chunk type of COOKIE ECHO (RFC 9260 §3.3.11), and where the type of a packet's first chunk is.
const COOKIE_ECHO: u8 = 10;
pub(super) const FIRST_CHUNK: usize = 12;
/// First retransmission while the association is set up, when we begin it.
const SETUP_RTO: Duration = Duration::from_millis(300);
/// Buffer for what is not yet acknowledged or sent.
const SEND_BUFFER: usize = 1 << 20;
/// Streams each way.
const STREAMS: u16 = 1024;
/// Packets waiting for the association to exist.
const MAX_EARLY_PACKETS: usize = 16;

/// A socket of the library.
///
/// It counts references to its own parts without atomics, so it is not `Send` by itself.
struct SendSocket(Socket);

#[allow(
    unsafe_code,
    reason = "the library keeps its socket to one thread by its choice of Rc only"
)]
// SAFETY: all reference-counted parts of `dcsctp::Socket` (its clock and its event queue, dcsctp 0.1.16
// `src/socket/mod.rs`) are made in `Socket::new`, held only by parts of the same socket, and never handed out by its
// interface, whose results are owned values. Moving the socket moves all counters together, and it is not `Sync`, so
// they are only touched by one thread at a time. The manifest pins this exact version.
unsafe impl Send for SendSocket {}

/// What came out of the channel.
pub(super) enum ChannelEvent {
    /// An SCTP packet for the peer.
    Send(Vec<u8>),
    /// Open: label and subprotocol.
    Open { label: String, protocol: String },
    /// A text message.
    Message(String),
    /// The channel or the association is gone.
    Closed,
}

/// A channel that we open ourselves.
#[derive(Clone, Debug)]
pub(super) struct Opening {
    pub(super) stream: u16,
    pub(super) label: String,
    pub(super) protocol: String,
}

/// One SCTP association with at most one channel.
pub(super) struct Channel {
    socket: SendSocket,
    epoch: Instant,
    /// The last time we were told of.
    now: Instant,
    max_message_size: usize,
    stream: Option<StreamId>,
    open: bool,
    opening: Option<Opening>,
    /// When to send our own INIT, unless the association is up by then (RFC 9260 §5.2.1: both may begin it).
    begin_at: Option<Instant>,
    /// What we said last to set up the association, and when to say it again: the library doubles its wait without limit.
    repeat: Option<(Vec<u8>, Instant)>,
    /// Messages not used: binary, not UTF-8, on another stream, too long.
    pub(super) dropped: u64,
    events: VecDeque<ChannelEvent>,
}

impl Channel {
    /// What would stand in our INIT.
    pub(super) fn init(max_message_size: usize, rng: &mut impl rand::Rng) -> SctpInit {
        SctpInit::new(window(max_message_size), STREAMS, rng)
    }

    /// Begins an association: waits a moment for the peer's INIT, or sends ours if `opening` says which channel to open. With
    /// both INITs `known` it is there at once.
    pub(super) fn new(
        now: Instant,
        max_message_size: usize,
        opening: Option<Opening>,
        known: Option<(SctpInit, SctpInit)>,
    ) -> Self {
        let options = Options {
            announced_maximum_incoming_streams: STREAMS,
            announced_maximum_outgoing_streams: STREAMS,
            max_message_size,
            max_receiver_window_buffer_size: window(max_message_size),
            max_send_buffer_size: SEND_BUFFER.max(2 * max_message_size),
            per_stream_send_queue_limit: SEND_BUFFER.max(2 * max_message_size),
            t1_init_timeout: SETUP_RTO,
            t1_cookie_timeout: SETUP_RTO,
            max_timer_backoff_duration: Some(MAX_BACKOFF),
            // ICE consent decides whether the peer is gone, not SCTP.
            max_retransmissions: None,
            max_init_retransmits: None,
            ..Options::default()
        };
        let mut channel = Self {
            socket: SendSocket(Socket::new("", &options)),
            epoch: now,
            now,
            max_message_size,
            stream: None,
            open: false,
            begin_at: opening.is_none().then(|| now + PATIENCE),
            opening,
            repeat: None,
            dropped: 0,
            events: VecDeque::new(),
        };
        let restored = known.is_some_and(|(ours, peers)| {
            let state = ours.with(peers);
            channel.socket.0.restore_from_state(&state).is_ok()
        });
        if channel.opening.is_some() && !restored {
            channel.socket.0.connect();
        }
        channel.drain();
        channel
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    fn advance(&mut self, now: Instant) {
        self.now = now;
        self.socket
            .0
            .advance_time(SocketTime::zero() + now.saturating_duration_since(self.epoch));
    }

    pub(super) fn handle(&mut self, now: Instant, packet: &[u8]) {
        self.advance(now);
        if self.begin_at.is_some() && packet.get(FIRST_CHUNK) == Some(&INIT) {
            // It has begun; our answer may be on its way.
            self.begin_at = Some(now + PATIENCE);
        }
        self.socket.0.handle_input(packet);
        self.drain();
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if self.begin_at.take_if(|at| *at <= now).is_some() {
            self.socket.0.connect();
        }
        self.drain();
        if let Some((packet, at)) = self.repeat.as_mut().filter(|(_, at)| *at <= now) {
            *at = now + MAX_BACKOFF;
            self.events.push_back(ChannelEvent::Send(packet.clone()));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let at = self.socket.0.poll_timeout();
        // "Never" is the largest time there is, which no instant can express.
        (at != SocketTime::infinite_future())
            .then(|| at - SocketTime::zero())
            .and_then(|d| self.epoch.checked_add(d))
            .into_iter()
            .chain(self.begin_at)
            .chain(self.repeat.as_ref().map(|(_, at)| *at))
            .min()
    }

    pub(super) fn poll_event(&mut self) -> Option<ChannelEvent> {
        self.events.pop_front()
    }

    /// Queues a text message.
    pub(super) fn send(&mut self, now: Instant, text: &str) -> Result<(), SendError> {
        let stream = self
            .stream
            .filter(|_| self.open)
            .ok_or(SendError::NotOpen)?;
        if text.len() > self.max_message_size {
            return Err(SendError::TooLong);
        }
        self.advance(now);
        // RFC 8831 §6.6: SCTP cannot carry nothing; one byte stands for the empty string.
        let (ppid, payload) = match text {
            "" => (PPID_STRING_EMPTY, vec![0]),
            _ => (PPID_STRING, text.as_bytes().to_vec()),
        };
        let sent = self
            .socket
            .0
            .send(Message::new(stream, ppid, payload), &SendOptions::default());
        self.drain();
        sent.map_err(|e| match e {
            SctpSendError::MessageTooLarge { .. } => SendError::TooLong,
            SctpSendError::ResourceExhaustion => SendError::Full,
            SctpSendError::EmptyPayload | SctpSendError::ShuttingDown => SendError::NotOpen,
        })
    }

    /// Moves everything out of the socket.
    fn drain(&mut self) {
        loop {
            while let Some(event) = self.socket.0.poll_event() {
                self.socket_event(event);
            }
            match self.socket.0.get_next_message() {
                Some(message) => self.message(message),
                None => break,
            }
        }
        // Answers to the last message.
        while let Some(event) = self.socket.0.poll_event() {
            self.socket_event(event);
        }
    }

    fn socket_event(&mut self, event: SocketEvent) {
        match event {
            SocketEvent::SendPacket(packet) => {
                if matches!(packet.get(FIRST_CHUNK), Some(&(INIT | COOKIE_ECHO))) {
                    self.repeat = Some((packet.clone(), self.now + MAX_BACKOFF));
                }
                self.events.push_back(ChannelEvent::Send(packet));
            }
            SocketEvent::OnConnected() => {
                self.begin_at = None;
                self.repeat = None;
                self.send_open();
            }
            SocketEvent::OnClosed()
            | SocketEvent::OnAborted(..)
            | SocketEvent::OnConnectionRestarted() => self.close(),
            SocketEvent::OnIncomingStreamReset(streams) => {
                let Some(ours) = self.stream else { return };
                if streams.is_empty() || streams.contains(&ours) {
                    // RFC 8831 §6.7: closing is answered by resetting our own direction.
                    let _ = self.socket.0.reset_streams(&[ours]);
                    self.close();
                }
            }
            _ => {}
        }
    }

    fn close(&mut self) {
        self.stream = None;
        self.repeat = None;
        if std::mem::take(&mut self.open) {
            self.events.push_back(ChannelEvent::Closed);
        }
    }

    /// Opens our own channel, if we shall.
    fn send_open(&mut self) {
        let Some(opening) = &self.opening else { return };
        let (label, protocol) = (opening.label.as_bytes(), opening.protocol.as_bytes());
        let (Ok(label_len), Ok(protocol_len)) =
            (u16::try_from(label.len()), u16::try_from(protocol.len()))
        else {
            return;
        };
        let mut payload = vec![DCEP_OPEN, 0, 0, 0, 0, 0, 0, 0]; // reliable, ordered, priority 0
        payload.extend_from_slice(&label_len.to_be_bytes());
        payload.extend_from_slice(&protocol_len.to_be_bytes());
        payload.extend_from_slice(label);
        payload.extend_from_slice(protocol);
        let stream = StreamId(opening.stream);
        self.stream = Some(stream);
        self.dcep(stream, payload);
    }

    fn dcep(&mut self, stream: StreamId, payload: Vec<u8>) {
        if self
            .socket
            .0
            .send(
                Message::new(stream, PPID_DCEP, payload),
                &SendOptions::default(),
            )
            .is_err()
        {
            self.dropped += 1;
        }
    }

    fn message(&mut self, message: Message) {
        if message.ppid == PPID_DCEP {
            return self.control(message.stream_id, &message.payload);
        }
        let expected = self.open && self.stream == Some(message.stream_id);
        let text = match message.ppid {
            PPID_STRING if message.payload.len() <= self.max_message_size => {
                String::from_utf8(message.payload).ok()
            }
            PPID_STRING_EMPTY => Some(String::new()),
            _ => None,
        };
        match text.filter(|_| expected) {
            Some(text) => self.events.push_back(ChannelEvent::Message(text)),
            None => self.dropped += 1,
        }
    }

    fn control(&mut self, stream: StreamId, payload: &[u8]) {
        match payload.first() {
            Some(&DCEP_ACK) if self.stream == Some(stream) && !self.open => {
                let Some(opening) = self.opening.clone() else {
                    return;
                };
                self.opened(opening.label, opening.protocol);
            }
            Some(&DCEP_OPEN) => match parse_open(payload) {
                Some((label, protocol)) if self.stream.is_none() => {
                    self.stream = Some(stream);
                    self.dcep(stream, vec![DCEP_ACK]);
                    self.opened(label, protocol);
                }
                _ => self.dropped += 1,
            },
            _ => self.dropped += 1,
        }
    }

    fn opened(&mut self, label: String, protocol: String) {
        self.open = true;
        self.events
            .push_back(ChannelEvent::Open { label, protocol });
    }
}

#[cfg(test)]
impl Channel {
    /// Sends any message, as a peer of another kind could.
    pub(super) fn send_raw(&mut self, now: Instant, stream: u16, ppid: u32, payload: &[u8]) {
        self.advance(now);
        let message = Message::new(StreamId(stream), PpId(ppid), payload.to_vec());
        self.socket
            .0
            .send(message, &SendOptions::default())
            .unwrap();
        self.drain();
    }

    /// Resets an outgoing stream.
    pub(super) fn reset(&mut self, now: Instant, stream: u16) {
        self.advance(now);
        self.socket.0.reset_streams(&[StreamId(stream)]).unwrap();
        self.drain();
    }

    /// Our verification tag, which the peer's packets carry.
    pub(super) fn tag(&self) -> Option<u32> {
        Some(self.socket.0.verification_tag()).filter(|tag| *tag != 0)
    }
}

/// Bytes that the peer may send before the application has taken any.
fn window(max_message_size: usize) -> usize {
    2 * max_message_size.max(256 * 1024)
}

impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Channel")
            .field("stream", &self.stream)
            .field("open", &self.open)
            .finish()
    }
}

/// Label and subprotocol of a DATA_CHANNEL_OPEN (RFC 8832 §5.1). Reliability and order are the sender's affair.
fn parse_open(payload: &[u8]) -> Option<(String, String)> {
    let (head, names) = payload.split_at_checked(OPEN_HEAD_LEN)?;
    let label_len = usize::from(u16::from_be_bytes([head[8], head[9]]));
    let protocol_len = usize::from(u16::from_be_bytes([head[10], head[11]]));
    if label_len > MAX_NAME_LEN || protocol_len > MAX_NAME_LEN {
        return None;
    }
    let (label, rest) = names.split_at_checked(label_len)?;
    let protocol = rest.get(..protocol_len)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
    Some((text(label)?, text(protocol)?))
}

/// Holds SCTP packets that come before the association exists.
#[derive(Debug, Default)]
pub(super) struct EarlyPackets(VecDeque<Vec<u8>>);

impl EarlyPackets {
    pub(super) fn push(&mut self, packet: Vec<u8>) {
        if self.0.len() < MAX_EARLY_PACKETS {
            self.0.push_back(packet);
        }
    }

    pub(super) fn take(&mut self) -> VecDeque<Vec<u8>> {
        std::mem::take(&mut self.0)
    }
}
