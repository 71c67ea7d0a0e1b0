//! The bridges of a conference know of each other's people over relays, see [`super::topology`]: which of them there are, what
//! each bridge was told of the people behind them, and what is missing of that. `Conference::relate` sees to it all.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use stanza::colibri2::{
    ConferenceModified, ConferenceModify, Endpoint, ErrorAnswer, Relay, Sctp, SctpRole, Transport,
    capability,
};
use stanza::media::{IceTransport, Setup};
use stanza::{Element, FullJid};

use super::mesh::{End, Link, Verdict};
use super::roll::Touched;
use super::topology::Site;
use super::{Conference, Stay};
use crate::context::Context;
use crate::event::Event;
use crate::features::Features;
use crate::io::Purpose;
use crate::offer;
use crate::sources::SourceSet;

/// What a bridge is told of the people behind a relay: whom with which sources, and who is gone.
type News = Vec<(String, Option<SourceSet>)>;

/// A stay's end of a relay; `None` if its bridge makes none.
fn end_of(stay: &Stay) -> Option<End> {
    Some(End {
        stay: stay.id.clone(),
        bridge: stay.bridge.clone(),
        relay: stay.relay.clone()?,
        unheard: false,
        transport: None,
        told: BTreeMap::new(),
    })
}

impl Conference {
    /// Sees to it that all bridges have relays to those they are to have some to, and know who is behind them.
    pub(crate) fn relate(&mut self, cx: &mut Context<'_>) {
        if self.further.is_empty() && self.mesh.links.is_empty() && self.mesh.kept.is_empty() {
            return self.members.touch_all();
        }
        self.arrange(cx);
        if self.end_needless(cx) {
            self.arrange(cx);
        }
        self.drop_links(cx);
        // Nobody may be behind two relays of a bridge, not even for a moment.
        self.tell_who_is_gone(cx);
        self.make_links(cx);
        self.tell_who_is_new(cx);
    }

    /// Decides between which bridges there are to be relays.
    fn arrange(&mut self, cx: &mut Context<'_>) {
        let now = cx.io.now;
        let mut topology = std::mem::take(&mut self.mesh.topology);
        let current = self.current_stays().map(|stay| (stay, false));
        let retiring = self.retiring.iter().map(|stay| (stay, true));
        let sites = current.chain(retiring).map(|(stay, retiring)| Site {
            id: &stay.id,
            region: stay.region.as_deref(),
            people: stay.endpoints.len(),
            visitors: self.has_visitors(stay),
            related: stay.created
                && stay.relay.is_some()
                && !self.mesh.is_given_up(now, &stay.bridge),
            retiring,
        });
        let sites: Vec<Site<'_>> = sites.collect();
        let placed = topology.arrange(&sites, cx.config.bridges.max_mesh);
        self.mesh.topology = topology;
        let Some(placed) = placed else { return };
        self.members.touch_all();
        let bridge_of = |id: &str| Some(self.stay_by_id(id)?.bridge.clone());
        let leaves = placed.iter().filter_map(|id| {
            let core = self.mesh.topology.parent(id)?;
            Some((bridge_of(id)?, bridge_of(core)?))
        });
        for (bridge, core) in leaves {
            let room = self.room.clone();
            cx.io.event(Event::Leaf { room, bridge, core });
        }
    }

    /// Stays without people that nobody meets through any more end; whether there were any.
    fn end_needless(&mut self, cx: &mut Context<'_>) -> bool {
        let mut ended = false;
        for id in std::mem::take(&mut self.mesh.kept) {
            let stay = self.current(&id).filter(|stay| stay.endpoints.is_empty());
            let Some(bridge) = stay.map(|stay| stay.bridge.clone()) else {
                continue;
            };
            if self.mesh.topology.passes_on(&id) {
                self.mesh.kept.insert(id);
            } else if self.end_stay(&bridge).is_some() {
                self.expire_conference(cx, &bridge);
                self.tell_bridge_count(cx);
                ended = true;
            }
        }
        ended
    }

    /// Relays that are not to be any more end: their bridges were left, or are related otherwise.
    fn drop_links(&mut self, cx: &mut Context<'_>) {
        let there: BTreeSet<&str> = self.stays().map(|stay| stay.id.as_str()).collect();
        let is_there = |end: &End| there.contains(end.stay.as_str());
        let lasts = |link: &Link| link.ends.iter().all(is_there) && self.mesh.wants(link);
        if self.mesh.links.iter().all(lasts) {
            return;
        }
        let mut over = Vec::new();
        for link in self.mesh.links.iter().filter(|link| !lasts(link)) {
            let [elder, newer] = &link.ends;
            for (at, other) in [(elder, newer), (newer, elder)] {
                if is_there(at) {
                    over.push((at.bridge.clone(), other.relay.clone()));
                }
            }
        }
        let lasting: Vec<bool> = self.mesh.links.iter().map(lasts).collect();
        let mut lasting = lasting.into_iter();
        self.mesh.links.retain(|_| lasting.next() == Some(true));
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
        let now = cx.io.now;
        let related = |stay: &&Stay| stay.created && !self.mesh.is_given_up(now, &stay.bridge);
        let stays: Vec<&Stay> = self.stays().filter(related).collect();
        let mut links = Vec::new();
        for (n, newer) in stays.iter().enumerate() {
            for elder in stays.iter().take(n) {
                let mesh = self.mesh.topology.mesh(&elder.id, &newer.id);
                let missing = mesh.filter(|_| !self.mesh.has(&elder.id, &newer.id));
                let Some(mesh) = missing else {
                    continue;
                };
                if let (Some(elder), Some(newer)) = (end_of(elder), end_of(newer)) {
                    links.push(Link {
                        ends: [elder, newer],
                        mesh: mesh.to_owned(),
                        made: None,
                        number: 0,
                    });
                }
            }
        }
        for link in links {
            self.make_link(cx, link);
        }
    }

    fn make_link(&mut self, cx: &mut Context<'_>, mut link: Link) {
        link.number = cx.io.count();
        let mut requests = Vec::new();
        for n in [0, 1] {
            let (at, other) = (&link.ends[n], &link.ends[1 - n]);
            let people = self.people_behind(&at.stay, &other.stay);
            let elder = n == 0;
            let relay = Relay {
                id: other.relay.clone(),
                create: true,
                mesh_id: Some(link.mesh.clone()),
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
                    .map(|(nick, sources)| self.relayed(nick, true, *sources))
                    .collect(),
                ..Relay::default()
            };
            let told = people.into_iter();
            let told =
                told.map(|(nick, sources)| (nick.to_owned(), sources.cloned().unwrap_or_default()));
            requests.push((at.stay.clone(), other.stay.clone(), relay));
            link.ends[n].told = told.collect();
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

    /// Tells the bridges what is new of the people behind their relays: who is gone first, since whoever went from one bridge
    /// to another cannot be behind two relays. It is asked after whatever happens in the conference, so it looks only at those
    /// whom something happened to.
    pub(super) fn relate_those_there(&mut self, cx: &mut Context<'_>) {
        self.tell_who_is_gone(cx);
        self.tell_who_is_new(cx);
    }

    fn tell_who_is_new(&mut self, cx: &mut Context<'_>) {
        let touched = self.members.take_touched();
        self.tell_news(cx, false, &touched);
        debug_assert!(self.is_related(), "somebody changed and was not touched");
    }

    fn tell_who_is_gone(&mut self, cx: &mut Context<'_>) {
        self.note_stays();
        let touched = self.members.take_touched();
        self.tell_news(cx, true, &touched);
        self.members.touch_again(touched);
    }

    fn tell_news(&mut self, cx: &mut Context<'_>, gone: bool, touched: &Touched) {
        for n in 0..self.mesh.links.len() {
            for end in [0, 1] {
                self.relate_people(cx, n, end, gone, touched);
            }
        }
    }

    /// Other bridges than before: that concerns everybody.
    fn note_stays(&mut self) {
        let known = self.mesh.stays.iter().map(String::as_str);
        if known.ne(self.stays().map(|stay| stay.id.as_str())) {
            self.mesh.stays = self.stays().map(|stay| stay.id.clone()).collect();
            self.members.touch_all();
        }
    }

    /// Whether each bridge was told who is behind its relays.
    fn is_related(&self) -> bool {
        self.mesh.links.iter().all(|link| {
            [0, 1].into_iter().all(|end| {
                let (at, other) = (&link.ends[end], &link.ends[1 - end]);
                let people = self.people_behind(&at.stay, &other.stay);
                let none = SourceSet::default();
                let told = at.told.iter().map(|(nick, set)| (nick.as_str(), set));
                at.unheard
                    || told.eq(people
                        .iter()
                        .map(|(nick, set)| (*nick, set.unwrap_or(&none))))
            })
        })
    }

    fn relate_people(
        &mut self,
        cx: &mut Context<'_>,
        link: usize,
        end: usize,
        gone: bool,
        touched: &Touched,
    ) {
        let Some(link) = self.mesh.links.get(link) else {
            return;
        };
        let (at, other) = (&link.ends[end], &link.ends[1 - end]);
        if at.unheard {
            return;
        }
        let news = match gone {
            true => self.gone_from(at, &other.stay, touched),
            false => self.new_behind(at, &other.stay, touched),
        };
        if news.is_empty() {
            return;
        }
        let endpoints = news.iter().map(|(nick, sources)| match sources {
            Some(sources) => self.relayed(nick, !at.told.contains_key(nick), Some(sources)),
            None => Endpoint {
                id: nick.clone(),
                expire: true,
                ..Endpoint::default()
            },
        });
        let modify = ConferenceModify {
            relays: vec![Relay {
                id: other.relay.clone(),
                endpoints: endpoints.collect(),
                ..Relay::default()
            }],
            ..self.modify()
        };
        let (at, other) = (at.stay.clone(), other.stay.clone());
        let mut links = self.mesh.links.iter_mut();
        if let Some(link) = links.find(|link| link.is_between(&at, &other)) {
            let end = link.at(&at);
            let told = &mut link.ends[end].told;
            for (nick, sources) in news {
                match sources {
                    Some(sources) => told.insert(nick, sources),
                    None => told.remove(&nick),
                };
            }
        }
        self.ask_relay(cx, &at, &other, false, modify);
    }

    /// Whom a bridge was told of and who is not behind its relay any more.
    fn gone_from(&self, at: &End, of: &str, touched: &Touched) -> News {
        let is_gone = |nick: &&String| !self.is_behind(nick, &at.stay, of);
        let gone: Vec<&String> = match touched {
            Touched::All => at.told.keys().filter(is_gone).collect(),
            Touched::Some(nicks) => {
                let told = nicks.iter().filter(|nick| at.told.contains_key(*nick));
                told.filter(is_gone).collect()
            }
        };
        gone.into_iter().map(|nick| (nick.clone(), None)).collect()
    }

    /// Who is behind a bridge's relay and unknown to it, or known with other sources.
    fn new_behind(&self, at: &End, of: &str, touched: &Touched) -> News {
        let is_new = |nick: &&str| {
            let sources = self.sources.of(nick);
            match (at.told.get(*nick), sources) {
                (Some(told), Some(sources)) => told != sources,
                (Some(told), None) => !told.is_empty(),
                (None, _) => true,
            }
        };
        let new: BTreeSet<&str> = match touched {
            Touched::Some(nicks) => {
                let nicks = nicks.iter().map(String::as_str).filter(is_new);
                nicks
                    .filter(|nick| self.is_behind(nick, &at.stay, of))
                    .collect()
            }
            Touched::All => self.all_behind(&at.stay, of).filter(is_new).collect(),
        };
        let news = new.into_iter().map(|nick| {
            let sources = self.sources.of(nick).cloned().unwrap_or_default();
            (nick.to_owned(), Some(sources))
        });
        news.collect()
    }

    /// Participants that one stay's bridge is to know as being behind its relay to another one's, with their sources, if they
    /// have any.
    fn people_behind(&self, at: &str, of: &str) -> BTreeMap<&str, Option<&SourceSet>> {
        let people = self.all_behind(at, of);
        people.map(|nick| (nick, self.sources.of(nick))).collect()
    }

    /// Their names; of those who are just going from one stay to another, it may be twice.
    fn all_behind<'a>(&'a self, at: &str, of: &str) -> impl Iterator<Item = &'a str> {
        let there = self.stay_by_id(at);
        self.stays_behind(at, of).flat_map(move |stay| {
            let people = stay.endpoints.iter().map(String::as_str);
            people.filter(move |nick| self.is_met_from(nick, there, stay))
        })
    }

    fn is_behind(&self, nick: &str, at: &str, of: &str) -> bool {
        let there = self.stay_by_id(at);
        let mut stays = self.stays_behind(at, of);
        stays.any(|stay| self.is_met_from(nick, there, stay))
    }

    /// Whose people come to one stay over its relay to another one.
    fn stays_behind<'a>(&'a self, at: &str, of: &str) -> impl Iterator<Item = &'a Stay> {
        let topology = &self.mesh.topology;
        self.stays()
            .filter(move |stay| topology.is_behind(&stay.id, at, of))
    }

    /// Whether whoever is `at` one stay meets `nick` at another one.
    fn is_met_from(&self, nick: &str, at: Option<&Stay>, of: &Stay) -> bool {
        let member = self.members.get(nick);
        of.endpoints.contains(nick)
            && at.is_some_and(|at| !at.endpoints.contains(nick))
            && member.is_some_and(|member| !member.is_visitor())
            && self.is_at_home(nick, of)
    }

    /// Who changes bridges is on two of them for a while: what counts is the session, and before there is one the invitation.
    /// `nick` is on the bridge of `stay`.
    fn is_at_home(&self, nick: &str, stay: &Stay) -> bool {
        let Some(member) = self.members.get(nick) else {
            return false;
        };
        let session = member.session.as_ref().map(|session| &session.stay);
        if session == Some(&stay.id) {
            return true;
        }
        let lasting = session.filter(|id| {
            let mut stays = self.stays();
            stays.any(|s| s.id == **id && s.endpoints.iter().any(|other| other == nick))
        });
        let home = lasting.or(member.invite.as_ref().map(|invite| &invite.stay));
        home == Some(&stay.id)
    }

    fn relayed(&self, nick: &str, create: bool, sources: Option<&SourceSet>) -> Endpoint {
        let member = self.members.get(nick);
        let stats_id = member.and_then(|member| member.info.stats_id.clone());
        let capabilities = [capability::SOURCE_NAMES, capability::SSRC_REWRITING];
        let names = capabilities.iter().filter(|_| create);
        Endpoint {
            id: nick.to_owned(),
            create,
            stats_id: stats_id.filter(|_| create),
            sources: Some(sources.map(SourceSet::to_colibri).unwrap_or_default()),
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
        let payload = Element::from(&modify);
        if let Some((bridge, number)) = self.bridge_of_relay(at, other) {
            let purpose = Purpose::Relay {
                room: self.room.clone(),
                at: at.to_owned(),
                other: other.to_owned(),
                number,
                create,
                modify: Box::new(modify),
                again: false,
            };
            self.ask_bridge(cx, &bridge, payload, purpose);
        }
    }

    /// Says again what a bridge may not have heard about a relay.
    pub(super) fn ask_relay_again(&mut self, cx: &mut Context<'_>, purpose: Purpose) {
        let Purpose::Relay {
            at,
            other,
            number,
            create,
            modify,
            ..
        } = &purpose
        else {
            return;
        };
        let relay = self.bridge_of_relay(at, other);
        let Some((bridge, _)) = relay.filter(|(_, present)| present == number) else {
            return;
        };
        // It may have made one all the same, of which nobody knows the transport.
        let made = modify.relays.iter().filter(|_| *create);
        for id in made.map(|relay| relay.id.clone()).collect::<Vec<_>>() {
            self.expire_relay(cx, &bridge, id);
        }
        let payload = Element::from(&**modify);
        self.set_unheard(&purpose, false);
        self.ask_bridge(cx, &bridge, payload, purpose);
    }

    /// Notes whether a request to make a relay is kept.
    fn set_unheard(&mut self, purpose: &Purpose, unheard: bool) {
        if let Purpose::Relay {
            at, other, create, ..
        } = purpose
            && *create
        {
            let mut links = self.mesh.links.iter_mut();
            if let Some(link) = links.find(|link| link.is_between(at, other)) {
                let end = link.at(at);
                link.ends[end].unheard = unheard;
                self.members.touch_all();
            }
        }
    }

    /// The bridge at one end of a relay, and which of the relays between the two it is.
    fn bridge_of_relay(&self, at: &str, other: &str) -> Option<(FullJid, u64)> {
        let mut links = self.mesh.links.iter();
        let link = links.find(|link| link.is_between(at, other))?;
        Some((link.ends[link.at(at)].bridge.clone(), link.number))
    }

    /// A bridge that another one reaches, that has just lost its stream or answers nothing at all may not have heard this. It is said again once the
    /// bridge is heard, and not before: what runs on it goes on meanwhile. Whether that is so.
    fn keep_unheard(
        &mut self,
        cx: &mut Context<'_>,
        bridge: &FullJid,
        mut purpose: Purpose,
        answer: Option<&Element>,
    ) -> bool {
        let Purpose::Relay { again, .. } = &mut purpose else {
            return false;
        };
        let keeps = match answer.map(ErrorAnswer::of_iq) {
            None => cx.bridges.may_have_missed(cx.io.now, bridge),
            Some(error) => error.is_some_and(|e| is_bounce(&e)) && !*again,
        };
        if keeps {
            if answer.is_some() {
                *again = true;
                cx.bridges.on_bounce(bridge);
            }
            self.set_unheard(&purpose, true);
            self.keep_for(bridge, purpose);
        }
        keeps
    }

    /// A bridge answered about a relay, or did not. What it says of one that was made anew since says nothing of the new one.
    pub(crate) fn on_relay_answered(
        &mut self,
        cx: &mut Context<'_>,
        purpose: Purpose,
        answer: Option<&Element>,
    ) {
        let Purpose::Relay {
            at,
            other,
            number,
            create,
            ..
        } = &purpose
        else {
            return;
        };
        let (at, other, create) = (at.clone(), other.clone(), *create);
        let (at, other) = (at.as_str(), other.as_str());
        let relay = self.bridge_of_relay(at, other);
        let Some((bridge, _)) = relay.filter(|(_, present)| present == number) else {
            return;
        };
        if self.keep_unheard(cx, &bridge, purpose, answer) {
            return;
        }
        let Some(answer) = answer else {
            return self.on_relay_failed(cx, at, other, "it did not answer".to_owned());
        };
        if let Some(error) = ErrorAnswer::of_iq(answer) {
            let text = error.text.unwrap_or_default();
            let reason = format!("{} {text}", error.condition);
            return self.on_relay_failed(cx, at, other, reason);
        }
        if create {
            self.on_relay_made(cx, at, other, answer);
        }
    }

    /// A bridge has made its end of a relay. Once both have, each is told of the other's.
    fn on_relay_made(&mut self, cx: &mut Context<'_>, at: &str, other: &str, answer: &Element) {
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
        let mut links = self.mesh.links.iter_mut();
        let Some(link) = links.find(|link| link.is_between(at, other)) else {
            return;
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
        link.made = Some(cx.io.now);
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
        let now = cx.io.now;
        let verdict = self.mesh.count_failure(now, &link);
        let end = link.at(at);
        let [elder, newer] = link.ends;
        let (bridge, peer) = match end {
            0 => (elder.bridge.clone(), newer.bridge.clone()),
            _ => (newer.bridge.clone(), elder.bridge.clone()),
        };
        let (failures, hopeless) = match verdict {
            Verdict::Again(failures) => (failures, false),
            Verdict::Hopeless(failures) => (failures, true),
        };
        cx.io.totals.relays_failed += 1;
        cx.io.event(Event::RelayFailed {
            room: self.room.clone(),
            bridge,
            peer,
            reason,
            failures,
            hopeless,
        });
        for (bridge, relay) in [(&elder.bridge, &newer.relay), (&newer.bridge, &elder.relay)] {
            self.expire_relay(cx, bridge, relay.clone());
        }
        if hopeless {
            let (bridge, other) = self.worse_of(elder.bridge, newer.bridge);
            let why = format!(
                "{failures} relays to bridge {} have failed",
                other.resource()
            );
            self.mesh.give_up(now, bridge, why);
        }
    }

    /// Of two bridges that cannot be related: the one to leave, and the other one. The one that others cannot be related to
    /// either, or that fewer people are on.
    fn worse_of(&self, elder: FullJid, newer: FullJid) -> (FullJid, FullJid) {
        let people = |bridge: &FullJid| {
            let stay = self.current_stays().find(|stay| stay.bridge == *bridge);
            stay.map_or(0, |stay| stay.endpoints.len())
        };
        let badness = |bridge: &FullJid| (self.mesh.troubles(bridge), Reverse(people(bridge)));
        match badness(&elder) > badness(&newer) {
            true => (elder, newer),
            false => (newer, elder),
        }
    }

    /// A bridge says that nothing comes through its relay to another one.
    pub(crate) fn on_relay_broken(&mut self, cx: &mut Context<'_>, bridge: &FullJid, relay: &str) {
        if let Some([at, other]) = self.mesh.find(cx.io.now, bridge, relay) {
            self.on_relay_failed(cx, &at, &other, "nothing comes through it".to_owned());
        }
    }

    /// Takes relays of a record for made, `leaves` with those to which they have theirs. What the bridges were told is told
    /// again, which changes nothing.
    pub(super) fn assume_relays(
        &mut self,
        now: Instant,
        relays: &[(String, String)],
        leaves: &[(String, String)],
    ) {
        for id in relays.iter().flat_map(|(elder, newer)| [elder, newer]) {
            let leaf = leaves.iter().find(|(leaf, _)| leaf == id);
            let parent = leaf.map(|(_, parent)| parent.as_str());
            self.mesh.topology.assume(id, parent);
        }
        for (elder, newer) in relays {
            let find = |id: &String| self.stays().find(|stay| stay.id == *id);
            let ends = find(elder)
                .and_then(end_of)
                .zip(find(newer).and_then(end_of));
            let mesh = self.mesh.topology.mesh(elder, newer).map(str::to_owned);
            let Some(((mut at, mut of), mesh)) = ends.zip(mesh).filter(|_| elder != newer) else {
                continue;
            };
            (at.told, of.told) = (self.assumed(elder, newer), self.assumed(newer, elder));
            if !self.mesh.has(elder, newer) {
                self.mesh.links.push(Link {
                    ends: [at, of],
                    mesh,
                    made: Some(now),
                    number: 0,
                });
            }
        }
    }

    /// Of whom a bridge is taken to know that they are behind a relay.
    fn assumed(&self, at: &str, of: &str) -> BTreeMap<String, SourceSet> {
        let people = self.stays_behind(at, of).flat_map(|stay| &stay.endpoints);
        people
            .map(|nick| (nick.clone(), SourceSet::default()))
            .collect()
    }
}

/// Whether the server says in a bridge's place that it could not be reached.
pub(super) fn is_bounce(error: &ErrorAnswer) -> bool {
    let undelivered = ["service-unavailable", "recipient-unavailable"];
    error.reason.is_none() && undelivered.contains(&error.condition.as_str())
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
