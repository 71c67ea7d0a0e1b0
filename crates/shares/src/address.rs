//! What counts as one address.

use std::fmt;
use std::net::IpAddr;

/// Who an address counts as: one IPv4 address, or one IPv6 /64, of which a household has at least one to itself.
///
/// Its `Debug` form does not show the address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressClass(Network);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Network {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for AddressClass {
    fn from(address: IpAddr) -> Self {
        // A listener on [::] sees IPv4 peers as mapped addresses.
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => Network::V4(v4.to_bits()),
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                let prefix = [a, b, c, d]
                    .into_iter()
                    .fold(0, |prefix, part| prefix << 16 | u64::from(part));
                Network::V6(prefix)
            }
        })
    }
}

impl fmt::Debug for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Network::V4(_) => "AddressClass(IPv4)",
            Network::V6(_) => "AddressClass(IPv6/64)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("::1", "0.0.0.1", false),
        ] {
            let class = |text: &str| AddressClass::from(text.parse::<IpAddr>().unwrap());
            assert_eq!(class(one) == class(other), same, "{one} {other}");
        }
    }

    #[test]
    fn the_address_is_not_shown() {
        let class = AddressClass::from("192.0.2.77".parse::<IpAddr>().unwrap());
        assert_eq!(format!("{class:?}"), "AddressClass(IPv4)");
    }
}
