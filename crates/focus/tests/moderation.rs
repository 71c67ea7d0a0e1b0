//! Muting, moderation, limits of senders, beginning muted.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod support;

use serde_json::json;
use stanza::colibri2::ForceMute;
use stanza::jingle::{Action, StartMuted};
use stanza::jitsi::moderation::json_message;
use stanza::jitsi::mute::{Mute, MuteMedia};
use stanza::{Build, element};
use stanza::{Jid, ns};
use support::*;

const MEETING: &str = "5cc8f3dc-meeting";

fn world() -> World {
    let mut world = World::ready(&["jvb1"]);
    for nick in ["aa", "bb", "cc"] {
        world.join(FakeClient::new(nick));
    }
    world
}

fn mute(world: &mut World, by: &str, whom: &str, media: MuteMedia, value: bool) -> String {
    let jid = Jid::new(&format!("{ROOM}/{whom}")).ok();
    condition(&world.ask(
        by,
        &Mute {
            media,
            jid,
            actor: None,
            mute: Some(value),
        },
    ))
}

fn say(world: &mut World, from: &str, message: &serde_json::Value) {
    let message = Build::from(json_message(&Jid::new(FOCUS).unwrap(), message))
        .attr("from", from)
        .done();
    world.deliver(message);
}

fn forced(world: &World, nick: &str) -> (bool, bool) {
    let ForceMute { audio, video } = world.bridges["jvb1"].endpoint(MEETING, nick).force_mute;
    (audio, video)
}

fn moderate(world: &mut World, media: &str, enabled: bool) {
    let actor = format!("{ROOM}/aa");
    let message = json!({"type": "av_moderation", "room": ROOM, "enabled": enabled, "mediaType": media, "actor": actor});
    say(world, MODERATION, &message);
}

#[test]
fn moderators_mute_others_and_nobody_unmutes_them() {
    let mut world = world();
    let table = [
        ("aa", "bb", MuteMedia::Audio, true, "result"),
        ("aa", "bb", MuteMedia::Desktop, true, "result"),
        ("aa", "bb", MuteMedia::Audio, false, "not-allowed"),
        ("bb", "aa", MuteMedia::Audio, true, "not-allowed"),
        ("bb", "bb", MuteMedia::Audio, false, "result"),
        ("bb", "bb", MuteMedia::Video, true, "result"),
        ("aa", "nobody", MuteMedia::Audio, true, "item-not-found"),
    ];
    for (by, whom, media, value, expected) in table {
        assert_eq!(
            mute(&mut world, by, whom, media, value),
            expected,
            "{by} {whom} {media:?} {value}"
        );
    }
    let told = &world.clients["bb"].mutes;
    assert_eq!(
        told.iter().map(|m| m.media).collect::<Vec<_>>(),
        [MuteMedia::Audio, MuteMedia::Desktop]
    );
    assert!(told.iter().all(|m| m.mute == Some(true) && m.jid.is_none()));
    assert_eq!(told[0].actor, Jid::new(&format!("{ROOM}/aa")).ok());
    assert!(world.clients["aa"].mutes.is_empty());
    assert_eq!(
        forced(&world, "bb"),
        (false, false),
        "without moderation a mute is a request"
    );
}

#[test]
fn moderation_is_enforced_by_the_bridge_and_follows_every_change() {
    let mut world = world();
    say(
        &mut world,
        "evil.meet.test",
        &json!({"type": "av_moderation", "room": ROOM, "enabled": true, "mediaType": "audio"}),
    );
    assert_eq!(
        forced(&world, "bb"),
        (false, false),
        "only the component decides"
    );
    moderate(&mut world, "audio", true);
    assert_eq!(
        (
            forced(&world, "aa"),
            forced(&world, "bb"),
            forced(&world, "cc")
        ),
        ((false, false), (true, false), (true, false))
    );
    assert_eq!(world.clients["bb"].mutes.len(), 1);
    assert!(world.clients["bb"].mutes[0].actor.is_none());
    assert!(
        world.clients["aa"].mutes.is_empty(),
        "who switched it on is spared"
    );
    assert_eq!(
        mute(&mut world, "bb", "bb", MuteMedia::Audio, false),
        "not-allowed"
    );
    // Permission alone lifts it: clients do not always say that they unmute.
    say(
        &mut world,
        MODERATION,
        &json!({"type": "av_moderation", "room": ROOM, "mediaType": "audio", "whitelists": {"audio": [format!("{ROOM}/bb")]}}),
    );
    assert_eq!(
        (forced(&world, "bb"), forced(&world, "cc")),
        ((false, false), (true, false))
    );
    assert_eq!(
        mute(&mut world, "bb", "bb", MuteMedia::Audio, false),
        "result"
    );
    // So does becoming moderator.
    let cc = world.clients.get_mut("cc").unwrap();
    (cc.affiliation, cc.role) = ("owner", "moderator");
    world.presence("cc");
    assert_eq!(forced(&world, "cc"), (false, false));
    // Newcomers begin without permission.
    world.join(FakeClient::new("dd"));
    assert_eq!(forced(&world, "dd"), (true, false));
    let offer = world.clients["dd"].session.as_ref().unwrap();
    assert_eq!(
        offer.start_muted,
        Some(StartMuted {
            audio: true,
            video: false
        })
    );
    moderate(&mut world, "audio", false);
    assert_eq!(forced(&world, "dd"), (false, false));
}

#[test]
fn the_video_flag_stands_for_camera_and_screen() {
    let mut world = world();
    moderate(&mut world, "video", true);
    assert_eq!(forced(&world, "bb"), (false, false));
    moderate(&mut world, "desktop", true);
    assert_eq!(forced(&world, "bb"), (false, true));
}

#[test]
fn newcomers_begin_muted_when_the_room_says_so() {
    let mut world = world();
    let message = json!({"type": "room_metadata", "metadata": {"startMuted": {"audio": true}}});
    let payload = element("json-message", ns::JITMEET)
        .attr("room", ROOM)
        .text(message);
    world.deliver(
        element("message", ns::CLIENT)
            .attr("from", METADATA)
            .child(payload)
            .done(),
    );
    world.join(FakeClient::new("dd"));
    let muted = world.clients["dd"].session.as_ref().unwrap().start_muted;
    assert_eq!(
        muted,
        Some(StartMuted {
            audio: true,
            video: false
        })
    );
    assert_eq!(
        world.clients["bb"].session.as_ref().unwrap().start_muted,
        None
    );
}

#[test]
fn senders_are_limited() {
    let mut world = World::with(|config| config.max_video_senders = 1);
    world.add_bridge("jvb1", 0.0);
    world.request(ROOM);
    let info = |nick: &str, muted: bool| {
        let json = json!({format!("{nick}-v0"): {"muted": muted}});
        element("SourceInfo", ns::CLIENT).text(json).done()
    };
    for nick in ["aa", "bb"] {
        let mut client = FakeClient::new(nick);
        client.extra.push(info(nick, true));
        world.join(client);
    }
    let add = |world: &mut World| {
        let bb = &world.clients["bb"];
        let mut add = bb.jingle(Action::SourceAdd);
        add.contents = vec![bb.content("video", "v1", &[5001], vec![])];
        condition(&world.ask("bb", &add))
    };
    world.clients.get_mut("aa").unwrap().extra = vec![info("aa", false)];
    world.presence("aa");
    let property = |world: &World| {
        let presence = world.focus_presences.last().unwrap();
        let properties = presence
            .get_child("conference-properties", ns::FOCUS)
            .unwrap();
        let reached = properties
            .children()
            .find(|p| p.attr("key") == Some("video-limit-reached"));
        reached.and_then(|p| p.attr("value")).map(str::to_owned)
    };
    assert_eq!(property(&world).as_deref(), Some("true"));
    assert_eq!(add(&mut world), "resource-constraint");
    world.clients.get_mut("aa").unwrap().extra = vec![info("aa", true)];
    world.presence("aa");
    assert_eq!(property(&world).as_deref(), Some("false"));
    assert_eq!(add(&mut world), "result");
}
