//! Which addresses peers are offered: those of the host behind the sockets, and public ones in front of them. The host may
//! get and lose addresses while the bridge runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Mapping, OwnAddresses};
use crate::reflexive::Reflexive;
use crate::shared::{Command, Shared};

/// How often the host's addresses are read.
const INTERVAL: Duration = Duration::from_secs(3);

/// Where a worker's sockets are, and what stands in front of them.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) listen: Vec<SocketAddr>,
    /// Where connections for media over TCP come in.
    pub(crate) tcp: Option<SocketAddr>,
    pub(crate) mappings: Vec<Mapping>,
}

/// What is offered of one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Offered {
    /// Addresses of the host.
    pub(crate) hosts: Vec<SocketAddr>,
    /// Public addresses, each with the address of the host behind it.
    pub(crate) mapped: Vec<(SocketAddr, SocketAddr)>,
}

impl Offered {
    /// What the host has now, for each worker; `reflexive`: and what STUN servers say of it.
    pub(crate) fn now(places: &[Place], own: &OwnAddresses, reflexive: &Reflexive) -> Vec<Self> {
        let local = net::local_addresses();
        let seen = reflexive.mappings();
        let of = |place: &Place| {
            let hosts = host_candidates(&place.listen, &local);
            let mappings: Vec<_> = place.mappings.iter().chain(&seen).copied().collect();
            let mapped = mapped_candidates(&hosts, &mappings);
            let offered = Self {
                hosts: told(hosts, own, &seen),
                mapped,
            };
            match place.tcp {
                Some(tcp) => offered.with_tcp(tcp),
                None => offered,
            }
        };
        places.iter().map(of).collect()
    }

    /// Adds the TCP port of each address that has it; less wanted than UDP, so behind all of that.
    fn with_tcp(mut self, listen: SocketAddr) -> Self {
        let end = |ip: IpAddr| rtc::tcp_address(SocketAddr::new(ip, listen.port()));
        let listens = |ip: IpAddr| {
            let at = listen.ip();
            ip == at || (at.is_unspecified() && (at.is_ipv6() || ip.is_ipv4()))
        };
        let mut hosts: Vec<_> = self.hosts.iter().map(SocketAddr::ip).collect();
        let behind = |(public, host): &(SocketAddr, SocketAddr)| (public.ip(), host.ip());
        let mut mapped: Vec<_> = self.mapped.iter().map(behind).collect();
        hosts.retain(|ip| listens(*ip));
        mapped.retain(|(_, host)| listens(*host));
        hosts.dedup();
        mapped.dedup();
        self.hosts.extend(hosts.into_iter().map(end));
        let mapped = mapped.into_iter();
        self.mapped
            .extend(mapped.map(|(public, host)| (end(public), end(host))));
        self
    }

    /// Whether there is nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.mapped.is_empty()
    }

    /// Addresses of the host that this has and `other` has not.
    fn without<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = SocketAddr> + 'a {
        let missing = self.hosts.iter().filter(|h| !other.hosts.contains(h));
        missing.copied()
    }
}

/// Most ports that others are told to ask whether the bridge lives.
const MAX_MEDIA: usize = 8;

/// The first of the UDP ports that some endpoint is told, public ones before others.
pub(crate) fn media(offered: &[Offered]) -> Vec<SocketAddr> {
    let mut all = reached(offered);
    all.truncate(MAX_MEDIA);
    all
}

/// All of them.
pub(crate) fn reached(offered: &[Offered]) -> Vec<SocketAddr> {
    let mapped = offered.iter().flat_map(|o| o.mapped.iter().map(|m| m.0));
    let hosts = offered.iter().flat_map(|o| o.hosts.iter().copied());
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in mapped.chain(hosts).filter(|a| !rtc::is_tcp(a)) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// The addresses that come in `new` and did not in `old`; those of several workers once.
fn added(new: &[Offered], old: &[Offered]) -> Vec<SocketAddr> {
    let pairs = new.iter().zip(old);
    let missing = pairs.flat_map(|(new, old)| new.without(old));
    let mut all: Vec<_> = missing.map(rtc::plain_address).collect();
    all.dedup();
    all
}

/// Tells the workers whenever the host's addresses have changed. Without any address the last ones stay: an interface is
/// down, and there is nothing else to offer.
pub(crate) async fn watch(
    shared: Arc<Shared>,
    places: Vec<Place>,
    own: OwnAddresses,
    reflexive: Reflexive,
    mut offered: Vec<Offered>,
) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let present = Offered::now(&places, &own, &reflexive);
        let (new, gone) = (added(&present, &offered), added(&offered, &present));
        let mapped = |all: &[Offered]| all.iter().map(|o| o.mapped.clone()).collect::<Vec<_>>();
        let same = new.is_empty() && gone.is_empty() && mapped(&present) == mapped(&offered);
        if same || present.iter().all(Offered::is_empty) {
            continue;
        }
        tracing::info!(?new, ?gone, "the addresses of this machine changed");
        let told = shared
            .workers
            .iter()
            .zip(&present)
            .all(|(worker, offered)| {
                let command = Command::Addresses(offered.hosts.clone(), offered.mapped.clone());
                worker.send(command).is_ok()
            });
        // A worker whose queue is full is told the next time.
        if told {
            shared.set_media(media(&present), reached(&present));
            offered = present;
        }
    }
}

/// The addresses that peers are told; those too that STUN servers see as they are: nothing stands in front of them.
fn told(mut hosts: Vec<SocketAddr>, own: &OwnAddresses, seen: &[Mapping]) -> Vec<SocketAddr> {
    let is_seen = |ip: IpAddr| seen.iter().any(|mapping| mapping.public.ip() == ip);
    hosts.retain(|host| own.tells(host.ip()) || is_seen(host.ip()));
    hosts
}

/// The addresses behind the sockets: all of the machine for the unspecified address of a family.
fn host_candidates(listen: &[SocketAddr], local: &[IpAddr]) -> Vec<SocketAddr> {
    let mut hosts = Vec::new();
    for address in listen {
        if address.ip().is_unspecified() {
            let same = local.iter().filter(|ip| ip.is_ipv4() == address.is_ipv4());
            hosts.extend(same.map(|ip| SocketAddr::new(*ip, address.port())));
        } else {
            hosts.push(*address);
        }
    }
    hosts.dedup();
    hosts
}

fn mapped_candidates(hosts: &[SocketAddr], mappings: &[Mapping]) -> Vec<(SocketAddr, SocketAddr)> {
    let mut mapped = Vec::new();
    for mapping in mappings {
        let behind = hosts.iter().filter(|host| match mapping.local {
            Some(local) => host.ip() == local,
            None => host.is_ipv4() == mapping.public.is_ipv4() && !is_loopback(host.ip()),
        });
        for host in behind {
            let port = match mapping.public.port() {
                0 => host.port(),
                port => port,
            };
            let public = SocketAddr::new(mapping.public.ip(), port);
            if public != *host && !mapped.iter().any(|(known, _)| *known == public) {
                mapped.push((public, *host));
            }
        }
    }
    mapped
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(s: &str) -> SocketAddr {
        s.parse().unwrap()
    }

    #[test]
    fn mappings_stand_before_the_hosts_they_name() {
        let hosts = [
            addr("10.0.0.5:10000"),
            addr("10.0.1.5:10000"),
            addr("[fd00::5]:10000"),
        ];
        let one = Mapping {
            public: addr("203.0.113.9:0"),
            local: Some("10.0.1.5".parse().unwrap()),
        };
        assert_eq!(
            mapped_candidates(&hosts, &[one]),
            [(addr("203.0.113.9:10000"), addr("10.0.1.5:10000"))]
        );
        let any = Mapping {
            public: addr("203.0.113.9:4443"),
            local: None,
        };
        assert_eq!(
            mapped_candidates(&hosts, &[any]),
            [(addr("203.0.113.9:4443"), addr("10.0.0.5:10000"))]
        );
    }

    #[test]
    fn addresses_at_which_connections_come_in_are_offered_last() {
        let offered = || Offered {
            hosts: vec![addr("10.0.0.5:10000"), addr("[fd00::5]:10000")],
            mapped: vec![(addr("203.0.113.9:10000"), addr("10.0.0.5:10000"))],
        };
        let end = |s: &str| rtc::tcp_address(addr(s));
        let all = offered().with_tcp(addr("[::]:443"));
        assert_eq!(all.hosts[2..], [end("10.0.0.5:443"), end("[fd00::5]:443")]);
        assert_eq!(
            all.mapped[1..],
            [(end("203.0.113.9:443"), end("10.0.0.5:443"))]
        );
        let v4 = offered().with_tcp(addr("0.0.0.0:443"));
        assert_eq!(v4.hosts[2..], [end("10.0.0.5:443")]);
        let other = offered().with_tcp(addr("10.0.0.6:443"));
        assert_eq!(other, offered());
    }

    #[test]
    fn only_the_addresses_asked_for_are_told() {
        let hosts = ["10.0.0.5:10000", "172.17.0.1:10000", "[fd00::5]:10000"].map(addr);
        let only = |some: &[&str]| {
            let some = some.iter().map(|ip| ip.parse().unwrap());
            told(hosts.to_vec(), &OwnAddresses::Only(some.collect()), &[])
        };
        assert_eq!(told(hosts.to_vec(), &OwnAddresses::All, &[]), hosts);
        assert_eq!(only(&["10.0.0.5"]), [hosts[0]]);
        // An address of a translator in front is no host's; its mapping is told instead.
        assert_eq!(only(&["203.0.113.9"]), []);
        // Behind no translator a STUN server sees the host's own.
        let seen = |public: &str| Mapping {
            public: addr(public),
            local: Some(hosts[0].ip()),
        };
        let none = OwnAddresses::Only(Vec::new());
        let plain = told(hosts.to_vec(), &none, &[seen("10.0.0.5:0")]);
        assert_eq!(plain, [hosts[0]]);
        assert_eq!(told(hosts.to_vec(), &none, &[seen("203.0.113.9:0")]), []);
        let behind = mapped_candidates(&hosts, &[seen("203.0.113.9:0")]);
        assert_eq!(behind, [(addr("203.0.113.9:10000"), hosts[0])]);
    }

    #[test]
    fn what_came_and_what_went() {
        let offered = |hosts: &[&str]| Offered {
            hosts: hosts.iter().map(|h| addr(h)).collect(),
            mapped: Vec::new(),
        };
        let before = offered(&["10.0.0.5:1", "10.0.0.6:1"]);
        let after = offered(&["10.0.0.6:1", "10.0.0.8:1"]);
        let missing = |a: &Offered, b: &Offered| a.without(b).collect::<Vec<_>>();
        assert_eq!(missing(&after, &before), [addr("10.0.0.8:1")]);
        assert_eq!(missing(&before, &after), [addr("10.0.0.5:1")]);
        // In another order they are the same.
        let turned = offered(&["10.0.0.6:1", "10.0.0.5:1"]);
        assert!(missing(&turned, &before).is_empty() && missing(&before, &turned).is_empty());
        // What two workers share is said once.
        let (both, none) = ([after.clone(), after], [before.clone(), before]);
        assert_eq!(added(&both, &none), [addr("10.0.0.8:1")]);
    }
}
