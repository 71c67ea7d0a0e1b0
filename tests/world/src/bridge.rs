//! A bridge of the world: a shard with its signalling, in the brewery.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtc::Certificate;
use sfu::control::{ControlConfig, Controller, Note, Output};
use sfu::{Egress, ShardConfig};
use stanza::colibri2::{ConferenceModify, ErrorAnswer};
use stanza::element;
use stanza::jitsi::bridge_stats::{BridgeStats, stat};
use stanza::jitsi::evidence::{BrokenRelay, People, SilentMeeting};
use stanza::{Element, iq, muc, ns};

const ARENA: usize = 512 * 1024;
/// The first port that a relay has for itself.
const FIRST_PORT: u16 = 20_000;
/// Load of a person.
const STRESS: f64 = 0.01;
const PRESENCE_INTERVAL: Duration = Duration::from_secs(5);

/// A bridge.
#[derive(Debug)]
pub struct Bridge {
    name: String,
    brewery: String,
    /// Its UDP address; relays that are to have a port of their own have one at the same host.
    pub address: SocketAddr,
    /// Shard and signalling.
    pub controller: Controller,
    /// What it has told so far.
    pub notes: Vec<Note>,
    egress: Egress,
    certificate: Arc<Certificate>,
    domain: String,
    joined: bool,
    drain: bool,
    next_presence: Instant,
    next_port: u16,
    /// Neither hears nor says anything any more.
    pub dead: bool,
    /// Its host says that nobody is at its ports.
    pub(crate) is_refused: bool,
    /// The same for a while.
    pub(crate) stopped: bool,
}

impl Bridge {
    pub(crate) fn new(
        now: Instant,
        name: &str,
        domain: &str,
        address: SocketAddr,
        certificate: Arc<Certificate>,
        seed: [u8; 32],
    ) -> Self {
        let shard = ShardConfig::new(certificate.clone(), vec![address]);
        Self {
            name: name.to_owned(),
            brewery: format!("jvbbrewery@internal.auth.{domain}"),
            address,
            controller: Controller::new(
                ControlConfig {
                    relay_id: Some(format!("relay-of-{name}")),
                    ..ControlConfig::default()
                },
                shard,
                seed,
            ),
            notes: Vec::new(),
            egress: Egress::new(ARENA),
            certificate,
            domain: domain.to_owned(),
            joined: false,
            drain: false,
            next_presence: now,
            next_port: FIRST_PORT,
            dead: false,
            is_refused: false,
            stopped: false,
        }
    }

    /// Another one in its place, as after a start of its program.
    pub(crate) fn anew(&self, now: Instant, seed: [u8; 32]) -> Self {
        let certificate = self.certificate.clone();
        Self::new(
            now,
            &self.name,
            &self.domain,
            self.address,
            certificate,
            seed,
        )
    }

    /// It does something.
    pub(crate) fn is_awake(&self) -> bool {
        !self.dead && !self.stopped
    }

    pub(crate) fn set_drain(&mut self, now: Instant, drain: bool) {
        self.drain = drain;
        self.next_presence = now;
    }

    /// The bridge's occupant name in the brewery.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether datagrams for an address are for it.
    pub(crate) fn is_at(&self, address: SocketAddr) -> bool {
        address == self.address
            || address.ip() == self.address.ip()
                && (FIRST_PORT..self.next_port).contains(&address.port())
    }

    /// Relays to other bridges, and people behind them, in all its conferences.
    #[must_use]
    pub fn relayed(&self) -> (usize, usize) {
        let shard = self.controller.shard();
        let meetings = self.controller.meetings();
        let stats = meetings.filter_map(|(_, id)| shard.conference_stats(id));
        stats.fold((0, 0), |sum, s| (sum.0 + s.relays, sum.1 + s.relayed))
    }

    /// Endpoints in all its conferences.
    #[must_use]
    pub fn endpoints(&self) -> usize {
        let shard = self.controller.shard();
        let meetings = self.controller.meetings();
        meetings
            .filter_map(|(_, id)| shard.conference_stats(id))
            .map(|stats| stats.endpoints)
            .sum()
    }

    /// It has logged in anew.
    pub(crate) fn attach(&mut self, now: Instant) {
        self.joined = false;
        self.next_presence = now;
    }

    /// Answers a stanza.
    pub(crate) fn handle_stanza(&mut self, now: Instant, stanza: &Element) -> Option<Element> {
        if !iq::is_request(stanza) {
            return None;
        }
        if stanza.children().any(People::is_asked) {
            return Some(iq::result_to(
                stanza,
                Some(Element::from(&self.people(now))),
            ));
        }
        let modify = stanza.children().next().map(ConferenceModify::try_from);
        let Some(Ok(request)) = modify else {
            // Other health checks, and pings.
            return Some(iq::result_to(stanza, None));
        };
        let unique = |t: &stanza::colibri2::Transport| t.use_unique_port;
        if request
            .relays
            .iter()
            .any(|r| r.create && r.transport.as_ref().is_some_and(unique))
        {
            let own = SocketAddr::new(self.address.ip(), self.next_port);
            self.next_port += 1;
            self.controller.spare_addresses(vec![own]);
        }
        let answer = self.controller.modify(now, &request, true);
        Some(match answer.result {
            Ok(modified) => iq::result_to(stanza, Some(Element::from(&modified))),
            Err(error) => ErrorAnswer::reply_to(&error, stanza),
        })
    }

    /// Whom it hears, as the host of a bridge says it.
    fn people(&self, now: Instant) -> People {
        let mut people = People::default();
        for (meeting, id) in self.controller.meetings() {
            let shard = self.controller.shard();
            let broken = shard.broken_relays(now, id).into_iter();
            people.broken.extend(broken.map(|relay| BrokenRelay {
                meeting_id: meeting.to_owned(),
                relay: relay.as_str().to_owned(),
            }));
            let hearing = shard.hearing(now, id).unwrap_or_default();
            people.here += hearing.here;
            people.unheard += hearing.unheard;
            people.lossy += hearing.lossy;
            if hearing.here > 0 && hearing.unheard == hearing.here {
                people.silent.push(SilentMeeting {
                    meeting_id: meeting.to_owned(),
                    here: hearing.here,
                });
            }
        }
        people
    }

    /// The presence to send, when it is due.
    pub(crate) fn presence(&mut self, now: Instant) -> Option<Element> {
        if now < self.next_presence {
            return None;
        }
        self.next_presence = now + PRESENCE_INTERVAL;
        let mut stats = BridgeStats::default();
        stats.push(stat::STRESS_LEVEL, STRESS * self.endpoints() as f64);
        stats.push(stat::AVERAGE_PARTICIPANT_STRESS, STRESS);
        stats.push(stat::LOCAL_ENDPOINTS, self.endpoints());
        stats.push(stat::VERSION, "world");
        stats.push(stat::HEALTHY, true);
        stats.push(stat::DRAIN, self.drain);
        stats.push(stat::MEDIA, self.address);
        stats.push(stat::EACH_KEY_FRAME, true);
        stats.push(stat::RELAY_ID, format!("relay-of-{}", self.name));
        let presence = element("presence", ns::CLIENT)
            .attr("to", format!("{}/{}", self.brewery, self.name))
            .children((!self.joined).then(|| element("x", muc::NS)))
            .child(Element::from(&stats))
            .done();
        self.joined = true;
        Some(presence)
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.controller
            .poll_timeout()
            .map_or(self.next_presence, |at| at.min(self.next_presence))
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.controller.poll_timeout().is_some_and(|at| at <= now) {
            self.controller.handle_timeout(now);
        }
    }

    /// Hands every datagram that is ready to `send`.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        mut send: impl FnMut(SocketAddr, SocketAddr, &[u8]),
    ) {
        loop {
            while let Some(output) = self.controller.poll_output(now) {
                if let Output::Note(note) = output {
                    self.notes.push(note);
                }
            }
            let more = self.controller.poll_transmit(now, &mut self.egress);
            for run in self.egress.runs() {
                for segment in self.egress.segments(run) {
                    send(run.from, run.to, segment);
                }
            }
            self.egress.clear();
            if !more {
                return;
            }
        }
    }
}
