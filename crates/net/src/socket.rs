//! The socket: bursts in, bursts out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::arena::{Run, SendArena};
use crate::message::{Messages, since_1970};
use crate::plain::PlainPaths;
use crate::slab::{ReceiveSlab, Received, SLOT_LEN, STRIDE};

/// Messages of one send call.
const SEND_BURST: usize = 64;
/// Segments the kernel takes in one message.
const MAX_SEGMENTS: usize = 64;
/// Bytes of all segments of one message.
const MAX_MESSAGE: usize = 65_000;

/// An option that is switched on.
const ON: libc::c_int = 1;

/// How to open a socket.
#[derive(Clone, Debug)]
pub struct UdpConfig {
    /// Address to bind; the unspecified one of a family binds all of that family.
    pub bind: SocketAddr,
    /// Receive buffer wanted, bytes; the kernel may grant less.
    pub receive_buffer: usize,
    /// Send buffer wanted, bytes; the kernel may grant less.
    pub send_buffer: usize,
    /// Use UDP segmentation offload on receive and send where the kernel has it.
    pub offload: bool,
}

impl UdpConfig {
    /// Receive buffer of a shard's socket, bytes: what a busy bridge gets in about a tenth of a second.
    pub const RECEIVE_BUFFER: usize = 10 << 20;

    /// The usual socket of a shard.
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            receive_buffer: Self::RECEIVE_BUFFER,
            send_buffer: 4 << 20,
            offload: true,
        }
    }
}

/// Counters of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpStats {
    /// Datagrams received.
    pub received: u64,
    /// Datagrams sent.
    pub sent: u64,
    /// Messages handed to the kernel (each one or many datagrams).
    pub send_messages: u64,
    /// Datagrams not sent: buffer full or refused by the kernel.
    pub send_dropped: u64,
    /// Segmented sends that a path refused; they were sent one by one.
    pub segmentation_refused: u64,
    /// Receive errors other than "nothing there".
    pub receive_errors: u64,
    /// Calls to receive.
    pub receive_calls: u64,
    /// Of them, those that found nothing.
    pub receive_empty: u64,
    /// Calls to send.
    pub send_calls: u64,
}

impl std::ops::AddAssign for UdpStats {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.sent += other.sent;
        self.send_messages += other.send_messages;
        self.send_dropped += other.send_dropped;
        self.segmentation_refused += other.segmentation_refused;
        self.receive_errors += other.receive_errors;
        self.receive_calls += other.receive_calls;
        self.receive_empty += other.receive_empty;
        self.send_calls += other.send_calls;
    }
}

/// A UDP socket that works in bursts. Not blocking.
#[derive(Debug)]
pub struct UdpBatch {
    socket: Socket,
    local: SocketAddr,
    stats: UdpStats,
    /// Segmentation offload on send: asked for, and the kernel knows it.
    segmentation: bool,
    /// Where it does not work.
    plain: PlainPaths,
    pieces: Vec<Run>,
    messages: Messages,
}

/// Longest time that a datagram is believed to have waited in the socket. A stamp that says more, or says that it comes
/// from the future, was made before the wall clock was set.
const MAX_AGE: Duration = Duration::from_secs(10);

impl UdpBatch {
    /// Opens and binds a socket; nobody else has the port.
    ///
    /// # Errors
    /// What the system says: address in use, not allowed, and so on.
    pub fn bind(config: &UdpConfig) -> io::Result<Self> {
        Self::open(config, false)
    }

    /// Opens `count` sockets of one port, among which the kernel divides what arrives. No other process has the port,
    /// nor can one get it that asks for it alone.
    ///
    /// # Errors
    /// As [`UdpBatch::bind`].
    pub fn bind_shared(config: &UdpConfig, count: usize) -> io::Result<Vec<Self>> {
        // Bound alone, and made shareable after: so it is seen when the port is another's.
        let first = Self::open(config, false)?;
        if count <= 1 {
            return Ok(vec![first]);
        }
        first.socket.set_reuse_port(true)?;
        let config = UdpConfig {
            bind: first.local,
            ..config.clone()
        };
        let mut sockets = vec![first];
        for _ in 1..count {
            sockets.push(Self::open(&config, true)?);
        }
        Ok(sockets)
    }

    fn open(config: &UdpConfig, reuse_port: bool) -> io::Result<Self> {
        let v4 = config.bind.is_ipv4();
        let socket = Socket::new(
            Domain::for_address(config.bind),
            Type::DGRAM.nonblocking().cloexec(),
            Some(Protocol::UDP),
        )?;
        if !v4 {
            // An IPv4 socket may have the same port.
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_port(reuse_port)?;
        // Large buffers are a wish: the system's limit is no reason not to start.
        let _ = socket.set_recv_buffer_size(config.receive_buffer);
        let _ = socket.set_send_buffer_size(config.send_buffer);
        let fd = socket.as_raw_fd();
        if v4 {
            set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, &ON)?;
        } else {
            set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &ON)?;
        }
        if config.offload {
            let _ = set_option(fd, libc::SOL_UDP, libc::UDP_GRO, &ON);
        }
        set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &ON)?;
        socket.bind(&config.bind.into())?;
        let local = socket
            .local_addr()?
            .as_socket()
            .ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self {
            socket,
            local,
            stats: UdpStats::default(),
            segmentation: config.offload && knows_segmentation(fd),
            plain: PlainPaths::default(),
            pieces: Vec::new(),
            messages: Messages::new(SEND_BURST),
        })
    }

    /// The bound address.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Bytes the kernel granted for datagrams not yet read, in the terms of [`UdpConfig::receive_buffer`].
    ///
    /// # Errors
    /// What the system says.
    pub fn receive_buffer(&self) -> io::Result<usize> {
        // Linux doubles what is set, for its own records, and tells the double (socket(7), SO_RCVBUF).
        Ok(self.socket.recv_buffer_size()? / 2)
    }

    /// Counters.
    pub fn stats(&self) -> UdpStats {
        self.stats
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Receives what is there, up to the slab's slots; 0 when nothing is. Coalesced messages are cut apart. There is
    /// more to receive only if [`ReceiveSlab::is_full`] says so.
    ///
    /// # Errors
    /// What the system says, "would block" excepted.
    pub fn receive(&mut self, slab: &mut ReceiveSlab) -> io::Result<usize> {
        slab.received.clear();
        slab.full = false;
        self.stats.receive_calls += 1;
        let fd = self.fd();
        let count = match slab.messages.receive(fd, &mut slab.bytes, STRIDE, SLOT_LEN) {
            Ok(count) => count,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => {
                        self.stats.receive_empty += 1;
                        Ok(0)
                    }
                    _ => {
                        self.stats.receive_errors += 1;
                        Err(error)
                    }
                };
            }
        };
        slab.full = (count + 1) * STRIDE > slab.bytes.len();
        let clocks = Clocks::read();
        for slot in 0..count {
            let Some((len, from, aside)) = slab.messages.received(slot) else {
                continue;
            };
            let ip = aside.to.unwrap_or(self.local.ip());
            let whole = Received {
                from,
                to: SocketAddr::new(ip, self.local.port()),
                at: clocks.monotonic(aside.stamp),
                offset: 0,
                len,
            };
            slab.note(slot, whole, aside.segment);
        }
        self.stats.received += slab.received.len() as u64;
        Ok(slab.received.len())
    }

    /// Sends all runs of the arena and clears it. What the kernel does not take is dropped and counted.
    pub fn send(&mut self, arena: &mut SendArena) {
        self.send_runs(arena.bytes(), arena.runs());
        arena.clear();
    }

    /// Sends runs that lie in `arena`. A run that its path does not take in segments (smaller MTU, no offload there) is
    /// sent one by one, at once and for some minutes after. What the kernel does not take then is dropped and counted.
    pub fn send_runs(&mut self, arena: &[u8], runs: &[Run]) {
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.clear();
        let now = (!self.plain.is_empty()).then(now);
        for run in runs {
            let plain = now.is_some_and(|now| self.plain.contains(now, run.to.ip()));
            split(run, self.segmentation && !plain, &mut pieces);
        }
        let mut at = 0;
        while let Some(rest) = pieces.get(at..).filter(|rest| !rest.is_empty()) {
            match self.send_burst(arena, rest) {
                Ok(0) => break,
                Ok(sent) => at += sent,
                Err(error) => match (error.kind(), error.raw_os_error()) {
                    (io::ErrorKind::Interrupted, _) => {}
                    (_, Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE))
                        if rest.first().is_some_and(|r| r.len > r.segment) =>
                    {
                        pieces = self.without_segments(&error, rest);
                        at = 0;
                    }
                    // The buffer is full: the path cannot take more now, and later is too late.
                    (io::ErrorKind::WouldBlock, _) => {
                        self.stats.send_dropped += rest.iter().map(segments).sum::<u64>();
                        break;
                    }
                    // This receiver cannot be reached; the others can.
                    _ => {
                        tracing::debug!(%error, "a datagram was not sent");
                        self.stats.send_dropped += rest.first().map_or(0, segments);
                        at += 1;
                    }
                },
            }
        }
        self.pieces = pieces;
    }

    /// The path of the first of `rest` does not take segments: remembers it, and cuts what goes there.
    fn without_segments(&mut self, error: &io::Error, rest: &[Run]) -> Vec<Run> {
        let mut pieces = Vec::with_capacity(rest.len() + MAX_SEGMENTS);
        let refused = rest.first().map(|run| run.to.ip());
        if let Some(ip) = refused {
            tracing::debug!(%error, "a path takes no segmented sends; sending one by one there");
            self.stats.segmentation_refused += 1;
            self.plain.remember(now(), ip);
        }
        for run in rest {
            let same = Some(run.to.ip()) == refused;
            split(run, run.len > run.segment && !same, &mut pieces);
        }
        pieces
    }

    fn send_burst(&mut self, arena: &[u8], runs: &[Run]) -> io::Result<usize> {
        let all_families = self.local.ip().is_unspecified();
        let messages = runs.iter().map(|run| {
            // A run outside the arena is a defect of the caller: it becomes an empty datagram, which is not sent.
            let bytes = arena
                .get(run.offset..run.offset.saturating_add(run.len))
                .unwrap_or_default();
            let segment = if run.len > run.segment {
                u16::try_from(run.segment).unwrap_or(0)
            } else {
                0
            };
            (run.to, bytes, segment, source(run).filter(|_| all_families))
        });
        self.stats.send_calls += 1;
        let sent = self.messages.send(self.socket.as_raw_fd(), messages)?;
        self.stats.send_messages += sent as u64;
        self.stats.sent += runs.iter().take(sent).map(segments).sum::<u64>();
        Ok(sent)
    }
}

/// The address to name as source.
fn source(run: &Run) -> Option<IpAddr> {
    let ip = run.from?.ip();
    let useful = !ip.is_unspecified() && ip.is_ipv4() == run.to.is_ipv4();
    useful.then_some(ip)
}

/// Both clocks at one moment. The kernel's stamps are of the wall clock, which somebody may set; how long ago they were
/// made, by the wall clock at the time of reading, is taken off the clock that nobody sets.
struct Clocks {
    monotonic: Instant,
    wall: Option<Duration>,
}

impl Clocks {
    /// Reads both as close to each other as the scheduler lets us.
    fn read() -> Self {
        const CLOSE: Duration = Duration::from_micros(20);
        let mut clocks = Self::read_once();
        for _ in 0..3 {
            if clocks.1 <= CLOSE {
                break;
            }
            clocks = Self::read_once();
        }
        clocks.0
    }

    /// Reads both, and how long that took.
    fn read_once() -> (Self, Duration) {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let monotonic = now();
        // SAFETY: `time` is a local that lives through the call.
        let result = unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut time) };
        let clocks = Self {
            monotonic,
            wall: (result == 0).then(|| since_1970(&time)).flatten(),
        };
        (clocks, now().saturating_duration_since(monotonic))
    }

    /// When a stamp was made.
    fn monotonic(&self, stamp: Option<Duration>) -> Instant {
        let age = self.wall.zip(stamp).and_then(|(w, s)| w.checked_sub(s));
        age.filter(|age| *age <= MAX_AGE)
            .and_then(|age| self.monotonic.checked_sub(age))
            .unwrap_or(self.monotonic)
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "what arrives and what is remembered of paths is told by this clock"
)]
fn now() -> Instant {
    Instant::now()
}

/// Whether the kernel has UDP segmentation offload (Linux 4.18).
fn knows_segmentation(fd: RawFd) -> bool {
    let mut value: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: value and length are locals that live through the call, and the length is the value's size.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            std::ptr::from_mut(&mut value).cast(),
            &mut len,
        )
    };
    result == 0
}

/// Sets an option whose value is a number, or a structure that the kernel knows.
pub(crate) fn set_option<T>(
    fd: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: the option's value lives through the call, as does what it points to, and its true size is given.
    let result = unsafe {
        libc::setsockopt(
            fd,
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn segments(run: &Run) -> u64 {
    run.len.div_ceil(run.segment.max(1)) as u64
}

/// Cuts a run into what one message may carry.
fn split(run: &Run, segmentation: bool, pieces: &mut Vec<Run>) {
    if run.len == 0 {
        return;
    }
    let segment = run.segment.clamp(1, run.len);
    let per_message = if segmentation {
        (MAX_MESSAGE / segment).clamp(1, MAX_SEGMENTS)
    } else {
        1
    };
    let mut at = 0;
    while at < run.len {
        let len = (per_message * segment).min(run.len - at);
        pieces.push(Run {
            offset: run.offset + at,
            len,
            segment: segment.min(len),
            ..*run
        });
        at += len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Poller, Ready};
    use std::time::Duration;

    fn pair(offload: bool) -> (UdpBatch, UdpBatch, Poller) {
        let config = UdpConfig {
            offload,
            ..UdpConfig::new("127.0.0.1:0".parse().unwrap())
        };
        let (a, b) = (
            UdpBatch::bind(&config).unwrap(),
            UdpBatch::bind(&config).unwrap(),
        );
        let (mut poller, _waker) = Poller::new().unwrap();
        poller.add(&b, 0).unwrap();
        (a, b, poller)
    }

    /// Receives until `count` datagrams have come.
    fn collect(b: &mut UdpBatch, poller: &mut Poller, count: usize) -> Vec<Vec<u8>> {
        let mut slab = ReceiveSlab::new(8);
        let mut got = Vec::new();
        while got.len() < count {
            let ready = poller.wait(Some(Duration::from_secs(5))).unwrap();
            assert!(ready.has(0), "only {} of {count} datagrams came", got.len());
            assert!(b.receive(&mut slab).unwrap() > 0);
            got.extend(slab.datagrams().map(|(_, bytes)| bytes.to_vec()));
        }
        got
    }

    #[test]
    fn runs_arrive_as_datagrams() {
        for offload in [true, false] {
            let (mut a, mut b, mut poller) = pair(offload);
            let to = b.local_addr();
            let mut arena = SendArena::default();
            let mut sent = Vec::new();
            for i in 0..100u8 {
                let datagram = vec![i; if i % 7 == 6 { 300 } else { 1100 }];
                arena.push(Some(a.local_addr()), to, &datagram);
                sent.push(datagram);
            }
            a.send(&mut arena);
            assert!(arena.is_empty());
            assert_eq!(collect(&mut b, &mut poller, 100), sent);
            assert_eq!((a.stats().sent, a.stats().send_dropped), (100, 0));
            if !offload {
                assert_eq!(a.stats().send_messages, 100);
            }
        }
    }

    #[test]
    fn addresses_of_both_ends_are_known() {
        let config = UdpConfig::new("0.0.0.0:0".parse().unwrap());
        let mut b = UdpBatch::bind(&config).unwrap();
        let (mut poller, _waker) = Poller::new().unwrap();
        poller.add(&b, 0).unwrap();
        let (mut a, _, _) = pair(true);
        let to = SocketAddr::new("127.0.0.1".parse().unwrap(), b.local_addr().port());
        let mut arena = SendArena::default();
        arena.push(None, to, b"hello");
        a.send(&mut arena);
        assert!(poller.wait(Some(Duration::from_secs(5))).unwrap().has(0));
        let mut slab = ReceiveSlab::new(1);
        assert_eq!(b.receive(&mut slab).unwrap(), 1);
        assert_eq!(
            (slab.received()[0].from, slab.received()[0].to),
            (a.local_addr(), to)
        );
        // The answer leaves from the address that was asked.
        arena.push(Some(to), a.local_addr(), b"answer");
        b.send(&mut arena);
        let (mut poller, _waker) = Poller::new().unwrap();
        poller.add(&a, 0).unwrap();
        assert!(poller.wait(Some(Duration::from_secs(5))).unwrap().has(0));
        a.receive(&mut slab).unwrap();
        assert_eq!(slab.received()[0].from, to);
    }

    #[test]
    fn one_unreachable_receiver_does_not_stop_the_others() {
        let (mut a, mut b, mut poller) = pair(true);
        let mut arena = SendArena::default();
        // An IPv6 address cannot be sent to from an IPv4 socket.
        arena.push(None, "[2001:db8::1]:1".parse().unwrap(), b"lost");
        arena.push(None, b.local_addr(), b"found");
        a.send(&mut arena);
        assert_eq!(collect(&mut b, &mut poller, 1), [b"found"]);
        assert_eq!(a.stats().send_dropped, 1);
    }

    /// A network namespace for this thread: loopback, and an address behind a route of 1,000 bytes. `None` where the test
    /// may not have one.
    fn narrow_route() -> Option<IpAddr> {
        // SAFETY: no pointers are involved; only this thread changes.
        if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
            return None;
        }
        let commands = [
            "link set lo up",
            "addr add 192.0.2.1/32 dev lo",
            "route replace local 192.0.2.1 dev lo table local mtu 1000",
        ];
        let done = commands.iter().all(|arguments| {
            let ip = std::process::Command::new("ip")
                .args(arguments.split(' '))
                .status();
            ip.is_ok_and(|status| status.success())
        });
        done.then(|| IpAddr::from([192, 0, 2, 1]))
    }

    #[test]
    fn a_narrow_path_gets_its_datagrams_and_the_others_keep_segments() {
        let thread = std::thread::spawn(|| {
            let Some(narrow) = narrow_route() else {
                eprintln!("skipped: no rights to make a network namespace, or no `ip` command");
                return;
            };
            let (mut a, mut wide, mut poller) = pair(true);
            let mut config = UdpConfig::new("0.0.0.0:0".parse().unwrap());
            config.offload = false;
            let mut b = UdpBatch::bind(&config).unwrap();
            let (mut narrow_poller, _waker) = Poller::new().unwrap();
            narrow_poller.add(&b, 0).unwrap();
            let to = SocketAddr::new(narrow, b.local_addr().port());
            for round in 0..2 {
                let mut arena = SendArena::default();
                let sent: Vec<Vec<u8>> = (0..20u8).map(|i| vec![i; 1100]).collect();
                for datagram in &sent {
                    arena.push(None, wide.local_addr(), datagram);
                }
                for datagram in &sent {
                    arena.push(None, to, datagram);
                }
                for datagram in &sent {
                    arena.push(None, wide.local_addr(), datagram);
                }
                let before = a.stats();
                a.send(&mut arena);
                assert_eq!(collect(&mut b, &mut narrow_poller, 20), sent);
                let twice: Vec<_> = sent.iter().chain(&sent).cloned().collect();
                assert_eq!(collect(&mut wide, &mut poller, 40), twice);
                let after = a.stats();
                // Twenty plain ones, and two messages of segments; the path is asked once.
                assert_eq!(after.send_messages - before.send_messages, 22);
                assert_eq!(after.segmentation_refused, 1, "round {round}");
                assert_eq!((after.sent - before.sent, after.send_dropped), (60, 0));
            }
        });
        thread.join().unwrap();
    }

    #[test]
    fn ports_are_shared_only_on_request() {
        let mut config = UdpConfig::new("127.0.0.1:0".parse().unwrap());
        let first = UdpBatch::bind(&config).unwrap();
        config.bind = first.local_addr();
        let error = UdpBatch::bind(&config).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(first);
        config.bind.set_port(0);
        let sockets = UdpBatch::bind_shared(&config, 3).unwrap();
        config.bind = sockets[0].local_addr();
        assert!(sockets.iter().all(|s| s.local_addr() == config.bind));
        // A second server that shares its port among threads does not get in between.
        for error in [
            UdpBatch::bind(&config).unwrap_err(),
            UdpBatch::bind_shared(&config, 3).unwrap_err(),
        ] {
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        }
    }

    /// Sends two datagrams and reads them 20 ms later; whether they are told to have come when they were sent.
    fn stamped_in_time(a: &mut UdpBatch, b: &mut UdpBatch, poller: &mut Poller) -> bool {
        let mut arena = SendArena::default();
        let before = now();
        for datagram in [b"first", b"later"] {
            arena.push(None, b.local_addr(), datagram);
            a.send(&mut arena);
        }
        assert!(poller.wait(Some(Duration::from_secs(5))).unwrap().has(0));
        let after = now();
        let (mut nothing, _waker) = Poller::new().unwrap();
        nothing.wait(Some(Duration::from_millis(20))).unwrap();
        let mut slab = ReceiveSlab::new(8);
        b.receive(&mut slab).unwrap();
        assert!(slab.received().is_sorted_by_key(|r| r.at));
        // The two clocks are read one after the other.
        let tolerance = Duration::from_millis(1);
        let (first, last) = (before - tolerance, after + tolerance);
        let stamps = slab.received().iter().map(|received| received.at);
        stamps.into_iter().all(|at| first <= at && at <= last)
    }

    #[test]
    fn a_datagram_is_stamped_when_it_arrives_and_not_when_it_is_read() {
        let (mut a, mut b, mut poller) = pair(true);
        // Linux begins to stamp a moment after the first socket wants it; until then it stamps what is read. And a thread
        // that loses the processor between two clocks reads them wrongly.
        let stamped = (0..200).any(|_| stamped_in_time(&mut a, &mut b, &mut poller));
        assert!(stamped, "arrival is told as the time of reading");
    }

    #[test]
    fn stamps_of_a_clock_that_was_set_since_do_not_count() {
        let clocks = Clocks {
            monotonic: now(),
            wall: Some(Duration::from_secs(1_000)),
        };
        let ago = |age: Duration| clocks.monotonic - age;
        let at = |s: u64| clocks.monotonic(Some(Duration::from_secs(s)));
        assert_eq!(at(1_000), clocks.monotonic);
        assert_eq!(at(995), ago(Duration::from_secs(5)));
        assert_eq!((at(1_001), at(5)), (clocks.monotonic, clocks.monotonic));
        assert_eq!(clocks.monotonic(None), clocks.monotonic);
    }

    #[test]
    fn a_burst_that_fits_is_known_to_be_all() {
        let (mut a, mut b, mut poller) = pair(false);
        let mut arena = SendArena::default();
        for _ in 0..6 {
            arena.push(None, b.local_addr(), b"datagram");
        }
        a.send(&mut arena);
        let mut got = Vec::new();
        let mut slab = ReceiveSlab::new(4);
        while got.iter().map(|(count, _)| count).sum::<usize>() < 6 {
            poller.wait(Some(Duration::from_secs(5))).unwrap();
            let count = b.receive(&mut slab).unwrap();
            got.push((count, slab.is_full()));
        }
        assert!(
            got.iter().all(|(count, full)| (*count == 4) == *full),
            "{got:?}"
        );
        assert_eq!((b.stats().receive_empty, a.stats().send_calls), (0, 1));
    }

    #[test]
    fn a_waker_ends_a_wait() {
        let (mut poller, waker) = Poller::new().unwrap();
        std::thread::spawn(move || waker.wake());
        let ready = poller.wait(Some(Duration::from_secs(5))).unwrap();
        assert_eq!(
            ready,
            Ready {
                sockets: 0,
                woken: true
            }
        );
        let ready = poller.wait(Some(Duration::from_micros(200))).unwrap();
        assert_eq!(ready, Ready::default());
    }

    #[test]
    fn large_runs_are_cut_for_the_kernel() {
        let to = "127.0.0.1:1".parse().unwrap();
        let run = Run {
            to,
            from: None,
            offset: 10,
            len: 100_050,
            segment: 100,
        };
        let mut pieces = Vec::new();
        split(&run, true, &mut pieces);
        assert_eq!(pieces.len(), 1001usize.div_ceil(MAX_SEGMENTS));
        assert_eq!(pieces.iter().map(|p| p.len).sum::<usize>(), run.len);
        assert_eq!(pieces.iter().map(segments).sum::<u64>(), 1001);
        pieces.clear();
        split(&run, false, &mut pieces);
        assert_eq!((pieces.len(), pieces[1000].len), (1001, 50));
    }
}
