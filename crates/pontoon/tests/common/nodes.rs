//! Nodes as processes, and people in a meeting on them.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bot::{BotConfig, Event, Handle, Layer, Snapshot, VideoSpec};
use link::{Credentials, LinkConfig, Target, TlsVerify};
use stanza::BareJid;
use tokio::sync::oneshot;

pub const DOMAIN: &str = "meet.internal";
/// Ends a test that would hang; no test waits for it.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// Frames and audio packets that prove that media flow.
const ENOUGH: u64 = 30;

/// A process of ours, which ends with this.
pub struct Process(Child);

impl Process {
    /// Starts `pontoon` and waits for a line that begins so; returns its last word.
    pub async fn start(state: &Path, arguments: &[String], line: &'static str) -> (Self, String) {
        let this = Path::new(env!("CARGO_BIN_EXE_pontoon"));
        Self::start_other(this, state, arguments, line).await
    }

    /// The same with another binary.
    pub async fn start_other(
        binary: &Path,
        state: &Path,
        arguments: &[String],
        line: &'static str,
    ) -> (Self, String) {
        let mut command = Command::new(binary);
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

    /// Sends a signal and waits for the end.
    pub fn signal(&mut self, signal: &str) {
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

pub fn free_tcp() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    probe.local_addr().unwrap().port()
}

/// `meet` or `up` on these ports.
pub fn role(role: &str, https: u16, xmpp: u16) -> Vec<String> {
    let (https, xmpp) = (format!("127.0.0.1:{https}"), format!("127.0.0.1:{xmpp}"));
    let ports = ["--http", "off", "--https", &https, "--xmpp", &xmpp];
    let words = [role, "--domain", DOMAIN].into_iter().chain(ports);
    words.map(str::to_owned).collect()
}

pub async fn join(https: u16, person: u64) -> Handle {
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
            temporal: false,
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

pub async fn wait(bot: &mut Handle, what: &str, enough: impl FnMut(&Snapshot) -> bool) {
    if tokio::time::timeout(PATIENCE, bot.wait(enough)).await != Ok(true) {
        panic!("{what}: {:?}", bot.snapshot());
    }
}

/// Waits until everybody has seen and heard everybody else anew.
pub async fn media_flow(bots: &mut [Handle], what: &str) {
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
pub fn undisturbed(bots: &[Handle], what: &str) {
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
