//! A whole deployment in one process: signalling with its focus, two bridges, and three participants on an independent
//! WebRTC stack that join through XMPP and talk over real UDP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, and reads the clock"
)]

mod bots;

use std::net::SocketAddr;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use bot::Handle;
use bots::{DOMAIN, PATIENCE};
use bridge::{Bridge, BridgeConfig, NodeConfig, NodeTarget};
use focus::Strategy;
use link::{Credentials, LinkConfig, LinkEvent, Target};
use signalling::{Node, SignallingConfig};
use telemetry::Metrics;

const SECRET: &[u8] = b"secret of the test";

struct Deployment {
    node: Node,
    bridges: Vec<Bridge>,
    bots: Vec<Handle>,
}

impl Deployment {
    async fn start(bridges: usize) -> Self {
        Self::start_with(bridges, Strategy::Single, |_| {}).await
    }

    async fn start_with(
        bridges: usize,
        strategy: Strategy,
        change: impl Fn(&mut BridgeConfig),
    ) -> Self {
        let mut config = SignallingConfig::new(DOMAIN, SECRET, Metrics::new()).unwrap();
        if let Some(focus) = &mut config.focus {
            focus.bridges.strategy = strategy;
        }
        let node = Node::start(config).await.unwrap();
        let mut deployment = Self {
            node,
            bridges: Vec::new(),
            bots: Vec::new(),
        };
        for number in 0..bridges {
            let bridge = deployment.bridge(number, &change);
            // People who come before all bridges are there would all be on the first one.
            bridge.attached().await;
            deployment.bridges.push(bridge);
        }
        deployment
    }

    fn bridge(&self, number: usize, change: impl Fn(&mut BridgeConfig)) -> Bridge {
        let mut config = BridgeConfig::new(format!("b{number}"), Metrics::new());
        config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
        config.shards = 1;
        let password = xmpp::auth::derive_password(SECRET, "jvb");
        let target = NodeTarget::Memory(self.node.memory_connector());
        config.nodes = vec![NodeConfig::new(target, DOMAIN, password)];
        config.shutdown_grace = PATIENCE;
        change(&mut config);
        Bridge::start(config).unwrap()
    }

    async fn join(&mut self, name: &str) {
        let target = Target::Memory(self.node.memory_connector());
        self.bots
            .push(bots::join(target, name, self.bots.len()).await);
    }

    async fn everybody_hears_everybody(&mut self, what: &str) {
        bots::everybody_hears_everybody(&mut self.bots, what).await;
    }

    fn longest_gap(&self) -> Duration {
        let gaps = self
            .bots
            .iter()
            .flat_map(|b| b.snapshot().video.into_values());
        gaps.map(|v| v.longest_gap).max().unwrap_or_default()
    }

    /// The bridge that has the conference.
    fn home(&self) -> usize {
        let loads: Vec<usize> = self.bridges.iter().map(|b| b.load().0).collect();
        assert_eq!(
            loads.iter().sum::<usize>(),
            1,
            "one bridge has the conference: {loads:?}"
        );
        loads.iter().position(|load| *load == 1).unwrap()
    }
}

/// What was logged at `info` and above by all tests of this program.
fn logged() -> &'static Mutex<Vec<u8>> {
    static LOGGED: OnceLock<Mutex<Vec<u8>>> = OnceLock::new();
    LOGGED.get_or_init(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(|| Writer);
        subscriber.init();
        Mutex::default()
    })
}

struct Writer;

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        logged().lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn three(bridges: usize) -> Deployment {
    let mut deployment = Deployment::start(bridges).await;
    for name in ["Ada", "Ben", "Cem"] {
        deployment.join(name).await;
    }
    deployment.everybody_hears_everybody("after the join").await;
    deployment
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_join_through_xmpp_and_every_frame_arrives() {
    let deployment = three(1).await;
    assert_eq!(deployment.bridges[0].load(), (1, 3));
    for bot in &deployment.bots {
        for (name, video) in bot.snapshot().video {
            assert_eq!(video.skipped, 0, "{name}: {video:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_that_shuts_down_hands_its_meeting_over() {
    logged();
    let mut deployment = three(2).await;
    let home = deployment.home();
    let leaving = deployment.bridges.remove(home);
    // Returns when the meeting is gone from it: well before its patience ends.
    tokio::time::timeout(PATIENCE / 2, leaving.shutdown())
        .await
        .unwrap();
    deployment
        .everybody_hears_everybody("after the planned move")
        .await;
    assert_eq!(deployment.bridges[0].load(), (1, 3));
    println!(
        "longest time without a picture, planned move: {:?}",
        deployment.longest_gap()
    );
    // All of that was logged, and nothing of it names the meeting or its people.
    let log = String::from_utf8_lossy(&logged().lock().unwrap()).into_owned();
    for event in ["begins, meeting", "is placed on bridge", "leaves bridge"] {
        assert!(log.contains(event), "{event}: {log}");
    }
    for name in ["standup", "Ada", "Ben", "Cem"] {
        let line = log.lines().find(|line| line.contains(name));
        assert_eq!(line, None, "{name} is in the log");
    }
}

/// A counter of a bridge's metrics.
fn counter(bridge: &Bridge, name: &str) -> u64 {
    let page = bridge.metrics_page();
    let name = format!("pontoon_bridge_{name}_total ");
    let value = page.lines().find_map(|l| l.strip_prefix(&name));
    value.and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Two bridges, on each of which two threads have a part of the one meeting: what comes from a client of one thread goes to
/// the thread that has the relay, to the other bridge, and to the client of either thread there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_over_two_bridges_of_two_threads_each_is_one_meeting() {
    let two_threads = |config: &mut BridgeConfig| (config.shards, config.people_per_shard) = (2, 1);
    let mut deployment = Deployment::start_with(2, Strategy::Split, two_threads).await;
    for name in ["Ada", "Ben", "Cem", "Dan"] {
        deployment.join(name).await;
    }
    deployment.everybody_hears_everybody("after the join").await;
    for bridge in &deployment.bridges {
        assert_eq!(bridge.load(), (1, 2), "two people on each");
        assert!(counter(bridge, "part_exchanges") > 0, "on both threads");
        assert_eq!(counter(bridge, "part_packets_dropped"), 0);
    }
    // One of them ends: its people go to the other one, where both threads have some of them.
    let gone = deployment.bridges.remove(0);
    tokio::time::timeout(PATIENCE / 2, gone.shutdown())
        .await
        .unwrap();
    deployment
        .everybody_hears_everybody("after one of the bridges was drained")
        .await;
    assert_eq!(deployment.bridges[0].load(), (1, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_meeting_of_a_dead_bridge_comes_back_on_another() {
    let mut deployment = three(2).await;
    let home = deployment.home();
    drop(deployment.bridges.remove(home));
    deployment.everybody_hears_everybody("after the loss").await;
    assert_eq!(deployment.bridges[0].load(), (1, 3));
    println!(
        "longest time without a picture, dead bridge: {:?}",
        deployment.longest_gap()
    );
}

/// Takes the focus's address for a moment: its stream ends with `conflict`, and cannot be resumed.
async fn break_the_stream_of_the_focus(node: &Node) {
    let credentials = Credentials::Password {
        user: "focus".to_owned(),
        password: xmpp::auth::derive_password(SECRET, "focus"),
    };
    let target = Target::Memory(node.memory_connector());
    let link = LinkConfig::new(target, &format!("auth.{DOMAIN}"), credentials);
    let (sender, mut events) = link::spawn(link.with_resource("focus"));
    let online = tokio::time::timeout(PATIENCE, events.recv()).await;
    assert!(matches!(online, Ok(Some(LinkEvent::Online { .. }))));
    sender.close().await;
    while events.recv().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_does_not_notice_that_the_stream_of_the_focus_broke() {
    let mut deployment = three(2).await;
    let home = deployment.home();
    let gap = deployment.longest_gap();
    for _ in 0..3 {
        break_the_stream_of_the_focus(&deployment.node).await;
    }
    // Somebody comes, which takes a focus that has the meeting again.
    deployment.join("Dan").await;
    deployment
        .everybody_hears_everybody("after the break")
        .await;
    assert_eq!(deployment.home(), home, "it is where it was");
    assert_eq!(deployment.bridges[home].load(), (1, 4));
    let skipped = |bot: &Handle| -> u64 {
        let video = bot.snapshot().video;
        video.values().map(|video| video.skipped).sum()
    };
    for bot in &deployment.bots[..3] {
        assert_eq!(skipped(bot), 0, "a frame was lost");
    }
    println!(
        "longest time without a picture: {gap:?} before, {:?} after",
        deployment.longest_gap()
    );
}
