//! The meetings that must go on, and who watches them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bot::{BotConfig, Event, Handle, Layer, VideoSpec};
use link::{Credentials, LinkConfig, Target, TlsVerify};
use stanza::BareJid;

use crate::server::{DOMAIN, Server};

/// Ends a test that would hang; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);
/// How long nobody may be without a picture.
const LIMIT: Duration = Duration::from_secs(1);

struct Meeting {
    name: &'static str,
    bots: Vec<Handle>,
}

#[derive(Default)]
struct Seen {
    worst: Duration,
    whose: String,
    trouble: Option<String>,
}

pub struct Meetings {
    meetings: Arc<Vec<Meeting>>,
    seen: Arc<Mutex<Seen>>,
    watch: tokio::task::JoinHandle<()>,
}

impl Meetings {
    /// Starts the meetings and waits until everybody sees everybody else.
    pub async fn start(server: &Server, rooms: &[(&'static str, usize)]) -> Self {
        let mut meetings = Vec::new();
        for (name, people) in rooms {
            let mut bots = Vec::new();
            for person in 0..*people {
                bots.push(join(server, name, person as u64).await);
            }
            meetings.push(Meeting { name, bots });
        }
        for meeting in &mut meetings {
            let others = meeting.bots.len() - 1;
            for bot in &mut meeting.bots {
                let all =
                    bot.wait(|s| s.video.values().filter(|v| v.decoded > 30).count() == others);
                let all = tokio::time::timeout(PATIENCE, all).await;
                assert_eq!(all, Ok(true), "{}: everybody sees everybody", meeting.name);
            }
        }
        let meetings = Arc::new(meetings);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let watch = tokio::spawn(watch(Arc::clone(&meetings), Arc::clone(&seen)));
        Self {
            meetings,
            seen,
            watch,
        }
    }

    /// Begins to count anew.
    pub fn forget(&self) {
        let mut seen = self.seen.lock().unwrap();
        seen.worst = Duration::ZERO;
    }

    /// The longest time anybody was without a picture since the last [`forget`](Self::forget); fails beyond the limit.
    pub fn worst(&self, when: &str) -> Duration {
        let (worst, whose, trouble) = {
            let seen = self.seen.lock().unwrap();
            (seen.worst, seen.whose.clone(), seen.trouble.clone())
        };
        if let Some(trouble) = trouble {
            panic!("{when}: {trouble}");
        }
        assert!(
            worst <= LIMIT,
            "{when}: {whose} without a picture for {worst:?}"
        );
        worst
    }

    /// Everybody still sees everybody.
    pub fn must_be_whole(&self, when: &str) {
        for meeting in self.meetings.iter() {
            for bot in &meeting.bots {
                let others = bot.snapshot().video.len();
                assert!(others + 1 >= meeting.bots.len(), "{when}: {}", meeting.name);
            }
        }
        self.worst(when);
    }
}

impl Drop for Meetings {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn join(server: &Server, room: &str, person: u64) -> Handle {
    let target = Target::WebSocket {
        host: "127.0.0.1".to_owned(),
        port: server.https,
        path: format!("/xmpp-websocket?room={room}"),
        verify: TlsVerify::None,
    };
    let link = LinkConfig::new(target, DOMAIN, Credentials::Anonymous);
    let layer = |height, bitrate| Layer { height, bitrate };
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let config = BotConfig {
        domain: DOMAIN.to_owned(),
        room: BareJid::new(&format!("{room}@conference.{DOMAIN}")).unwrap(),
        name: format!("Person {person}"),
        local: SocketAddr::new(address, 0),
        video: Some(VideoSpec {
            layers: vec![layer(180, 100_000), layer(360, 300_000)],
            frame_rate: 15,
            temporal: false,
        }),
        audio: true,
        max_height: 360,
        moves: true,
    };
    let bot = bot::run(config, link, address, Instant::now(), person + 1)
        .await
        .unwrap();
    bot.with(|bot| bot.speak(-20));
    bot
}

/// Looks at the meetings all the time. What this process itself was late by is nobody's fault and taken off.
async fn watch(meetings: Arc<Vec<Meeting>>, seen: Arc<Mutex<Seen>>) {
    let mut ticks = tokio::time::interval(LOOK);
    let mut last = Instant::now();
    let mut excuse = Duration::ZERO;
    loop {
        ticks.tick().await;
        let now = Instant::now();
        let late = now.duration_since(last).saturating_sub(LOOK);
        // It fades slowly: bots that were late to send are seen late by the others.
        excuse = (excuse * 49 / 50).max(late * 3);
        last = now;
        for meeting in meetings.iter() {
            for bot in &meeting.bots {
                look(now, excuse, meeting.name, bot, &seen);
            }
        }
    }
}

fn look(now: Instant, excuse: Duration, meeting: &str, bot: &Handle, seen: &Mutex<Seen>) {
    let snapshot = bot.snapshot();
    let mut seen = seen.lock().unwrap();
    let bad = snapshot.events.iter().find(|event| {
        matches!(
            event,
            Event::SessionEnded | Event::Out(_) | Event::Failed(_)
        )
    });
    if let (Some(event), None) = (bad, &seen.trouble) {
        seen.trouble = Some(format!("{meeting}, {}: {event:?}", snapshot.endpoint));
    }
    // Sources of attackers who enter the room have no frames; people's had them before the siege.
    for (source, stats) in snapshot.video.iter().filter(|(_, stats)| stats.decoded > 0) {
        let Some(last) = stats.last_at else { continue };
        let gap = now.saturating_duration_since(last).saturating_sub(excuse);
        if gap > seen.worst {
            seen.worst = gap;
            seen.whose = format!("{meeting}, {} of {source}", snapshot.endpoint);
        }
    }
}
