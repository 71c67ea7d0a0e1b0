//! A bridge that refuses what a real one refuses.
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use stanza::Build;
use stanza::colibri2::{
    ConferenceModified, ConferenceModify, Endpoint, ErrorAnswer, ForceMute, MediaSource, Reason,
    Relay, Sctp, SctpRole, Transport,
};
use stanza::error::{Condition, StanzaError};
use stanza::jitsi::evidence::{People, Probe};
use stanza::media::{Candidate, Fingerprint, IceTransport, MediaType, Setup, Source};
use stanza::{Element, iq, ns};

use super::Health;

#[derive(Debug, Default, Clone)]
pub struct BridgeEndpoint {
    pub sources: Vec<MediaSource>,
    pub transport: Option<IceTransport>,
    pub force_mute: ForceMute,
    pub capabilities: BTreeSet<String>,
    pub initial_last_n: Option<i32>,
    pub restarts: i32,
}

pub struct FakeBridge {
    pub name: String,
    pub health: Health,
    /// Requests about conferences are not answered, health checks are.
    pub deaf: bool,
    /// Refuses data channels, as one whose SCTP is switched off.
    pub no_sctp: bool,
    /// Media ports of other bridges that it reaches.
    pub reaches: Vec<SocketAddr>,
    /// Whom it says that it hears.
    pub people: People,
    /// Makes relays to other bridges.
    pub relates: bool,
    /// Its relays: by meeting and id of the other bridge, who is behind each.
    pub relays: BTreeMap<(String, String), BTreeSet<String>>,
    /// The mesh of each.
    pub meshes: BTreeMap<(String, String), String>,
    /// Relays made so far.
    pub relays_made: u32,
    /// Errors to give instead of the next answers.
    pub errors: VecDeque<ErrorAnswer>,
    pub conferences: BTreeMap<String, BTreeMap<String, BridgeEndpoint>>,
    pub requests: Vec<ConferenceModify>,
    /// Answers of a real one, given instead of its own to what they are about.
    pub recorded: Vec<Element>,
    created: u32,
}

impl FakeBridge {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            health: Health::Well,
            deaf: false,
            no_sctp: false,
            reaches: Vec::new(),
            people: People::default(),
            relates: false,
            relays: BTreeMap::new(),
            meshes: BTreeMap::new(),
            relays_made: 0,
            errors: VecDeque::new(),
            conferences: BTreeMap::new(),
            requests: Vec::new(),
            recorded: Vec::new(),
            created: 0,
        }
    }

    pub fn endpoint(&self, meeting: &str, id: &str) -> &BridgeEndpoint {
        &self.conferences[meeting][id]
    }

    /// A frozen bridge finds in its socket what it was told meanwhile, too late to answer. Endpoints it made so late hear
    /// nothing and are dropped; what is left to see is who took leave: here at once.
    fn read_later(&mut self, request: &Element) {
        let modify = request
            .get_child("conference-modify", ns::COLIBRI2)
            .and_then(|modify| ConferenceModify::try_from(modify).ok())
            .filter(|modify| modify.expire || modify.endpoints.iter().any(|e| e.expire));
        if let Some(modify) = modify {
            let _ = self.apply(&modify);
        }
    }

    pub fn handle(&mut self, request: &Element) -> Option<Element> {
        if self.health == Health::Frozen {
            self.read_later(request);
            return None;
        }
        if let Some(probe) = request.get_child("probe", ns::PROBE) {
            let ports = Probe::of_element(probe).addresses;
            let reached = ports.iter().any(|port| self.reaches.contains(port));
            return Some(iq::result_to(request, Some(Probe::answer(reached))));
        }
        if request.has_child("drain", ns::DRAIN) {
            return Some(iq::result_to(request, None));
        }
        if let Some(check) = request.get_child("healthcheck", ns::HEALTH) {
            let people = People::is_asked(check).then(|| Element::from(&self.people));
            return Some(match self.health {
                Health::Unwell => StanzaError::new(Condition::InternalServerError)
                    .with_text("no socket")
                    .reply_to(request),
                _ => iq::result_to(request, people),
            });
        }
        let modify = request
            .get_child("conference-modify", ns::COLIBRI2)
            .expect("only colibri2 goes to bridges");
        let modify = ConferenceModify::try_from(modify).unwrap();
        self.requests.push(modify.clone());
        // Whoever cannot even take leave of an endpoint drops it by itself after a while: here at once.
        let leave = modify.expire || modify.endpoints.iter().any(|e| e.expire);
        if self.deaf {
            if leave {
                let _ = self.apply(&modify);
            }
            return None;
        }
        if let Some(error) = (!leave).then(|| self.errors.pop_front()).flatten() {
            return Some(addressed(error.reply_to(request), request));
        }
        Some(match self.apply(&modify) {
            Ok(modified) => iq::result_to(request, Some(self.as_recorded(&modified))),
            Err(error) => addressed(error.reply_to(request), request),
        })
    }

    /// The recorded answer about the same, if there is one.
    fn as_recorded(&mut self, answer: &ConferenceModified) -> Element {
        let about = |answer: &ConferenceModified| {
            let endpoints = answer.endpoints.iter();
            let endpoints = endpoints.map(|e| (e.id.clone(), e.transport.is_some()));
            let relays = answer.relays.iter();
            let relays = relays.map(|r| (r.id.clone(), r.transport.is_some()));
            (endpoints.collect::<Vec<_>>(), relays.collect::<Vec<_>>())
        };
        let same = |recorded: &Element| {
            let recorded = ConferenceModified::try_from(recorded).unwrap();
            about(&recorded) == about(answer)
        };
        match self.recorded.iter().position(same) {
            Some(at) => self.recorded.remove(at),
            None => Element::from(answer),
        }
    }

    fn apply(&mut self, modify: &ConferenceModify) -> Result<ConferenceModified, ErrorAnswer> {
        check_shape(modify, self.relates)?;
        let sctp = |e: &Endpoint| e.transport.as_ref().is_some_and(|t| t.sctp.is_some());
        if self.no_sctp && modify.endpoints.iter().any(sctp) {
            // The conference and the endpoint are there all the same.
            let conferences = &mut self.conferences;
            let conference = conferences.entry(modify.meeting_id.clone()).or_default();
            for endpoint in &modify.endpoints {
                conference.entry(endpoint.id.clone()).or_default();
            }
            return Err(ErrorAnswer::plain(
                "feature-not-implemented",
                "SCTP support is not configured",
            ));
        }
        let id = &modify.meeting_id;
        let known = self.conferences.contains_key(id);
        if modify.create && known {
            return Err(ErrorAnswer::marked(
                "conflict",
                Reason::ConferenceAlreadyExists,
                "exists",
            ));
        }
        if !modify.create && !known {
            return Err(ErrorAnswer::marked(
                "item-not-found",
                Reason::ConferenceNotFound,
                "no such conference",
            ));
        }
        if modify.create {
            assert!(
                modify.name.is_some(),
                "a conference is created without its name"
            );
            self.conferences.insert(id.clone(), BTreeMap::new());
        }
        let mut modified = ConferenceModified::default();
        for endpoint in &modify.endpoints {
            modified.endpoints.push(self.apply_endpoint(id, endpoint)?);
        }
        for relay in &modify.relays {
            modified.relays.push(self.apply_relay(id, relay)?);
        }
        if modify.create || modify.endpoints.iter().any(|e| e.create) {
            modified.sources = Some(feedback());
        }
        let empty = self.conferences.get(id).is_some_and(BTreeMap::is_empty);
        let meshes = self.meshes.iter().filter(|((meeting, _), _)| meeting == id);
        let meshes: BTreeSet<&String> = meshes.map(|(_, mesh)| mesh).collect();
        // One that passes on what one mesh has to another one is needed without people.
        if modify.expire || !modify.create && empty && meshes.len() < 2 {
            self.conferences.remove(id);
            self.relays.retain(|(meeting, _), _| meeting != id);
            self.meshes.retain(|(meeting, _), _| meeting != id);
        }
        Ok(modified)
    }

    fn apply_relay(&mut self, meeting: &str, request: &Relay) -> Result<Relay, ErrorAnswer> {
        let key = (meeting.to_owned(), request.id.clone());
        let mut answer = Relay {
            id: request.id.clone(),
            ..Relay::default()
        };
        if request.expire {
            self.relays.remove(&key);
            self.meshes.remove(&key);
            answer.expire = true;
            return Ok(answer);
        }
        if request.create {
            if self.relays.contains_key(&key) {
                return Err(ErrorAnswer::plain("conflict", "relay exists"));
            }
            self.relays.insert(key.clone(), BTreeSet::new());
            let mesh = request.mesh_id.clone().unwrap_or_default();
            self.meshes.insert(key.clone(), mesh);
            self.relays_made += 1;
            self.created += 1;
            answer.transport = Some(Transport {
                ice: Some(ice(&self.name, &request.id, self.created, None)),
                sctp: request.transport.as_ref().and_then(|t| t.sctp).map(theirs),
                ..Transport::default()
            });
        }
        let others: BTreeSet<String> = self
            .relays
            .iter()
            .filter(|((m, id), _)| m == meeting && *id != request.id)
            .flat_map(|(_, people)| people.iter().cloned())
            .collect();
        let Some(behind) = self.relays.get_mut(&key) else {
            return Err(ErrorAnswer::plain("bad-request", "no such relay"));
        };
        for endpoint in &request.endpoints {
            if endpoint.expire {
                behind.remove(&endpoint.id);
                continue;
            }
            // What a real one passes over, so that nobody would see them.
            let here = self.conferences[meeting].contains_key(&endpoint.id);
            assert!(!here, "{} is here and behind a relay", endpoint.id);
            let twice = others.contains(&endpoint.id);
            assert!(!twice, "{} is behind two relays", endpoint.id);
            behind.insert(endpoint.id.clone());
        }
        Ok(answer)
    }

    /// Who is behind its relays in a meeting.
    pub fn behind(&self, meeting: &str) -> BTreeSet<String> {
        let relays = self.relays.iter().filter(|((m, _), _)| m == meeting);
        relays
            .flat_map(|(_, people)| people.iter().cloned())
            .collect()
    }

    fn apply_endpoint(
        &mut self,
        meeting: &str,
        request: &Endpoint,
    ) -> Result<Endpoint, ErrorAnswer> {
        let conference = self.conferences.get_mut(meeting).unwrap();
        let mut answer = Endpoint {
            id: request.id.clone(),
            ..Endpoint::default()
        };
        if request.expire {
            conference.remove(&request.id);
            answer.expire = true;
            return Ok(answer);
        }
        if request.create {
            if conference.contains_key(&request.id) {
                return Err(ErrorAnswer::plain("conflict", "endpoint exists"));
            }
            let Some(transport) = &request.transport else {
                return Err(ErrorAnswer::plain("bad-request", "no transport"));
            };
            if !request.capabilities.iter().any(|c| c == "source-names") {
                return Err(ErrorAnswer::plain("bad-request", "no source names"));
            }
            assert!(transport.ice_controlling && transport.ice.is_none());
            let capabilities = request.capabilities.iter().cloned().collect();
            conference.insert(
                request.id.clone(),
                BridgeEndpoint {
                    capabilities,
                    ..BridgeEndpoint::default()
                },
            );
            self.created += 1;
            answer.transport = Some(Transport {
                ice: Some(ice(&self.name, &request.id, self.created, None)),
                sctp: transport.sctp.map(|_| Sctp {
                    role: Some(SctpRole::Server),
                    port: Some(5000),
                }),
                ..Transport::default()
            });
        }
        let Some(endpoint) = conference.get_mut(&request.id) else {
            let mut error = ErrorAnswer::marked(
                "item-not-found",
                Reason::UnknownEndpoint,
                "no such endpoint",
            );
            error.endpoint = Some(request.id.clone());
            return Err(error);
        };
        if let Some(sources) = &request.sources {
            endpoint.sources = sources.clone();
        }
        endpoint.force_mute = request.force_mute.unwrap_or(endpoint.force_mute);
        endpoint.initial_last_n = request.initial_last_n.or(endpoint.initial_last_n);
        if let Some(transport) = request.transport.as_ref().filter(|_| !request.create) {
            endpoint.transport = transport.ice.clone().or(endpoint.transport.take());
            if transport.ice_restart {
                endpoint.restarts += 1;
                answer.transport = Some(Transport {
                    ice: Some(ice(&self.name, &request.id, 100, Some(endpoint.restarts))),
                    ..Transport::default()
                });
            }
        }
        Ok(answer)
    }
}

/// Bridges say in which role the other one is.
fn theirs(asked: Sctp) -> Sctp {
    Sctp {
        role: asked.role.map(|role| match role {
            SctpRole::Client => SctpRole::Server,
            SctpRole::Server => SctpRole::Client,
        }),
        port: Some(5000),
    }
}

/// Errors go back from the occupant that was asked.
fn addressed(answer: Element, request: &Element) -> Element {
    Build::from(answer)
        .attr_opt("from", request.attr("to"))
        .done()
}

/// The combinations a bridge does not take.
fn check_shape(modify: &ConferenceModify, relates: bool) -> Result<(), ErrorAnswer> {
    let refuse = |text: &str| {
        Err(ErrorAnswer::marked(
            "feature-not-implemented",
            Reason::FeatureNotImplemented,
            text,
        ))
    };
    let full = |e: &Endpoint| {
        e.create || !e.media.is_empty() || e.transport.is_some() || e.sources.is_some()
    };
    if modify.endpoints.len() > 1 && modify.endpoints.iter().any(full) {
        return refuse("more than one endpoint");
    }
    if !modify.relays.is_empty() && !relates {
        return refuse("relays");
    }
    Ok(())
}

pub fn ice(bridge: &str, endpoint: &str, number: u32, generation: Option<i32>) -> IceTransport {
    let setup = if generation.is_some() {
        Setup::Passive
    } else {
        Setup::Actpass
    };
    IceTransport {
        ufrag: Some(format!("{bridge}{endpoint}{number}")),
        pwd: Some("0wm3zu5q7t1xw8k2l4y6n8p0".into()),
        ice_generation: generation,
        rtcp_mux: true,
        sped: false,
        sctp_init: None,
        fingerprints: vec![Fingerprint {
            hash: "sha-256".into(),
            setup: Some(setup),
            cryptex: false,
            value: "56:8A".into(),
        }],
        candidates: vec![Candidate {
            id: "c1".into(),
            foundation: "1".into(),
            component: 1,
            protocol: "udp".into(),
            priority: 2_130_706_431,
            ip: "10.99.0.11".into(),
            port: 10_000,
            kind: "host".into(),
            ..Candidate::default()
        }],
        web_sockets: Vec::new(),
    }
}

fn feedback() -> Vec<MediaSource> {
    let source = |media: MediaType, id: &str, ssrc: u32| MediaSource {
        media,
        id: id.to_owned(),
        synthetic: false,
        sources: vec![Source {
            ssrc,
            name: Some(id.to_owned()),
            ..Source::default()
        }],
        groups: Vec::new(),
    };
    vec![
        source(MediaType::Audio, "jvb-a0", 169_720_827),
        source(MediaType::Video, "jvb-v0", 1_943_892_353),
    ]
}
