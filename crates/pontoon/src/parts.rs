//! From settings to the parts' own configurations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::SystemTime;

use bridge::{BridgeConfig, Mapping, OwnAddresses};
use config::{Advertised, Cidr, JoinToken, Listen, Settings};
use focus::{Plain, Strategy};
use front::{
    AcmeConfig, Certificate, CertificateSource, ClientConfig, Front, FrontConfig, HealthCheck,
    TrustedProxies,
};
use signalling::{SignallingConfig, TcpConfig};
use telemetry::{Metrics, Redacted};
use tokio::sync::Notify;
use xmpp::{ExternalService, ServiceCredentials, ServiceKind, Transport};

use crate::failure::Failure;
use crate::state;

/// What the process is, as far as a default depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// `pontoon up`.
    Up,
    /// `pontoon meet`.
    Meet,
}

/// Where XMPP is served when nobody says: with `pontoon up`, to this machine alone.
pub(crate) fn xmpp_listen(settings: &Settings, role: Role) -> Option<SocketAddr> {
    const PORT: u16 = 5222;
    address(settings.meet.listen.unwrap_or(match role {
        Role::Up => Listen::Address(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT))),
        Role::Meet => Listen::Port(PORT),
    }))
}

/// The address to bind for a listener; `[::]` stands for all.
pub(crate) fn address(listen: Listen) -> Option<SocketAddr> {
    match listen {
        Listen::Off => None,
        Listen::Port(port) => Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)),
        Listen::Address(address) => Some(address),
    }
}

/// The machine's addresses, those for other machines first.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let mut addresses = net::local_addresses();
    addresses.sort_by_key(|address| (address.is_loopback(), address.is_ipv6()));
    addresses
}

/// The JavaScript of `client.extra`.
pub(crate) fn extra_script(settings: &Settings) -> Result<String, Failure> {
    let Some(path) = &settings.client.extra else {
        return Ok(String::new());
    };
    std::fs::read_to_string(path).map_err(|error| {
        Failure::start(format!(
            "client.extra: {} cannot be read: {error}",
            path.display()
        ))
    })
}

/// The front. `turn_by_udp`: clients reach a relay by UDP.
pub(crate) fn front(
    settings: &Settings,
    turn_by_udp: bool,
    metrics: Metrics,
    health: HealthCheck,
) -> Result<FrontConfig, Failure> {
    let front = &settings.front;
    let proxies = front.trusted_proxies.clone();
    Ok(FrontConfig {
        https: address(front.https),
        http: address(front.http),
        trusted_proxies: TrustedProxies::new(move |peer| {
            proxies.iter().any(|network| network.contains(peer))
        }),
        certificate: web_certificate(settings),
        well_known: front.well_known.clone(),
        web_root: front.web_root.clone(),
        client: client(settings, turn_by_udp)?,
        public_host: public_host(settings).map(str::to_owned),
        hsts: front.hsts,
        metrics_allow: allowed(front.metrics_allow.clone()),
        metrics,
        health,
        bridge_origins: settings.bridge.socket_origins(),
        colibri_ws: colibri_ws(settings)?,
    })
}

fn colibri_ws(settings: &Settings) -> Result<BTreeMap<String, hyper::Uri>, Failure> {
    settings
        .front
        .colibri_ws
        .iter()
        .map(|(id, url)| match url.parse() {
            Ok(uri) => Ok((id.clone(), uri)),
            Err(error) => Err(Failure::start(format!(
                "front.colibri_ws: the address of {id} is wrong: {error}"
            ))),
        })
        .collect()
}

/// Host and port of `front.public_url`.
pub(crate) fn public_host(settings: &Settings) -> Option<&str> {
    settings
        .front
        .public_url
        .as_deref()?
        .strip_prefix("https://")
}

/// A host of an address; the colons of an IPv6 address are no port's.
pub(crate) fn without_port(host: &str) -> &str {
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    bare.trim_start_matches('[').trim_end_matches(']')
}

/// Where the certificate of the web server comes from.
pub(crate) fn web_certificate(settings: &Settings) -> CertificateSource {
    if let Some((chain, key)) = &settings.front.certificate {
        return CertificateSource::Files {
            chain: chain.clone(),
            key: key.clone(),
        };
    }
    let mut hosts = vec!["localhost".to_owned(), settings.domain.clone()];
    hosts.extend(public_host(settings).map(|host| without_port(host).to_owned()));
    hosts.extend(addresses().iter().map(ToString::to_string));
    hosts.extend([
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ]);
    hosts.sort();
    hosts.dedup();
    if settings.front.acme.is_some() {
        return CertificateSource::Acme {
            directory: settings.state_dir.clone(),
            hosts,
        };
    }
    CertificateSource::SelfSigned {
        directory: settings.state_dir.clone(),
        name: "web",
        hosts,
        renew: true,
    }
}

/// The name people type, as far as it is known.
pub(crate) fn people_host(settings: &Settings) -> Option<&str> {
    match public_host(settings) {
        Some(host) => Some(without_port(host)),
        // The name nothing resolves tells nothing about the one people use.
        None => Some(settings.domain.as_str()).filter(|domain| !domain.ends_with(".internal")),
    }
}

/// What clients will find wrong with the web server's certificate, a sentence each. Of a self-signed one nothing is said:
/// whoever did not ask for another one knows it.
pub(crate) fn certificate_warnings(settings: &Settings) -> Result<Vec<String>, Failure> {
    let (key, path) = match (&settings.front.certificate, &settings.front.acme) {
        (Some((chain, _key)), _) => ("front.certificate", chain.clone()),
        (None, Some(acme)) => {
            let path = settings.state_dir.join("acme.pem");
            if !path.exists() {
                return Ok(vec![format!(
                    "front.acme: there is no certificate for {} yet; the log of the server says why, if it has asked for one",
                    acme.host
                )]);
            }
            ("front.acme", path)
        }
        (None, None) => return Ok(Vec::new()),
    };
    let certificate = Certificate::load(&web_certificate(settings)).map_err(Failure::start)?;
    let found = certificate.warnings(people_host(settings), SystemTime::now());
    let named = |warning| format!("{key}: {}: {warning}", path.display());
    Ok(found.into_iter().map(named).collect())
}

/// Asks for the certificate by ACME, if it is to be had so, and watches the one that is served.
pub(crate) fn tend_certificate(settings: &Settings, front: &Front, reload: Arc<Notify>) {
    let Some(certificates) = front.certificates() else {
        return;
    };
    let host = people_host(settings).map(str::to_owned);
    tokio::spawn(certificates.clone().watch(host, reload));
    if let Some(acme) = &settings.front.acme {
        let config = AcmeConfig {
            directory: acme.directory.clone(),
            root: acme.root.clone(),
            email: acme.email.clone(),
            host: acme.host.clone(),
            state: settings.state_dir.clone(),
            http: front.http_address().is_some(),
        };
        tokio::spawn(front::keep_by_acme(config, certificates.clone()));
    }
}

fn client(settings: &Settings, turn_by_udp: bool) -> Result<ClientConfig, Failure> {
    let client = &settings.client;
    Ok(ClientConfig {
        domain: settings.domain.clone(),
        p2p: client.p2p,
        stun_servers: client.stun_servers.clone(),
        turn_by_udp,
        codecs: client.codecs.clone(),
        p2p_codecs: client.p2p_codecs.clone(),
        prejoin: client.prejoin,
        resolution: client.resolution,
        last_n: client.last_n,
        start_audio_muted: client.start_audio_muted,
        start_video_muted: client.start_video_muted,
        shard: settings.front.shard.clone(),
        region: settings.meet.region.clone(),
        embed_origins: settings.front.embed_origins.clone(),
        extra: extra_script(settings)?,
    })
}

/// The signalling node, and the fingerprint of its certificate when it listens for bridges.
pub(crate) fn signalling(
    settings: &Settings,
    role: Role,
    secret: &Redacted<String>,
    metrics: Metrics,
) -> Result<(SignallingConfig, Option<[u8; 32]>), Failure> {
    let mut node = SignallingConfig::new(&settings.domain, secret.expose().as_bytes(), metrics)
        .map_err(Failure::start)?;
    if let Some(focus) = &mut node.focus {
        placing(settings, &mut focus.bridges);
    }
    node.focus_state = Some(settings.state_dir.join("meetings.json"));
    node.journal = Some(settings.state_dir.join("sessions.journal"));
    node.xmpp.max_occupants = settings.meet.max_occupants;
    node.xmpp.deployment.shard = settings.front.shard.clone();
    node.xmpp.deployment.region = settings.meet.region.clone();
    node.xmpp.external_services = stun_services(&settings.client.stun_servers);
    let Some(listen) = xmpp_listen(settings, role) else {
        return Ok((node, None));
    };
    let certificate = Certificate::load(&CertificateSource::SelfSigned {
        directory: settings.state_dir.clone(),
        name: "xmpp",
        hosts: vec![settings.domain.clone(), format!("auth.{}", settings.domain)],
        // Bridges have its fingerprint in their tokens.
        renew: false,
    })
    .map_err(Failure::start)?;
    let tls = certificate.server_config(&[]).map_err(Failure::start)?;
    node.tcp = Some(TcpConfig {
        listen: vec![listen],
        tls,
        allow: allowed(settings.meet.allow.clone()),
    });
    Ok((node, Some(certificate.fingerprint())))
}

/// How the focus places meetings on bridges.
fn placing(settings: &Settings, bridges: &mut focus::BridgeConfig) {
    let focus = &settings.focus;
    let plain = |word: &str| match word {
        "single" => Plain::Single,
        "split" => Plain::Split,
        "intra-region" => Plain::IntraRegion,
        _ => Plain::RegionBased,
    };
    bridges.strategy = match focus.strategy.as_str() {
        "visitor" => Strategy::Visitor {
            participants: plain(&focus.participant_strategy),
            visitors: plain(&focus.visitor_strategy),
        },
        word => plain(word).into(),
    };
    bridges.local_region.clone_from(&settings.meet.region);
    bridges.region_groups.clone_from(&focus.near_regions);
    bridges.max_people = focus.max_people_per_bridge;
    bridges.max_people_of_meeting = focus.max_people_of_meeting_per_bridge;
    bridges.max_mesh = focus.max_mesh;
    bridges.standby = focus.standby;
    bridges.stress_threshold = focus.overloaded;
    bridges.mix_versions = focus.mix_versions;
}

/// The STUN servers in the form in which clients ask for them: having an answer they do not look into `config.js` any more.
fn stun_services(urls: &[String]) -> Vec<ExternalService> {
    let parse = |url: &String| {
        let address = url.strip_prefix("stun:")?;
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
            _ => (address, 3478),
        };
        Some(ExternalService {
            kind: ServiceKind::Stun,
            host: host.to_owned(),
            port,
            transport: Some(Transport::Udp),
            credentials: ServiceCredentials::None,
        })
    };
    urls.iter().filter_map(parse).collect()
}

/// Whether an address lies in one of the networks.
fn allowed(networks: Vec<Cidr>) -> Arc<dyn Fn(IpAddr) -> bool + Send + Sync> {
    Arc::new(move |peer| networks.iter().any(|network| network.contains(peer)))
}

/// The password of the bridge in this process.
pub(crate) fn bridge_password(secret: &Redacted<String>) -> String {
    xmpp::auth::derive_password(secret.expose().as_bytes(), xmpp::LOCAL_BRIDGE)
}

/// The tokens of the settings and of the file they name.
pub(crate) fn join_tokens(settings: &Settings) -> Result<Vec<JoinToken>, Failure> {
    let mut tokens = settings.bridge.join.clone();
    let Some(path) = &settings.bridge.join_file else {
        return Ok(tokens);
    };
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::start(format!(
            "bridge.join_file: {} cannot be read: {error}",
            path.display()
        ))
    })?;
    front::warn_if_open(path);
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        tokens.push(line.parse().map_err(|error| {
            Failure::start(format!(
                "bridge.join_file: {}, line {}: {error}",
                path.display(),
                index + 1
            ))
        })?);
    }
    Ok(tokens)
}

/// The bridge, without the nodes it joins.
pub(crate) fn bridge(settings: &Settings, metrics: Metrics) -> Result<BridgeConfig, Failure> {
    let bridge = &settings.bridge;
    let mut config = BridgeConfig::new(state::bridge_id(settings)?, metrics);
    config.region.clone_from(&bridge.region);
    config.shards = bridge.threads;
    config.port_per_shard = bridge.port_per_thread;
    config.people_per_shard = bridge.people_per_thread;
    config.keep = bridge.keep;
    config.listen = match bridge.udp {
        Listen::Off => Vec::new(),
        Listen::Port(port) => media_addresses(port),
        Listen::Address(address) => vec![address],
    };
    let told = advertised(&bridge.advertise)?;
    if !bridge.advertise_own {
        config.own_addresses =
            OwnAddresses::Only(told.iter().map(|told| told.public.ip()).collect());
    }
    let own = addresses();
    let is_own = |told: &Mapping| told.public.port() == 0 && own.contains(&told.public.ip());
    config.mappings = told.into_iter().filter(|told| !is_own(told)).collect();
    let server = |server: &config::StunServer| bridge::StunServer {
        host: server.host.clone(),
        port: server.port,
    };
    config.stun = bridge.stun.iter().map(server).collect();
    if let Some(bases) = &bridge.colibri_ws {
        config.web_socket_bases.clone_from(bases);
    }
    Ok(config)
}

/// The addresses of `bridge.advertise`, names looked up; port 0 stands for that of the socket.
fn advertised(all: &[Advertised]) -> Result<Vec<Mapping>, Failure> {
    let mut told = Vec::new();
    for one in all {
        let failed = |reason: &dyn fmt::Display| {
            Failure::start(format!(
                "bridge.advertise: {} cannot be looked up: {reason}; write the address, or put the name service right",
                one.host
            ))
        };
        let found = match one.address() {
            Some(address) => vec![address],
            None => (one.host.as_str(), 0)
                .to_socket_addrs()
                .map_err(|error| failed(&error))?
                .map(|address| address.ip())
                .collect(),
        };
        let family = |address: &IpAddr| one.local.is_none_or(|l| l.is_ipv4() == address.is_ipv4());
        let found: BTreeSet<IpAddr> = found.into_iter().filter(family).collect();
        if found.is_empty() {
            return Err(failed(&"it has no address"));
        }
        told.extend(found.into_iter().map(|address| Mapping {
            public: SocketAddr::new(address, one.port.unwrap_or(0)),
            local: one.local,
        }));
    }
    Ok(told)
}

/// Every address of the machine, by family: media sockets are for one family each.
fn media_addresses(port: u16) -> Vec<SocketAddr> {
    let ipv6 = net::local_addresses()
        .iter()
        .any(|address| is_global_ipv6(*address));
    let mut listen = vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
    if ipv6 && port != 0 {
        listen.push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
    }
    listen
}

/// An IPv6 address others can reach without naming an interface.
fn is_global_ipv6(address: IpAddr) -> bool {
    match address {
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        IpAddr::V4(_) => false,
    }
}

/// The token with which new bridges join the node at `listen`.
pub(crate) fn join_token(
    settings: &Settings,
    password: Redacted<String>,
    listen: SocketAddr,
    fingerprint: [u8; 32],
) -> JoinToken {
    let host = settings.meet.advertise.clone().unwrap_or_else(|| {
        if !listen.ip().is_unspecified() {
            return listen.ip().to_string();
        }
        addresses()
            .first()
            .map_or_else(|| Ipv4Addr::LOCALHOST.to_string(), ToString::to_string)
    });
    JoinToken {
        host,
        port: listen.port(),
        domain: settings.domain.clone(),
        user: JoinToken::NEWCOMER.to_owned(),
        password,
        fingerprint,
    }
}

#[cfg(test)]
mod tests {
    use super::{advertised, stun_services};

    #[test]
    fn what_is_advertised_may_be_behind_a_translator() {
        let told = |text: &str| {
            let told =
                advertised(&[text.parse().unwrap()]).map_err(|failure| failure.to_string())?;
            let told: Vec<String> = told
                .iter()
                .map(|told| format!("{} {:?}", told.public, told.local))
                .collect();
            Ok::<_, String>(told.join(", "))
        };
        assert_eq!(told("203.0.113.5").unwrap(), "203.0.113.5:0 None");
        assert_eq!(
            told("203.0.113.5:4443=10.0.0.5").unwrap(),
            "203.0.113.5:4443 Some(10.0.0.5)"
        );
        // RFC 6761: nobody has this name.
        let failure = told("media.invalid").unwrap_err();
        assert!(
            failure.contains("bridge.advertise: media.invalid cannot be looked up"),
            "{failure}"
        );
    }

    #[test]
    fn stun_servers_are_told_by_xmpp_too() {
        let urls = ["stun:a.test", "stun:b.test:443", "stun:[2001:db8::1]", "b"];
        let services = stun_services(&urls.map(str::to_owned));
        let told: Vec<String> = services
            .iter()
            .map(|service| format!("{} {}", service.host, service.port))
            .collect();
        assert_eq!(told, ["a.test 3478", "b.test 443", "[2001:db8::1] 3478"]);
    }
}
