//! Socket addresses and control messages in the kernel's form.

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::RawFd;
use std::time::Duration;

/// Room for control messages, two cache lines; `cmsghdr` wants an alignment of 8.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
pub(crate) struct Control(pub(crate) [u8; 128]);

impl Control {
    pub(crate) const EMPTY: Self = Self([0; 128]);
}

/// Room for an address of either family, half a cache line.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
pub(crate) struct Name(libc::sockaddr_in6);

impl Name {
    pub(crate) const LEN: libc::socklen_t = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;

    /// A name with nothing in it.
    pub(crate) fn empty() -> Self {
        // SAFETY: `sockaddr_in6` is a C structure of integers; all zeros is a valid value of it.
        Self(unsafe { MaybeUninit::zeroed().assume_init() })
    }
}

/// The arrays of one `recvmmsg` or `sendmmsg`, kept from call to call: making them anew costs 8 to 20 KiB of zeros each
/// time. Every field that the kernel looks at is written before each call, so nothing of an earlier call is taken for
/// this one's; where a message goes or comes from differs each time, and comparing it would cost what writing it does.
pub(crate) struct Messages {
    names: Vec<Name>,
    controls: Vec<Control>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

// SAFETY: the pointers in vectors and headers are followed by the kernel alone, within a call made by the owner, which
// wrote them in the same `&mut self` method; between calls they are plain numbers.
unsafe impl Send for Messages {}

impl Messages {
    pub(crate) fn new(count: usize) -> Self {
        let vector = libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        };
        // SAFETY: `mmsghdr` is a C structure of integers and pointers; all zeros is a valid value of it.
        let header = unsafe { MaybeUninit::<libc::mmsghdr>::zeroed().assume_init() };
        Self {
            names: vec![Name::empty(); count],
            controls: vec![Control::EMPTY; count],
            vectors: vec![vector; count],
            headers: vec![header; count],
        }
    }

    /// Receives into slots of `stride` bytes of `bytes`, each filled up to `len`; the number of messages.
    pub(crate) fn receive(
        &mut self,
        fd: RawFd,
        bytes: &mut [u8],
        stride: usize,
        len: usize,
    ) -> io::Result<usize> {
        let parts = self.headers.iter_mut().zip(&mut self.vectors);
        let parts = parts.zip(&mut self.names).zip(&mut self.controls);
        let mut count = 0;
        for ((((header, vector), name), control), slot) in parts.zip(bytes.chunks_exact_mut(stride))
        {
            vector.iov_base = slot.as_mut_ptr().cast();
            vector.iov_len = len.min(slot.len());
            let header = &mut header.msg_hdr;
            header.msg_name = std::ptr::from_mut(name).cast();
            header.msg_namelen = Name::LEN;
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = control.0.len() as _;
            count += 1;
        }
        // SAFETY: the first `count` headers point to distinct slots, names and control buffers with their true lengths,
        // and all of them outlive the call.
        let result = unsafe {
            libc::recvmmsg(
                fd,
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    /// What came in message `index` of the last receive: its length, its sender, what the kernel told beside it.
    pub(crate) fn received(&self, index: usize) -> Option<(usize, SocketAddr, Aside)> {
        let header = self.headers.get(index)?;
        let from = read_address(self.names.get(index)?)?;
        Some((header.msg_len as usize, from, read_aside(&header.msg_hdr)))
    }

    /// Sends `messages`, as many as there is room for: where to, what, and the segment length (0 for none) and source
    /// of each; the number of messages that the kernel took.
    pub(crate) fn send<'a>(
        &mut self,
        fd: RawFd,
        messages: impl Iterator<Item = (SocketAddr, &'a [u8], u16, Option<IpAddr>)>,
    ) -> io::Result<usize> {
        let parts = self.headers.iter_mut().zip(&mut self.vectors);
        let parts = parts.zip(&mut self.names).zip(&mut self.controls);
        let mut count = 0;
        for ((((header, vector), name), control), message) in parts.zip(messages) {
            let (to, bytes, segment, from) = message;
            vector.iov_base = bytes.as_ptr().cast_mut().cast();
            vector.iov_len = bytes.len();
            let header = &mut header.msg_hdr;
            header.msg_namelen = write_address(to, name);
            header.msg_name = std::ptr::from_mut(name).cast();
            header.msg_iov = vector;
            header.msg_iovlen = 1;
            write_control(header, control, segment, from);
            count += 1;
        }
        // SAFETY: the first `count` headers point to names, control buffers and datagrams with their true lengths; all
        // of them outlive the call, and the kernel only reads them.
        let result = unsafe {
            libc::sendmmsg(
                fd,
                self.headers.as_mut_ptr(),
                count,
                libc::MSG_DONTWAIT as _,
            )
        };
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }
}

impl std::fmt::Debug for Messages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Messages({})", self.headers.len())
    }
}

/// Writes an address into the kernel's form; the result is its length.
fn write_address(address: SocketAddr, name: &mut Name) -> libc::socklen_t {
    match address {
        SocketAddr::V4(v4) => {
            let raw = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr {
                    s_addr: u32::from_ne_bytes(v4.ip().octets()),
                },
                sin_zero: [0; 8],
            };
            // SAFETY: a `Name` is as large as and aligned for the addresses of both families.
            unsafe {
                std::ptr::from_mut(name)
                    .cast::<libc::sockaddr_in>()
                    .write(raw)
            };
            mem::size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            let raw = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr {
                    s6_addr: v6.ip().octets(),
                },
                sin6_scope_id: v6.scope_id(),
            };
            // SAFETY: as above.
            unsafe {
                std::ptr::from_mut(name)
                    .cast::<libc::sockaddr_in6>()
                    .write(raw)
            };
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Reads an address in the kernel's form; `None` for another family.
fn read_address(name: &Name) -> Option<SocketAddr> {
    // The family is the first field in either form.
    match i32::from(name.0.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure the name holds; it is large enough and aligned for it.
            let raw = unsafe { std::ptr::from_ref(name).cast::<libc::sockaddr_in>().read() };
            let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let raw = unsafe { std::ptr::from_ref(name).cast::<libc::sockaddr_in6>().read() };
            let ip = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            let port = u16::from_be(raw.sin6_port);
            Some(SocketAddrV6::new(ip, port, raw.sin6_flowinfo, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// What the kernel tells beside a received message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aside {
    /// Local address it was sent to.
    pub(crate) to: Option<IpAddr>,
    /// Length of the coalesced segments; 0 for a single datagram.
    pub(crate) segment: usize,
    /// When it arrived, since 1970.
    pub(crate) stamp: Option<Duration>,
}

/// Reads the control messages of a received message.
fn read_aside(header: &libc::msghdr) -> Aside {
    let mut aside = Aside::default();
    // SAFETY: the header's control pointer and length describe memory that the kernel filled with control messages;
    // the CMSG macros stay within it. Data is copied out without assuming alignment.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(header);
        while !cmsg.is_null() {
            let data = libc::CMSG_DATA(cmsg);
            match ((*cmsg).cmsg_level, (*cmsg).cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let info = data.cast::<libc::in_pktinfo>().read_unaligned();
                    aside.to = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let info = data.cast::<libc::in6_pktinfo>().read_unaligned();
                    aside.to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                }
                (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                    let time = data.cast::<libc::timespec>().read_unaligned();
                    aside.stamp = since_1970(&time);
                }
                (libc::SOL_UDP, libc::UDP_GRO) => {
                    let segment = data.cast::<libc::c_int>().read_unaligned();
                    aside.segment = usize::try_from(segment).unwrap_or(0);
                }
                _ => {}
            }
            cmsg = libc::CMSG_NXTHDR(header, cmsg);
        }
    }
    aside
}

/// A time of the kernel; `None` for one that is none.
pub(crate) fn since_1970(time: &libc::timespec) -> Option<Duration> {
    let nanos = u32::try_from(time.tv_nsec).ok()?;
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, nanos))
}

/// Writes control messages for a message to send: the segment length (0 for none) and the local address to send from.
/// The header's control fields point into `control` afterwards.
fn write_control(
    header: &mut libc::msghdr,
    control: &mut Control,
    segment: u16,
    from: Option<IpAddr>,
) {
    let mut used = 0;
    if segment > 0 {
        push_control(
            control,
            &mut used,
            libc::SOL_UDP,
            libc::UDP_SEGMENT,
            segment,
        );
    }
    match from {
        Some(IpAddr::V4(ip)) => {
            let info = libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                },
                ipi_addr: libc::in_addr { s_addr: 0 },
            };
            push_control(control, &mut used, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        Some(IpAddr::V6(ip)) => {
            let info = libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr {
                    s6_addr: ip.octets(),
                },
                ipi6_ifindex: 0,
            };
            let (level, kind) = (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO);
            push_control(control, &mut used, level, kind, info);
        }
        None => {}
    }
    header.msg_controllen = used as _;
    header.msg_control = match used {
        0 => std::ptr::null_mut(),
        _ => control.0.as_mut_ptr().cast(),
    };
}

/// Writes one control message at `used` and moves it on.
fn push_control<T: Copy>(
    control: &mut Control,
    used: &mut usize,
    level: libc::c_int,
    kind: libc::c_int,
    value: T,
) {
    let size = mem::size_of::<T>() as libc::c_uint;
    // SAFETY: these compute lengths from a length.
    let (space, len, data) = unsafe {
        (
            libc::CMSG_SPACE(size),
            libc::CMSG_LEN(size),
            libc::CMSG_LEN(0),
        )
    };
    let Some(room) = control.0.get_mut(*used..*used + space as usize) else {
        return;
    };
    let start = room.as_mut_ptr();
    // SAFETY: `room` has CMSG_SPACE of the value, and is aligned for `cmsghdr`, since `control` is and each message's
    // space keeps it so. The header is written whole, then the value behind it at the offset that CMSG_LEN(0) tells.
    unsafe {
        let mut header: libc::cmsghdr = MaybeUninit::zeroed().assume_init();
        header.cmsg_level = level;
        header.cmsg_type = kind;
        header.cmsg_len = len as _;
        start.cast::<libc::cmsghdr>().write(header);
        start.add(data as usize).cast::<T>().write_unaligned(value);
    }
    *used += space as usize;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_form() {
        for text in ["192.0.2.7:10000", "[2001:db8::7]:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut name = Name::empty();
            write_address(address, &mut name);
            assert_eq!(read_address(&name), Some(address));
        }
        assert_eq!(read_address(&Name::empty()), None);
    }

    #[test]
    fn control_messages_survive_one_after_the_other_in_the_same_memory() {
        let mut messages = Messages::new(1);
        let (header, control) = (&mut messages.headers[0].msg_hdr, &mut messages.controls[0]);
        for (segment, from) in [
            (1200, Some("2001:db8::7".parse().unwrap())),
            (0, Some("192.0.2.7".parse().unwrap())),
            (1200, Some("192.0.2.7".parse().unwrap())),
            (0, Some("2001:db8::8".parse().unwrap())),
            (1200, None),
            (0, None),
        ] {
            write_control(header, control, segment, from);
            let aside = read_aside(header);
            // IPv4 is read from another field than it is written to; the kernel wants nothing in that one.
            let expected = from.map(|ip: IpAddr| match ip {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => ip,
            });
            assert_eq!((aside.to, aside.stamp), (expected, None));
            let count = usize::from(segment > 0) + usize::from(from.is_some());
            assert_eq!(count_messages(header), count, "{segment} {from:?}");
        }
    }

    fn count_messages(header: &libc::msghdr) -> usize {
        let mut count = 0;
        // SAFETY: as in `read_aside`.
        unsafe {
            let mut cmsg = libc::CMSG_FIRSTHDR(header);
            while !cmsg.is_null() {
                count += 1;
                cmsg = libc::CMSG_NXTHDR(header, cmsg);
            }
        }
        count
    }
}
