//! The node as a whole: start, routes, shutdown.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::any;
use link::{Credentials, LinkConfig, MemoryConnector, Target};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use xmpp::BridgeAccounts;

use crate::body::Bodies;
use crate::brake::Brake;
use crate::doors::Doors;
use crate::error::StartError;
use crate::focus_store::Store;
use crate::focus_task::{self, FocusHandle, FocusHost};
use crate::gate::{Gate, GateLimits};
use crate::http_bind::{self, Bosh, Sessions};
use crate::journal::{self, Journal};
use crate::metrics::{FocusMetrics, Metrics};
use crate::operator::Operators;
use crate::peer::Context;
use crate::seen::Seen;
use crate::visitor::Doorkeeper;
use crate::{
    SignallingConfig, TcpConfig, bytes, conference_request, jitsi, now, server_task, websocket,
};

/// Connections the system may hold before they are accepted.
const BACKLOG: u32 = 1024;
/// How long the focus, and then the connections, may take to end.
const PATIENCE: Duration = Duration::from_secs(3);

/// A running signalling node. Dropping it stops it at once; [`Node::shutdown`] does it in order.
pub struct Node {
    context: Context,
    focus: Option<FocusHandle>,
    /// Whether another process goes on with what this one leaves.
    keeps: bool,
    operators: Option<Operators>,
    connector: MemoryConnector,
    tcp: Vec<SocketAddr>,
    sessions: Sessions,
    /// Stops the focus; the server task and the connections go on until it has left.
    stopping_focus: watch::Sender<bool>,
    stopping: watch::Sender<bool>,
    focus_tasks: JoinSet<()>,
    tasks: JoinSet<()>,
}

impl Node {
    /// Binds the TCP ports and starts the tasks on the current runtime.
    ///
    /// # Errors
    /// When a port cannot be bound or a name is invalid.
    pub async fn start(config: SignallingConfig) -> Result<Self, StartError> {
        let listeners = bind(config.tcp.as_ref())?;
        let metrics = Metrics::register(&config.metrics);
        let domain = config.xmpp.domain.clone();
        let secret = config.xmpp.cluster_secret.clone();
        let (mut server, journal) = server(config.xmpp, config.journal)?;
        let streams = Doors::new(&server, &domain);
        server.set_bridges(now(), config.bridges);
        let keeps = journal.is_some();
        let (handle, task) = server_task::new(server, config.new_bridge, metrics.clone(), journal);
        let (stopping, stopped) = watch::channel(false);
        let (stopping_focus, focus_stopped) = watch::channel(false);
        let context = Context {
            server: handle,
            streams,
            gate: Gate::new(GateLimits::web(
                config.max_connections,
                config.connections_per_address,
            )),
            service_gate: Gate::new(GateLimits::service()),
            process_gate: Gate::new(GateLimits::process()),
            brake: Brake::default(),
            doorkeeper: Doorkeeper::default(),
            metrics,
            stopping: stopped.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(stopped));
        let (connector, memory) = link::memory();
        tasks.spawn(bytes::serve_memory(memory, context.clone()));
        let tcp = listeners
            .iter()
            .filter_map(|l| l.local_addr().ok())
            .collect();
        if let Some(tcp) = config.tcp {
            for listener in listeners {
                tasks.spawn(bytes::serve_tcp(
                    listener,
                    Arc::clone(&tcp.tls),
                    Arc::clone(&tcp.allow),
                    context.clone(),
                ));
            }
        }
        let mut focus_tasks = JoinSet::new();
        let store = Store::new(config.focus_state, now());
        let focus = config.focus.map(|focus| {
            let seen = Seen::default();
            jitsi::register(&config.metrics, &seen);
            let host = FocusHost {
                config: focus,
                store,
                metrics: FocusMetrics::register(&config.metrics),
                seen: seen.clone(),
            };
            let credentials = Credentials::Password {
                user: "focus".to_owned(),
                password: xmpp::auth::derive_password(&secret, "focus"),
            };
            let target = Target::Memory(connector.clone());
            let link = LinkConfig::new(target, &format!("auth.{domain}"), credentials)
                .with_resource("focus");
            let (sender, events) = link::spawn(link);
            let (handle, door, task) = focus_task::new(host, sender, events, keeps);
            focus_tasks.spawn(task.run(focus_stopped));
            (handle, Operators::new(door, seen, config.metrics.clone()))
        });
        let (focus, operators) = focus.unzip();
        Ok(Self {
            context,
            focus,
            keeps,
            operators,
            connector,
            tcp,
            sessions: Sessions::default(),
            stopping_focus,
            stopping,
            focus_tasks,
            tasks,
        })
    }

    /// The routes for browsers: `/xmpp-websocket`, `/http-bind`, and `/conference-request/v1` where the focus is in this
    /// process.
    pub fn router(&self) -> Router {
        let bodies = Bodies::new(self.context.metrics.clone());
        let bosh = Bosh {
            context: self.context.clone(),
            sessions: self.sessions.clone(),
            bodies: bodies.clone(),
        };
        let mut router = Router::new()
            .route(
                "/xmpp-websocket",
                any(websocket::open).with_state(self.context.clone()),
            )
            .route("/http-bind", any(http_bind::handle).with_state(bosh));
        if let Some(focus) = &self.focus {
            let state = conference_request::Requests::new(
                focus.clone(),
                bodies,
                self.context.metrics.clone(),
            );
            let route = any(conference_request::handle).with_state(state);
            router = router.route("/conference-request/v1", route);
        }
        router
    }

    /// The routes for operators: status, statistics, drains and moves. Not for the public. Empty where the focus is not in
    /// this process.
    pub fn operator_router(&self) -> Router {
        let operators = self.operators.clone();
        operators.map(Operators::router).unwrap_or_default()
    }

    /// Opens XMPP streams to this node from inside the process.
    #[must_use]
    pub fn memory_connector(&self) -> MemoryConnector {
        self.connector.clone()
    }

    /// Counts the sessions, of people and services, whenever it is called; a second late at most.
    pub fn people(&self) -> impl Fn() -> usize + Send + use<> {
        let metrics = self.context.metrics.clone();
        move || metrics.sessions()
    }

    /// Whether meetings can be held: the focus is at its server and has a bridge that can be used. Why not, in words. A second
    /// late at most.
    pub fn health(&self) -> impl Fn() -> Result<(), String> + Send + Sync + use<> {
        let operators = self.operators.clone();
        move || match &operators {
            Some(operators) => operators.health(),
            None => Ok(()),
        }
    }

    /// Counts the meetings whenever it is called; a second late at most.
    pub fn meetings(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let operators = self.operators.clone();
        move || operators.as_ref().map_or(0, Operators::meetings)
    }

    /// What is known of the bridges; a second late at most.
    pub fn bridges(&self) -> impl Fn() -> focus::Figures + Send + Sync + use<> {
        let operators = self.operators.clone();
        move || {
            operators
                .as_ref()
                .map(Operators::figures)
                .unwrap_or_default()
        }
    }

    /// The way to change the accounts of bridges while the node runs.
    #[must_use]
    pub fn bridge_door(&self) -> BridgeDoor {
        BridgeDoor(self.context.server.clone())
    }

    /// The TCP addresses the node listens on, with the ports the system gave where 0 was asked for.
    #[must_use]
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Ends, and waits for it, a few seconds at most. With a journal nothing but the process ends: all that is there is
    /// written down, and connections break. Otherwise conferences and streams are ended in order.
    pub async fn shutdown(mut self) {
        if self.keeps {
            // First the server, which then sees nobody leave.
            self.stopping.send_replace(true);
            let _ = timeout(PATIENCE, async {
                while self.tasks.join_next().await.is_some() {}
            })
            .await;
        }
        self.stopping_focus.send_replace(true);
        let _ = timeout(PATIENCE, async {
            while self.focus_tasks.join_next().await.is_some() {}
        })
        .await;
        self.stopping.send_replace(true);
        let _ = timeout(PATIENCE, async {
            while self.tasks.join_next().await.is_some() {}
            self.context.gate.emptied().await;
            self.context.service_gate.emptied().await;
            self.context.process_gate.emptied().await;
        })
        .await;
    }
}

/// Changes the accounts of bridges of a running node.
pub struct BridgeDoor(server_task::ServerHandle);

impl BridgeDoor {
    /// Sets the accounts of bridges elsewhere: who is not among them any more, or has another password, is logged out.
    pub async fn set(&self, accounts: BridgeAccounts) {
        self.0.set_bridges(accounts).await;
    }
}

/// The server, with the sessions and rooms of the process before this one, and its journal.
fn server(
    config: xmpp::Config,
    path: Option<PathBuf>,
) -> Result<(xmpp::Server, Option<Journal>), StartError> {
    let named = |error: xmpp::BadName| StartError::Domain(error.0);
    let Some(path) = path else {
        let server = xmpp::Server::new(config, wall_clock(), rand::random());
        return Ok((server.map_err(named)?, None));
    };
    let left = journal::read(&path);
    let restored = xmpp::Server::restore(config, wall_clock(), rand::random(), &left);
    let (mut server, restored) = restored.map_err(named)?;
    if let Some(error) = restored.error.filter(|_| !left.is_empty()) {
        journal::set_aside(&path, &error.to_string());
    } else if restored.sessions > 0 || restored.left_out > 0 {
        tracing::info!(
            sessions = restored.sessions,
            rooms = restored.rooms,
            left_out = restored.left_out,
            damaged = restored.damaged,
            "sessions from before the restart wait for their clients"
        );
    }
    let whole = server.journal();
    Ok((server, Some(Journal::new(path, whole))))
}

fn bind(config: Option<&TcpConfig>) -> Result<Vec<TcpListener>, StartError> {
    let addresses = config.map(|tcp| tcp.listen.as_slice()).unwrap_or_default();
    addresses
        .iter()
        .map(|&address| listen(address).map_err(|source| StartError::Bind { address, source }))
        .collect()
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[allow(
    clippy::disallowed_methods,
    reason = "the node reads the calendar once, for time stamps in stanzas"
)]
fn wall_clock() -> xmpp::WallClock {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    xmpp::WallClock::new(now(), unix)
}
