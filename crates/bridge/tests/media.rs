//! Two str0m clients through a whole bridge over real UDP: ICE, DTLS, the data channel, media.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops where it fails"
)]

mod common;

use bridge::Bridge;
use channel::BridgeMessage;
use common::client::{Client, Ssrcs, run};
use common::{Meet, create, start, transport};
use stanza::jitsi::bridge_stats::BridgeStats;
use tokio::net::UdpSocket;

const MEETING: &str = "5cc8f3dc-9e19-4a26-a0e4-1404e987b296";

async fn join(meet: &mut Meet, meeting: &str, id: &str, conference: bool, base: u32) -> Client {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    join_by(socket, meet, meeting, id, conference, base).await
}

async fn join_by(
    socket: UdpSocket,
    meet: &mut Meet,
    meeting: &str,
    id: &str,
    conference: bool,
    base: u32,
) -> Client {
    let answer = meet.ask(&create(meeting, id, conference)).await;
    let ssrcs = Ssrcs {
        audio: base,
        video: base + 1,
        rtx: base + 2,
    };
    let mut client = Client::on(socket, &transport(&answer), ssrcs);
    let answer = meet.ask(&client.update(meeting, id)).await;
    assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
    client
}

#[tokio::test]
async fn two_clients_hear_and_see_each_other() {
    let (bridge, mut meet, _) = start(|_| {}).await;
    let a = join(&mut meet, MEETING, "aaaa1111", true, 1000).await;
    let b = join(&mut meet, MEETING, "bbbb2222", false, 2000).await;
    let mut clients = [a, b];
    run(
        &mut clients,
        "channels open",
        |_| {},
        |c| c.iter().all(|c| c.connected && c.channel_open),
    )
    .await;
    for client in &mut clients {
        client.send_text(r#"{"colibriClass":"ClientHello"}"#);
        client.send_text(
            r#"{"colibriClass":"ReceiverVideoConstraints","lastN":-1,"defaultConstraints":{"maxHeight":720}}"#,
        );
    }
    let others = ["bbbb2222", "aaaa1111"];
    let mut frame = 0;
    run(
        &mut clients,
        "media both ways",
        |clients| {
            for client in clients.iter_mut() {
                client.send_audio(vec![frame as u8; 80]);
                client.send_video(frame % 30 == 0);
            }
            frame += 1;
        },
        |clients| {
            clients.iter().zip(others).all(|(c, other)| {
                c.of_source(&format!("{other}-a0")) >= 50
                    && c.of_source(&format!("{other}-v0")) >= 50
            })
        },
    )
    .await;
    for (client, other) in clients.iter().zip(others) {
        assert!(
            client
                .messages
                .iter()
                .any(|m| matches!(m, BridgeMessage::ServerHello(_)))
        );
        let forwarded = client.messages.iter().any(|m| {
            matches!(m, BridgeMessage::ForwardedSources(f) if f.forwarded_sources == [format!("{other}-v0")])
        });
        assert!(forwarded, "{:?}", client.messages);
        // The first picture is a key frame, and what is inside is what was sent.
        let video = &client.packets[&client.ssrc_of(&format!("{other}-v0")).unwrap()];
        assert_eq!(
            (video[0].len(), &video[0][9..12]),
            (900, &[0x9d, 0x01, 0x2a][..])
        );
        let audio = &client.packets[&client.ssrc_of(&format!("{other}-a0")).unwrap()];
        assert!(
            audio
                .iter()
                .all(|p| p.len() == 80 && p.iter().all(|b| *b == p[0]))
        );
    }

    // A message to everybody, and the speaker.
    clients[0].send_text(r#"{"colibriClass":"EndpointMessage","to":"","msgPayload":{"k":1}}"#);
    run(
        &mut clients,
        "endpoint message and speaker",
        |clients| clients[0].send_audio(vec![1; 80]),
        |clients| {
            let message = clients[1].messages.iter().any(|m| {
                matches!(m, BridgeMessage::EndpointMessage(m) if m.from.as_deref() == Some("aaaa1111"))
            });
            let speaker = clients[1].messages.iter().any(|m| matches!(m, BridgeMessage::DominantSpeaker(_)));
            message && speaker
        },
    )
    .await;
    assert_eq!(bridge.load(), (1, 2));

    // Force-mute drops what one sends, and only that.
    let mute = format!(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='{MEETING}'><endpoint id='aaaa1111'>\
         <force-mute audio='true'/></endpoint></conference-modify>"
    );
    assert_eq!(meet.ask(&mute).await.attr("type"), Some("result"));
    let before = (
        clients[1].of_source("aaaa1111-a0"),
        clients[0].of_source("bbbb2222-a0"),
    );
    run(
        &mut clients,
        "audio of the other while one is muted",
        |clients| clients.iter_mut().for_each(|c| c.send_audio(vec![2; 80])),
        |clients| clients[0].of_source("bbbb2222-a0") >= before.1 + 25,
    )
    .await;
    let leaked = clients[1].of_source("aaaa1111-a0") - before.0;
    assert!(leaked <= 2, "{leaked} packets of a muted endpoint");

    // The end of the conference shows in the presence.
    let expire =
        format!("<conference-modify xmlns='jitsi:colibri2' meeting-id='{MEETING}' expire='true'/>");
    meet.ask(&expire).await;
    loop {
        let stanza = meet.next_stanza().await;
        if BridgeStats::of_presence(&stanza).is_some_and(|s| s.get("conferences") == Some("0")) {
            break;
        }
    }
    assert_eq!(bridge.load(), (0, 0));
}

/// A counter of the bridge's metrics; they are up to a second old.
fn counter(bridge: &Bridge, name: &str) -> u64 {
    let page = bridge.metrics_page();
    let name = format!("pontoon_bridge_{name}_total ");
    let value = page.lines().find_map(|l| l.strip_prefix(&name));
    value.and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// Sockets whose datagrams the kernel gives to different ones of two threads: the sum of address and port decides.
async fn sockets_of_both_threads() -> [UdpSocket; 2] {
    let mut found = [None, None];
    while found.iter().any(Option::is_none) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let parity = usize::from(socket.local_addr().unwrap().port() % 2);
        found[parity] = Some(socket);
    }
    found.map(Option::unwrap)
}

/// Waits for all channels, and has everybody want everything.
async fn watch_all(clients: &mut [Client]) {
    let open = |c: &[Client]| c.iter().all(|c| c.connected && c.channel_open);
    run(clients, "channels open", |_| {}, open).await;
    for client in clients {
        client.send_text(r#"{"colibriClass":"ClientHello"}"#);
        client.send_text(
            r#"{"colibriClass":"ReceiverVideoConstraints","lastN":-1,"defaultConstraints":{"maxHeight":720}}"#,
        );
    }
}

/// Everybody sends sound and pictures, a key frame now and then.
fn talk() -> impl FnMut(&mut [Client]) {
    let mut frame = 0;
    move |clients| {
        for client in clients {
            client.send_audio(vec![1; 80]);
            client.send_video(frame % 30 == 0);
        }
        frame += 1;
    }
}

/// Two meetings of two people each, everybody's sound and picture reaching the other.
async fn two_meetings(meet: &mut Meet) -> Vec<Client> {
    let mut clients = Vec::new();
    let mut others = Vec::new();
    for m in 0..2u32 {
        let meeting = format!("meeting-{m}");
        for (e, socket) in (0..).zip(sockets_of_both_threads().await) {
            let id = format!("m{m}e{e}");
            let base = 10_000 + m * 100 + e * 10;
            let client = join_by(socket, meet, &meeting, &id, e == 0, base).await;
            clients.push(client);
            others.push(format!("m{m}e{}", 1 - e));
        }
    }
    watch_all(&mut clients).await;
    run(&mut clients, "media in both meetings", talk(), |clients| {
        clients.iter().zip(&others).all(|(c, other)| {
            c.of_source(&format!("{other}-a0")) >= 50 && c.of_source(&format!("{other}-v0")) >= 50
        })
    })
    .await;
    clients
}

/// Two threads share one port, and one of the two in each meeting sends to the thread that has not the meeting.
#[tokio::test]
async fn packets_reach_the_thread_of_their_meeting() {
    let (bridge, mut meet, _) = start(|c| c.shards = 2).await;
    assert_eq!(bridge.media_addresses().len(), 1);
    let mut clients = two_meetings(&mut meet).await;
    let half = |_: &[Client]| {
        let handed_over = counter(&bridge, "packets_handed_over");
        // Each of two who are at the wrong thread has sent more than a hundred packets.
        handed_over > 200 && handed_over < counter(&bridge, "packets_received")
    };
    run(&mut clients, "packets handed over", |_| {}, half).await;
    assert_eq!(counter(&bridge, "handover_dropped"), 0);
    assert_eq!(bridge.load(), (2, 4));
}

#[tokio::test]
async fn with_a_port_for_each_thread_nothing_is_handed_over() {
    let (bridge, mut meet, _) = start(|c| (c.shards, c.port_per_shard) = (2, true)).await;
    let ports: Vec<u16> = bridge.media_addresses().iter().map(|a| a.port()).collect();
    assert!(ports.len() == 2 && ports[0] != ports[1], "{ports:?}");
    let mut clients = two_meetings(&mut meet).await;
    // Four people, a hundred packets each.
    let told = |_: &[Client]| counter(&bridge, "packets_received") >= 400;
    run(&mut clients, "figures", |_| {}, told).await;
    assert_eq!(counter(&bridge, "packets_handed_over"), 0);
    // Both threads have a meeting, and tell its people their own port.
    let mut offered = Vec::new();
    for meeting in ["meeting-0", "meeting-1"] {
        let answer = meet.ask(&create(meeting, "late", false)).await;
        offered.push(transport(&answer).candidates[0].port);
    }
    offered.sort_unstable();
    let mut ports = ports;
    ports.sort_unstable();
    assert_eq!(offered, ports);
}

/// How long packets are in the bridge shows in its metrics.
#[tokio::test]
async fn latencies_of_forwarded_packets_are_counted() {
    let (bridge, mut meet, _) = start(|_| {}).await;
    let a = join(&mut meet, MEETING, "aaaa1111", true, 1000).await;
    let b = join(&mut meet, MEETING, "bbbb2222", false, 2000).await;
    let mut clients = [a, b];
    run(
        &mut clients,
        "sound both ways",
        |clients| clients.iter_mut().for_each(|c| c.send_audio(vec![1; 80])),
        |c| c[0].of_source("bbbb2222-a0") >= 50 && c[1].of_source("aaaa1111-a0") >= 50,
    )
    .await;
    let page = bridge.metrics_page();
    let name = "pontoon_bridge_forwarding_latency_seconds";
    let value = |suffix: &str| {
        let start = format!("{name}{suffix} ");
        let line = page.lines().find_map(|l| l.strip_prefix(&start));
        line.and_then(|v| v.parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let count = value("_count");
    assert!(count >= 100.0, "{page}");
    assert_eq!(value("_bucket{le=\"+Inf\"}"), count);
    // The limit of a burst is part of it, so no packet was faster than nothing and the sum is something.
    assert!(value("_sum") > 0.0 && value("_bucket{le=\"0.065536\"}") <= count);
    assert!(page.contains(&format!("# TYPE {name} histogram")));
}

#[tokio::test]
async fn an_ice_restart_is_answered_with_new_credentials_and_the_settled_role() {
    let (_bridge, mut meet, _) = start(|_| {}).await;
    let before = transport(&meet.ask(&create(MEETING, "aaaa1111", true)).await);
    let ssrcs = Ssrcs {
        audio: 1,
        video: 2,
        rtx: 3,
    };
    let mut clients = [Client::new(&before, ssrcs).await];
    let update = clients[0].update(MEETING, "aaaa1111");
    meet.ask(&update).await;
    run(&mut clients, "connected", |_| {}, |c| c[0].channel_open).await;
    let restart = format!(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='{MEETING}'><endpoint id='aaaa1111'>\
         <transport ice-restart='true'/></endpoint></conference-modify>"
    );
    let ice = transport(&meet.ask(&restart).await);
    assert_eq!(ice.ice_generation, Some(1));
    assert_ne!(ice.ufrag, before.ufrag);
    assert_eq!(ice.fingerprints[0].value, before.fingerprints[0].value);
    assert_eq!(ice.fingerprints[0].setup.unwrap().name(), "passive");
    assert!(!ice.candidates.is_empty());
    // Not answered yet: the same wish gives the same credentials.
    let again = transport(&meet.ask(&restart).await);
    assert_eq!((again.ufrag, again.ice_generation), (ice.ufrag, Some(1)));
    // The old path goes on meanwhile.
    clients[0].send_text(r#"{"colibriClass":"ClientHello"}"#);
    run(
        &mut clients,
        "the channel during a restart",
        |_| {},
        |c| {
            c[0].messages
                .iter()
                .any(|m| matches!(m, BridgeMessage::ServerHello(_)))
        },
    )
    .await;
}

/// One meeting whose people are served by two threads, over real sockets.
#[tokio::test]
async fn a_large_meeting_is_one_meeting_over_two_threads() {
    let (bridge, mut meet, _) = start(|c| (c.shards, c.people_per_shard) = (2, 2)).await;
    let ids = ["aaaa1111", "bbbb2222", "cccc3333", "dddd4444"];
    let mut clients = Vec::new();
    for (n, id) in (0..).zip(ids) {
        let base = 1000 * (n + 1);
        clients.push(join(&mut meet, MEETING, id, n == 0, base).await);
    }
    watch_all(&mut clients).await;
    run(&mut clients, "media among all", talk(), |clients| {
        let gets = |c: &Client, id: &str| {
            c.of_source(&format!("{id}-a0")) >= 50 && c.of_source(&format!("{id}-v0")) >= 50
        };
        let others = |at: usize| ids.iter().enumerate().filter(move |(n, _)| *n != at);
        let mut all = clients.iter().enumerate();
        all.all(|(at, c)| others(at).all(|(_, id)| gets(c, id)))
    })
    .await;
    let exchanged = |_: &[Client]| counter(&bridge, "part_exchanges") > 100;
    run(&mut clients, "both threads took part", |_| {}, exchanged).await;
    assert_eq!(counter(&bridge, "part_packets_dropped"), 0);
    assert_eq!(bridge.load(), (1, 4));
    // A message to all, and one to somebody at the other thread.
    for to in ["", "dddd4444"] {
        clients[0].send_text(&format!(
            r#"{{"colibriClass":"EndpointMessage","to":"{to}","msgPayload":{{"k":1}}}}"#
        ));
    }
    let messages = |c: &Client| {
        let of_first = |m: &&BridgeMessage| matches!(m, BridgeMessage::EndpointMessage(m) if m.from.as_deref() == Some("aaaa1111"));
        c.messages.iter().filter(of_first).count()
    };
    run(
        &mut clients,
        "messages",
        |_| {},
        |c| c[1..].iter().map(messages).collect::<Vec<_>>() == [1, 1, 2],
    )
    .await;
    let expire =
        format!("<conference-modify xmlns='jitsi:colibri2' meeting-id='{MEETING}' expire='true'/>");
    assert_eq!(meet.ask(&expire).await.attr("type"), Some("result"));
    assert_eq!(bridge.load(), (0, 0));
}
