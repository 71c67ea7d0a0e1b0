//! Two str0m clients through a whole bridge over real UDP: ICE, DTLS, the data channel, media.

mod common;

use channel::BridgeMessage;
use common::client::{Client, Ssrcs, run};
use common::{Meet, start};
use stanza::colibri2::ConferenceModified;
use stanza::jitsi::bridge_stats::BridgeStats;

const MEETING: &str = "5cc8f3dc-9e19-4a26-a0e4-1404e987b296";

fn create(id: &str, conference: bool) -> String {
    let flags = if conference {
        "create='true' name='r@conference.meet.test'"
    } else {
        ""
    };
    format!(
        "<conference-modify xmlns='jitsi:colibri2' meeting-id='{MEETING}' {flags}><endpoint id='{id}' create='true'>\
         <media type='audio'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='111' name='opus' clockrate='48000' channels='2'/>\
         <rtp-hdrext xmlns='urn:xmpp:jingle:apps:rtp:rtp-hdrext:0' id='1' uri='urn:ietf:params:rtp-hdrext:ssrc-audio-level'/></media>\
         <media type='video'><payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='100' name='VP8' clockrate='90000'>\
         <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack'/>\
         <rtcp-fb xmlns='urn:xmpp:jingle:apps:rtp:rtcp-fb:0' type='nack' subtype='pli'/></payload-type>\
         <payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='96' name='rtx' clockrate='90000'>\
         <parameter name='apt' value='100'/></payload-type></media>\
         <transport ice-controlling='true'><sctp/></transport><sources/>\
         <capability name='source-names'/><capability name='ssrc-rewriting'/></endpoint></conference-modify>"
    )
}

async fn join(meet: &mut Meet, id: &str, conference: bool, base: u32) -> Client {
    let answer = meet.ask(&create(id, conference)).await;
    let payload = answer.children().next().unwrap();
    let modified = ConferenceModified::try_from(payload).unwrap();
    let offer = modified.endpoints[0]
        .transport
        .as_ref()
        .unwrap()
        .ice
        .as_ref()
        .unwrap();
    let ssrcs = Ssrcs {
        audio: base,
        video: base + 1,
        rtx: base + 2,
    };
    let mut client = Client::new(offer, ssrcs).await;
    let answer = meet.ask(&client.update(MEETING, id)).await;
    assert_eq!(answer.attr("type"), Some("result"), "{answer:?}");
    client
}

#[tokio::test]
async fn two_clients_hear_and_see_each_other() {
    let (bridge, mut meet, _) = start(|_| {}).await;
    let a = join(&mut meet, "aaaa1111", true, 1000).await;
    let b = join(&mut meet, "bbbb2222", false, 2000).await;
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
