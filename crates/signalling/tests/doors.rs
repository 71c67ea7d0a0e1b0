//! The doors of a node as peers on real sockets find them.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use common::service::Service;
use common::{Browser, DOMAIN, TestNode, must, next_stanza};
use link::{LinkEvent, TlsVerify};
use stanza::xml::{self, Limits};
use stanza::{Element, ElementExt, element, iq, ns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

#[tokio::test]
async fn a_service_logs_in_over_starttls() {
    let node = TestNode::start().await;
    let (sender, mut events) =
        link::spawn(node.link("jvb1", node.pinned()).with_resource("bridge-1"));
    let Some(LinkEvent::Online { jid, resumed }) = must(events.recv()).await else {
        panic!("not online")
    };
    assert_eq!(jid.to_string(), format!("jvb1@auth.{DOMAIN}/bridge-1"));
    assert!(!resumed);
    let ping = iq::get(
        &format!("auth.{DOMAIN}"),
        "p1",
        element("ping", ns::PING).done(),
    );
    sender.send(ping).expect("taken");
    let answer = next_stanza(&mut events).await;
    assert_eq!(
        (answer.attr("type"), answer.attr("id")),
        (Some("result"), Some("p1"))
    );
    sender.close().await;
    assert_eq!(must(events.recv()).await, None);
}

#[tokio::test]
async fn a_link_believes_the_pinned_certificate_only() {
    let node = TestNode::start().await;
    let mut config = node.link("jvb1", TlsVerify::Fingerprint([0; 32]));
    config.connect_timeout = std::time::Duration::from_secs(1);
    let (wrong, mut events) = link::spawn(config);
    let (_right, mut others) = link::spawn(node.link("jvb1", node.pinned()));
    assert!(matches!(
        must(others.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    wrong.close().await;
    while let Some(event) = must(events.recv()).await {
        assert!(
            matches!(event, LinkEvent::Unreachable { .. }),
            "never online: {event:?}"
        );
    }
}

#[tokio::test]
async fn a_service_resumes_when_its_connection_breaks() {
    let node = TestNode::start().await;
    let proxy = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("port");
    let mut config = node.link("focus", node.pinned());
    if let link::Target::Tcp { port, .. } = &mut config.target {
        *port = proxy.local_addr().expect("address").port();
    }
    let (sender, mut events) = link::spawn(config.with_resource("other"));
    let upstream = node.xmpp;
    let carry = |mut near: TcpStream| async move {
        let mut far = TcpStream::connect(upstream).await.expect("node");
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    };
    let first = tokio::spawn(carry(must(proxy.accept()).await.expect("accepted").0));
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Online { resumed: false, .. })
    ));
    let ping = |id: &str| {
        iq::get(
            &format!("auth.{DOMAIN}"),
            id,
            element("ping", ns::PING).done(),
        )
    };
    sender.send(ping("before")).expect("taken");
    assert_eq!(next_stanza(&mut events).await.attr("id"), Some("before"));
    first.abort();
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Offline { .. })
    ));
    sender.send(ping("meanwhile")).expect("taken");
    tokio::spawn(carry(must(proxy.accept()).await.expect("accepted").0));
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Online { resumed: true, .. })
    ));
    assert_eq!(next_stanza(&mut events).await.attr("id"), Some("meanwhile"));
}

#[tokio::test]
async fn a_browser_resumes_with_nothing_lost_or_repeated() {
    let node = TestNode::start().await;
    let room = format!("standup@conference.{DOMAIN}");
    let mut alice = Browser::connect(&node).await;
    let previd = alice.enable().await;
    alice.join(&room, "alice").await;
    let mut bob = Browser::connect(&node).await;
    bob.join(&room, "bob").await;
    alice
        .stanza_where(|s| s.attr("from") == Some(&format!("{room}/bob")))
        .await;
    alice.ping().await;

    let say = |id: &str| {
        element("message", ns::CLIENT)
            .attr("type", "groupchat")
            .attr("to", room.as_str())
            .attr("id", id)
            .child(element("body", ns::CLIENT).text(id))
            .done()
    };
    // One message reaches the socket but not Alice, two come while she is away.
    bob.send(&say("m1")).await;
    bob.stanza_where(|s| s.attr("id") == Some("m1")).await;
    let (jid, received) = alice.vanish();
    for id in ["m2", "m3"] {
        bob.send(&say(id)).await;
        bob.stanza_where(|s| s.attr("id") == Some(id)).await;
    }

    let mut alice = Browser::login(&node, &format!("&previd={previd}")).await;
    alice
        .say(&format!(
            "<resume xmlns='urn:xmpp:sm:3' h='{received}' previd='{previd}'/>"
        ))
        .await;
    let resumed =
        xml::parse(alice.hear().await.expect("answer"), &Limits::CLIENT).expect("well-formed");
    assert!(
        resumed.is("resumed", ns::SM),
        "{}",
        xml::to_string(&resumed)
    );
    alice.received = received;
    let missed = alice.ping().await;
    let ids: Vec<_> = missed.iter().filter_map(|s| s.attr("id")).collect();
    assert_eq!(ids, ["m1", "m2", "m3"]);
    assert!(
        missed.iter().all(|s| s.attr("to") == Some(&jid)),
        "the same address as before"
    );
    alice.send(&say("m4")).await;
    bob.stanza_where(|s| s.attr("id") == Some("m4")).await;
    assert!(
        bob.ping().await.iter().all(|s| s.name() != "presence"),
        "nobody was seen leaving"
    );

    // An unknown session is refused, and a new one can be bound instead.
    let mut carol = Browser::login(&node, "").await;
    carol
        .say("<resume xmlns='urn:xmpp:sm:3' h='0' previd='nonsense'/>")
        .await;
    let failed = carol.hear().await.expect("answer");
    assert!(
        failed.starts_with("<failed") && failed.contains("<item-not-found"),
        "{failed}"
    );
}

/// What strangers say on a WebSocket, and the condition they are told.
#[tokio::test]
async fn stanzas_much_larger_than_the_buffers_arrive_whole_and_in_order() {
    let node = TestNode::start().await;
    let room = format!("long@conference.{DOMAIN}");
    let mut alice = Browser::connect(&node).await;
    let mut bob = Browser::connect(&node).await;
    alice.join(&room, "alice").await;
    bob.join(&room, "bob").await;
    let texts = [
        "first",
        &"x".repeat(200 * 1024),
        "between",
        &"y".repeat(40_000),
        "last",
    ];
    for text in texts {
        let body = element("body", ns::CLIENT).text(text);
        let message = element("message", ns::CLIENT)
            .attr("type", "groupchat")
            .attr("to", &room)
            .child(body)
            .done();
        alice.send(&message).await;
    }
    for text in texts {
        let message = bob
            .stanza_where(|s| s.child_text("body", ns::CLIENT).is_some())
            .await;
        let body = message.child_text("body", ns::CLIENT).expect("body");
        assert!(
            body == text,
            "{} bytes in place of {}",
            body.len(),
            text.len()
        );
    }
}

#[tokio::test]
async fn bad_input_gets_its_error_and_others_notice_nothing() {
    let node = TestNode::start().await;
    let room = format!("quiet@conference.{DOMAIN}");
    let mut alice = Browser::connect(&node).await;
    alice.join(&room, "alice").await;
    alice.ping().await;

    let bomb = "<!DOCTYPE b [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><message>&b;</message>";
    let deep = "<message>".repeat(200) + &"</message>".repeat(200);
    let large = format!(
        "<message xmlns='jabber:client'><body>{}</body></message>",
        "x".repeat(300 * 1024)
    );
    let wide = format!(
        "<message xmlns='jabber:client'>{}</message>",
        "<a/>".repeat(20_000)
    );
    let open =
        format!("<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='{DOMAIN}' version='1.0'/>");
    // What the focus could not read, or could read only until an address was added, or not in reasonable size.
    let to_focus = format!("<iq xmlns='jabber:client' type='set' id='1' to='focus.{DOMAIN}'");
    let reserved = format!("{to_focus}><xml:a/></iq>");
    let attributes: String = (0..124).map(|n| format!(" a{n}=''")).collect();
    let many = format!(
        "{to_focus}{attributes}><conference xmlns='http://jitsi.org/protocol/focus' room='{room}'/></iq>"
    );
    let growing = format!(
        "<message xmlns='jabber:client' type='groupchat' to='{room}'><x xmlns='{}'>{}</x></message>",
        "n".repeat(20_000),
        "<a/>".repeat(700)
    );
    let before_login = [
        ("<open", "not-well-formed"),
        (bomb, "restricted-xml"),
        (large.as_str(), "policy-violation"),
        (deep.as_str(), "policy-violation"),
        ("<message xmlns='jabber:client'/>", "not-authorized"),
    ];
    for (input, condition) in before_login {
        let mut stranger = Browser::raw(&node, "").await;
        stranger.say(input).await;
        let out = stranger.hear_out().await;
        assert!(
            out.starts_with("<open ") && out.contains(&format!("<{condition} ")),
            "{condition}: {out}"
        );
        let mut stranger = Browser::raw(&node, "").await;
        stranger.say(&open).await;
        stranger.say(input).await;
        let out = stranger.hear_out().await;
        assert!(
            out.contains(&format!("<{condition} ")),
            "{condition}: {out}"
        );
    }
    let after_login = [
        ("<iq", "not-well-formed"),
        (bomb, "restricted-xml"),
        (large.as_str(), "policy-violation"),
        (deep.as_str(), "policy-violation"),
        (wide.as_str(), "policy-violation"),
        ("<data xmlns='jabber:client'/>", "unsupported-stanza-type"),
        (reserved.as_str(), "bad-format"),
        (many.as_str(), "policy-violation"),
        (growing.as_str(), "policy-violation"),
    ];
    for (input, condition) in after_login {
        let mut guest = Browser::connect(&node).await;
        guest.say(input).await;
        let out = guest.hear_out().await;
        assert!(
            out.contains(&format!("<{condition} ")),
            "{condition}: {out}"
        );
    }
    assert_eq!(
        alice.ping().await,
        [] as [Element; 0],
        "nothing reached Alice"
    );
    // The focus is still there, on the same stream.
    alice
        .join(&format!("other@conference.{DOMAIN}"), "alice")
        .await;
}

#[tokio::test]
async fn wrong_logins_are_told_and_cut_off() {
    let node = TestNode::start().await;
    let mut stranger = Browser::raw(&node, "").await;
    stranger.open().await;
    for _ in 0..3 {
        stranger
            .say("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGZvY3VzAHB3</auth>")
            .await;
    }
    let out = stranger.hear_out().await;
    assert_eq!(
        out.matches(
            "<failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><invalid-mechanism/></failure>"
        )
        .count(),
        3
    );
    assert!(out.contains("<policy-violation "), "{out}");

    let mut config = node.link("jvb1", node.pinned());
    config.credentials = link::Credentials::Password {
        user: "jvb1".to_owned(),
        password: "guessed".to_owned(),
    };
    let (sender, mut events) = link::spawn(config);
    let (_right, mut others) = link::spawn(node.link("jvb1", node.pinned()));
    assert!(matches!(
        must(others.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Refused { .. })
    ));
    sender.close().await;
    assert_eq!(must(events.recv()).await, None);
}

#[tokio::test]
async fn whoever_leaves_is_seen_to_leave_before_its_socket_is_closed() {
    /// A node waits longer for a peer that does not close its socket.
    const SOON: std::time::Duration = std::time::Duration::from_secs(4);
    const ROOM: &str = "standup@conference.meet.internal";
    let node = TestNode::start().await;
    let mut alice = Browser::connect(&node).await;
    alice.join(ROOM, "alice").await;
    let mut bob = Browser::connect(&node).await;
    bob.join(ROOM, "bob").await;
    bob.say(&format!("<close xmlns='{}'/>", ns::FRAMING)).await;
    // And does nothing more, its socket being open.
    let gone = |s: &Element| {
        s.attr("type") == Some("unavailable")
            && s.attr("from") == Some("standup@conference.meet.internal/bob")
    };
    let seen = tokio::time::timeout(SOON, alice.stanza_where(gone)).await;
    assert!(seen.is_ok(), "alice has not heard that bob left");
    let rest = bob.hear_out().await;
    assert!(rest.contains("<close "), "{rest}");
}

/// What somebody has sent counts, even if nothing can be sent to them any more.
#[tokio::test]
async fn whoever_slams_the_door_has_left() {
    const ROOM: &str = "standup@conference.meet.internal";
    const PEOPLE: usize = 10;
    let node = TestNode::start().await;
    let mut alice = Browser::connect(&node).await;
    alice.join(ROOM, "alice").await;
    let mut others = Vec::new();
    for n in 0..PEOPLE {
        let mut other = Browser::connect(&node).await;
        other.enable().await;
        other.join(ROOM, &format!("guest{n}")).await;
        others.push(other);
    }
    for (n, other) in others.into_iter().enumerate() {
        let chat = element("message", ns::CLIENT)
            .attr("to", ROOM)
            .attr("type", "groupchat")
            .child(element("body", ns::CLIENT).text("bye"))
            .done();
        let leave = element("presence", ns::CLIENT)
            .attr("to", format!("{ROOM}/guest{n}"))
            .attr("type", "unavailable")
            .done();
        let mut words = vec![xml::to_string(&chat); 60];
        words.push(xml::to_string(&leave));
        words.push(format!("<close xmlns='{}'/>", ns::FRAMING));
        other.slam(&words).await;
    }
    let mut left = 0;
    while left < PEOPLE {
        // Sessions that wait for their client's return stay for a minute.
        let stanza = alice.stanza().await;
        left += usize::from(stanza.attr("type") == Some("unavailable"));
    }
}

#[tokio::test]
async fn a_service_that_slams_the_door_has_left() {
    const ROOM: &str = "standup@conference.meet.internal";
    const SERVICES: usize = 10;
    const WORDS: usize = 50;
    let node = TestNode::start().await;
    let mut alice = Browser::connect(&node).await;
    alice.join(ROOM, "alice").await;
    for n in 0..SERVICES {
        // The account whose sessions are waited for when their connection breaks.
        let mut service = Service::connect(&node, "focus", &format!("other{n}")).await;
        let nick = format!("guest{n}");
        service.join(ROOM, &nick).await;
        // More than is read at a time.
        let chat = element("message", ns::CLIENT)
            .attr("to", ROOM)
            .attr("type", "groupchat")
            .child(element("body", ns::CLIENT).text("bye ".repeat(200)))
            .done();
        let leave = element("presence", ns::CLIENT)
            .attr("to", format!("{ROOM}/{nick}"))
            .attr("type", "unavailable")
            .done();
        let mut words = vec![chat; WORDS];
        words.push(leave);
        service.slam(&words).await;
    }
    let (mut left, mut heard) = (0, 0);
    while left < SERVICES {
        let stanza = alice.stanza().await;
        left += usize::from(stanza.attr("type") == Some("unavailable"));
        heard += usize::from(stanza.has_child("body", ns::CLIENT));
    }
    // Whose last words are lost is waited for, and leaves in the end too.
    assert_eq!(heard, SERVICES * WORDS, "all that was said before");
}

#[tokio::test]
async fn tcp_peers_get_nothing_before_tls() {
    let node = TestNode::start().await;
    for (input, condition) in [
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='auth.meet.internal' \
             version='1.0'><auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGZvY3VzAHB3</auth><x/>",
            "not-authorized",
        ),
    ] {
        let mut socket = TcpStream::connect(node.xmpp).await.expect("connected");
        socket.write_all(input.as_bytes()).await.expect("sent");
        let mut out = String::new();
        must(socket.read_to_string(&mut out)).await.expect("text");
        assert!(!out.contains("<mechanism"), "{out}");
        assert!(out.contains(&format!("<{condition} ")), "{out}");
        assert!(out.ends_with("</stream:stream>"), "{out}");
    }
}

async fn http(node: &TestNode, method: &str, path: &str, body: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "text/xml; charset=utf-8")
        .body(Body::from(body.to_owned()))
        .expect("request");
    let response = must(node.node.router().oneshot(request))
        .await
        .expect("infallible");
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX)
        .await
        .expect("body");
    (status, String::from_utf8(bytes.to_vec()).expect("text"))
}

#[tokio::test]
async fn bosh_sessions_log_in_and_end() {
    let node = TestNode::start().await;
    let post = |body: String| {
        let node = &node;
        async move {
            let (status, text) = http(node, "POST", "/http-bind?room=standup", &body).await;
            assert_eq!(status, StatusCode::OK);
            xml::parse(&text, &Limits::CLIENT).expect("well-formed")
        }
    };
    let bosh = "xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'";
    let opened = post(format!(
        "<body {bosh} rid='7' to='{DOMAIN}' wait='60' hold='1' ver='1.6' xmpp:version='1.0'/>"
    ))
    .await;
    let sid = opened.attr("sid").expect("session").to_owned();
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";
    let out = post(format!("<body {bosh} rid='8' sid='{sid}'>{auth}</body>")).await;
    assert!(out.has_child("success", ns::SASL));
    let out = post(format!(
        "<body {bosh} rid='9' sid='{sid}' xmpp:restart='true' to='{DOMAIN}'/>"
    ))
    .await;
    let features = out.get_child("features", ns::STREAM).expect("features");
    assert!(features.has_child("bind", ns::BIND));
    let bind = "<iq xmlns='jabber:client' type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let out = post(format!("<body {bosh} rid='10' sid='{sid}'>{bind}</body>")).await;
    assert_eq!(out.payload().and_then(|iq| iq.attr("type")), Some("result"));
    let long = "x".repeat(200_000);
    let out = post(format!(
        "<body {bosh} rid='11' sid='{sid}'><message to='{DOMAIN}' id='m'><body>{long}</body></message></body>"
    ))
    .await;
    assert_eq!(
        out.payload().and_then(|message| message.attr("id")),
        Some("m")
    );
    let out = post(format!(
        "<body {bosh} rid='12' sid='{sid}' type='terminate'/>"
    ))
    .await;
    assert_eq!(out.attr("type"), Some("terminate"));
    for body in [
        format!("<body {bosh} rid='13' sid='{sid}'/>"),
        format!("<body {bosh} rid='1' sid='unknown'/>"),
    ] {
        let out = post(body).await;
        assert_eq!(out.attr("condition"), Some("item-not-found"));
    }
    for body in ["", "<body", "<iq/>", "<!DOCTYPE a><body/>"] {
        let out = post(body.to_owned()).await;
        assert_eq!(out.attr("condition"), Some("bad-request"), "{body}");
    }
    assert_eq!(http(&node, "GET", "/http-bind", "").await.0, StatusCode::OK);
}

#[tokio::test]
async fn strangers_at_the_bosh_door_are_read_no_further_than_a_login_needs() {
    let node = TestNode::start().await;
    let bosh = "xmlns='http://jabber.org/protocol/httpbind' xmlns:xmpp='urn:xmpp:xbosh'";
    let create =
        format!("<body {bosh} rid='7' to='{DOMAIN}' wait='60' hold='1' xmpp:version='1.0'/>");
    let (_, opened) = http(&node, "POST", "/http-bind", &create).await;
    let opened = xml::parse(&opened, &Limits::CLIENT).expect("well-formed");
    let sid = opened.attr("sid").expect("session");
    // One long namespace and many children, each of which would repeat it: 240 KB that once took 1.9 GB.
    let bomb = format!(
        "<x xmlns='{}'>{}</x></body>",
        "n".repeat(200_000),
        "<a/>".repeat(9_990)
    );
    for body in [
        format!("<body {bosh} rid='7' to='{DOMAIN}'>{bomb}"),
        format!("<body {bosh} rid='8' sid='{sid}'>{bomb}"),
        format!("<body {bosh} rid='9' sid='unknown'>{}", "x".repeat(20_000)),
    ] {
        let (status, _) = http(&node, "POST", "/http-bind", &body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    for body in [
        "x".repeat(600_000),
        format!("<body {bosh} rid='7' to='{}'/>", "x".repeat(600_000)),
        format!(
            "<body {bosh} rid='7' to='{DOMAIN}'>{}</body>",
            "<a/>".repeat(100)
        ),
    ] {
        let (_, out) = http(&node, "POST", "/http-bind", &body).await;
        assert!(out.contains("bad-request"), "{out}");
    }
}

#[tokio::test]
async fn plain_requests_to_the_websocket_keep_the_way_open() {
    let node = TestNode::start().await;
    let (status, text) = http(&node, "GET", "/xmpp-websocket?room=standup", "").await;
    assert_eq!(status, StatusCode::OK);
    assert!(!text.is_empty());
}

#[tokio::test]
async fn conference_requests_over_http() {
    let node = TestNode::start().await;
    let ask = |body: String| {
        let node = &node;
        async move { http(node, "POST", "/conference-request/v1", &body).await }
    };
    // A connected browser shows that the focus has logged in, too.
    let mut browser = Browser::connect(&node).await;
    browser
        .join(&format!("first@conference.{DOMAIN}"), "a")
        .await;
    let (status, text) = ask(format!(
        r#"{{"room":"second@conference.{DOMAIN}","machineUid":"m","sessionId":null,"properties":{{"visitors-version":1}}}}"#
    ))
    .await;
    assert_eq!(status, StatusCode::OK, "{text}");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(answer["ready"], true, "{text}");
    assert_eq!(answer["focusJid"], format!("focus@auth.{DOMAIN}"));
    for bad in [
        "",
        "{",
        "[]",
        "{}",
        r#"{"room":"x"}"#,
        r#"{"room":"a@elsewhere.example"}"#,
    ] {
        assert_eq!(
            ask(bad.to_owned()).await.0,
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    let (status, _) = ask(format!("{{\"room\":\"{}\"}}", "x".repeat(100_000))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn shutting_down_ends_every_connection_and_frees_the_port() {
    let node = TestNode::start().await;
    let mut browser = Browser::connect(&node).await;
    let (_sender, mut events) = link::spawn(node.link("jvb1", node.pinned()));
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    let address = node.xmpp;
    must(node.node.shutdown()).await;
    browser.hear_out().await;
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Offline { .. })
    ));
    tokio::net::TcpListener::bind(address)
        .await
        .expect("the port is free");
}
