//! What clients are told as an address of the bridge: `203.0.113.5`, `media.example.com`, with the port in front of it where
//! that is another one (`203.0.113.5:4443`), and with the address of this machine behind it where there are several
//! (`203.0.113.5=10.0.0.5`). And who is asked for one that nobody knows here (`stun:stun.example.com:3478`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::address::is_domain;
use crate::certificate::Mistake;
use crate::turn_server::host_and_port;

/// What stands for the machine's own addresses.
pub(crate) const OWN: &str = "own";

/// All that `bridge.advertise` names.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The machine's own addresses.
    pub(crate) own: bool,
    pub(crate) addresses: Vec<Advertised>,
    pub(crate) stun: Vec<StunServer>,
}

impl Told {
    /// Takes a list apart whose texts were found to be right.
    ///
    /// # Errors
    /// It is empty.
    pub(crate) fn read(list: &[String]) -> Result<Option<Self>, Mistake> {
        if list.is_empty() {
            return Err((
                "bridge.advertise",
                "is empty: nobody could reach the bridge".to_owned(),
                "write \"own\" for the machine's addresses",
            ));
        }
        Ok(Some(Self {
            own: list.iter().any(|text| text == OWN),
            addresses: list.iter().filter_map(|text| text.parse().ok()).collect(),
            stun: list.iter().filter_map(|text| text.parse().ok()).collect(),
        }))
    }
}

/// An address told to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// Port in front, if it is not that of `bridge.udp`.
    pub port: Option<u16>,
    /// Address of this machine behind it; without one, every one of its family.
    pub local: Option<IpAddr>,
}

impl Advertised {
    /// The address, if it is not a name.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl fmt::Display for Advertised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.host)?,
            (Some(port), false) => write!(f, "{}:{port}", self.host)?,
            (None, _) => f.write_str(&self.host)?,
        }
        match self.local {
            Some(local) => write!(f, "={local}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Advertised {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is neither an address (\"203.0.113.5\", \"203.0.113.5:4443\"), nor a name (\"media.example.com\"), nor \"public=local\", nor \"own\""
            )
        };
        let (public, local) = match text.split_once('=') {
            Some((public, local)) => {
                let local: IpAddr = local.parse().map_err(|_error| wrong())?;
                (public, Some(local))
            }
            None => (text, None),
        };
        let (host, port) = if let Ok(address) = public.parse::<IpAddr>() {
            (address.to_string(), None)
        } else if let Ok(address) = public.parse::<SocketAddr>() {
            (address.ip().to_string(), Some(address.port()))
        } else {
            let (name, port) = match public.split_once(':') {
                Some((name, port)) => (name, Some(port.parse::<u16>().map_err(|_error| wrong())?)),
                None => (public, None),
            };
            // A name without a dot is a slip of the pen.
            if !name.contains('.') || !is_domain(name) {
                return Err(wrong());
            }
            (name.to_ascii_lowercase(), port)
        };
        let families = host.parse::<IpAddr>().ok().zip(local);
        if port == Some(0) || families.is_some_and(|(a, b)| a.is_ipv4() != b.is_ipv4()) {
            return Err(wrong());
        }
        Ok(Self { host, port, local })
    }
}

/// What stands before a STUN server.
const STUN: &str = "stun:";
/// Its port, if none is written (RFC 8489 §18.6).
const STUN_PORT: u16 = 3478;

/// A STUN server that says which address a translator in front gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StunServer {
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

impl StunServer {
    /// Whether a text means one.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.starts_with(STUN)
    }
}

impl FromStr for StunServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "\"{text}\" is no STUN server; write it like \"stun:stun.example.com:{STUN_PORT}\""
            )
        };
        let server = text.strip_prefix(STUN).ok_or_else(wrong)?;
        let (host, port) = host_and_port(server, STUN_PORT).ok_or_else(wrong)?;
        Ok(Self { host, port })
    }
}

#[cfg(test)]
mod tests {
    use super::{Advertised, OWN, StunServer, Told};

    #[test]
    fn a_list_is_taken_apart() {
        let list = ["stun:192.0.2.1", "203.0.113.5"].map(str::to_owned);
        let told = Told::read(&list).unwrap().unwrap();
        assert_eq!(
            (told.own, told.addresses.len(), told.stun.len()),
            (false, 1, 1)
        );
        assert!(Told::read(&[OWN.to_owned()]).unwrap().unwrap().own);
        assert!(Told::read(&[]).is_err());
    }

    #[test]
    fn stun_servers() {
        for (text, host, port) in [
            ("stun:stun.example.com", "stun.example.com", 3478),
            ("stun:stun.example.com:19302", "stun.example.com", 19302),
            ("stun:192.0.2.1", "192.0.2.1", 3478),
            ("stun:[2001:db8::1]:443", "2001:db8::1", 443),
            ("stun:[2001:db8::1]", "2001:db8::1", 3478),
        ] {
            let server: StunServer = text.parse().unwrap();
            assert_eq!((server.host.as_str(), server.port), (host, port), "{text}");
        }
        for text in [
            "stun:",
            "stun:a.b:0",
            "stun:a.b:x",
            "turn:a.b",
            "stun:a_b",
            "stun://a.b",
        ] {
            assert!(text.parse::<StunServer>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_names_ports_and_what_is_behind() {
        for (text, host, port, local) in [
            ("203.0.113.5", "203.0.113.5", None, None),
            ("203.0.113.5:4443", "203.0.113.5", Some(4443), None),
            ("2001:db8::5", "2001:db8::5", None, None),
            ("[2001:db8::5]:4443", "2001:db8::5", Some(4443), None),
            ("media.example.com", "media.example.com", None, None),
            (
                "media.example.com:4443",
                "media.example.com",
                Some(4443),
                None,
            ),
            (
                "203.0.113.5=10.0.0.5",
                "203.0.113.5",
                None,
                Some("10.0.0.5"),
            ),
            (
                "203.0.113.5:4443=10.0.0.5",
                "203.0.113.5",
                Some(4443),
                Some("10.0.0.5"),
            ),
        ] {
            let told: Advertised = text.parse().unwrap();
            assert_eq!((told.host.as_str(), told.port), (host, port), "{text}");
            assert_eq!(told.local, local.map(|local| local.parse().unwrap()));
            assert_eq!(told.to_string(), text);
        }
        for text in [
            "",
            "meet",
            "a.b:0",
            "a.b:x",
            "203.0.113.5=x",
            "203.0.113.5=::1",
            "a_b.c",
        ] {
            assert!(text.parse::<Advertised>().is_err(), "{text}");
        }
    }
}
