//! Waiting for sockets and for other threads (epoll and eventfd).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::signal::{Counter, Signal};
use crate::socket::UdpBatch;

/// Event data of the waker; sockets have their number.
const WAKER: u64 = u64::MAX;
/// Sockets a poller can tell apart.
const MAX_SOCKETS: u32 = 64;

/// A counter in the kernel that a poller can wait for (eventfd).
#[derive(Debug)]
struct EventFd(OwnedFd);

impl EventFd {
    fn new() -> io::Result<Self> {
        // SAFETY: no pointers are involved.
        own(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) }).map(Self)
    }
}

impl Counter for EventFd {
    fn add(&self) {
        let one: u64 = 1;
        // SAFETY: eight bytes of a local are read. A full counter (would block) means that the poller wakes anyway.
        let _ = unsafe {
            libc::write(
                self.0.as_raw_fd(),
                std::ptr::from_ref(&one).cast(),
                size_of::<u64>(),
            )
        };
    }

    fn take(&self) {
        let mut count: u64 = 0;
        // SAFETY: eight bytes of a local are written.
        let _ = unsafe {
            libc::read(
                self.0.as_raw_fd(),
                std::ptr::from_mut(&mut count).cast(),
                size_of::<u64>(),
            )
        };
    }
}

type WakeSignal = Signal<AtomicBool, EventFd>;

/// Wakes a [`Poller`] from another thread.
#[derive(Clone, Debug)]
pub struct Waker(Arc<WakeSignal>);

impl Waker {
    /// Makes the next or current wait return; after that wait the poller's thread sees what the caller queued before.
    /// Never blocks.
    pub fn wake(&self) {
        self.0.raise();
    }
}

/// Waits for a socket or a waker.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
    signal: Arc<WakeSignal>,
    /// The kernel waits in nanoseconds, until it says it cannot.
    precise: bool,
}

/// What a wait ended with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// The sockets that have something to read, each a bit at its number.
    pub sockets: u64,
    /// The waker was used.
    pub woken: bool,
}

impl Ready {
    /// Whether the socket of this number has something to read.
    pub fn has(&self, number: u32) -> bool {
        self.sockets & bit(number) != 0
    }

    /// Forgets that the socket of this number has something to read.
    pub fn clear(&mut self, number: u32) {
        self.sockets &= !bit(number);
    }
}

fn bit(number: u32) -> u64 {
    1u64.checked_shl(number).unwrap_or(0)
}

fn own(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made by the kernel for us and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

impl Poller {
    /// A poller and its waker.
    ///
    /// # Errors
    /// What the system says.
    pub fn new() -> io::Result<(Self, Waker)> {
        // SAFETY: no pointers are involved.
        let epoll = own(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        let signal = Arc::new(Signal::new(AtomicBool::new(false), EventFd::new()?));
        let poller = Self {
            epoll,
            signal: signal.clone(),
            precise: true,
        };
        let counter = signal.counter.0.as_raw_fd();
        poller.control(libc::EPOLL_CTL_ADD, counter, WAKER, libc::EPOLLIN)?;
        Ok((poller, Waker(signal)))
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: RawFd,
        data: u64,
        events: libc::c_int,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: data,
        };
        // SAFETY: `event` lives through the call.
        let result = unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd, &mut event) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Also waits for this socket, which must live as long as the poller is used. `number` tells it from the others.
    ///
    /// # Errors
    /// What the system says; `InvalidInput` for a number above 63.
    pub fn add(&mut self, socket: &UdpBatch, number: u32) -> io::Result<()> {
        if number >= MAX_SOCKETS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (fd, data) = (socket.fd(), u64::from(number));
        self.control(libc::EPOLL_CTL_ADD, fd, data, libc::EPOLLIN)
    }

    /// Whether to wait for this socket, which was added as `number`. What arrives meanwhile stays in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(&mut self, socket: &UdpBatch, number: u32, listen: bool) -> io::Result<()> {
        let events = if listen { libc::EPOLLIN } else { 0 };
        let (fd, data) = (socket.fd(), u64::from(number));
        self.control(libc::EPOLL_CTL_MOD, fd, data, events)
    }

    /// Waits at most `timeout` (`None`: for ever). Kernels before 5.11 wait in milliseconds, rounded up.
    /// How exact it is besides, [`crate::precise_timers`] decides.
    ///
    /// # Errors
    /// What the system says.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Ready> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 8];
        let count = loop {
            let count = self.wait_raw(&mut events, timeout);
            let Ok(count) = usize::try_from(count) else {
                let error = io::Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::ENOSYS) if self.precise => self.precise = false,
                    // The caller looks at the clock anyway.
                    Some(libc::EINTR) => return Ok(Ready::default()),
                    _ => return Err(error),
                }
                continue;
            };
            break count;
        };
        let mut ready = Ready::default();
        for event in events.iter().take(count) {
            match event.u64 {
                WAKER => ready.woken = true,
                number => ready.sockets |= bit(number as u32),
            }
        }
        if ready.woken {
            self.signal.lower();
        }
        Ok(ready)
    }

    fn wait_raw(&self, events: &mut [libc::epoll_event; 8], timeout: Option<Duration>) -> i64 {
        let epoll = self.epoll.as_raw_fd();
        let max = events.len() as libc::c_int;
        if self.precise {
            let spec = timeout.map(|t| libc::timespec {
                tv_sec: libc::time_t::try_from(t.as_secs()).unwrap_or(libc::time_t::MAX),
                tv_nsec: t.subsec_nanos().into(),
            });
            let spec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: `events` has room for `max` events and `spec` (or null) lives through the call; no signal mask.
            return unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    epoll,
                    events.as_mut_ptr(),
                    max,
                    spec,
                    std::ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
        }
        let millis = timeout.map_or(-1, |t| {
            libc::c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: `events` has room for `max` events.
        i64::from(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), max, millis) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_socket_is_told_by_its_number_and_only_while_it_is_listened_to() {
        let config = crate::UdpConfig::new("127.0.0.1:0".parse().unwrap());
        let bind = || UdpBatch::bind(&config).unwrap();
        let (mut from, a, b) = (bind(), bind(), bind());
        let (mut poller, _waker) = Poller::new().unwrap();
        poller.add(&a, 3).unwrap();
        poller.add(&b, 5).unwrap();
        assert!(poller.add(&from, 64).is_err());
        let mut arena = crate::SendArena::default();
        arena.push(None, b.local_addr(), b"to b");
        from.send(&mut arena);
        let mut ready = poller.wait(Some(Duration::from_secs(5))).unwrap();
        assert_eq!((ready.has(3), ready.has(5)), (false, true));
        ready.clear(5);
        assert_eq!(ready, Ready::default());
        poller.listen(&b, 5, false).unwrap();
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), Ready::default());
        poller.listen(&b, 5, true).unwrap();
        assert!(poller.wait(Some(Duration::from_secs(5))).unwrap().has(5));
    }

    /// Threads queue and wake at all distances in time from the poller's own steps; what was queued is always seen.
    #[test]
    fn every_wake_of_a_flood_arrives() {
        const THREADS: usize = 2;
        const EACH: usize = 200_000;
        let (mut poller, waker) = Poller::new().unwrap();
        let queued = Arc::new(AtomicUsize::new(0));
        for _ in 0..THREADS {
            let (waker, queued) = (waker.clone(), queued.clone());
            std::thread::spawn(move || {
                for n in 0..EACH {
                    queued.fetch_add(1, Ordering::Relaxed);
                    waker.wake();
                    for _ in 0..n % 61 {
                        std::hint::spin_loop();
                    }
                }
            });
        }
        let mut seen = 0;
        while seen < THREADS * EACH {
            let ready = poller.wait(Some(Duration::from_secs(20))).unwrap();
            assert!(ready.woken, "a wake was lost after {seen} of them");
            seen = queued.load(Ordering::Relaxed);
        }
    }
}
