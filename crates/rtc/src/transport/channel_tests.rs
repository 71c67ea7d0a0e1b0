//! Two channels against each other without DTLS, and a peer that sends broken SCTP.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::channel::{Channel, ChannelEvent, FIRST_CHUNK, Opening, PATIENCE};
use super::world::origin;
use super::*;
use crate::sctp_init::INIT;

fn opening() -> Opening {
    Opening {
        stream: 0,
        label: "label".into(),
        protocol: "protocol".into(),
    }
}

/// CRC-32C of an SCTP packet (RFC 9260 §6.8), put into its header.
fn seal(packet: &mut [u8]) {
    if packet.len() < 12 {
        return;
    }
    packet[8..12].fill(0);
    let mut crc = !0u32;
    for byte in packet.iter() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = crc >> 1 ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
        }
    }
    packet[8..12].copy_from_slice(&(!crc).to_le_bytes());
}

/// Takes packets and the rest apart.
fn drain(channel: &mut Channel) -> (Vec<Vec<u8>>, Vec<String>) {
    let (mut packets, mut messages) = (Vec::new(), Vec::new());
    while let Some(event) = channel.poll_event() {
        match event {
            ChannelEvent::Send(packet) => packets.push(packet),
            ChannelEvent::Message(text) => messages.push(text),
            ChannelEvent::Open { .. } | ChannelEvent::Closed => {}
        }
    }
    (packets, messages)
}

fn exchange(now: Instant, a: &mut Channel, b: &mut Channel) -> (Vec<String>, Vec<String>) {
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    loop {
        let (from_a, messages) = drain(a);
        of_a.extend(messages);
        let (from_b, messages) = drain(b);
        of_b.extend(messages);
        if from_a.is_empty() && from_b.is_empty() {
            return (of_a, of_b);
        }
        from_a.iter().for_each(|p| b.handle(now, p));
        from_b.iter().for_each(|p| a.handle(now, p));
    }
}

fn open(now: Instant) -> (Channel, Channel) {
    let mut server = Channel::new(now, 1000, None, None);
    let mut client = Channel::new(now, 1000, Some(opening()), None);
    exchange(now, &mut server, &mut client);
    assert!(server.is_open() && client.is_open());
    (server, client)
}

/// Both sides said in signalling what would stand in their INIT.
#[test]
fn with_both_inits_known_the_first_packet_opens_the_channel() {
    let now = origin();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let inits = [(); 2].map(|()| Channel::init(1000, &mut rng));
    let [ours, theirs] = inits.map(|init| SctpInit::parse(&init.to_bytes()).unwrap());
    let mut server = Channel::new(now, 1000, None, Some((ours, theirs)));
    let mut client = Channel::new(now, 1000, Some(opening()), Some((theirs, ours)));
    assert_eq!(drain(&mut server).0, Vec::<Vec<u8>>::new());
    let (packets, _) = drain(&mut client);
    assert_eq!(packets.len(), 1);
    server.handle(now, &packets[0]);
    assert!(server.is_open());
    exchange(now, &mut server, &mut client);
    assert!(client.is_open());
    for n in 0..200 {
        let text = format!("{n} {}", "x".repeat(n));
        server.send(now, &text).unwrap();
        client.send(now, &text).unwrap();
        let (of_server, of_client) = exchange(now, &mut server, &mut client);
        assert_eq!((of_server, of_client), (vec![text.clone()], vec![text]));
    }
    client.reset(now, 0);
    exchange(now, &mut server, &mut client);
    assert!(!server.is_open());
}

#[test]
fn our_checksum_is_the_right_one() {
    let now = origin();
    let mut client = Channel::new(now, 1000, Some(opening()), None);
    let (packets, _) = drain(&mut client);
    let mut sealed = packets[0].clone();
    seal(&mut sealed);
    assert_eq!(sealed, packets[0]);
}

/// On a loaded machine a browser's INIT and its repetition arrive together, and it answers the first INIT ACK.
#[test]
fn two_inits_before_the_cookie() {
    for answer in [0, 1] {
        let now = origin();
        let mut server = Channel::new(now, 1000, None, None);
        let mut client = Channel::new(now, 1000, Some(opening()), None);
        let (init, _) = drain(&mut client);
        server.handle(now, &init[0]);
        server.handle(now, &init[0]);
        let (acks, _) = drain(&mut server);
        assert_eq!(acks.len(), 2);
        client.handle(now, &acks[answer]);
        exchange(now, &mut server, &mut client);
        assert!(server.is_open() && client.is_open(), "INIT ACK {answer}");
    }
}

/// What was lost when the client began, and what comes late when we begin too.
#[derive(Debug, Clone, Copy)]
enum Begun {
    /// Its INIT is lost.
    Lost,
    /// Its INIT crosses ours.
    Crossing,
    /// Our answer is lost.
    AnswerLost,
    /// Its cookie, from our answer, crosses our INIT.
    CookieLate,
}

/// The client's own repeats come seconds later, so we begin as well; both beginning makes one association, whatever
/// arrives in between.
#[test]
fn a_client_whose_beginning_is_lost_is_met_half_way() {
    use Begun::{AnswerLost, CookieLate, Crossing, Lost};
    for begun in [Lost, Crossing, AnswerLost, CookieLate] {
        let mut now = origin();
        let mut server = Channel::new(now, 1000, None, None);
        let mut client = Channel::new(now, 1000, Some(opening()), None);
        let (init, _) = drain(&mut client);
        let mut late = Vec::new();
        match begun {
            Lost => {}
            Crossing => late = init,
            AnswerLost | CookieLate => {
                server.handle(now, &init[0]);
                let (answer, _) = drain(&mut server);
                if matches!(begun, CookieLate) {
                    client.handle(now, &answer[0]);
                    late = drain(&mut client).0;
                }
            }
        }
        now = server.poll_timeout().unwrap();
        assert!(now < origin() + Duration::from_secs(1), "{begun:?}");
        server.handle_timeout(now);
        for packet in late {
            server.handle(now, &packet);
        }
        exchange(now, &mut server, &mut client);
        assert!(server.is_open() && client.is_open(), "{begun:?}");
        client.send(now, "constraints").unwrap();
        let (of_server, _) = exchange(now, &mut server, &mut client);
        assert_eq!(of_server, ["constraints"], "{begun:?}");
    }
}

/// However long the path was away, what sets up the association comes soon after it is back: the INIT, and the cookie when
/// it is the one that is lost.
#[test]
fn setting_up_is_repeated_at_short_intervals() {
    for answered in [false, true] {
        let mut now = origin();
        let mut server = Channel::new(now, 1000, None, None);
        let mut client = Channel::new(now, 1000, Some(opening()), None);
        drain(&mut client);
        now = server.poll_timeout().unwrap();
        server.handle_timeout(now);
        if answered {
            let (inits, _) = drain(&mut server);
            client.handle(now, &inits[0]);
            let (answer, _) = drain(&mut client);
            server.handle(now, &answer[0]);
        }
        let end = now + Duration::from_secs(30);
        let mut last = now;
        while now < end {
            now = server.poll_timeout().unwrap();
            server.handle_timeout(now);
            if drain(&mut server).0.is_empty() {
                continue;
            }
            assert!(now - last <= Duration::from_millis(1_500), "{answered}");
            last = now;
        }
        // The next one is not lost.
        now = server.poll_timeout().unwrap();
        server.handle_timeout(now);
        exchange(now, &mut server, &mut client);
        assert!(server.is_open() && client.is_open(), "{answered}");
    }
}

/// A client that sets up its association in time is not disturbed: no INIT of ours, then or later.
#[test]
fn a_client_in_time_gets_no_init() {
    let now = origin();
    let mut server = Channel::new(now, 1000, None, None);
    let mut client = Channel::new(now, 1000, Some(opening()), None);
    let (init, _) = drain(&mut client);
    let later = now + PATIENCE - Duration::from_millis(1);
    server.handle(later, &init[0]);
    // Our answer and its cookie have as long again.
    server.handle_timeout(now + PATIENCE);
    let (answers, _) = drain(&mut server);
    assert_eq!(answers.len(), 1);
    client.handle(now + PATIENCE, &answers[0]);
    exchange(now + PATIENCE, &mut server, &mut client);
    assert!(server.is_open() && client.is_open());
    server.handle_timeout(now + PATIENCE * 3);
    let (packets, _) = drain(&mut server);
    assert!(packets.iter().all(|p| p[FIRST_CHUNK] != INIT));
}

#[test]
fn one_channel_only_and_odd_messages() {
    let now = origin();
    let (mut server, mut client) = open(now);
    client.send_raw(now, 2, 50, &[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    client.send_raw(now, 0, 53, b"binary");
    client.send_raw(now, 0, 51, &[0xFF, 0xFE]);
    client.send_raw(now, 4, 51, b"elsewhere");
    client.send_raw(now, 0, 50, &[3, 0, 0]);
    client.send(now, "good").unwrap();
    let (of_server, _) = exchange(now, &mut server, &mut client);
    assert_eq!(of_server, ["good"]);
    assert_eq!(server.dropped, 5);
}

#[test]
fn a_closed_channel_can_be_opened_again() {
    let now = origin();
    let (mut server, mut client) = open(now);
    client.reset(now, 0);
    exchange(now, &mut server, &mut client);
    assert!(!server.is_open());
    client.send_raw(now, 2, 50, &[3, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, b'x']);
    exchange(now, &mut server, &mut client);
    assert!(server.is_open());
}

#[test]
fn broken_sctp_does_not_panic() {
    let now = origin();
    let mut samples = Vec::new();
    let mut server = Channel::new(now, 1000, None, None);
    let mut client = Channel::new(now, 1000, Some(opening()), None);
    for round in 0..20 {
        let (packets, _) = drain(&mut client);
        for p in &packets {
            server.handle(now, p);
        }
        samples.extend(packets);
        let (packets, _) = drain(&mut server);
        for p in &packets {
            client.handle(now, p);
        }
        samples.extend(packets);
        if client.is_open() {
            client.send(now, &"x".repeat(50 * round + 1)).unwrap();
        }
    }
    assert!(samples.len() > 20);
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut server, mut client) = open(now);
        let mut now = now;
        for _ in 0..150 {
            let pick = rng.next_u32() as usize;
            let mut packet = samples[pick % samples.len()].clone();
            // A fresh packet of the living association, half of the time.
            if pick & 0x1_0000 != 0 {
                let _ = client.send(now, "living");
                let (fresh, _) = drain(&mut client);
                packet = fresh.into_iter().next().unwrap_or(packet);
            }
            for _ in 0..rng.next_u32() % 4 {
                let at = rng.next_u32() as usize % packet.len();
                packet[at] = match rng.next_u32() % 3 {
                    0 => 0xFF,
                    1 => 0,
                    _ => rng.next_u32() as u8,
                };
            }
            if rng.next_u32() % 8 == 0 {
                packet.truncate(rng.next_u32() as usize % packet.len());
            }
            // The verification tag of the living association.
            if let (Some(tag), true) = (server.tag(), packet.len() >= 12) {
                packet[4..8].copy_from_slice(&tag.to_be_bytes());
            }
            seal(&mut packet);
            server.handle(now, &packet);
            for reply in drain(&mut server).0 {
                client.handle(now, &reply);
            }
            now += Duration::from_millis(u64::from(rng.next_u32() % 300));
            server.handle_timeout(now);
        }
    }
}
