//! `pontoon meet`: front, signalling and focus; and what `up` shares with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use axum::routing::get;
use axum::{Json, Router};
use config::{Cidr, JoinToken, Settings};
use front::{Doors, Front};
use serde_json::json;
use signalling::Node;
use telemetry::{Metrics, Redacted};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use xmpp::BridgeAccounts;

use crate::accounts::{self, Accounts};
use crate::control;
use crate::failure::Failure;
use crate::parts::Role;
use crate::restart::Restart;
use crate::say::announce;
use crate::signals::Ending;
use crate::wellbeing::Wellbeing;
use crate::{parts, relay, relief, service, signals, state, token_cmd, webhook};

/// Runs until told to end.
pub(crate) async fn run(settings: Settings, started: Instant) -> Result<(), Failure> {
    let mut ending = Ending::new()?;
    let _lock = state::lock(&settings).await?;
    let metrics = Metrics::new();
    let opened = Opened::open(&settings, Role::Meet, metrics).await?;
    tokio::spawn(relief::watch(opened.node.people()));
    let invitation = opened.invitation();
    let restart = Restart::new();
    let meetings = opened.node.meetings();
    let operators = opened.operator_router(&settings).merge(restart.router());
    control::serve_operators(&settings, operators).await?;
    tokio::spawn(opened.wellbeing.clone().tell(opened.going_on()));
    let doors = Doors {
        relay: relay::settings(&settings, Role::Meet, &opened.secret, |_| false),
        ..Doors::default()
    };
    let meet = opened.serve(Vec::new(), doors);
    invitation.print(&settings, started);
    service::ready();
    let again = tokio::select! {
        () = ending.wait() => false,
        () = restart.due(meetings) => true,
    };
    service::stopping();
    tracing::info!("ending");
    ending.or_again(meet.end()).await;
    match again {
        true => Err(Failure::Again),
        false => Ok(()),
    }
}

/// A meet node with its ports open, not yet serving pages.
pub(crate) struct Opened {
    front: Front,
    pub(crate) node: Node,
    pub(crate) secret: Redacted<String>,
    accounts: Accounts,
    known: BridgeAccounts,
    invitation: Option<BridgeInvitation>,
    /// Whether meetings can be held.
    pub(crate) wellbeing: Wellbeing,
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
        let wellbeing = Wellbeing::default();
        let asked = wellbeing.clone();
        let health = Arc::new(move || asked.check());
        let by_udp = relay::by_udp(settings, role);
        let front = Front::bind(parts::front(settings, by_udp, metrics.clone(), health)?)
            .map_err(Failure::start)?;
        parts::tend_certificate(settings, &front, signals::hangups()?);
        let accounts = Accounts::new(&settings.state_dir);
        let old_token = accounts.token()?;
        let password = old_token
            .as_ref()
            .map_or_else(accounts::new_password, |token| token.password.clone());
        let (mut config, fingerprint) =
            parts::signalling(settings, role, &secret, metrics.clone())?;
        let services = &mut config.xmpp.external_services;
        services.extend(relay::services(settings, role, &secret));
        let known = accounts.for_node(Some(&password))?;
        config.bridges = known.clone();
        config.new_bridge = Some(accounts.new_bridge());
        let node = Node::start(config).await?;
        wellbeing.add(node.health());
        if let Some(webhook) = &settings.focus.webhook {
            webhook::spawn(webhook, &settings.domain, &metrics, node.bridges())?;
        }
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
            wellbeing,
        })
    }

    /// The routes for operators: those of the focus, and what is to be said of the certificate.
    pub(crate) fn operator_router(&self, settings: &Settings) -> Router {
        let certificates = self.front.certificates().cloned();
        let host = parts::people_host(settings).map(str::to_owned);
        let asked_for = settings.front.certificate.is_some() || settings.front.acme.is_some();
        let certificate = move || {
            let now = SystemTime::now();
            let served = certificates.as_ref().map(|served| served.current());
            // Of a self-signed one nothing is said: whoever did not ask for another one knows it.
            let warnings = served.as_ref().filter(|_| asked_for);
            let warnings = warnings.map(|c| c.warnings(host.as_deref(), now));
            let ends = served.as_ref().and_then(|c| Some(c.validity()?.1));
            let left = ends.and_then(|end| end.duration_since(now).ok());
            let days = left.map(|left| left.as_secs() / (24 * 3600));
            let told = json!({"days_left": days, "warnings": warnings.unwrap_or_default()});
            std::future::ready(Json(told))
        };
        let router = self.node.operator_router();
        router.route("/certificate", get(certificate))
    }

    /// What is going on, in a sentence.
    pub(crate) fn going_on(&self) -> impl Fn() -> String + Send + use<> {
        let figures = self.node.bridges();
        move || {
            let figures = figures();
            let (bridges, people) = (figures.bridges.len(), figures.sizes.iter().sum::<usize>());
            format!(
                "bridges: {bridges}, meetings: {}, people: {people}",
                figures.sizes.len()
            )
        }
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
