//! The sockets of a crowd, and which bot has which address.
//!
//! A bridge tells its peers apart by their addresses. On the own machine all of 127.0.0.0/8 is ours, so that one socket
//! serves many bots, each at an address of its own, and is read in long bursts. Towards other machines each bot has a
//! socket.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use net::{Poller, Ready, ReceiveSlab, SendArena, UdpBatch, UdpConfig, UdpStats};

use super::member::MemberId;
use super::message::Local;

/// Bytes of a socket's buffer for each bot on the own machine: two frames may wait for a busy crowd.
const SEAT: usize = 16 << 10;
/// Bots of one socket on the own machine.
const SEATS: std::ops::RangeInclusive<usize> = 16..=250;
/// Messages of one receive call.
const SLOTS: usize = 32;
/// Buffers wanted of a socket that one bot has for itself, bytes.
const OWN_BUFFER: usize = 1 << 20;

/// The place of a bot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seat {
    socket: usize,
    number: u8,
    pub(super) address: SocketAddr,
}

struct Hall {
    socket: UdpBatch,
    seats: Vec<Option<MemberId>>,
    out: SendArena,
}

/// Number of a socket at the poller, which has 64: some share one.
fn number(socket: usize) -> u32 {
    (socket % 64) as u32
}

pub(super) struct Sockets {
    local: Local,
    abroad: bool,
    halls: Vec<Hall>,
    slab: ReceiveSlab,
    /// Whether datagrams may go to an address; asked for once each.
    allowed: BTreeMap<IpAddr, bool>,
    pub(super) refused: u64,
}

impl Sockets {
    pub(super) fn new(local: Local, abroad: bool) -> Self {
        Self {
            local,
            abroad,
            halls: Vec::new(),
            slab: ReceiveSlab::new(SLOTS),
            allowed: BTreeMap::new(),
            refused: 0,
        }
    }

    /// Whether there is a socket for every bot: then reading them all is dear.
    pub(super) fn are_many(&self) -> bool {
        self.local != Local::Loopback
    }

    /// Gives a bot an address.
    pub(super) fn sit(&mut self, member: MemberId, poller: &mut Poller) -> io::Result<Seat> {
        let free = self.halls.iter().enumerate().find_map(|(socket, hall)| {
            let number = hall.seats.iter().position(Option::is_none)?;
            Some((socket, number))
        });
        let (socket, number) = match free {
            Some(free) => free,
            None => (self.open(poller)?, 0),
        };
        let hall = &mut self.halls[socket];
        hall.seats[number] = Some(member);
        let number = number as u8;
        let ip = match self.local {
            Local::Loopback => Ipv4Addr::new(127, 0, 1, number + 1).into(),
            Local::Address(ip) => ip,
        };
        let address = SocketAddr::new(ip, hall.socket.local_addr().port());
        Ok(Seat {
            socket,
            number,
            address,
        })
    }

    fn open(&mut self, poller: &mut Poller) -> io::Result<usize> {
        let ip = match self.local {
            Local::Loopback => Ipv4Addr::UNSPECIFIED.into(),
            Local::Address(ip) => ip,
        };
        let mut config = UdpConfig::new(SocketAddr::new(ip, 0));
        if self.are_many() {
            config.receive_buffer = OWN_BUFFER;
            config.send_buffer = OWN_BUFFER;
        }
        let socket = UdpBatch::bind(&config)?;
        if !self.are_many() {
            poller.add(&socket, number(self.halls.len()))?;
        }
        let seats = match self.local {
            Local::Loopback => {
                (socket.receive_buffer()? / SEAT).clamp(*SEATS.start(), *SEATS.end())
            }
            Local::Address(_) => 1,
        };
        self.halls.push(Hall {
            socket,
            seats: vec![None; seats],
            out: SendArena::default(),
        });
        Ok(self.halls.len() - 1)
    }

    /// Takes a bot's address back.
    pub(super) fn rise(&mut self, seat: Seat) {
        self.halls[seat.socket].seats[usize::from(seat.number)] = None;
    }

    /// Reads a burst of every socket that is ready; says whether there may be more.
    pub(super) fn receive(
        &mut self,
        ready: Ready,
        mut take: impl FnMut(MemberId, SocketAddr, &[u8]),
    ) -> bool {
        let mut more = false;
        let many = self.are_many();
        for (n, hall) in self.halls.iter_mut().enumerate() {
            if !many && !ready.has(number(n)) {
                continue;
            }
            // What was wrong with one datagram is wrong with that one only, and the socket has counted it.
            let Ok(count @ 1..) = hall.socket.receive(&mut self.slab) else {
                continue;
            };
            more |= count >= SLOTS;
            for (datagram, bytes) in self.slab.datagrams() {
                let number = match (self.local, datagram.to.ip()) {
                    (Local::Loopback, IpAddr::V4(ip)) => ip.octets()[3].wrapping_sub(1),
                    _ => 0,
                };
                if let Some(Some(member)) = hall.seats.get(usize::from(number)) {
                    take(*member, datagram.from, bytes);
                }
            }
        }
        more
    }

    /// Queues a datagram of a bot.
    pub(super) fn queue(&mut self, seat: Seat, to: SocketAddr, bytes: &[u8]) {
        let abroad = self.abroad;
        let allowed = self.allowed.entry(to.ip()).or_insert_with(|| {
            let ip = to.ip();
            abroad || ip.is_loopback() || net::local_addresses().contains(&ip)
        });
        if *allowed {
            let out = &mut self.halls[seat.socket].out;
            out.push(Some(seat.address), to, bytes);
        } else {
            self.refused += 1;
        }
    }

    /// Sends what is queued.
    pub(super) fn send(&mut self) {
        for hall in &mut self.halls {
            if !hall.out.is_empty() {
                hall.socket.send(&mut hall.out);
            }
        }
    }

    /// Datagrams that the kernel did not take.
    pub(super) fn dropped(&self) -> u64 {
        let stats = self.halls.iter().map(|hall| hall.socket.stats());
        stats.map(|stats: UdpStats| stats.send_dropped).sum()
    }
}
