//! What clients are told as an address of the bridge: `203.0.113.5`, `media.example.com`, with the port in front of it where
//! that is another one (`203.0.113.5:4443`), and with the address of this machine behind it where there are several
//! (`203.0.113.5=10.0.0.5`).

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use crate::address::is_domain;

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

#[cfg(test)]
mod tests {
    use super::Advertised;

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
