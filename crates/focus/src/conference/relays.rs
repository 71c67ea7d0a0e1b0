//! The bridges of a conference know of each other's people over relays: a full mesh. Which relays there are, what each bridge
//! was told of the people behind them, and what is missing of that. See `Conference::relate`, which sees to it all.

use std::collections::BTreeMap;

use stanza::colibri2::{
    ConferenceModified, ConferenceModify, Endpoint, ErrorAnswer, MediaSource, Relay, Sctp,
    SctpRole, Transport, capability,
};
use stanza::media::{IceTransport, Setup};
use stanza::{Element, FullJid};

use super::mesh::{End, Link};
use super::{Conference, Stay};
use crate::context::Context;
use crate::event::Event;
use crate::features::Features;
use crate::io::Purpose;
use crate::offer;

/// The mesh of all bridges.
const MESH: &str = "0";
/// Relays between two bridges that may fail one after another before one of the bridges is given up.
const MAX_FAILURES: u32 = 3;

/// A stay's end of a relay; `None` if its bridge makes none.
fn end_of(stay: &Stay) -> Option<End> {
    Some(End {
        stay: stay.id.clone(),
        bridge: stay.bridge.clone(),
        relay: stay.relay.clone()?,
        transport: None,
        told: BTreeMap::new(),
    })
}

impl Conference {
    /// Sees to it that all bridges have relays to each other, and know who is behind them.
    pub(crate) fn relate(&mut self, cx: &mut Context<'_>) {
        if self.further.is_empty() && self.mesh.links.is_empty() {
            return;
        }
        self.drop_links(cx);
        self.make_links(cx);
        self.relate_those_there(cx);
    }

    /// Relays to bridges that the conference is not on any more end.
    fn drop_links(&mut self, cx: &mut Context<'_>) {
        let links = std::mem::take(&mut self.mesh.links).into_iter();
        let is_there = |end: &End| self.stays().any(|stay| stay.id == end.stay);
        let (stay, go): (Vec<Link>, Vec<Link>) =
            links.partition(|link| link.ends.iter().all(is_there));
        self.mesh.links = stay;
        let mut over = Vec::new();
        for link in go {
            let [elder, newer] = link.ends;
            if self.stays().any(|stay| stay.id == elder.stay) {
                over.push((elder.bridge, newer.relay));
            } else if self.stays().any(|stay| stay.id == newer.stay) {
                over.push((newer.bridge, elder.relay));
            }
        }
        for (bridge, relay) in over {
            self.expire_relay(cx, &bridge, relay);
        }
    }

    fn expire_relay(&mut self, cx: &mut Context<'_>, bridge: &FullJid, id: String) {
        let modify = ConferenceModify {
            relays: vec![Relay {
                id,
                expire: true,
                ..Relay::default()
            }],
            ..self.modify()
        };
        self.tell_bridge(cx, bridge, &modify);
    }

    /// Makes the relays that are missing. Whoever is on a bridge that is being left stays in touch too.
    fn make_links(&mut self, cx: &mut Context<'_>) {
        let stays: Vec<&Stay> = self.stays().filter(|stay| stay.created).collect();
        let mut links = Vec::new();
        for (n, newer) in stays.iter().enumerate() {
            for elder in stays.iter().take(n) {
                if self.mesh.has(&elder.id, &newer.id) {
                    continue;
                }
                if let (Some(elder), Some(newer)) = (end_of(elder), end_of(newer)) {
                    links.push(Link {
                        ends: [elder, newer],
                        made: false,
                    });
                }
            }
        }
        for link in links {
            self.make_link(cx, link);
        }
    }

    fn make_link(&mut self, cx: &mut Context<'_>, mut link: Link) {
        let mut requests = Vec::new();
        for n in [0, 1] {
            let (at, other) = (&link.ends[n], &link.ends[1 - n]);
            let people = self.people_behind(&at.stay, &other.stay);
            let elder = n == 0;
            let relay = Relay {
                id: other.relay.clone(),
                create: true,
                mesh_id: Some(MESH.to_owned()),
                media: offer::colibri_media(&cx.config.codecs, Features::OF_RELAYS),
                transport: Some(Transport {
                    ice_controlling: elder,
                    use_unique_port: elder,
                    sctp: Some(Sctp {
                        role: Some(if elder {
                            SctpRole::Client
                        } else {
                            SctpRole::Server
                        }),
                        port: None,
                    }),
                    ..Transport::default()
                }),
                endpoints: people
                    .iter()
                    .map(|(nick, sources)| self.relayed(nick, true, sources.clone()))
                    .collect(),
                ..Relay::default()
            };
            requests.push((at.stay.clone(), other.stay.clone(), relay));
            link.ends[n].told = people;
        }
        self.mesh.links.push(link);
        for (at, other, relay) in requests {
            let modify = ConferenceModify {
                relays: vec![relay],
                ..self.modify()
            };
            self.ask_relay(cx, &at, &other, true, modify);
        }
    }

    /// Tells the bridges what is new of the people behind their relays.
    pub(super) fn relate_those_there(&mut self, cx: &mut Context<'_>) {
        for n in 0..self.mesh.links.len() {
            for end in [0, 1] {
                self.relate_people(cx, n, end);
            }
        }
    }

    fn relate_people(&mut self, cx: &mut Context<'_>, link: usize, end: usize) {
        let Some(link) = self.mesh.links.get(link) else {
            return;
        };
        let (at, other) = (&link.ends[end], &link.ends[1 - end]);
        let people = self.people_behind(&at.stay, &other.stay);
        if people == at.told {
            return;
        }
        let gone = at.told.keys().filter(|nick| !people.contains_key(*nick));
        let mut endpoints: Vec<Endpoint> = gone
            .map(|nick| Endpoint {
                id: nick.clone(),
                expire: true,
                ..Endpoint::default()
            })
            .collect();
        for (nick, sources) in &people {
            let told = at.told.get(nick);
            if told != Some(sources) {
                endpoints.push(self.relayed(nick, told.is_none(), sources.clone()));
            }
        }
        let (at, other, id) = (at.stay.clone(), other.stay.clone(), other.relay.clone());
        let modify = ConferenceModify {
            relays: vec![Relay {
                id,
                endpoints,
                ..Relay::default()
            }],
            ..self.modify()
        };
        let found = self.mesh.links.iter_mut();
        if let Some(link) = found.into_iter().find(|link| link.is_between(&at, &other)) {
            let end = link.at(&at);
            link.ends[end].told = people;
        }
        self.ask_relay(cx, &at, &other, false, modify);
    }

    /// Participants that one stay's bridge is to know as being behind its relay to another one's, with their sources.
    fn people_behind(&self, at: &str, of: &str) -> BTreeMap<String, Vec<MediaSource>> {
        let find = |id: &str| self.stays().find(|stay| stay.id == id);
        let (Some(at), Some(of)) = (find(at), find(of)) else {
            return BTreeMap::new();
        };
        let people = of.endpoints.iter().filter(|nick| {
            let member = self.members.get(*nick);
            let visitor = member.is_none_or(super::Member::is_visitor);
            !visitor && !at.endpoints.contains(*nick) && self.is_at_home(nick, of)
        });
        let sources = |nick: &String| {
            let sources = self.sources.of(nick).map(|set| set.to_colibri());
            (nick.clone(), sources.unwrap_or_default())
        };
        people.map(sources).collect()
    }

    /// Who changes bridges is on two of them for a while: what counts is the session, and before there is one the invitation.
    fn is_at_home(&self, nick: &str, stay: &Stay) -> bool {
        let Some(member) = self.members.get(nick) else {
            return false;
        };
        let session = member.session.as_ref().map(|session| &session.stay);
        let lasting = session.filter(|id| {
            let mut stays = self.stays();
            stays.any(|s| s.id == **id && s.endpoints.contains(nick))
        });
        let home = lasting.or(member.invite.as_ref().map(|invite| &invite.stay));
        home == Some(&stay.id)
    }

    fn relayed(&self, nick: &str, create: bool, sources: Vec<MediaSource>) -> Endpoint {
        let member = self.members.get(nick);
        let stats_id = member.and_then(|member| member.info.stats_id.clone());
        let capabilities = [capability::SOURCE_NAMES, capability::SSRC_REWRITING];
        let names = capabilities.iter().filter(|_| create);
        Endpoint {
            id: nick.to_owned(),
            create,
            stats_id: stats_id.filter(|_| create),
            sources: Some(sources),
            capabilities: names.map(|name| (*name).to_owned()).collect(),
            ..Endpoint::default()
        }
    }

    /// Asks the bridge of one stay something about its relay to that of another one.
    pub(super) fn ask_relay(
        &mut self,
        cx: &mut Context<'_>,
        at: &str,
        other: &str,
        create: bool,
        modify: ConferenceModify,
    ) {
        let link = self
            .mesh
            .links
            .iter()
            .find(|link| link.is_between(at, other));
        let Some(bridge) = link.map(|link| link.ends[link.at(at)].bridge.clone()) else {
            return;
        };
        let payload = Element::from(&modify);
        let purpose = Purpose::Relay {
            room: self.room.clone(),
            at: at.to_owned(),
            other: other.to_owned(),
            create,
            modify: Box::new(modify),
        };
        self.ask_bridge(cx, &bridge, payload, purpose);
    }

    /// A bridge answered about a relay, or did not.
    pub(crate) fn on_relay_answered(
        &mut self,
        cx: &mut Context<'_>,
        at: &str,
        other: &str,
        create: bool,
        answer: Option<&Element>,
    ) {
        let mut links = self.mesh.links.iter_mut();
        let Some(link) = links.find(|link| link.is_between(at, other)) else {
            return;
        };
        let Some(answer) = answer else {
            return self.on_relay_failed(cx, at, other, "it did not answer".to_owned());
        };
        if let Some(error) = ErrorAnswer::of_iq(answer) {
            let text = error.text.unwrap_or_default();
            let reason = format!("{} {text}", error.condition);
            return self.on_relay_failed(cx, at, other, reason);
        }
        if !create {
            return;
        }
        let modified = answer
            .children()
            .find_map(|child| ConferenceModified::try_from(child).ok());
        let relays = modified.into_iter().flat_map(|modified| modified.relays);
        let ice = relays
            .filter_map(|relay| relay.transport?.ice)
            .find(|ice| ice.ufrag.is_some() && !ice.fingerprints.is_empty());
        let Some(ice) = ice else {
            return self.on_relay_failed(cx, at, other, "its answer has no transport".to_owned());
        };
        let end = link.at(at);
        link.ends[end].transport = Some(ice);
        let transports: Vec<_> = link
            .ends
            .iter()
            .filter_map(|e| e.transport.clone())
            .collect();
        let [elder, newer] = transports.as_slice() else {
            return;
        };
        link.made = true;
        let ids = link.ends.each_ref().map(|end| end.stay.clone());
        let relays = link.ends.each_ref().map(|end| end.relay.clone());
        let told = [
            // What stands there is the role of the other side: the newer bridge begins DTLS.
            (0, described(newer, Setup::Active)),
            (1, described(elder, Setup::Passive)),
        ];
        for (n, transport) in told {
            let modify = ConferenceModify {
                relays: vec![Relay {
                    id: relays[1 - n].clone(),
                    transport: Some(transport),
                    ..Relay::default()
                }],
                ..self.modify()
            };
            self.ask_relay(cx, &ids[n], &ids[1 - n], false, modify);
        }
    }

    /// A relay cannot be made, or got lost: it is made anew, and after some failures one of its bridges is given up.
    fn on_relay_failed(&mut self, cx: &mut Context<'_>, at: &str, other: &str, reason: String) {
        let position = self.mesh.links.iter();
        let position = position.into_iter().position(|l| l.is_between(at, other));
        let Some(link) = position.map(|n| self.mesh.links.remove(n)) else {
            return;
        };
        let end = link.at(at);
        let [elder, newer] = link.ends;
        let failed = if end == 0 { &elder } else { &newer };
        cx.io.event(Event::BridgeError {
            bridge: failed.bridge.clone(),
            room: self.room.clone(),
            reason: format!("relay to another bridge: {reason}"),
        });
        let pair = (elder.bridge.clone(), newer.bridge.clone());
        let failures = self.mesh.failures.entry(pair).or_default();
        *failures += 1;
        let hopeless = *failures >= MAX_FAILURES;
        for (bridge, relay) in [(&elder.bridge, &newer.relay), (&newer.bridge, &elder.relay)] {
            self.expire_relay(cx, bridge, relay.clone());
        }
        if hopeless {
            let first = self.bridge() == Some(&newer.bridge);
            let bridge = if first { elder.bridge } else { newer.bridge };
            self.mesh.given_up.insert(bridge.clone());
            self.mesh.unrelated.push(bridge);
        }
    }

    /// Takes relays of a record for made. What the bridges were told is told again, which changes nothing.
    pub(super) fn assume_relays(&mut self, relays: &[(String, String)]) {
        for (elder, newer) in relays {
            let find = |id: &String| self.stays().find(|stay| stay.id == *id);
            let ends = find(elder).zip(find(newer));
            let ends = ends.and_then(|(a, b)| end_of(a).zip(end_of(b)).map(|e| (e, a, b)));
            let Some(((mut elder, mut newer), a, b)) = ends.filter(|_| elder != newer) else {
                continue;
            };
            let told = |stay: &Stay| {
                let nicks = stay.endpoints.iter();
                nicks.map(|nick| (nick.clone(), Vec::new())).collect()
            };
            (elder.told, newer.told) = (told(b), told(a));
            if !self.mesh.has(&elder.stay, &newer.stay) {
                self.mesh.links.push(Link {
                    ends: [elder, newer],
                    made: true,
                });
            }
        }
    }
}

/// A bridge's transport as the other one is told it.
fn described(ice: &IceTransport, setup: Setup) -> Transport {
    let mut ice = IceTransport {
        rtcp_mux: true,
        web_sockets: Vec::new(),
        ..ice.clone()
    };
    for fingerprint in &mut ice.fingerprints {
        fingerprint.setup = Some(setup);
    }
    Transport {
        ice: Some(ice),
        ..Transport::default()
    }
}
