//! A meeting on a Prosody as Debian has it, with our focus and our bridge as its clients. The stream of the focus breaks,
//! of which nobody in the meeting sees anything; another focus goes on with what the first one wrote down; a bridge is killed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test stops where it fails, and reads the clock"
)]

#[path = "../bots/mod.rs"]
mod bots;

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bot::{Event, Handle};
use bots::{DOMAIN, PATIENCE, everybody_hears_everybody, join};
use bridge::{Bridge, BridgeConfig, NodeConfig, NodeTarget};
use focus::{Focus, FocusConfig, Snapshot};
use link::{Credentials, LinkConfig, LinkEvent, Target, TlsVerify};
use telemetry::Metrics;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep_until, timeout};

const PASSWORD: &str = "secret of the test";

/// A server of its own, which ends with the test.
struct Prosody {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Prosody {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        // It cannot be asked for any free port.
        let free = StdListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let key = rcgen::generate_simple_self_signed(vec![DOMAIN.to_owned()]).unwrap();
        std::fs::write(path.join("cert.pem"), key.cert.pem()).unwrap();
        std::fs::write(path.join("key.pem"), key.signing_key.serialize_pem()).unwrap();
        let accounts = path.join("data/auth%2emeet%2einternal/accounts");
        std::fs::create_dir_all(&accounts).unwrap();
        for name in ["focus", "jvb"] {
            let account = format!("return {{ [\"password\"] = \"{PASSWORD}\" }};\n");
            std::fs::write(accounts.join(format!("{name}.dat")), account).unwrap();
        }
        std::fs::write(path.join("prosody.cfg.lua"), configuration(path, port)).unwrap();
        let child = Command::new("prosody")
            .arg("--config")
            .arg(path.join("prosody.cfg.lua"))
            .arg("-F")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prosody is not installed; \"make test\" installs what the tests need");
        Self {
            child,
            port,
            directory,
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prosody {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn configuration(directory: &Path, port: u16) -> String {
    let here = directory.display();
    let modules = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/prosody");
    format!(
        r#"
run_as_root = true
daemonize = false
pidfile = "{here}/pid"
data_path = "{here}/data"
plugin_paths = {{ "{modules}" }}
log = {{ {{ levels = {{ min = "info" }}, to = "file", filename = "{here}/log" }} }}
modules_enabled = {{ "saslauth", "tls", "disco", "ping", "smacks" }}
modules_disabled = {{ "s2s" }}
c2s_interfaces = {{ "127.0.0.1" }}
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ }}
ssl = {{ certificate = "{here}/cert.pem", key = "{here}/key.pem" }}

VirtualHost "{DOMAIN}"
    authentication = "anonymous"
VirtualHost "auth.{DOMAIN}"
    authentication = "internal_plain"
Component "conference.{DOMAIN}" "muc"
    storage = "memory"
    muc_room_locking = false
    muc_room_default_public_jids = true
Component "internal.auth.{DOMAIN}" "muc"
    storage = "memory"
    muc_room_locking = false
    muc_room_default_public_jids = true
Component "focus.{DOMAIN}" "pass_on"
    account = "focus@auth.{DOMAIN}"
"#
    )
}

fn tcp(port: u16) -> Target {
    Target::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
        verify: TlsVerify::None,
    }
}

/// A way to the server that can be cut: connections break, and none comes about until it is whole again.
struct Way {
    port: u16,
    whole: watch::Sender<bool>,
}

impl Way {
    async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (whole, mut state) = watch::channel(true);
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut near, _) = accepted.unwrap();
                        if *state.borrow() {
                            connections.spawn(async move {
                                if let Ok(mut far) = TcpStream::connect(("127.0.0.1", server)).await {
                                    let _ = copy_bidirectional(&mut near, &mut far).await;
                                }
                            });
                        }
                    }
                    changed = state.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        if !*state.borrow() {
                            connections.shutdown().await;
                        }
                    }
                }
            }
        });
        Self { port, whole }
    }
}

/// How the stream of a focus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Offline,
    Online { resumed: bool },
}

/// A focus at work: its stream, and what it would write down.
struct Running {
    told: watch::Receiver<(Stream, Snapshot)>,
    task: JoinHandle<()>,
}

impl Running {
    fn start(focus: Focus, way: &Way) -> Self {
        let credentials = Credentials::Password {
            user: "focus".to_owned(),
            password: PASSWORD.to_owned(),
        };
        let link = LinkConfig::new(tcp(way.port), &format!("auth.{DOMAIN}"), credentials);
        let (tell, told) = watch::channel((Stream::Offline, Snapshot::default()));
        let task = tokio::spawn(drive(focus, link.with_resource("focus"), tell));
        Self { told, task }
    }

    /// Waits until its stream is like this.
    async fn until(&mut self, wanted: Stream) {
        let waiting = self.told.wait_for(|(stream, _)| *stream == wanted);
        let came = timeout(PATIENCE, waiting).await;
        assert!(came.is_ok_and(|found| found.is_ok()), "{wanted:?}");
    }

    /// Nothing is left of it but what it wrote down.
    async fn die(self) -> Snapshot {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
        self.told.borrow().1.clone()
    }
}

async fn drive(mut focus: Focus, link: LinkConfig, tell: watch::Sender<(Stream, Snapshot)>) {
    let (sender, mut events) = link::spawn(link);
    let mut stream = Stream::Offline;
    loop {
        while let Some(stanza) = focus.poll_transmit() {
            sender.send(stanza).unwrap();
        }
        while let Some(event) = focus.poll_event() {
            println!("focus: {event}");
        }
        tell.send_replace((stream, focus.snapshot()));
        let due = focus.poll_timeout();
        let far = Instant::now() + Duration::from_secs(3_600);
        tokio::select! {
            event = events.recv() => match event.unwrap() {
                LinkEvent::Online { jid, resumed } => {
                    stream = Stream::Online { resumed };
                    focus.online(Instant::now(), jid, resumed);
                }
                LinkEvent::Offline { .. } => {
                    stream = Stream::Offline;
                    focus.offline(Instant::now());
                }
                LinkEvent::Stanza(stanza) => focus.handle_stanza(Instant::now(), &stanza),
                other => println!("focus: {other:?}"),
            },
            () = sleep_until(due.unwrap_or(far).into()) => focus.handle_timeout(Instant::now()),
        }
    }
}

fn bridge(server: &Prosody, name: &str) -> Bridge {
    let mut config = BridgeConfig::new(name, Metrics::new());
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.shards = 1;
    let target = NodeTarget::Tcp {
        host: "127.0.0.1".to_owned(),
        port: server.port,
        verify: TlsVerify::None,
    };
    config.nodes = vec![NodeConfig::new(target, DOMAIN, PASSWORD.to_owned())];
    Bridge::start(config).unwrap()
}

/// A bridge that can be killed: everything of it is in a runtime of its own.
struct Mortal {
    bridge: Bridge,
    runtime: Runtime,
}

impl Mortal {
    fn start(server: &Prosody, name: &str) -> Self {
        let mut runtime = runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let inside = runtime.enter();
        let bridge = bridge(server, name);
        drop(inside);
        Self { bridge, runtime }
    }

    /// It ends without a word: its connections and ports are closed.
    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

fn sessions(events: &[Event]) -> usize {
    events.iter().filter(|e| **e == Event::Connected).count()
}

/// Nobody's session ended, or began anew.
fn nothing_was_noticed(bots: &[Handle]) {
    for bot in bots {
        let told = bot.snapshot().events;
        let disturbed = told.iter().any(|event| {
            matches!(
                event,
                Event::SessionEnded | Event::Failed(_) | Event::Out(_)
            )
        });
        assert!(sessions(&told) == 1 && !disturbed, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_on_prosody_does_not_notice_that_the_stream_of_its_focus_broke() {
    let server = Prosody::start();
    let way = Way::to(server.port).await;
    let config = FocusConfig::for_domain(DOMAIN).unwrap();
    let mut focus = Running::start(Focus::new(config, [1; 32]), &way);
    let bridge = bridge(&server, "b1");
    let mut bots = Vec::new();
    for name in ["Ada", "Ben", "Cem"] {
        bots.push(join(tcp(server.port), name, bots.len()).await);
    }
    everybody_hears_everybody(&mut bots, "after the join").await;
    assert_eq!(bridge.load(), (1, 3));

    way.whole.send_replace(false);
    focus.until(Stream::Offline).await;
    everybody_hears_everybody(&mut bots, "without a focus").await;
    way.whole.send_replace(true);
    focus.until(Stream::Online { resumed: true }).await;
    // Somebody comes, which takes a focus that has the meeting.
    bots.push(join(tcp(server.port), "Dan", bots.len()).await);
    everybody_hears_everybody(&mut bots, "after the cut").await;
    nothing_was_noticed(&bots);
    assert_eq!(bridge.load(), (1, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_on_prosody_goes_on_with_another_focus() {
    let server = Prosody::start();
    let way = Way::to(server.port).await;
    let config = FocusConfig::for_domain(DOMAIN).unwrap();
    let mut focus = Running::start(Focus::new(config.clone(), [1; 32]), &way);
    let bridge = bridge(&server, "b1");
    let mut bots = Vec::new();
    for name in ["Ada", "Ben", "Cem", "Dan"] {
        bots.push(join(tcp(server.port), name, bots.len()).await);
    }
    everybody_hears_everybody(&mut bots, "after the join").await;

    way.whole.send_replace(false);
    focus.until(Stream::Offline).await;
    let memory = focus.die().await;
    assert_eq!(memory.len(), 1);
    way.whole.send_replace(true);
    let other = Focus::restore(Instant::now(), config, [2; 32], &memory);
    let began = Instant::now();
    let mut focus = Running::start(other, &way);
    focus.until(Stream::Online { resumed: false }).await;
    // Prosody shows that the first focus is gone, and clients end their sessions by that.
    for bot in &mut bots {
        let again = bot.wait(|now| sessions(&now.events) == 2);
        assert_eq!(timeout(PATIENCE, again).await, Ok(true), "no new session");
    }
    everybody_hears_everybody(&mut bots, "with another focus").await;
    println!("everybody is heard {:?} after its start", began.elapsed());
    // Once, and the bridge has nothing else.
    for bot in &bots {
        assert_eq!(sessions(&bot.snapshot().events), 2);
    }
    assert_eq!(bridge.load(), (1, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_on_prosody_goes_on_when_its_bridge_is_killed() {
    let server = Prosody::start();
    let way = Way::to(server.port).await;
    let config = FocusConfig::for_domain(DOMAIN).unwrap();
    let _focus = Running::start(Focus::new(config, [1; 32]), &way);
    let bridges = ["b1", "b2"].map(|name| Mortal::start(&server, name));
    for mortal in &bridges {
        let attached = timeout(PATIENCE, mortal.bridge.attached());
        assert_eq!(attached.await, Ok(()), "a bridge is not attached");
    }
    let mut bots = Vec::new();
    for name in ["Ada", "Ben", "Cem"] {
        bots.push(join(tcp(server.port), name, bots.len()).await);
    }
    everybody_hears_everybody(&mut bots, "after the join").await;

    let (dead, alive): (Vec<_>, Vec<_>) = bridges
        .into_iter()
        .partition(|mortal| mortal.bridge.load() == (1, 3));
    assert_eq!((dead.len(), alive.len()), (1, 1), "all are on one of them");
    dead.into_iter().for_each(Mortal::kill);
    for bot in &mut bots {
        let again = bot.wait(|now| sessions(&now.events) == 2);
        assert_eq!(timeout(PATIENCE, again).await, Ok(true), "no new session");
    }
    everybody_hears_everybody(&mut bots, "on the other bridge").await;
    assert_eq!(alive[0].bridge.load(), (1, 3));
    alive.into_iter().for_each(Mortal::kill);
}
