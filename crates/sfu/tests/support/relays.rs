//! Bridges with relays to each other. What goes over their channels is carried as plain values, at once.

use super::joining::payload;
use super::{AV1, DESCRIPTOR, H264, OPUS, RTX, VP8, VP9};
use super::{CONFERENCE, World, address_of, endpoint_id};
use rtc::{RemoteParameters, Setup};
use sfu::*;
use sim::LinkSpec;
use std::net::SocketAddr;

/// What a bridge is called by the others.
pub fn relay_id(at: usize) -> RelayId {
    RelayId::new(&format!("b{at}")).unwrap()
}

fn number(relay: &RelayId) -> usize {
    relay.as_str()[1..].parse().unwrap()
}

impl World {
    /// One conference over several bridges, without relays yet.
    pub fn apart(bridges: usize, link: LinkSpec, seed: u64) -> Self {
        let mut world = Self::with(1, link, seed, |config| config.bandwidth.start = 20_000_000);
        world.apart = true;
        for at in 1..bridges {
            let address = address_of(world.bridge, true, at);
            let mut config = ShardConfig::new(world.certificate.clone(), vec![address]);
            config.bandwidth.start = 20_000_000;
            let mut shard = Shard::new(config, [seed as u8 + at as u8; 32]);
            let spec = ConferenceSpec {
                id: CONFERENCE,
                meeting_id: "m".into(),
                name: None,
                part: None,
            };
            shard.create_conference(world.now, spec).unwrap();
            world.others.push(shard);
        }
        world
    }

    /// Relays between two bridges, as the focus makes them: the elder one has a port for this alone. People who are there are
    /// behind them.
    pub fn relate(&mut self, elder: usize, newer: usize, mesh: &str) {
        let own = SocketAddr::from(([10, 0, 0, 1 + elder as u8], 20_000 + newer as u16));
        let now = self.now;
        let spec = |id: usize, first: bool| {
            RelaySpec {
            id: relay_id(id),
            mesh: Some(mesh.to_owned()),
            payload_types: vec![
                payload(VP8, MediaKind::Video, "VP8"),
                payload(RTX, MediaKind::Video, "rtx"),
                payload(VP9, MediaKind::Video, "VP9"),
                payload(H264, MediaKind::Video, "H264"),
                payload(AV1, MediaKind::Video, "AV1"),
                payload(OPUS, MediaKind::Audio, "opus"),
            ],
            header_extensions: [
                (1, "urn:ietf:params:rtp-hdrext:ssrc-audio-level"),
                (5, "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"),
                (
                    DESCRIPTOR,
                    "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
                ),
            ]
            .map(|(id, uri)| HeaderExtension {
                id,
                uri: uri.into(),
            })
            .to_vec(),
            sctp: Some(match first {
                true => RelayChannel::Opened,
                false => RelayChannel::Awaited,
            }),
            ice_controlling: first,
            addresses: first.then_some(own).into_iter().collect(),
        }
        };
        let at_elder = self
            .shard_at(elder)
            .create_relay(now, CONFERENCE, &spec(newer, true))
            .unwrap();
        let at_newer = self
            .shard_at(newer)
            .create_relay(now, CONFERENCE, &spec(elder, false))
            .unwrap();
        let remote = |l: LocalParameters, setup| RemoteParameters {
            credentials: Some((l.ufrag, l.pwd)),
            candidates: l.candidates,
            fingerprints: vec![l.fingerprint],
            setup: Some(setup),
            ..RemoteParameters::default()
        };
        self.shard_at(elder)
            .set_relay_remote(
                now,
                CONFERENCE,
                &relay_id(newer),
                remote(at_newer, Setup::Active),
            )
            .unwrap();
        self.shard_at(newer)
            .set_relay_remote(
                now,
                CONFERENCE,
                &relay_id(elder),
                remote(at_elder, Setup::Passive),
            )
            .unwrap();
    }

    /// Tells a bridge what the people of another one publish, who are reached by its relay to `by`.
    pub fn announce(&mut self, to: usize, by: usize, of: usize) {
        let now = self.now;
        let people: Vec<(EndpointId, Vec<Source>)> = self
            .clients
            .iter()
            .filter(|c| c.at == of)
            .map(|c| {
                let mut sources: Vec<Source> = Source::from_groups(
                    super::source_name(&format!("{}-a0", c.id)),
                    MediaKind::Audio,
                    VideoType::Camera,
                    &[c.audio_ssrc],
                    &[],
                )
                .into_iter()
                .collect();
                sources.extend(c.camera.as_ref().map(|k| k.source(&format!("{}-v0", c.id))));
                (c.id.clone(), sources)
            })
            .collect();
        for (endpoint, sources) in people {
            self.shard_at(to)
                .set_relayed(now, CONFERENCE, &relay_id(by), &endpoint, Some(sources))
                .unwrap();
        }
    }

    /// All bridges in one mesh, with everybody announced.
    pub fn mesh(&mut self) {
        let bridges = self.others.len() + 1;
        for newer in 1..bridges {
            for elder in 0..newer {
                self.relate(elder, newer, "0");
            }
        }
        for to in 0..bridges {
            for of in (0..bridges).filter(|of| *of != to) {
                self.announce(to, of, of);
            }
        }
    }

    /// A message of a client for one other, or for everybody.
    pub fn say(&mut self, client: usize, to: Option<&str>, json: &str) {
        let (at, now) = (self.clients[client].at, self.now);
        let text = Text {
            from: self.clients[client].id.clone(),
            to: to.map(endpoint_id),
            stats: false,
            json: json.into(),
        };
        self.shard_at(at).tell_text(now, CONFERENCE, &text);
    }

    /// Does what control does with events about relays; other events come back.
    pub(super) fn relay_event(&mut self, at: usize, event: Event) -> Option<Event> {
        let now = self.now;
        match event {
            Event::RelayChannelOpen { relay, .. } => {
                self.shard_at(at).relay_opened(now, CONFERENCE, &relay);
            }
            Event::RelayNotice { relay, notice, .. } => {
                let own = relay_id(at);
                let other = self.shard_at(number(&relay));
                match notice {
                    RelayNotice::Demand { source, max_height } => {
                        other.set_relay_wish(now, CONFERENCE, &own, source, max_height);
                    }
                    RelayNotice::Shows {
                        source, video_type, ..
                    } => {
                        other.set_relayed_video_type(now, CONFERENCE, &own, source, video_type);
                    }
                    RelayNotice::Connectivity { endpoint, active } => {
                        other.set_relayed_activity(now, CONFERENCE, &own, &endpoint, active);
                    }
                    RelayNotice::Text(text) => {
                        other.hear_relayed(now, CONFERENCE, &own, &text);
                    }
                    _ => {}
                }
            }
            event => return Some(event),
        }
        None
    }
}
