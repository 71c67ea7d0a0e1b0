//! Kinds of values, their parsing from TOML and from text, and their checks.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use toml::de::DeValue;

use crate::address::is_domain;
use crate::advertise::{Advertised, OWN, StunServer};

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Integer {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// Any text that is not empty.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A path; relative ones count from the configuration file's directory.
    Path,
    /// A host name of letters, digits, `-` and `.`.
    Domain,
    /// `port`, `address:port`, or `off`; see [`Listen`].
    Listen,
    /// A list of texts.
    List,
    /// A list of addresses or networks, see [`Cidr`].
    Networks,
    /// A list of addresses told to clients, see [`Advertised`], servers that know some, see [`StunServer`], and the word `own`
    /// for those of the machine.
    Addresses,
    /// A table of names and texts.
    Map,
}

/// A value as written, not yet interpreted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// From `true` or `false`.
    Bool(bool),
    /// From a number.
    Integer(i64),
    /// From a text.
    Text(String),
    /// From an array, or a comma-separated text.
    List(Vec<String>),
    /// From a table, or a text `name=value,name=value`.
    Map(BTreeMap<String, String>),
}

impl Kind {
    /// How the kind is called in messages and in the reference.
    pub fn describe(self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Text => "a text".to_owned(),
            Self::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Self::Path => "a path".to_owned(),
            Self::Domain => "a host name".to_owned(),
            Self::Listen => "a port, an \"address:port\", or \"off\"".to_owned(),
            Self::List => "a list of texts".to_owned(),
            Self::Networks => "a list of addresses or networks (\"10.0.0.0/8\")".to_owned(),
            Self::Addresses => {
                format!("a list of addresses or names, \"{OWN}\" for the machine's own among them")
            }
            Self::Map => "a table of texts".to_owned(),
        }
    }

    /// Reads a value of the configuration file.
    ///
    /// # Errors
    /// What is wrong, in words that follow the key.
    pub fn from_toml(self, value: &DeValue<'_>) -> Result<Value, String> {
        let wrong = || format!("is {}, not {}", article(value.type_str()), self.describe());
        let texts = |array: &toml::de::DeArray<'_>| {
            array
                .iter()
                .map(|item| item.get_ref().as_str().map(str::to_owned).ok_or_else(wrong))
                .collect::<Result<Vec<_>, _>>()
        };
        let read = match self {
            Self::Bool => Value::Bool(value.as_bool().ok_or_else(wrong)?),
            Self::Integer { .. } => Value::Integer(integer(value).ok_or_else(wrong)?),
            // A bare port number reads well in a file.
            Self::Listen => match integer(value) {
                Some(port) => Value::Text(port.to_string()),
                None => Value::Text(value.as_str().ok_or_else(wrong)?.to_owned()),
            },
            Self::Text | Self::Choice(_) | Self::Path | Self::Domain => {
                Value::Text(value.as_str().ok_or_else(wrong)?.to_owned())
            }
            Self::List | Self::Networks | Self::Addresses => {
                Value::List(texts(value.as_array().ok_or_else(wrong)?)?)
            }
            Self::Map => {
                let table = value.as_table().ok_or_else(wrong)?;
                let mut map = BTreeMap::new();
                for (name, item) in table {
                    let text = item.get_ref().as_str().ok_or_else(wrong)?;
                    map.insert(name.get_ref().to_string(), text.to_owned());
                }
                Value::Map(map)
            }
        };
        self.check(&read)?;
        Ok(read)
    }

    /// Reads a value of an environment variable or a command-line option.
    ///
    /// # Errors
    /// What is wrong, in words that follow the key.
    pub fn from_text(self, text: &str) -> Result<Value, String> {
        let wrong = || format!("is not {}", self.describe());
        let items = || {
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
        };
        let read = match self {
            Self::Bool => match text {
                "true" | "1" | "yes" | "on" => Value::Bool(true),
                "false" | "0" | "no" | "off" => Value::Bool(false),
                _ => return Err(wrong()),
            },
            Self::Integer { .. } => Value::Integer(text.parse().map_err(|_error| wrong())?),
            Self::Text | Self::Choice(_) | Self::Path | Self::Domain | Self::Listen => {
                Value::Text(text.to_owned())
            }
            Self::List | Self::Networks | Self::Addresses => {
                Value::List(items().map(str::to_owned).collect())
            }
            Self::Map => {
                let mut map = BTreeMap::new();
                for item in items() {
                    let (name, value) = item.split_once('=').ok_or_else(wrong)?;
                    map.insert(name.trim().to_owned(), value.trim().to_owned());
                }
                Value::Map(map)
            }
        };
        self.check(&read)?;
        Ok(read)
    }

    fn check(self, value: &Value) -> Result<(), String> {
        let wrong = || Err(format!("is not {}", self.describe()));
        match (self, value) {
            (Self::Integer { min, max }, Value::Integer(number)) => {
                if (min..=max).contains(number) {
                    Ok(())
                } else {
                    wrong()
                }
            }
            (_, Value::Text(text)) if text.is_empty() => Err("is empty".to_owned()),
            (Self::Choice(words), Value::Text(text)) if !words.contains(&text.as_str()) => wrong(),
            (Self::Domain, Value::Text(text)) if !is_domain(text) => wrong(),
            (Self::Listen, Value::Text(text)) => text.parse::<Listen>().map(drop),
            (Self::Networks, Value::List(items)) => items
                .iter()
                .try_for_each(|item| item.parse::<Cidr>().map(drop)),
            (Self::Addresses, Value::List(items)) => items
                .iter()
                .filter(|item| *item != OWN)
                .try_for_each(|item| match StunServer::is_meant(item) {
                    true => item.parse::<StunServer>().map(drop),
                    false => item.parse::<Advertised>().map(drop),
                }),
            _ => Ok(()),
        }
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let number = value.as_integer()?;
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn article(type_name: &str) -> String {
    let vowel = type_name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {type_name}", if vowel { "an" } else { "a" })
}

/// Where a server listens: `443` (all addresses, IPv6 too where there is any), `127.0.0.1:443`, `[::1]:443`, `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Not at all.
    Off,
    /// On every address of the machine; port 0 takes any free one.
    Port(u16),
    /// On this address only.
    Address(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let digits = text.strip_prefix(':').unwrap_or(text);
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return digits
                .parse()
                .map(Self::Port)
                .map_err(|_error| format!("{digits} is not a port (0 to 65535)"));
        }
        text.parse().map(Self::Address).map_err(|_error| {
            format!("\"{text}\" is neither a port, an \"address:port\", nor \"off\"")
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Port(port) => write!(f, "{port}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// A network: an address and how many leading bits of it count. A bare address is a network of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.address.is_ipv4() { 32 } else { 128 };
        match self.bits {
            bits if bits == whole => write!(f, "{}", self.address),
            bits => write!(f, "{}/{bits}", self.address),
        }
    }
}

impl Cidr {
    /// Whether `address` lies in the network. IPv4 addresses written the IPv6 way (`::ffff:10.0.0.1`) count as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(host)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                net.to_bits() & mask == host.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(host)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                net.to_bits() & mask == host.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// Whether it is every address of its family.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    /// Both loopback networks.
    pub const LOOPBACK: [Self; 2] = [
        Self {
            address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
            bits: 8,
        },
        Self {
            address: IpAddr::V6(Ipv6Addr::LOCALHOST),
            bits: 128,
        },
    ];
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is not an address or a network like \"10.0.0.0/8\"");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_error| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().map_err(|_error| wrong())?,
        };
        if bits > most {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

#[cfg(test)]
mod tests {
    use super::{Cidr, Kind, Listen, Value};

    #[test]
    fn listen_forms() {
        assert_eq!("off".parse(), Ok(Listen::Off));
        assert_eq!("443".parse(), Ok(Listen::Port(443)));
        assert_eq!(":443".parse(), Ok(Listen::Port(443)));
        for text in ["127.0.0.1:80", "[::1]:80"] {
            assert_eq!(
                text.parse::<Listen>().map(|listen| listen.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["65536", "", ":", "localhost:80", "1.2.3.4"] {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn networks_contain() {
        let contains =
            |net: &str, host: &str| net.parse::<Cidr>().unwrap().contains(host.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.200.1.1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(!contains("10.0.0.0/8", "11.0.0.1"));
        for text in ["10.0.0.0/8", "192.0.2.7", "fc00::/7", "::1"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        assert!(contains("192.0.2.7", "192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.8"));
        assert!(contains("0.0.0.0/0", "203.0.113.1"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1"));
        assert!(contains("::/0", "2001:db8:1::1"));
        for text in ["10.0.0.0/33", "10.0.0/8", "/8", "2001:db8::/129", "x"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn texts_of_the_environment() {
        let list =
            |items: &[&str]| Value::List(items.iter().map(|&item| item.to_owned()).collect());
        assert_eq!(Kind::List.from_text("a, b,"), Ok(list(&["a", "b"])));
        assert_eq!(Kind::Bool.from_text("yes"), Ok(Value::Bool(true)));
        assert!(Kind::Bool.from_text("maybe").is_err());
        assert!(Kind::Integer { min: 1, max: 5 }.from_text("6").is_err());
        assert!(Kind::Addresses.from_text("192.0.2.1,meet").is_err());
        assert!(Kind::Addresses.from_text("own,192.0.2.1").is_ok());
        assert!(Kind::Addresses.from_text("own,stun:a.test").is_ok());
        let slip = Kind::Addresses.from_text("stun:a_b").unwrap_err();
        assert!(slip.contains("is no STUN server"), "{slip}");
        assert!(Kind::Domain.from_text("meet_me.example").is_err());
        assert!(Kind::Map.from_text("a").is_err());
        let Ok(Value::Map(map)) = Kind::Map.from_text("a=http://b, c=d") else {
            panic!()
        };
        assert_eq!(map.get("a").map(String::as_str), Some("http://b"));
    }
}
