//! Participants on an independent WebRTC stack, which join through XMPP and talk over real UDP.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bot::{BotConfig, Handle, Layer, Snapshot, VideoSpec};
use link::{Credentials, LinkConfig, Target};
use stanza::BareJid;

pub(crate) const DOMAIN: &str = "meet.internal";
/// Ends a test that would hang; no test waits for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Frames and audio packets that prove that media flow.
const ENOUGH: u64 = 45;

/// A guest of the server at `target` joins the room `standup`.
pub(crate) async fn join(target: Target, name: &str, number: usize) -> Handle {
    let link = LinkConfig::new(target, DOMAIN, Credentials::Anonymous);
    let layers = vec![
        Layer {
            height: 180,
            bitrate: 100_000,
        },
        Layer {
            height: 360,
            bitrate: 300_000,
        },
    ];
    let config = BotConfig {
        domain: DOMAIN.to_owned(),
        room: BareJid::new(&format!("standup@conference.{DOMAIN}")).unwrap(),
        name: name.to_owned(),
        local: SocketAddr::from(([127, 0, 0, 1], 0)),
        video: Some(VideoSpec {
            layers,
            frame_rate: 15,
            temporal: false,
        }),
        audio: true,
        max_height: 360,
        moves: true,
    };
    let address = [127, 0, 0, 1].into();
    let bot = bot::run(config, link, address, Instant::now(), number as u64 + 1)
        .await
        .unwrap();
    bot.with(|bot| bot.speak(-20));
    bot
}

/// Waits until everybody has seen and heard everybody else anew.
pub(crate) async fn everybody_hears_everybody(bots: &mut [Handle], what: &str) {
    let others = bots.len() - 1;
    let before: Vec<Snapshot> = bots.iter().map(Handle::snapshot).collect();
    for (bot, before) in bots.iter_mut().zip(before) {
        let waiting = bot.wait(|now| progress(&before, now) >= (others, others));
        if tokio::time::timeout(PATIENCE, waiting).await != Ok(true) {
            panic!("{what}: heard {:?}", heard(bots));
        }
    }
}

/// Who heard how much of whom, and what happened to it, for messages.
fn heard(bots: &[Handle]) -> Vec<(String, BTreeMap<String, u64>, Vec<bot::Event>)> {
    let snapshots = bots.iter().map(Handle::snapshot);
    snapshots.map(|s| (s.endpoint, s.audio, s.events)).collect()
}

/// Sources of which enough was seen, and of which enough was heard, between two looks.
fn progress(before: &Snapshot, now: &Snapshot) -> (usize, usize) {
    let seen = now.video.iter().filter(|(name, stats)| {
        let old = before.video.get(*name).map_or(0, |s| s.decoded);
        stats.decoded >= old + ENOUGH
    });
    let heard = now.audio.iter().filter(|(name, packets)| {
        let old = before.audio.get(*name).copied().unwrap_or(0);
        **packets >= old + ENOUGH
    });
    (seen.count(), heard.count())
}
