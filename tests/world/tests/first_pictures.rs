//! The network loses what a newcomer and the bridge say to each other first: the time to first pictures has a bound.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use sfu::control::Note;
use sim::{LinkSpec, Loss};
use world::{World, WorldConfig};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// When the network begins to lose, as the bridge sees it: the newcomer learns of it a millisecond later.
#[derive(Debug, Clone, Copy)]
enum Since {
    /// ICE and DTLS are done.
    Connected,
    /// The data channel is open.
    ChannelOpen,
}

impl Since {
    fn is(self, note: &Note, newcomer: &str) -> bool {
        match (self, note) {
            (Self::Connected, Note::Connected(_, endpoint))
            | (Self::ChannelOpen, Note::ChannelOpened(_, endpoint, _)) => {
                endpoint.as_str() == newcomer
            }
            _ => false,
        }
    }
}

/// What is lost.
#[derive(Debug, Clone, Copy)]
enum Lost {
    /// What the newcomer sends.
    ToBridge,
    /// What the bridge sends to it.
    ToNewcomer,
}

/// A third person comes to a meeting of two, the network loses everything one way for `outage`; returns how long after
/// that everybody sees everybody.
fn wait_after(seed: u64, since: Since, lost: Lost, outage: Duration) -> Duration {
    let mut world = World::new(&WorldConfig {
        seed,
        bridges: 1,
        path: LinkSpec::default(),
    });
    world.run(SECOND);
    for _ in 0..2 {
        world.join("standup", |_| {});
    }
    assert!(world.run_until(2 * SECOND, |w| w.everybody_sees(1)));
    let newcomer = world.join("standup", |_| {});
    let begun = world.run_until(2 * SECOND, |w| {
        let endpoint = w.bots[newcomer].endpoint();
        w.bridges[0]
            .notes
            .iter()
            .any(|note| since.is(note, endpoint))
    });
    assert!(begun, "{:?}", world.bridges[0].notes);

    let (bot, bridge) = (
        world.bots[newcomer].local().ip(),
        world.bridges[0].address.ip(),
    );
    let (sender, receiver) = match lost {
        Lost::ToBridge => (bot, bridge),
        Lost::ToNewcomer => (bridge, bot),
    };
    let broken = LinkSpec {
        loss: Loss::Random(1.0),
        ..LinkSpec::default()
    };
    world.net.set_path(sender, receiver, broken);
    world.run(outage);
    // Nothing of what the newcomer wants can be known yet, and no video is sent before.
    assert_eq!(world.frames(newcomer), 0);
    world.net.set_path(sender, receiver, LinkSpec::default());
    let healed = world.elapsed();
    let seen = world.run_until(20 * SECOND, |w| w.everybody_sees(2));
    assert!(seen, "{since:?} {lost:?} {outage:?}: {:?}", world.events);
    world.elapsed() - healed
}

/// Of whatever the network loses, the bridge repeats its part soon: the beginning of the association, which a client alone
/// would repeat after one, two, four seconds, and what it tells of sources.
#[test]
fn what_the_bridge_can_repeat_is_not_waited_for() {
    let ways = [
        (Since::Connected, Lost::ToBridge, 2 * SECOND),
        // Here the repeats of both sides may cross, and the client's stack takes the later ones only.
        (Since::Connected, Lost::ToNewcomer, 3 * SECOND),
        (Since::ChannelOpen, Lost::ToNewcomer, 2 * SECOND),
    ];
    for (since, lost, most) in ways {
        for outage in [200, 700, 1_400, 2_300, 3_200, 5_000] {
            let wait = wait_after(outage, since, lost, MS * outage as u32);
            assert!(
                wait <= most,
                "{since:?} {lost:?} {outage} ms: pictures {wait:?} after the network"
            );
        }
    }
}

/// No video is sent before a client has said what it wants, and nobody else can repeat that: its SCTP does, one second
/// later and then after twice as long each time (RFC 9260 §6.3.3). So the wait is no longer than the outage and one second.
#[test]
fn what_a_client_wants_is_known_with_its_first_repeat() {
    for outage in [200, 700, 1_400, 2_300, 5_000] {
        let lost = MS * outage as u32;
        let wait = wait_after(outage, Since::ChannelOpen, Lost::ToBridge, lost);
        assert!(
            wait <= lost + SECOND + SECOND / 2,
            "{outage} ms: pictures {wait:?} after the network"
        );
    }
}
