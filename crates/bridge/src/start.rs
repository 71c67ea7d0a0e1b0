//! Starting and stopping a bridge.
#![allow(
    clippy::disallowed_methods,
    reason = "the start time is read here, timers are tokio's"
)]

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use net::{Poller, UdpBatch, UdpConfig};
use sfu::control::ControlConfig;
use sfu::{Certificate, ShardConfig};
use telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::BridgeConfig;
use crate::hub::{COMMANDS, Command, Hub, ShardHandle};
use crate::load::Load;
use crate::presence::Totals;
use crate::shard::Worker;
use crate::{addresses, attachment, metrics, rest, web_socket};

/// Shards are numbered in one byte of a conference's id.
const MAX_SHARDS: usize = 256;
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
    /// There is no address that clients could send to.
    #[error("this machine has no address to advertise for media; name one in the configuration")]
    NoAddress,
    /// The DTLS certificate could not be made.
    #[error("cannot make a DTLS certificate: {0}")]
    Certificate(String),
    /// The system refused something a thread needs.
    #[error("cannot start a media thread: {0}")]
    Thread(#[source] io::Error),
}

/// A running bridge. Dropping it stops it at once; [`Bridge::shutdown`] does it in order.
pub struct Bridge {
    pub(crate) hub: Arc<Hub>,
    metrics: Metrics,
    media: Vec<SocketAddr>,
    threads: Vec<JoinHandle<()>>,
    attachments: JoinSet<()>,
    background: JoinSet<()>,
    stop: watch::Sender<bool>,
    shutdown_grace: Duration,
}

impl Bridge {
    /// Binds the UDP ports, starts the threads and attaches to the signalling nodes, on the current runtime.
    ///
    /// # Errors
    /// When a port cannot be bound, or there is nothing to advertise.
    pub fn start(config: BridgeConfig) -> Result<Self, StartError> {
        let count = shard_count(config.shards);
        let mut sockets = Vec::with_capacity(count);
        let mut listen = config.listen.clone();
        for _ in 0..count {
            let bound = bind(&listen, count > 1)?;
            // Port 0 was asked for: the other shards share what the first one got.
            listen = bound.iter().map(UdpBatch::local_addr).collect();
            sockets.push(bound);
        }
        warn_of_small_buffer(sockets.iter().flatten());
        let offered = addresses::Offered::now(&listen, &config.mappings, &config.own_addresses);
        let (hosts, mapped) = (offered.hosts.clone(), offered.mapped.clone());
        if hosts.is_empty() && mapped.is_empty() {
            return Err(StartError::NoAddress);
        }
        let certificate = Certificate::generate(SystemTime::now())
            .map_err(|e| StartError::Certificate(e.to_string()))?;
        let mut shard = ShardConfig::new(Arc::new(certificate), hosts.clone());
        shard.mapped_candidates = mapped.clone();

        let mut handles = Vec::with_capacity(count);
        let mut parts = Vec::with_capacity(count);
        for sockets in sockets {
            let (handle, part) = prepare(sockets)?;
            handles.push(handle);
            parts.push(part);
        }
        let hub = Arc::new(Hub::new(
            config.server_id.clone(),
            config.region.clone(),
            config.version.clone(),
            handles,
            Instant::now(),
        ));
        metrics::register(&config.metrics, &hub);
        let threads = spawn_threads(&hub, parts, &config, &shard)?;
        let (stop, stopped) = watch::channel(false);
        let mut attachments = JoinSet::new();
        for node in config.nodes.clone() {
            let task =
                attachment::run(node, hub.clone(), config.presence_interval, stopped.clone());
            attachments.spawn(task);
        }
        let mut background = JoinSet::new();
        background.spawn(measure_load(hub.clone(), config.proc_dir.clone()));
        if listen.iter().any(|address| address.ip().is_unspecified()) {
            let mappings = config.mappings.clone();
            let own = config.own_addresses.clone();
            background.spawn(addresses::watch(
                hub.clone(),
                listen,
                mappings,
                own,
                offered,
            ));
        }
        let advertised: Vec<SocketAddr> = mapped.iter().map(|m| m.0).chain(hosts).collect();
        tracing::info!(
            server_id = config.server_id,
            shards = count,
            ?advertised,
            "bridge started"
        );
        Ok(Self {
            hub,
            metrics: config.metrics,
            media: advertised,
            threads,
            attachments,
            background,
            stop,
            shutdown_grace: config.shutdown_grace,
        })
    }

    /// Routes for clients: `/colibri-ws/...`, to be served behind HTTPS.
    pub fn router(&self) -> Router {
        web_socket::router(self.hub.clone())
    }

    /// Routes for operators: health, statistics, metrics, drain, shutdown. Not for the public.
    pub fn private_router(&self) -> Router {
        rest::router(self.hub.clone(), self.metrics.clone())
    }

    /// What `/metrics` shows.
    pub fn metrics_page(&self) -> String {
        self.metrics.encode()
    }

    /// Addresses advertised for media.
    pub fn media_addresses(&self) -> &[SocketAddr] {
        &self.media
    }

    /// Number of conferences and of endpoints.
    pub fn load(&self) -> (usize, usize) {
        let totals = Totals::of(&self.hub.snapshots());
        (totals.conferences, totals.endpoints)
    }

    /// Asks focuses to place nothing here (or takes that back); what runs goes on.
    pub fn set_drain(&self, drain: bool) {
        self.hub.set_flag(&self.hub.drain, drain);
    }

    /// Resolves when a signalling node has taken the bridge in: from then on it may get conferences.
    pub async fn attached(&self) {
        // The sender lives as long as the bridge.
        let _ = self
            .hub
            .attached
            .subscribe()
            .wait_for(|attached| *attached)
            .await;
    }

    /// Resolves when somebody asked the bridge to shut down over its private interface: at once, or gracefully and the
    /// last endpoint is gone.
    pub async fn shutdown_requested(&self) {
        let mut changes = self.hub.changes();
        loop {
            let hub = &self.hub;
            let graceful = hub.graceful.load(Ordering::SeqCst);
            if hub.shutting_down.load(Ordering::SeqCst) || (graceful && self.load().1 == 0) {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends in order: focuses are told at once, conferences get a moment to be moved away, then everything stops.
    pub async fn shutdown(mut self) {
        self.hub.set_flag(&self.hub.shutting_down, true);
        self.hub.changed();
        if self.load().0 > 0 && !self.attachments.is_empty() {
            let emptied = async {
                let mut changes = self.hub.changes();
                while self.load().0 > 0 && changes.changed().await.is_ok() {}
            };
            let _ = tokio::time::timeout(self.shutdown_grace, emptied).await;
        }
        let _ = self.stop.send(true);
        let left = async { while self.attachments.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(2), left).await;
        self.background.abort_all();
        for shard in &self.hub.shards {
            let _ = shard.send(Command::Stop);
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
        for shard in &self.hub.shards {
            let _ = shard.send(Command::Stop);
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

fn bind(listen: &[SocketAddr], reuse_port: bool) -> Result<Vec<UdpBatch>, StartError> {
    listen
        .iter()
        .map(|&address| {
            let mut config = UdpConfig::new(address);
            config.reuse_port = reuse_port;
            UdpBatch::bind(&config).map_err(|source| StartError::Bind { address, source })
        })
        .collect()
}

/// Says once if the system grants less room than is asked for: a machine that is busy for a moment loses datagrams then.
fn warn_of_small_buffer<'a>(mut sockets: impl Iterator<Item = &'a UdpBatch>) {
    let wanted = UdpConfig::RECEIVE_BUFFER;
    let granted = sockets.next().and_then(|s| s.receive_buffer().ok());
    if let Some(granted) = granted.filter(|granted| *granted < wanted) {
        tracing::warn!(
            granted,
            wanted,
            "the system grants less room for datagrams not yet read than is asked for, so some are lost when the machine is \
             busy for a moment; set sysctl net.core.rmem_max={wanted}"
        );
    }
}

type Part = (Vec<UdpBatch>, Poller, Receiver<Command>);

fn prepare(sockets: Vec<UdpBatch>) -> Result<(ShardHandle, Part), StartError> {
    let (mut poller, waker) = Poller::new().map_err(StartError::Thread)?;
    for socket in &sockets {
        poller.add(socket).map_err(StartError::Thread)?;
    }
    let (commands, receiver) = sync_channel(COMMANDS);
    let handle = ShardHandle {
        commands,
        waker,
        snapshot: Default::default(),
    };
    Ok((handle, (sockets, poller, receiver)))
}

fn spawn_threads(
    hub: &Arc<Hub>,
    parts: Vec<Part>,
    config: &BridgeConfig,
    shard: &ShardConfig,
) -> Result<Vec<JoinHandle<()>>, StartError> {
    let mut threads = Vec::new();
    let several = parts.len() > 1;
    for (index, (sockets, poller, commands)) in parts.into_iter().enumerate() {
        let mut shard = shard.clone();
        if several {
            shard.ufrag_prefix = format!("{index:02x}");
        }
        let worker = Worker {
            index,
            hub: hub.clone(),
            commands,
            sockets,
            poller,
            pin: config.pin,
            control: ControlConfig {
                shard: u8::try_from(index).unwrap_or(u8::MAX),
                web_socket_bases: config.web_socket_bases.clone(),
                sctp: true,
                private_addresses: config.private_addresses,
                version: None,
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

async fn measure_load(hub: Arc<Hub>, proc_dir: std::path::PathBuf) {
    let mut load = Load::default();
    loop {
        hub.set_stress(load.sample(&proc_dir, &hub.snapshots()));
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
