//! A client that behaves like a browser's and insists on what one insists on.
use std::collections::BTreeMap;

use stanza::disco::Info;
use stanza::jingle::{Action, Content, Creator, Description, Jingle, Moving};
use stanza::jitsi::mute::Mute;
use stanza::media::{Fingerprint, IceTransport, Parameter, Setup, Source, SsrcGroup};
use stanza::{Build, element};
use stanza::{Element, iq, ns};

use super::{FOCUS, ROOM, user};

/// What a current web client tells.
pub const MODERN: [&str; 9] = [
    ns::JINGLE,
    ns::JINGLE_RTP_AUDIO,
    ns::JINGLE_RTP_VIDEO,
    ns::JINGLE_DTLS_SCTP,
    ns::RTX,
    ns::TCC,
    ns::REMB,
    ns::JSON_SOURCES,
    ns::SSRC_REWRITING,
];

pub struct FakeClient {
    pub room: String,
    pub nick: String,
    pub jid: String,
    pub affiliation: &'static str,
    pub role: &'static str,
    pub features: Vec<&'static str>,
    /// Extra children of the presence.
    pub extra: Vec<Element>,
    /// Answers questions about features.
    pub tells_features: bool,
    /// Accepts offers by itself.
    pub accepts: bool,
    /// Answers offers with an error.
    pub refuses: bool,
    /// First SSRC of the next session.
    pub ssrc: u32,
    /// Uses the same SSRCs in each session.
    pub keeps_ssrcs: bool,
    /// The session it has.
    pub session: Option<Jingle>,
    /// One that it takes beside that, if it says that it can.
    pub next: Option<Jingle>,
    /// Says by itself that the one beside carries everything.
    pub tells_moved: bool,
    pub offers: Vec<Jingle>,
    pub terminations: Vec<(String, String)>,
    /// Sources of others it was told of: name by SSRC.
    pub known: BTreeMap<u32, String>,
    pub mutes: Vec<Mute>,
    pub transports: Vec<Jingle>,
    counter: u32,
}

impl FakeClient {
    pub fn new(nick: &str) -> Self {
        let number = nick.bytes().fold(0u32, |sum, byte| {
            sum.wrapping_mul(31).wrapping_add(u32::from(byte))
        });
        Self {
            room: ROOM.to_owned(),
            nick: nick.to_owned(),
            jid: format!("{nick}-uuid@meet.test/r"),
            affiliation: "none",
            role: "participant",
            features: MODERN.to_vec(),
            extra: Vec::new(),
            tells_features: true,
            accepts: true,
            refuses: false,
            ssrc: number % 1_000_000 * 1000 + 1,
            keeps_ssrcs: false,
            session: None,
            next: None,
            tells_moved: true,
            offers: Vec::new(),
            terminations: Vec::new(),
            known: BTreeMap::new(),
            mutes: Vec::new(),
            transports: Vec::new(),
            counter: 0,
        }
    }

    /// One that is told sources by the focus, in XML.
    pub fn old(nick: &str) -> Self {
        let mut client = Self::new(nick);
        client
            .features
            .retain(|f| ![ns::JSON_SOURCES, ns::SSRC_REWRITING].contains(f));
        client
    }

    pub fn presence(&self) -> Element {
        element("presence", ns::CLIENT)
            .attr("from", format!("{}/{}", self.room, self.nick))
            .attr("to", FOCUS)
            .child(element("stats-id", ns::CLIENT).text(format!("Id-{}", self.nick)))
            .children(self.extra.iter().cloned())
            .child(user(self.role, self.affiliation, Some(&self.jid), false))
            .done()
    }

    pub fn handle(&mut self, request: &Element) -> Vec<Element> {
        if request.attr("type") == Some("result") || request.attr("type") == Some("error") {
            return Vec::new();
        }
        if request.has_child("query", ns::DISCO_INFO) {
            let info = Info::default().features(self.features.iter().copied());
            return self
                .tells_features
                .then(|| iq::result_to(request, Some(info.into())))
                .into_iter()
                .collect();
        }
        if let Some(mute) = Mute::of_iq(request) {
            self.mutes.push(mute);
            return Vec::new();
        }
        let jingle = Jingle::element_of(request).expect("nothing else is sent to clients");
        self.on_jingle(request, &Jingle::try_from(jingle).unwrap())
    }

    fn on_jingle(&mut self, request: &Element, jingle: &Jingle) -> Vec<Element> {
        let ack = iq::result_to(request, None);
        if jingle.action == Action::SessionInitiate {
            return self.on_offer(request, jingle);
        }
        if self.next.as_ref().is_some_and(|n| n.sid == jingle.sid) {
            if jingle.moving == Some(Moving::Done) {
                let moved = self.moved();
                return vec![ack, self.iq(&moved)];
            }
            assert_eq!(jingle.action, Action::SessionTerminate);
            self.next = None;
            return vec![ack];
        }
        let known = self
            .session
            .as_ref()
            .is_some_and(|session| session.sid == jingle.sid);
        match jingle.action {
            Action::SessionTerminate => {
                let reason = jingle.reason.clone().unwrap();
                self.terminations
                    .push((jingle.sid.clone(), reason.condition));
                if known {
                    self.session = self.next.take();
                    self.known.clear();
                }
            }
            Action::SourceAdd => {
                assert!(known, "sources for a session that is not there");
                self.learn(jingle);
            }
            Action::SourceRemove => {
                assert!(known, "sources for a session that is not there");
                for (ssrc, _) in told(jingle) {
                    assert!(
                        self.known.remove(&ssrc).is_some(),
                        "{ssrc} removed but never added"
                    );
                }
            }
            Action::TransportInfo => self.transports.push(jingle.clone()),
            ref other => panic!("clients do not know {other:?}"),
        }
        vec![ack]
    }

    fn learn(&mut self, jingle: &Jingle) {
        for (ssrc, name) in told(jingle) {
            assert!(
                !name.starts_with(&format!("{}-", self.nick)),
                "own sources come back"
            );
            assert!(
                self.known.insert(ssrc, name).is_none(),
                "{ssrc} added twice"
            );
        }
    }

    fn on_offer(&mut self, request: &Element, jingle: &Jingle) -> Vec<Element> {
        let there = self.session.as_ref().map(|s| Moving::Beside(s.sid.clone()));
        let spare = self.session.as_ref().map(|s| Moving::Spare(s.sid.clone()));
        let known = jingle.moving == there || jingle.moving == spare;
        let beside = there.is_some() && known;
        let able = self.features.contains(&ns::MOVES);
        assert!(
            self.session.is_none() || able,
            "a second session beside the first"
        );
        assert!(
            self.offers.iter().all(|offer| offer.sid != jingle.sid),
            "a session id is used again"
        );
        self.offers.push(jingle.clone());
        if self.refuses {
            return vec![
                stanza::error::StanzaError::new(stanza::error::Condition::NotAcceptable)
                    .reply_to(request),
            ];
        }
        if beside {
            return self.on_offer_beside(request, jingle);
        }
        self.session = Some(jingle.clone());
        self.learn(jingle);
        let mut out = vec![iq::result_to(request, None)];
        if self.accepts {
            let accept = self.accept();
            out.push(self.iq(&accept));
        }
        out
    }

    fn on_offer_beside(&mut self, request: &Element, jingle: &Jingle) -> Vec<Element> {
        self.next = Some(jingle.clone());
        let mut out = vec![iq::result_to(request, None)];
        if self.accepts {
            let mut accept = self.accept();
            accept.sid.clone_from(&jingle.sid);
            out.push(self.iq(&accept));
        }
        let spare = matches!(jingle.moving, Some(Moving::Spare(_)));
        if self.accepts && self.tells_moved && !spare {
            let moved = self.moved();
            out.push(self.iq(&moved));
        }
        out
    }

    /// Says that the session beside carries everything.
    pub fn moved(&self) -> Jingle {
        let sid = &self.next.as_ref().unwrap().sid;
        let mut moved = Jingle::new(Action::SessionInfo, sid);
        moved.moving = Some(Moving::Done);
        moved
    }

    pub fn iq(&mut self, jingle: &Jingle) -> Element {
        self.counter += 1;
        let iq = iq::set(FOCUS, &format!("{}-{}", self.nick, self.counter), jingle);
        Build::from(iq)
            .attr("from", format!("{}/{}", self.room, self.nick))
            .done()
    }

    pub fn jingle(&self, action: Action) -> Jingle {
        Jingle::new(action, &self.session.as_ref().unwrap().sid)
    }

    /// The answer to the offer at hand, with one audio source and one video source of two layers.
    pub fn accept(&mut self) -> Jingle {
        let mut accept = self.jingle(Action::SessionAccept);
        let base = self.ssrc;
        self.ssrc += if self.keeps_ssrcs { 0 } else { 10 };
        let audio = self.content("audio", "a0", &[base], Vec::new());
        let groups = vec![
            group("SIM", &[base + 1, base + 2]),
            group("FID", &[base + 1, base + 3]),
            group("FID", &[base + 2, base + 4]),
        ];
        let mut video = self.content(
            "video",
            "v0",
            &[base + 1, base + 2, base + 3, base + 4],
            groups,
        );
        video.initial_last_n = Some(20);
        accept.contents = vec![audio, video];
        accept
    }

    pub fn content(
        &self,
        media: &str,
        source: &str,
        ssrcs: &[u32],
        groups: Vec<SsrcGroup>,
    ) -> Content {
        let name = format!("{}-{source}", self.nick);
        let msid = format!(
            "{name}-stream {name}-{}",
            ssrcs.first().copied().unwrap_or(0)
        );
        let source = |ssrc: &u32| Source {
            ssrc: *ssrc,
            name: Some(name.clone()),
            video_type: (media == "video").then(|| "camera".to_owned()),
            parameters: vec![Parameter {
                name: "msid".into(),
                value: msid.clone(),
            }],
            owner: None,
        };
        Content {
            creator: Some(Creator::Responder),
            name: media.to_owned(),
            senders: Some("both".into()),
            description: Some(Description {
                media: Some(media.into()),
                sources: ssrcs.iter().map(source).collect(),
                groups,
                ..Description::default()
            }),
            transport: Some(IceTransport {
                ufrag: Some(format!("c{}", self.nick)),
                pwd: Some("pQ8rZ0cTn2Lw5mYb7dHf9sJe".into()),
                fingerprints: vec![Fingerprint {
                    hash: "sha-256".into(),
                    setup: Some(Setup::Active),
                    cryptex: false,
                    value: "AB:09".into(),
                }],
                ..IceTransport::default()
            }),
            ..Content::default()
        }
    }

    pub fn stay(&self) -> String {
        self.session
            .as_ref()
            .unwrap()
            .bridge_session
            .as_ref()
            .unwrap()
            .id
            .clone()
    }
}

pub fn group(semantics: &str, ssrcs: &[u32]) -> SsrcGroup {
    SsrcGroup {
        semantics: semantics.to_owned(),
        ssrcs: ssrcs.to_vec(),
    }
}

/// Sources in a stanza, in either form; the bridge's own left out.
fn told(jingle: &Jingle) -> Vec<(u32, String)> {
    let xml = jingle.contents.iter().flat_map(Content::all_sources);
    let xml = xml.map(|s| (s.ssrc, s.name.clone().unwrap()));
    let compact = jingle
        .sources
        .iter()
        .flat_map(|s| s.0.values())
        .flat_map(|o| o.video.iter().chain(&o.audio));
    let compact = compact.map(|s| (s.ssrc, s.name.clone().unwrap()));
    xml.chain(compact)
        .filter(|(_, name)| !name.starts_with("jvb-"))
        .collect()
}
