//! `pontoon meet`: front, signalling and focus; and what `up` shares with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use config::{Cidr, JoinToken, Settings};
use front::{Doors, Front};
use signalling::Node;
use telemetry::{Metrics, Redacted};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use xmpp::BridgeAccounts;

use crate::accounts::{self, Accounts};
use crate::control;
use crate::failure::Failure;
use crate::parts::Role;
use crate::say::announce;
use crate::signals::Ending;
use crate::{parts, relay, relief, service, signals, state, token_cmd};

/// Runs until told to end.
pub(crate) async fn run(settings: Settings, started: Instant) -> Result<(), Failure> {
    let mut ending = Ending::new()?;
    let _lock = state::lock(&settings).await?;
    let metrics = Metrics::new();
    let opened = Opened::open(&settings, Role::Meet, metrics).await?;
    tokio::spawn(relief::watch(opened.node.people()));
    let invitation = opened.invitation();
    control::serve_socket(&settings, opened.node.operator_router()).await;
    let doors = Doors {
        relay: relay::settings(&settings, Role::Meet, &opened.secret, Vec::new()),
        ..Doors::default()
    };
    let meet = opened.serve(Vec::new(), doors);
    invitation.print(&settings, started);
    service::ready();
    ending.wait().await;
    service::stopping();
    tracing::info!("ending");
    ending.or_again(meet.end()).await;
    Ok(())
}

/// A meet node with its ports open, not yet serving pages.
pub(crate) struct Opened {
    front: Front,
    pub(crate) node: Node,
    pub(crate) secret: Redacted<String>,
    accounts: Accounts,
    known: BridgeAccounts,
    invitation: Option<BridgeInvitation>,
}

impl Opened {
    /// Opens the ports and starts the signalling.
    pub(crate) async fn open(
        settings: &Settings,
        role: Role,
        metrics: Metrics,
    ) -> Result<Self, Failure> {
        let secret = state::cluster_secret(settings)?;
        for warning in parts::certificate_warnings(settings)? {
            tracing::warn!("{warning}");
        }
        let health = Arc::new(|| Ok(()));
        let front = Front::bind(parts::front(settings, metrics.clone(), health)?)
            .map_err(Failure::start)?;
        parts::tend_certificate(settings, &front, signals::hangups()?);
        let accounts = Accounts::new(&settings.state_dir);
        let old_token = accounts.token()?;
        let password = old_token
            .as_ref()
            .map_or_else(accounts::new_password, |token| token.password.clone());
        let (mut config, fingerprint) = parts::signalling(settings, role, &secret, metrics)?;
        let services = &mut config.xmpp.external_services;
        services.extend(relay::service(settings, role, &secret));
        let known = accounts.for_node(Some(&password))?;
        config.bridges = known.clone();
        config.new_bridge = Some(accounts.new_bridge());
        let node = Node::start(config).await?;
        let invitation = match fingerprint.zip(node.tcp_addresses().first()) {
            Some((fingerprint, &listen)) => {
                let token = parts::join_token(settings, password, listen, fingerprint);
                if old_token.as_ref() != Some(&token) {
                    accounts.write_token(&token)?;
                }
                Some(BridgeInvitation { token, listen })
            }
            None => None,
        };
        Ok(Self {
            front,
            node,
            secret,
            accounts,
            known,
            invitation,
        })
    }

    /// What to tell the operator.
    pub(crate) fn invitation(&self) -> Invitation {
        Invitation {
            https: self.front.https_port(),
            http: self.front.http_address(),
            bridges: self.invitation.clone(),
        }
    }

    /// Where HTTPS is served, if it is.
    pub(crate) fn https_address(&self) -> Option<SocketAddr> {
        self.front.https_address()
    }

    /// Serves pages and endpoints, and what else has a door.
    pub(crate) fn serve(self, mut routers: Vec<Router>, doors: Doors) -> Serving {
        routers.push(self.node.router());
        let (stop, stopped) = oneshot::channel();
        let front = self.front.run(routers, doors, async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        });
        Serving {
            watch: tokio::spawn(self.accounts.watch(self.node.bridge_door(), self.known)),
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
    watch: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

impl Serving {
    /// Ends in order: streams are closed with a reason while their sockets still work.
    pub(crate) async fn end(self) {
        self.watch.abort();
        self.node.shutdown().await;
        let _ = self.stop.send(());
        let _ = self.front.await;
    }
}

/// How bridges get in.
#[derive(Clone)]
struct BridgeInvitation {
    token: JoinToken,
    listen: SocketAddr,
}

impl BridgeInvitation {
    /// Who can reach the port, in plain words.
    fn reach(&self, settings: &Settings) -> String {
        let port = self.listen.port();
        if self.listen.ip().is_loopback() {
            return format!(
                "port {port} is open to this machine alone; --xmpp {port} opens it to bridges elsewhere"
            );
        }
        let allow = &settings.meet.allow;
        if allow.iter().any(Cidr::is_everything) {
            return format!(
                "port {port} is open to the WHOLE WORLD; WARNING: name the bridges' networks in signalling.xmpp_allow instead"
            );
        }
        let networks: Vec<String> = allow.iter().map(ToString::to_string).collect();
        format!(
            "port {port} is open to {} and to nobody else (signalling.xmpp_allow)",
            networks.join(", ")
        )
    }
}

/// How to get in.
pub(crate) struct Invitation {
    https: Option<u16>,
    http: Option<SocketAddr>,
    bridges: Option<BridgeInvitation>,
}

impl Invitation {
    /// Prints it to standard output.
    pub(crate) fn print(&self, settings: &Settings, started: Instant) {
        let mut text = format!(
            "Pontoon {} is ready ({} ms).\n\n",
            env!("CARGO_PKG_VERSION"),
            started.elapsed().as_millis()
        );
        for (index, link) in self.links(settings).iter().enumerate() {
            let what = if index == 0 { "Open" } else { "or" };
            text.push_str(&format!("  {what:<13} {link}\n"));
        }
        if let (None, Some(http)) = (self.https, self.http) {
            text.push_str(&format!(
                "  {:<13} the proxy in front ends TLS, and passes requests on to http://{http}\n",
                "HTTPS is off:"
            ));
        }
        if let Some(bridges) = &self.bridges {
            text.push_str(&format!(
                "  {:<13} {}\n  {:<13} {}\n",
                "Add a bridge",
                token_cmd::command(&bridges.token),
                "",
                bridges.reach(settings)
            ));
        }
        announce(text);
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
