//! The signalling node in this process, and the bridge in a process of its own.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use bridge::{Bridge, BridgeConfig, NodeConfig, NodeTarget};
use link::TlsVerify;
use signalling::{Node, SignallingConfig, TcpConfig};
use telemetry::Metrics;

use crate::{DOMAIN, SECRET};

/// The bridge's account.
const ACCOUNT: &str = "measured";
/// Ends an answer of the bridge's process.
const END: &str = "# EOF";

/// A signalling node that bridges can reach over TCP.
pub(crate) async fn node() -> Node {
    /// People in the largest meeting, the focus's own limit of a thousand not being in the way.
    const PEOPLE: usize = 5_000;
    let certified = rcgen::generate_simple_self_signed(vec![DOMAIN.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key.unwrap())
        .unwrap();
    let mut config = SignallingConfig::new(DOMAIN, SECRET, Metrics::new()).unwrap();
    config.tcp = Some(TcpConfig {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        tls: Arc::new(tls),
        allow: Arc::new(|address| address.is_loopback()),
    });
    if let Some(focus) = &mut config.focus {
        focus.max_participants = PEOPLE;
    }
    let keys = xmpp::auth::Credentials::new(&password(), b"salt");
    config.bridges.bridges.insert(ACCOUNT.to_owned(), keys);
    Node::start(config).await.unwrap()
}

/// The bridge's password.
fn password() -> String {
    xmpp::auth::derive_password(SECRET, ACCOUNT)
}

/// What the bridge's process does: a bridge; each line of input is answered with its metrics.
pub(crate) fn serve(port: u16, password: &str, shards: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut config = BridgeConfig::new("measured", Metrics::new());
        config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        config.shards = shards;
        config.port_per_shard = shards > 1;
        let target = NodeTarget::Tcp {
            host: "127.0.0.1".to_owned(),
            port,
            verify: TlsVerify::None,
        };
        let mut node = NodeConfig::new(target, DOMAIN, password.to_owned());
        node.user = ACCOUNT.to_owned();
        config.nodes = vec![node];
        let bridge = Bridge::start(config).unwrap();
        let answering = tokio::task::spawn_blocking(move || {
            for _ in std::io::stdin().lines().map_while(Result::ok) {
                println!("{}", bridge.metrics_page());
            }
        });
        answering.await.unwrap();
    });
}

/// The bridge's process. It ends with its input, and so with this one.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Server {
    pub(crate) fn start(node: &Node, shards: usize) -> Self {
        let port = node.tcp_addresses()[0].port().to_string();
        let password = password();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--serve", &port, &password, &shards.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The bridge's counters, up to a second old.
    pub(crate) fn counters(&mut self) -> Counters {
        writeln!(self.input).unwrap();
        let mut counters = Counters::default();
        let mut line = String::new();
        while !line.starts_with(END) {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "bridge ended");
            counters.read(line.trim());
        }
        counters
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the bridge counts of its sending.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Datagrams sent.
    pub(crate) sent: u64,
    /// Messages they were given to the kernel in.
    pub(crate) messages: u64,
    /// Packets sent once more.
    pub(crate) again: u64,
    /// Datagrams the kernel did not take.
    pub(crate) refused: u64,
    /// Packets that left within so many seconds of their arrival, by that bound.
    waited: Vec<(f64, u64)>,
}

impl Counters {
    fn read(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(' ') else {
            return;
        };
        if name.contains("forwarding_latency_seconds_bucket") {
            return self.read_waited(name, value);
        }
        let slot = match name.split_once("bridge_").map(|(_, name)| name) {
            Some("packets_sent_total") => &mut self.sent,
            Some("send_messages_total") => &mut self.messages,
            Some("packets_retransmitted_total") => &mut self.again,
            Some("send_dropped_total") => &mut self.refused,
            _ => return,
        };
        *slot = value.parse().unwrap_or(0);
    }

    fn read_waited(&mut self, name: &str, value: &str) {
        let bound = name
            .split_once("le=\"")
            .and_then(|(_, rest)| rest.split('"').next()?.replace("+Inf", "inf").parse().ok());
        let (Some(bound), Ok(count)) = (bound, value.parse::<f64>()) else {
            return;
        };
        match self.waited.iter_mut().find(|(known, _)| *known == bound) {
            Some((_, sum)) => *sum += count as u64,
            None => self.waited.push((bound, count as u64)),
        }
    }

    /// Microseconds between arrival and sending that this share of the packets did not exceed; `None` where the bridge
    /// does not say.
    pub(crate) fn waited(&self, share: f64) -> Option<f64> {
        let all = self.waited.iter().map(|(_, count)| *count).max()?;
        let enough = |(_, count): &&(f64, u64)| *count as f64 >= all as f64 * share && all > 0;
        let bounds = self.waited.iter().filter(enough).map(|(bound, _)| *bound);
        bounds.min_by(f64::total_cmp).map(|bound| bound * 1e6)
    }

    /// Datagrams of one send.
    pub(crate) fn burst(&self) -> f64 {
        self.sent as f64 / self.messages.max(1) as f64
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            messages: self.messages - before.messages,
            again: self.again - before.again,
            refused: self.refused - before.refused,
            waited: self
                .waited
                .iter()
                .map(|(bound, count)| {
                    let same = before.waited.iter().find(|(known, _)| known == bound);
                    (*bound, count - same.map_or(0, |(_, count)| *count))
                })
                .collect(),
        }
    }
}
