//! Socket addresses and control messages in the kernel's form.

use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// Room for control messages; `cmsghdr` wants this alignment.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
pub(crate) struct Control(pub(crate) [u8; 96]);

impl Control {
    pub(crate) const EMPTY: Self = Self([0; 96]);
}

/// A message header with nothing in it.
pub(crate) fn empty_header() -> libc::msghdr {
    // SAFETY: `msghdr` is a C structure of integers and pointers; all zeros is a valid value of it.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// A socket address with nothing in it.
pub(crate) fn empty_storage() -> libc::sockaddr_storage {
    // SAFETY: `sockaddr_storage` is a C structure of integers; all zeros is a valid value of it.
    unsafe { MaybeUninit::zeroed().assume_init() }
}

/// Writes an address into the kernel's form; the result is its length.
pub(crate) fn write_address(
    address: SocketAddr,
    storage: &mut libc::sockaddr_storage,
) -> libc::socklen_t {
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
            // SAFETY: `sockaddr_storage` is larger than and aligned for every socket address.
            unsafe {
                std::ptr::from_mut(storage)
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
                std::ptr::from_mut(storage)
                    .cast::<libc::sockaddr_in6>()
                    .write(raw)
            };
            mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t
        }
    }
}

/// Reads an address in the kernel's form; `None` for another family.
pub(crate) fn read_address(storage: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says which structure the storage holds; it is large enough and aligned for it.
            let raw = unsafe {
                std::ptr::from_ref(storage)
                    .cast::<libc::sockaddr_in>()
                    .read()
            };
            let ip = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(ip, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let raw = unsafe {
                std::ptr::from_ref(storage)
                    .cast::<libc::sockaddr_in6>()
                    .read()
            };
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
}

/// Reads the control messages of a received message.
pub(crate) fn read_aside(header: &libc::msghdr) -> Aside {
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

/// Writes control messages for a message to send: the segment length (0 for none) and the local address to send from.
/// The header's control fields point into `control` afterwards.
pub(crate) fn write_control(
    header: &mut libc::msghdr,
    control: &mut Control,
    segment: u16,
    from: Option<IpAddr>,
) {
    *control = Control::EMPTY;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    let mut used = 0;
    // SAFETY: `control` is zeroed, aligned for `cmsghdr`, and its 96 bytes hold both messages (at most
    // CMSG_SPACE(2) + CMSG_SPACE(20) = 24 + 40). The CMSG macros therefore return pointers into it.
    unsafe {
        let mut cmsg = libc::CMSG_FIRSTHDR(header);
        if segment > 0 && !cmsg.is_null() {
            (*cmsg).cmsg_level = libc::SOL_UDP;
            (*cmsg).cmsg_type = libc::UDP_SEGMENT;
            (*cmsg).cmsg_len = libc::CMSG_LEN(mem::size_of::<u16>() as u32) as _;
            libc::CMSG_DATA(cmsg).cast::<u16>().write_unaligned(segment);
            used += libc::CMSG_SPACE(mem::size_of::<u16>() as u32) as usize;
            cmsg = libc::CMSG_NXTHDR(header, cmsg);
        }
        if cmsg.is_null() {
            header.msg_controllen = used as _;
            return;
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
                let size = mem::size_of::<libc::in_pktinfo>() as u32;
                (*cmsg).cmsg_level = libc::IPPROTO_IP;
                (*cmsg).cmsg_type = libc::IP_PKTINFO;
                (*cmsg).cmsg_len = libc::CMSG_LEN(size) as _;
                libc::CMSG_DATA(cmsg)
                    .cast::<libc::in_pktinfo>()
                    .write_unaligned(info);
                used += libc::CMSG_SPACE(size) as usize;
            }
            Some(IpAddr::V6(ip)) => {
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr {
                        s6_addr: ip.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                let size = mem::size_of::<libc::in6_pktinfo>() as u32;
                (*cmsg).cmsg_level = libc::IPPROTO_IPV6;
                (*cmsg).cmsg_type = libc::IPV6_PKTINFO;
                (*cmsg).cmsg_len = libc::CMSG_LEN(size) as _;
                libc::CMSG_DATA(cmsg)
                    .cast::<libc::in6_pktinfo>()
                    .write_unaligned(info);
                used += libc::CMSG_SPACE(size) as usize;
            }
            None => {}
        }
    }
    header.msg_controllen = used as _;
    if used == 0 {
        header.msg_control = std::ptr::null_mut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_kernels_form() {
        for text in ["192.0.2.7:10000", "[2001:db8::7]:65535", "[fe80::1%3]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            let mut storage = empty_storage();
            write_address(address, &mut storage);
            assert_eq!(read_address(&storage), Some(address));
        }
        assert_eq!(read_address(&empty_storage()), None);
    }

    #[test]
    fn control_messages_survive() {
        for (segment, from) in [
            (0, None),
            (1200, None),
            (0, Some("192.0.2.7".parse().unwrap())),
            (1200, Some("2001:db8::7".parse().unwrap())),
        ] {
            let (mut header, mut control) = (empty_header(), Control::EMPTY);
            write_control(&mut header, &mut control, segment, from);
            let has_from = matches!(from, Some(IpAddr::V6(_)));
            let aside = read_aside(&header);
            // IPv4 is read from another field than it is written to.
            if has_from {
                assert_eq!(aside.to, from);
            }
            assert_eq!(header.msg_controllen == 0, segment == 0 && from.is_none());
        }
    }
}
