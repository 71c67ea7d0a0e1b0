//! A signalling node, a bridge, and people in meetings.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bot::{BotConfig, Crowd, CrowdConfig, Layer, Local, Look, MemberId, VideoSpec};
use link::{Credentials, LinkConfig, Target};
use signalling::Node;
use stanza::BareJid;
use tokio::runtime::Runtime;

use crate::server::{self, Server};
use crate::{DOMAIN, account};

/// Six packets a frame, each with 1,094 bytes of it: 180 packets a second.
const PACKETS: u32 = 6;
const PACKET: u32 = 1_094;
pub(crate) const FRAME_RATE: u32 = 30;
/// People who log in at one time.
const WAVE: usize = 25;
/// Everybody is there within this time.
const PATIENCE: Duration = Duration::from_secs(180);
/// After the joins the bridge has this long to come to rest.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// Who somebody is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Only receives.
    Viewer,
    /// Only receives, and counts: see [`Scene::count`].
    Counter,
    /// Sends one layer of video.
    Speaker,
    /// Sends video and audio.
    Talker,
    /// Sends audio.
    Voice,
    /// Sends three layers of video, and audio.
    Simulcaster,
}

pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) crowd: Crowd,
    pub(crate) people: Vec<(MemberId, Role)>,
    node: Node,
    _runtime: Runtime,
}

impl Scene {
    pub(crate) fn start(shards: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let node = runtime.block_on(server::node());
        let server = Server::start(&node, shards);
        let crowd = Crowd::start(CrowdConfig {
            local: Local::Loopback,
            epoch: Instant::now(),
            processor: None,
            abroad: false,
            runtime: runtime.handle().clone(),
        });
        Self {
            server,
            crowd: crowd.unwrap(),
            people: Vec::new(),
            node,
            _runtime: runtime,
        }
    }

    /// Lets people join a meeting; returns when all are connected.
    pub(crate) fn join(&mut self, room: &str, count: usize, role: Role) {
        for first in (0..count).step_by(WAVE) {
            for _ in first..count.min(first + WAVE) {
                self.join_one(room, role);
            }
            let all = self.people.len();
            // One alone gets no session yet.
            if all > 1 {
                self.wait(|look| look.connected >= all);
            }
        }
    }

    fn join_one(&mut self, room: &str, role: Role) {
        let target = Target::Memory(self.node.memory_connector());
        let link = LinkConfig::new(target, DOMAIN, Credentials::Anonymous);
        let number = self.people.len() as u64;
        let config = BotConfig {
            domain: DOMAIN.to_owned(),
            room: BareJid::new(&format!("{room}@conference.{DOMAIN}")).unwrap(),
            name: format!("bot {number}"),
            local: SocketAddr::from(([127, 0, 0, 1], 0)),
            video: video(role),
            audio: matches!(role, Role::Talker | Role::Voice | Role::Simulcaster),
            max_height: 720,
            moves: true,
        };
        let id = self.crowd.join(config, link, number);
        self.crowd.with(id, |bot| bot.speak(-30));
        self.people.push((id, role));
        if role == Role::Counter {
            self.count_from(self.people.len() - 1);
        }
    }

    /// All cameras make so many frames a second.
    pub(crate) fn film(&self, frame_rate: u32) {
        for (id, _) in &self.people {
            self.crowd.with(*id, move |bot| bot.film(frame_rate));
        }
    }

    /// Of those who are there one in ten goes on decrypting; the others count, so that one processor receives what another
    /// one sends.
    pub(crate) fn count(&self) {
        self.count_from(0);
        std::thread::sleep(REST);
    }

    fn count_from(&self, first: usize) {
        const DECRYPTING: usize = 10;
        for (n, (id, _)) in self.people.iter().enumerate().skip(first) {
            if n % DECRYPTING != 0 {
                self.crowd.with(*id, bot::Bot::count);
            }
        }
    }

    /// Waits until what all have seen is enough.
    pub(crate) fn wait(&self, enough: impl Fn(&Look) -> bool) {
        let start = Instant::now();
        loop {
            let look = self.crowd.look();
            if enough(&look) {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "not everybody came: {} of {} connected, {} receiving; {} failures: {:?}; load {}",
                look.connected,
                look.members,
                look.receiving,
                look.failures,
                look.troubles,
                account::load(),
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until so many receive media, and a moment more.
    pub(crate) fn settle(&self, receivers: usize) {
        self.wait(|look| look.receiving >= receivers);
        std::thread::sleep(REST);
    }
}

fn video(role: Role) -> Option<VideoSpec> {
    let single = Layer {
        height: 720,
        bitrate: PACKETS * PACKET * 8 * FRAME_RATE,
    };
    match role {
        Role::Viewer | Role::Counter | Role::Voice => None,
        Role::Speaker | Role::Talker => Some(VideoSpec {
            layers: vec![single],
            frame_rate: FRAME_RATE,
            temporal: false,
        }),
        Role::Simulcaster => Some(VideoSpec::default()),
    }
}
