//! Starting and stopping a bridge.
#![allow(
    clippy::disallowed_methods,
    reason = "the start time is read here, timers are tokio's"
)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use net::{Lane, Poller, UdpConfig};
use sfu::control::ControlConfig;
use sfu::{Certificate, ShardConfig};
use telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::addresses::{Offered, Place};
use crate::attachments::Attachments;
use crate::config::{BridgeConfig, Mapping, NodeConfig};
use crate::intake::{Intake, MAX_LANES};
use crate::load::Load;
use crate::reflexive::Reflexive;
use crate::shared::{COMMANDS, Command, Shared, Then, WorkerHandle};
use crate::standing::Standing;
use crate::streams::StreamDoor;
use crate::totals::Totals;
use crate::worker::Worker;
use crate::{addresses, handover, health, jitsi, metrics, orphans, post, rest, web_socket};

/// Shards are numbered in one byte of a conference's id.
const MAX_SHARDS: usize = 256;
/// Nobody left within this time: there is nowhere to go.
const STALLED: Duration = Duration::from_secs(3);
/// How often it is looked who is left.
const LOOK: Duration = Duration::from_millis(250);
/// How often the load is measured.
const LOAD_INTERVAL: Duration = Duration::from_secs(2);

/// Why a bridge did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A UDP port could not be had.
    #[error("cannot receive media on UDP {address}: {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The threads' ports end beyond the last port there is.
    #[error("there are not as many ports from {address} on as there are media threads")]
    Ports {
        /// The first one.
        address: SocketAddr,
    },
    /// There is no address that clients could send to.
    #[error("this machine has no address to advertise for media; name one in the configuration")]
    NoAddress,
    /// What address clients could send to was to be asked of STUN servers, and none answered.
    #[error(
        "no STUN server of the configuration answers, and there is no other address to advertise for media; is UDP to it \
         let out?"
    )]
    NoAnswer,
    /// The DTLS certificate could not be made.
    #[error("cannot make a DTLS certificate: {0}")]
    Certificate(String),
    /// The system refused something a thread needs.
    #[error("cannot start a media thread: {0}")]
    Thread(#[source] io::Error),
}

/// A running bridge. Dropping it stops it at once; [`Bridge::shutdown`] does it in order.
pub struct Bridge {
    pub(crate) shared: Arc<Shared>,
    metrics: Metrics,
    media: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    attachments: Attachments,
    background: JoinSet<()>,
    shutdown_grace: Duration,
}

impl Bridge {
    /// Binds the UDP ports, starts the threads and attaches to the signalling nodes, on the current runtime.
    ///
    /// # Errors
    /// When a port cannot be bound, or there is nothing to advertise.
    pub fn start(config: BridgeConfig) -> Result<Self, StartError> {
        let count = shard_count(config.shards);
        let lanes = bind(&config, count)?;
        warn_of_small_buffer(&lanes);
        let places = places(&config, &lanes);
        let reflexive = Reflexive::default();
        let answered = config.stun.is_empty() || reflexive.ask(&config.stun, &config.listen);
        let offered = Offered::now(&places, &config.own_addresses, &reflexive);
        if offered.iter().any(Offered::is_empty) {
            return Err(match answered {
                true => StartError::NoAddress,
                false => StartError::NoAnswer,
            });
        }
        if !answered {
            tracing::warn!(
                "no STUN server answers: what a translator in front makes of this machine's addresses is not advertised"
            );
        }
        let certificate = Certificate::generate(SystemTime::now())
            .map_err(|e| StartError::Certificate(e.to_string()))?;
        let mut handles = Vec::with_capacity(count);
        let mut parts = Vec::with_capacity(count);
        for lanes in lanes {
            let (handle, part) = prepare(lanes)?;
            handles.push(handle);
            parts.push(part);
        }
        let shared = Arc::new(Shared::new(
            config.server_id.clone(),
            config.region.clone(),
            config.version.clone(),
            handles,
            config.people_per_shard,
            Instant::now(),
        ));
        shared.set_media(addresses::media(&offered), addresses::reached(&offered));
        metrics::register(&config.metrics, &shared);
        jitsi::register(&config.metrics, &shared);
        let threads = spawn_threads(&shared, parts, &config, &offered, &Arc::new(certificate))?;
        let mut attachments = Attachments::new(shared.clone(), config.presence_interval);
        attachments.set(config.nodes.clone());
        let mut background = JoinSet::new();
        background.spawn(orphans::watch(shared.clone(), config.keep));
        background.spawn(measure_load(shared.clone(), config.proc_dir.clone()));
        let advertised = advertised(&offered);
        background.spawn(health::watch_ports(shared.clone(), own_ports(&places)));
        let mut listen = places.iter().flat_map(|place| &place.listen);
        let changes = listen.any(|address| address.ip().is_unspecified());
        if changes || !config.stun.is_empty() {
            let own = config.own_addresses.clone();
            let known = reflexive.clone();
            background.spawn(addresses::watch(
                shared.clone(),
                places,
                own,
                known,
                offered,
            ));
        }
        if !config.stun.is_empty() {
            let (servers, listen) = (config.stun.clone(), config.listen.clone());
            background.spawn(reflexive.watch(shared.clone(), servers, listen));
        }
        tracing::info!(
            server_id = config.server_id,
            shards = count,
            ?advertised,
            "bridge started"
        );
        Ok(Self {
            shared,
            metrics: config.metrics,
            media: advertised,
            threads,
            attachments,
            background,
            shutdown_grace: config.shutdown_grace,
        })
    }

    /// Serves these signalling nodes from now on: attaches to those that are new, leaves those that are not among them.
    pub fn attach_to(&mut self, nodes: Vec<NodeConfig>) {
        self.attachments.set(nodes);
    }

    /// Routes for clients: `/colibri-ws/...`, to be served behind HTTPS.
    pub fn router(&self) -> Router {
        web_socket::router(self.shared.clone())
    }

    /// Where connections that carry media are handed in; see [`BridgeConfig::tcp`].
    pub fn stream_door(&self) -> StreamDoor {
        StreamDoor::new(self.shared.clone())
    }

    /// Routes for operators: health, statistics, metrics, drain, shutdown. Not for the public.
    pub fn private_router(&self) -> Router {
        rest::router(self.shared.clone(), self.metrics.clone())
    }

    /// What `/metrics` shows.
    pub fn metrics_page(&self) -> String {
        self.metrics.encode()
    }

    /// Addresses advertised for media.
    pub fn media_addresses(&self) -> &[SocketAddr] {
        &self.media
    }

    /// Whether peers are told this address for media, asked whenever it is called: addresses may change.
    pub fn is_reached_at(&self) -> impl Fn(SocketAddr) -> bool + Send + Sync + use<> {
        let shared = self.shared.clone();
        move |address| shared.is_reached_at(address)
    }

    /// Number of conferences and of endpoints.
    pub fn load(&self) -> (usize, usize) {
        let totals = Totals::of(&self.shared.snapshots());
        (totals.conferences, totals.endpoints())
    }

    /// Counts the endpoints whenever it is called, for as long as somebody wants to know.
    pub fn people(&self) -> impl Fn() -> usize + Send + use<> {
        let shared = self.shared.clone();
        move || Totals::of(&shared.snapshots()).endpoints()
    }

    /// Asks focuses to place nothing here and to move what runs elsewhere (or takes that back).
    pub fn set_drain(&self, drain: bool) {
        self.shared.set_drain(drain, Then::Stay);
    }

    /// Resolves when a signalling node has taken the bridge in: from then on it may get conferences.
    pub async fn attached(&self) {
        // The sender lives as long as the bridge.
        let _ = self
            .standings()
            .wait_for(|all| all.iter().any(|standing| standing.attached))
            .await;
    }

    /// How the bridge stands with its signalling nodes, in the order of [`BridgeConfig::nodes`].
    pub fn standings(&self) -> watch::Receiver<Vec<Standing>> {
        self.shared.standings.subscribe()
    }

    /// Whether whoever asked the bridge to end wants it to be started again.
    pub fn wants_restart(&self) -> bool {
        self.shared.restart.load(Ordering::SeqCst)
    }

    /// Whether the bridge serves: its threads live, its media ports answer, its people are heard, and a signalling node has
    /// it. Why not, in words, whenever it is called.
    pub fn health(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let shared = self.shared.clone();
        move || health::report(&shared).map_err(|trouble| trouble.text)
    }

    /// Resolves when somebody asked the bridge to shut down over its private interface or by the focus: at once, or when
    /// the last endpoint is gone.
    pub async fn shutdown_requested(&self) {
        let mut changes = self.shared.changes();
        loop {
            let shared = &self.shared;
            let waits = shared.graceful.load(Ordering::SeqCst)
                || shared.end_when_empty.load(Ordering::SeqCst);
            if shared.shutting_down.load(Ordering::SeqCst) || (waits && self.load().1 == 0) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until all conferences are moved away: as long as people leave, and not longer than `shutdown_grace`.
    async fn emptied(&self) {
        let began = Instant::now();
        let mut changes = self.shared.changes();
        let (mut fewest, mut since) = (usize::MAX, began);
        loop {
            let (conferences, people) = self.load();
            let now = Instant::now();
            if conferences == 0 {
                return;
            }
            if people < fewest {
                (fewest, since) = (people, now);
            }
            let stalled = now.saturating_duration_since(since) >= STALLED;
            if stalled || now.saturating_duration_since(began) >= self.shutdown_grace {
                tracing::warn!(
                    conferences,
                    people,
                    "not everybody could be moved away: no other bridge takes them"
                );
                return;
            }
            let _ = tokio::time::timeout(LOOK, changes.changed()).await;
        }
    }

    /// Ends in order: focuses are told at once, conferences are moved away, then everything stops.
    pub async fn shutdown(mut self) {
        self.shared.set_flag(&self.shared.shutting_down, true);
        self.shared.changed();
        if self.load().0 > 0 && !self.attachments.is_empty() {
            self.emptied().await;
        }
        let _ = tokio::time::timeout(Duration::from_secs(2), self.attachments.leave()).await;
        self.background.abort_all();
        for worker in &self.shared.workers {
            let _ = worker.send(Command::Stop);
        }
        let threads = std::mem::take(&mut self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                let _ = thread.join();
            }
        });
        let _ = tokio::time::timeout(Duration::from_secs(2), joined).await;
        tracing::info!("bridge stopped");
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for worker in &self.shared.workers {
            let _ = worker.send(Command::Stop);
        }
    }
}

fn shard_count(configured: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let count = if configured == 0 {
        cores.saturating_sub(1)
    } else {
        configured
    };
    count.clamp(1, MAX_SHARDS)
}

/// The sockets of each thread: one lane at each address.
fn bind(config: &BridgeConfig, threads: usize) -> Result<Vec<Vec<Lane>>, StartError> {
    let mut all: Vec<Vec<Lane>> = (0..threads).map(|_| Vec::new()).collect();
    for &address in config.listen.iter().take(MAX_LANES) {
        let open = |address, count| {
            Lane::bind(&UdpConfig::new(address), count)
                .map_err(|source| StartError::Bind { address, source })
        };
        let lanes = if config.port_per_shard {
            let one = |number| open(shifted(address, number)?, 1);
            let each: Result<Vec<_>, StartError> = (0..threads).map(one).collect();
            each?.into_iter().flatten().collect()
        } else {
            open(address, threads)?
        };
        for (thread, lane) in all.iter_mut().zip(lanes) {
            thread.push(lane);
        }
    }
    Ok(all)
}

/// The address with the port of thread `number`; any port stays any.
fn shifted(address: SocketAddr, number: usize) -> Result<SocketAddr, StartError> {
    let mut shifted = address;
    if address.port() != 0 {
        let number = u16::try_from(number).ok();
        let port = number.and_then(|n| address.port().checked_add(n));
        shifted.set_port(port.ok_or(StartError::Ports { address })?);
    }
    Ok(shifted)
}

/// Where the threads' sockets are.
fn places(config: &BridgeConfig, lanes: &[Vec<Lane>]) -> Vec<Place> {
    let place = |(number, lanes): (usize, &Vec<Lane>)| {
        let number = if config.port_per_shard { number } else { 0 };
        let mapping = |mapping: &Mapping| {
            let public = shifted(mapping.public, number).ok()?;
            Some(Mapping { public, ..*mapping })
        };
        Place {
            tcp: config.tcp,
            listen: lanes.iter().map(Lane::local_addr).collect(),
            mappings: config.mappings.iter().filter_map(mapping).collect(),
        }
    };
    lanes.iter().enumerate().map(place).collect()
}

/// Where this machine itself reaches the threads' sockets.
fn own_ports(places: &[Place]) -> Vec<SocketAddr> {
    let mut ports: Vec<SocketAddr> = Vec::new();
    for address in places.iter().flat_map(|place| &place.listen) {
        let mut port = *address;
        if port.ip().is_unspecified() {
            port.set_ip(match port {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
}

/// All addresses that some endpoint is told.
fn advertised(offered: &[Offered]) -> Vec<SocketAddr> {
    let mapped = offered.iter().flat_map(|o| o.mapped.iter().map(|m| m.0));
    let hosts = offered.iter().flat_map(|o| o.hosts.iter().copied());
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in mapped.chain(hosts).map(rtc::plain_address) {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all
}

/// Says once if the system grants less room than is asked for: a machine that is busy for a moment loses datagrams then.
fn warn_of_small_buffer(lanes: &[Vec<Lane>]) {
    let wanted = UdpConfig::RECEIVE_BUFFER;
    let first = lanes.iter().flatten().next();
    let granted = first.and_then(|lane| lane.media.receive_buffer().ok());
    if let Some(granted) = granted.filter(|granted| *granted < wanted) {
        tracing::warn!(
            granted,
            wanted,
            "the system grants less room for datagrams not yet read than is asked for, so some are lost when the machine is \
             busy for a moment; set sysctl net.core.rmem_max={wanted}"
        );
    }
}

type Part = (Intake, Receiver<Command>);

fn prepare(lanes: Vec<Lane>) -> Result<(WorkerHandle, Part), StartError> {
    let (poller, waker) = Poller::new().map_err(StartError::Thread)?;
    let intake = Intake::new(lanes, poller).map_err(StartError::Thread)?;
    let (commands, receiver) = sync_channel(COMMANDS);
    let handle = WorkerHandle::new(commands, waker);
    Ok((handle, (intake, receiver)))
}

fn spawn_threads(
    shared: &Arc<Shared>,
    parts: Vec<Part>,
    config: &BridgeConfig,
    offered: &[Offered],
    certificate: &Arc<Certificate>,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut threads = Vec::new();
    let several = parts.len() > 1;
    let wakers = shared.workers.iter().map(|worker| worker.waker.clone());
    let wakers: Vec<_> = wakers.collect();
    let ends = handover::connect(wakers.clone())
        .into_iter()
        .zip(post::connect(wakers));
    let parts = parts.into_iter().zip(ends).zip(offered);
    for (index, ((part, (handover, post)), offered)) in parts.enumerate() {
        let (intake, commands) = part;
        let mut shard = ShardConfig::new(certificate.clone(), offered.hosts.clone());
        shard.mapped_candidates.clone_from(&offered.mapped);
        if several {
            shard.ufrag_prefix = format!("{index:02x}");
        }
        let worker = Worker {
            index,
            shared: shared.clone(),
            commands,
            intake,
            handover,
            post,
            pin: config.pin,
            control: ControlConfig {
                shard: u8::try_from(index).unwrap_or(u8::MAX),
                web_socket_bases: config.web_socket_bases.clone(),
                sctp: true,
                private_addresses: config.private_addresses,
                version: None,
                relay_id: Some(config.server_id.clone()),
            },
            shard,
        };
        let thread = std::thread::Builder::new()
            .name(format!("shard-{index}"))
            .spawn(move || worker.run())
            .map_err(StartError::Thread)?;
        threads.push(thread);
    }
    Ok(threads)
}

async fn measure_load(shared: Arc<Shared>, proc_dir: std::path::PathBuf) {
    let mut load = Load::default();
    loop {
        shared.set_stress(load.sample(&proc_dir, &shared.snapshots()));
        shared.process.read(&proc_dir, load.steal());
        tokio::time::sleep(LOAD_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_always_a_shard() {
        assert!(shard_count(0) >= 1);
        assert_eq!(shard_count(3), 3);
        assert_eq!(shard_count(1000), MAX_SHARDS);
    }
}
