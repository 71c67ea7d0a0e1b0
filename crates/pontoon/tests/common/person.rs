//! A person who speaks XMPP as the tests say, and comes back by itself when the connection is lost.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::collections::BTreeSet;

use link::{Credentials, LinkConfig, LinkEvent, LinkSender, Target, TlsVerify};
use stanza::xml::{self, Limits};
use stanza::{Element, ElementExt, FullJid, iq};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

use super::nodes::{DOMAIN, PATIENCE};

pub struct Person {
    sender: LinkSender,
    events: Receiver<LinkEvent>,
    /// The real address.
    pub jid: FullJid,
    /// What was read and not looked for yet.
    read: Vec<Element>,
    /// All that was ever read.
    known: BTreeSet<String>,
    /// Whether the session went on, each time the connection was back.
    returns: Vec<bool>,
    ids: u32,
}

impl Person {
    /// Logs in as anybody.
    pub async fn connect(https: u16) -> Self {
        let target = Target::WebSocket {
            host: "127.0.0.1".to_owned(),
            port: https,
            path: "/xmpp-websocket?room=standup".to_owned(),
            verify: TlsVerify::None,
        };
        let login = LinkConfig::new(target, DOMAIN, Credentials::Anonymous);
        let (sender, mut events) = link::spawn(login);
        let jid = loop {
            match timeout(PATIENCE, events.recv()).await.unwrap().unwrap() {
                LinkEvent::Online { jid, .. } => break jid,
                LinkEvent::Unreachable { .. } => {}
                other => panic!("no login but {other:?}"),
            }
        };
        Self {
            sender,
            events,
            jid,
            read: Vec::new(),
            known: BTreeSet::new(),
            returns: Vec::new(),
            ids: 0,
        }
    }

    /// Sends a stanza written without its namespace.
    pub fn send(&self, text: &str) {
        let text = text.replacen(' ', " xmlns='jabber:client' ", 1);
        let stanza = xml::parse(&text, &Limits::SERVICE).unwrap();
        self.sender.send(stanza).unwrap();
    }

    /// Sends an IQ and waits for the answer: its type, or the condition of its error.
    pub async fn ask(&mut self, kind: &str, to: &str, payload: &str) -> String {
        self.ids += 1;
        let id = format!("ask{}", self.ids);
        self.send(&format!(
            "<iq id='{id}' type='{kind}' to='{to}'>{payload}</iq>"
        ));
        let answer = self
            .until(payload, |s| s.attr("id") == Some(id.as_str()))
            .await;
        match stanza::error::StanzaError::from_stanza(&answer) {
            Some(error) => error.condition.as_str().to_owned(),
            None => answer.attr("type").unwrap_or_default().to_owned(),
        }
    }

    /// The first stanza, of those read and to come, that is so. What comes before it can be looked for later.
    pub async fn until(&mut self, what: &str, is_it: impl Fn(&Element) -> bool) -> Element {
        loop {
            if let Some(at) = self.read.iter().position(&is_it) {
                return self.read.remove(at);
            }
            self.next(what).await;
        }
    }

    /// Waits until the connection was back once more, and says whether the session went on.
    pub async fn is_back(&mut self, what: &str) -> bool {
        while self.returns.is_empty() {
            self.next(what).await;
        }
        self.returns.remove(0)
    }

    /// All that has come so far and was not looked for.
    pub async fn take(&mut self) -> Vec<Element> {
        let ping = "<ping xmlns='urn:xmpp:ping'/>";
        assert_eq!(self.ask("get", DOMAIN, ping).await, "result");
        let read = std::mem::take(&mut self.read);
        self.known.extend(texts(&read));
        read
    }

    /// The same without what is a mere repetition of what was taken before.
    pub async fn take_news(&mut self) -> Vec<String> {
        let known = self.known.clone();
        let read = texts(&self.take().await).into_iter();
        read.filter(|text| !known.contains(text)).collect()
    }

    async fn next(&mut self, what: &str) {
        match timeout(PATIENCE, self.events.recv()).await {
            Ok(Some(LinkEvent::Stanza(stanza))) => {
                if iq::is_request(&stanza) {
                    self.sender.send(iq::result_to(&stanza, None)).unwrap();
                }
                self.read.push(stanza);
            }
            Ok(Some(LinkEvent::Online { resumed, .. })) => self.returns.push(resumed),
            Ok(Some(LinkEvent::Offline { .. } | LinkEvent::Unreachable { .. })) => {}
            other => panic!("{what}: {other:?} after {:#?}", texts(&self.read)),
        }
    }

    pub async fn leave(self) {
        self.sender.close().await;
    }
}

/// As they would be sent.
pub fn texts(stanzas: &[Element]) -> Vec<String> {
    stanzas.iter().map(xml::to_string).collect()
}

/// What is said in one of them.
pub fn body(stanza: &Element) -> Option<String> {
    stanza.child_text("body", stanza::ns::CLIENT)
}
