//! Bridges at a running node: what their credential opens, how a new one gets its own, how one ends.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod common;

use std::sync::{Arc, Mutex};

use common::{Browser, DOMAIN, TestNode, bridges, must, next_stanza};
use link::{Credentials, LinkConfig, LinkEvent, Target};
use signalling::NewBridge;
use stanza::error::Condition;
use stanza::{ElementExt, element, iq, ns};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// base64 of the three parts of PLAIN.
fn plain(user: &str) -> String {
    use base64::Engine as _;
    let password = xmpp::auth::derive_password(common::SECRET, user);
    base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"))
}

#[tokio::test]
async fn a_bridges_credential_opens_nothing_where_everybody_comes_in() {
    let node = TestNode::start().await;
    // The domain of the accounts is not there at all.
    let mut stranger = Browser::raw(&node, "").await;
    stranger
        .say(&format!(
            "<open xmlns='{}' to='auth.{DOMAIN}' version='1.0'/>",
            ns::FRAMING
        ))
        .await;
    let out = stranger.hear_out().await;
    assert!(out.contains("<host-unknown "), "{out}");
    // On the domain of the guests there is no account.
    for user in ["jvb1", "join", "focus", "jvb"] {
        let mut stranger = Browser::raw(&node, "").await;
        stranger.open().await;
        for _ in 0..3 {
            stranger
                .say(&format!(
                    "<auth xmlns='{}' mechanism='PLAIN'>{}</auth>",
                    ns::SASL,
                    plain(user)
                ))
                .await;
        }
        let out = stranger.hear_out().await;
        assert!(
            out.contains("<invalid-mechanism/>") && !out.contains("<success"),
            "{user}: {out}"
        );
    }
    // BOSH: the same.
    let body = format!(
        "<body xmlns='{}' xmlns:xmpp='{}' rid='1' to='auth.{DOMAIN}' wait='1' hold='1' ver='1.6' xmpp:version='1.0'/>",
        ns::HTTP_BIND,
        ns::XBOSH
    );
    let mut socket = TcpStream::connect(node.http).await.expect("connected");
    let request = format!(
        "POST /http-bind HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut out = String::new();
    must(socket.read_to_string(&mut out)).await.expect("text");
    assert!(out.contains("host-unknown"), "{out}");
}

#[tokio::test]
async fn the_service_port_knows_accounts_by_scram_alone() {
    let node = TestNode::start().await;
    // Guests have no business there.
    let target = node.link("jvb1", node.pinned()).target;
    let anonymous = LinkConfig::new(target.clone(), DOMAIN, Credentials::Anonymous);
    let (_guest, mut guest) = link::spawn(anonymous);
    // Nor has the account of the bridge in the process, which old tokens were for.
    let (_old, mut old) = link::spawn(node.link("jvb", node.pinned()));
    assert!(matches!(
        must(old.recv()).await,
        Some(LinkEvent::Refused { .. })
    ));
    let (_bridge, mut bridge) = link::spawn(node.link("jvb1", node.pinned()));
    assert!(matches!(
        must(bridge.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    assert!(!matches!(guest.try_recv(), Ok(LinkEvent::Online { .. })));
    assert_eq!(
        node.mechanisms().await,
        ["SCRAM-SHA-256", "SCRAM-SHA-1"],
        "no ANONYMOUS, no PLAIN"
    );
    // Inside the process it serves as before.
    let credentials = Credentials::Password {
        user: "jvb".to_owned(),
        password: xmpp::auth::derive_password(common::SECRET, "jvb"),
    };
    let memory = Target::Memory(node.node.memory_connector());
    let local = LinkConfig::new(memory, &format!("auth.{DOMAIN}"), credentials);
    let (_local, mut local) = link::spawn(local);
    assert!(matches!(
        must(local.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
}

#[tokio::test]
async fn a_new_bridge_gets_an_account_and_loses_it_when_it_is_revoked() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let node = TestNode::start_with(move |config| {
        config.new_bridge = Some(NewBridge(Arc::new(move |name, password| {
            let mut noted = noted.lock().expect("lock");
            noted.push(name.to_owned());
            if noted.len() > 1 {
                return Err(Condition::ResourceConstraint);
            }
            let keys = xmpp::auth::Credentials::new(password, b"salt");
            Ok((format!("{name}-2"), keys))
        })));
    })
    .await;
    let password = "chosen-by-the-bridge-itself";
    let register = |id: &str| {
        let text = |name: &str, text: &str| element(name, ns::REGISTER).text(text);
        let query = element("query", ns::REGISTER)
            .child(text("username", "gamma"))
            .child(text("password", password));
        iq::set(&format!("auth.{DOMAIN}"), id, query.done())
    };
    let (newcomer, mut answers) = link::spawn(node.link("join", node.pinned()));
    let Some(LinkEvent::Online { .. }) = must(answers.recv()).await else {
        panic!("not online")
    };
    newcomer.send(register("one")).expect("taken");
    let answer = next_stanza(&mut answers).await;
    let query = answer.get_child("query", ns::REGISTER).expect("an account");
    assert_eq!(
        query.child_text("username", ns::REGISTER).as_deref(),
        Some("gamma-2")
    );
    let (second, mut more) = link::spawn(node.link("join", node.pinned()));
    let Some(LinkEvent::Online { .. }) = must(more.recv()).await else {
        panic!("not online")
    };
    second.send(register("two")).expect("taken");
    let refused = next_stanza(&mut more).await;
    assert!(refused.children().any(|error| {
        error
            .children()
            .any(|condition| condition.name() == "resource-constraint")
    }));

    let mut own = node.link("gamma-2", node.pinned());
    own.credentials = Credentials::Password {
        user: "gamma-2".to_owned(),
        password: password.to_owned(),
    };
    let (_bridge, mut events) = link::spawn(own);
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    let (_other, mut others) = link::spawn(node.link("jvb1", node.pinned()));
    assert!(matches!(
        must(others.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    // Revoked: its stream ends, and it does not come in again. The other bridge notices nothing.
    node.node.bridge_door().set(bridges(&["jvb1"])).await;
    let Some(LinkEvent::Offline { reason }) = must(events.recv()).await else {
        panic!("still there")
    };
    assert!(reason.contains("not-authorized"), "{reason}");
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Refused { .. })
    ));
    assert!(others.try_recv().is_err());
}

#[tokio::test]
async fn addresses_that_are_not_allowed_hear_why() {
    let node = TestNode::start_with(|config| {
        if let Some(tcp) = &mut config.tcp {
            tcp.allow = Arc::new(|address| !address.is_loopback());
        }
    })
    .await;
    let mut socket = TcpStream::connect(node.xmpp).await.expect("connected");
    let mut out = String::new();
    must(socket.read_to_string(&mut out)).await.expect("text");
    assert!(
        out.contains("<policy-violation ") && out.contains("signalling.xmpp_allow"),
        "{out}"
    );
    // A bridge's log says it too.
    let (_bridge, mut events) = link::spawn(node.link("jvb1", node.pinned()));
    let (_local, mut local) = link::spawn(LinkConfig::new(
        Target::Memory(node.node.memory_connector()),
        DOMAIN,
        Credentials::Anonymous,
    ));
    assert!(matches!(
        must(local.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    assert!(events.try_recv().is_err());
}

#[tokio::test]
async fn a_copied_machine_does_not_take_the_place_of_the_one_it_was_copied_from() {
    let node = TestNode::start().await;
    node.node.bridge_door().set(bridges(&["jvb1"])).await;
    let link = || {
        let mut config = node.link("jvb1", node.pinned());
        config.resource = Some("bridge-1".to_owned());
        config.yields = true;
        config
    };
    let (_one, mut events) = link::spawn(link());
    assert!(matches!(
        must(events.recv()).await,
        Some(LinkEvent::Online { .. })
    ));
    let (_copy, mut refused) = link::spawn(link());
    assert!(matches!(
        must(refused.recv()).await,
        Some(LinkEvent::Taken { .. })
    ));
    // The copy waits before it asks again, and the bridge has noticed nothing.
    assert!(refused.try_recv().is_err());
    assert!(events.try_recv().is_err());
}
