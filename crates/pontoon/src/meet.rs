//! `pontoon meet`: front, signalling and focus; and what `up` shares with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use config::Settings;
use front::Front;
use signalling::Node;
use telemetry::{Metrics, Redacted};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::signals::Ending;
use crate::{parts, state};

/// Runs until told to end.
pub(crate) async fn run(settings: Settings, started: Instant) -> Result<(), Failure> {
    let mut ending = Ending::new()?;
    let metrics = Metrics::new();
    let opened = Opened::open(&settings, metrics).await?;
    let invitation = opened.invitation();
    let meet = opened.serve(Vec::new());
    invitation.print(&settings, started);
    ending.wait().await;
    tracing::info!("ending");
    ending.or_again(meet.end()).await;
    Ok(())
}

/// A meet node with its ports open, not yet serving pages.
pub(crate) struct Opened {
    front: Front,
    pub(crate) node: Node,
    pub(crate) secret: Redacted<String>,
    token: Option<String>,
}

impl Opened {
    /// Opens the ports and starts the signalling.
    pub(crate) async fn open(settings: &Settings, metrics: Metrics) -> Result<Self, Failure> {
        let secret = state::cluster_secret(settings)?;
        for warning in parts::certificate_warnings(settings)? {
            tracing::warn!("{warning}");
        }
        let health = Arc::new(|| Ok(()));
        let front = Front::bind(parts::front(settings, metrics.clone(), health)?)
            .map_err(Failure::start)?;
        let (config, fingerprint) = parts::signalling(settings, &secret, metrics)?;
        let node = Node::start(config).await?;
        let token = fingerprint
            .zip(node.tcp_addresses().first())
            .map(|(fingerprint, address)| {
                parts::join_token(settings, &secret, address.port(), fingerprint).reveal()
            });
        if let Some(token) = &token {
            let path = settings.state_dir.join("join-token");
            front::write_private(&path, format!("{token}\n").as_bytes()).map_err(Failure::start)?;
        }
        Ok(Self {
            front,
            node,
            secret,
            token,
        })
    }

    /// What to tell the operator.
    pub(crate) fn invitation(&self) -> Invitation {
        Invitation {
            https: self.front.https_port(),
            http: self.front.http_address(),
            token: self.token.clone(),
        }
    }

    /// Serves pages and endpoints.
    pub(crate) fn serve(self, mut routers: Vec<Router>) -> Serving {
        routers.push(self.node.router());
        let (stop, stopped) = oneshot::channel();
        let front = self.front.run(routers, async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        });
        Serving {
            node: self.node,
            front: tokio::spawn(front),
            stop,
        }
    }
}

/// A meet node at work.
pub(crate) struct Serving {
    node: Node,
    front: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Serving {
    /// Ends in order: streams are closed with a reason while their sockets still work.
    pub(crate) async fn end(self) {
        self.node.shutdown().await;
        let _ = self.stop.send(());
        let _ = self.front.await;
    }
}

/// How to get in.
pub(crate) struct Invitation {
    https: Option<u16>,
    http: Option<SocketAddr>,
    token: Option<String>,
}

impl Invitation {
    /// Prints it to standard output.
    pub(crate) fn print(&self, settings: &Settings, started: Instant) {
        println!(
            "Pontoon {} is ready ({} ms).\n",
            env!("CARGO_PKG_VERSION"),
            started.elapsed().as_millis()
        );
        for (index, link) in self.links(settings).iter().enumerate() {
            println!("  {:<13} {link}", if index == 0 { "Open" } else { "or" });
        }
        if let (None, Some(http)) = (self.https, self.http) {
            println!(
                "  {:<13} the proxy in front ends TLS, and passes requests on to http://{http}",
                "HTTPS is off:"
            );
        }
        if let Some(token) = &self.token {
            println!("  {:<13} pontoon bridge --join {token}", "Add a bridge");
        }
        println!();
    }

    fn links(&self, settings: &Settings) -> Vec<String> {
        if let Some(url) = &settings.front.public_url {
            return vec![format!("{url}/")];
        }
        let Some(https) = self.https else {
            return Vec::new();
        };
        let port = match https {
            443 => String::new(),
            port => format!(":{port}"),
        };
        let listen = parts::address(settings.front.https).map(|address| address.ip());
        let mut links = Vec::new();
        match listen {
            Some(ip) if !ip.is_unspecified() => links.push(link(&ip, &port)),
            _ => {
                links.push(format!("https://localhost{port}/"));
                let reachable = |ip: &&IpAddr| ip.is_ipv4() && !ip.is_loopback();
                links.extend(
                    parts::addresses()
                        .iter()
                        .filter(reachable)
                        .take(3)
                        .map(|ip| link(ip, &port)),
                );
            }
        }
        links
    }
}

fn link(ip: &IpAddr, port: &str) -> String {
    match ip {
        IpAddr::V4(ip) => format!("https://{ip}{port}/"),
        IpAddr::V6(ip) => format!("https://[{ip}]{port}/"),
    }
}
