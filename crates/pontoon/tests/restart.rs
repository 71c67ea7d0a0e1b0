//! The meet node is killed, and told to end, while a bridge in another process carries a meeting: media flow on, and people
//! come back to their sessions.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test ends where its set-up fails, and reads the clock"
)]

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bot::{BotConfig, Event, Handle, Layer, Snapshot, VideoSpec};
use link::{Credentials, LinkConfig, Target, TlsVerify};
use stanza::BareJid;
use tokio::sync::oneshot;

const DOMAIN: &str = "meet.internal";
/// Ends a test that would hang; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(90);
/// Frames and audio packets that prove that media flow.
const ENOUGH: u64 = 30;

/// A process of ours, which ends with this.
struct Process(Child);

impl Process {
    /// Starts `pontoon` and waits for a line that begins so; returns its last word.
    async fn start(state: &Path, arguments: &[String], line: &'static str) -> (Self, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pontoon"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PONTOON_") {
                command.env_remove(name);
            }
        }
        command.env("PONTOON_STATE_DIR", state).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (found, awaited) = oneshot::channel();
        std::thread::spawn(move || {
            let mut found = Some(found);
            for text in stdout.lines().map_while(Result::ok) {
                if text.trim_start().starts_with(line)
                    && let Some(found) = found.take()
                {
                    let word = text.split_whitespace().last().unwrap_or_default();
                    let _ = found.send(word.to_owned());
                }
            }
        });
        let process = Self(child);
        let word = tokio::time::timeout(PATIENCE, awaited).await;
        (process, word.unwrap().unwrap())
    }

    fn signal(&mut self, signal: &str) {
        let pid = self.0.id().to_string();
        let kill = Command::new("kill").args([signal, &pid]).status();
        assert!(kill.unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_tcp() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    probe.local_addr().unwrap().port()
}

/// `meet` or `up` on these ports.
fn role(role: &str, https: u16, xmpp: u16) -> Vec<String> {
    let (https, xmpp) = (format!("127.0.0.1:{https}"), format!("127.0.0.1:{xmpp}"));
    let ports = ["--http", "off", "--https", &https, "--xmpp", &xmpp];
    let words = [role, "--domain", DOMAIN].into_iter().chain(ports);
    words.map(str::to_owned).collect()
}

async fn join(https: u16, person: u64) -> Handle {
    let target = Target::WebSocket {
        host: "127.0.0.1".to_owned(),
        port: https,
        path: "/xmpp-websocket?room=standup".to_owned(),
        verify: TlsVerify::None,
    };
    let link = LinkConfig::new(target, DOMAIN, Credentials::Anonymous);
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let layer = Layer {
        height: 180,
        bitrate: 100_000,
    };
    let config = BotConfig {
        domain: DOMAIN.to_owned(),
        room: BareJid::new(&format!("standup@conference.{DOMAIN}")).unwrap(),
        name: format!("Person {person}"),
        local: SocketAddr::new(address, 0),
        video: Some(VideoSpec {
            layers: vec![layer],
            frame_rate: 15,
        }),
        audio: true,
        max_height: 180,
        moves: true,
    };
    let bot = bot::run(config, link, address, Instant::now(), person + 1);
    let bot = bot.await.unwrap();
    bot.with(|bot| bot.speak(-20));
    bot
}

async fn wait(bot: &mut Handle, what: &str, enough: impl FnMut(&Snapshot) -> bool) {
    if tokio::time::timeout(PATIENCE, bot.wait(enough)).await != Ok(true) {
        panic!("{what}: {:?}", bot.snapshot());
    }
}

/// Waits until everybody has seen and heard everybody else anew.
async fn media_flow(bots: &mut [Handle], what: &str) {
    let others = bots.len() - 1;
    for bot in bots {
        let before = bot.snapshot();
        wait(bot, what, |now| {
            let decoded = |s: &Snapshot, name: &str| s.video.get(name).map_or(0, |v| v.decoded);
            let heard = |s: &Snapshot, name: &str| s.audio.get(name).copied().unwrap_or(0);
            let seen = now.video.keys();
            let seen = seen.filter(|name| decoded(now, name) >= decoded(&before, name) + ENOUGH);
            let spoke = now.audio.keys();
            let spoke = spoke.filter(|name| heard(now, name) >= heard(&before, name) + ENOUGH);
            seen.count() >= others && spoke.count() >= others
        })
        .await;
    }
}

/// Nobody had a second session, lost the first, or saw somebody leave.
fn undisturbed(bots: &[Handle], what: &str) {
    for bot in bots {
        let events = bot.snapshot().events;
        let connected = events.iter().filter(|e| **e == Event::Connected).count();
        let bad = |event: &&Event| {
            matches!(
                event,
                Event::SessionEnded | Event::Out(_) | Event::Failed(_) | Event::OccupantLeft(_)
            )
        };
        assert!(
            connected == 1 && events.iter().find(bad).is_none(),
            "{what}: {events:?}"
        );
    }
}

fn says(text: &str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Chat { text: said, .. } if said == text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_meeting_outlives_its_meet_node() {
    let (meet_state, bridge_state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (https, xmpp) = (free_tcp(), free_tcp());
    let meet = role("meet", https, xmpp);
    let (mut node, token) = Process::start(meet_state.path(), &meet, "Add a bridge").await;
    let bridge = ["bridge", "--udp", "127.0.0.1:0", "--join", &token].map(str::to_owned);
    let (_bridge, _) = Process::start(bridge_state.path(), &bridge, "Pontoon").await;
    let mut bots = vec![join(https, 0).await, join(https, 1).await];
    media_flow(&mut bots, "at first").await;
    for (round, signal) in ["-KILL", "-TERM", "-KILL"].into_iter().enumerate() {
        node.signal(signal);
        let what = format!("while the meet node is away after {signal}");
        let text = format!("said in round {round}");
        let said = text.clone();
        bots[0].with(move |bot| bot.chat(&said));
        media_flow(&mut bots, &what).await;
        let (again, same) = Process::start(meet_state.path(), &meet, "Add a bridge").await;
        assert_eq!(same, token);
        node = again;
        // What was said meanwhile is heard, once.
        let heard = says(&text);
        wait(&mut bots[1], &what, |s| s.events.iter().any(&heard)).await;
        let what = format!("after {signal}");
        media_flow(&mut bots, &what).await;
        undisturbed(&bots, &what);
        let times = bots[1].snapshot().events.into_iter().filter(heard);
        assert_eq!(times.count(), 1, "{what}");
        // The meeting is not only running but alive.
        bots.push(join(https, 2 + round as u64).await);
        media_flow(&mut bots, &format!("with another one {what}")).await;
        undisturbed(&bots, &what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_all_in_one_comes_back_with_its_meeting() {
    let state = tempfile::tempdir().unwrap();
    let (https, xmpp) = (free_tcp(), free_tcp());
    let mut up = role("up", https, xmpp);
    up.extend(["--udp", "127.0.0.1:0"].map(str::to_owned));
    let (mut node, _) = Process::start(state.path(), &up, "Add a bridge").await;
    let mut bots = vec![join(https, 0).await, join(https, 1).await];
    media_flow(&mut bots, "at first").await;
    for signal in ["-KILL", "-TERM"] {
        node.signal(signal);
        (node, _) = Process::start(state.path(), &up, "Add a bridge").await;
        let what = format!("after {signal}");
        media_flow(&mut bots, &what).await;
        for bot in &bots {
            let events = bot.snapshot().events;
            let left = |event: &&Event| matches!(event, Event::OccupantLeft(_) | Event::Out(_));
            assert_eq!(events.iter().find(left), None, "{what}: {events:?}");
        }
    }
}
