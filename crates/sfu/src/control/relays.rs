//! Relays to other bridges: what colibri2 asks of them, and the messages on their channels.

use std::sync::Arc;
use std::time::Instant;

use channel::{
    AddReceiver, BridgeMessage, ConnectivityStatus, RelayMessage, RelayedVideoType, ServerHello,
    VideoConstraints,
};
use stanza::colibri2::{Endpoint, ErrorAnswer, Relay, Sctp, SctpRole, Transport};

use super::answers::{SCTP_PORT, bad_request, control_error};
use super::output::Note;
use super::{Controller, Neighbour, convert};
use crate::media::{
    ConferenceId, ControlError, EndpointId, RelayChannel, RelayId, RelayNotice, RelaySpec,
    SourceName, Text,
};

impl Controller {
    /// Does what a request asks of a relay; the answer about it.
    pub(super) fn modify_relay(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        request: &Relay,
    ) -> Result<Relay, ErrorAnswer> {
        let id = RelayId::new(&request.id).ok_or_else(|| bad_request("Bad relay id"))?;
        let mut answer = Relay {
            id: request.id.clone(),
            ..Relay::default()
        };
        if request.expire {
            self.shard.expire_relay(now, conference, &id);
            self.forget_relay(conference, &id);
            answer.expire = true;
            return Ok(answer);
        }
        let known = self.neighbour(conference, &id).is_some();
        if request.create {
            if known {
                return Err(ErrorAnswer::plain(
                    "conflict",
                    format!("Relay already exists: {id}"),
                ));
            }
            answer.transport = Some(self.create_relay(now, conference, &id, request)?);
        } else if !known {
            return Err(bad_request(format!("Relay not found: {id}")));
        }
        let ice = request.transport.as_ref().and_then(|t| t.ice.as_ref());
        if let Some(ice) = ice {
            let remote = convert::remote(ice);
            self.shard
                .set_relay_remote(now, conference, &id, remote)
                .map_err(control_error)?;
        }
        for endpoint in &request.endpoints {
            self.modify_relayed(now, conference, &id, endpoint)?;
        }
        Ok(answer)
    }

    fn create_relay(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        id: &RelayId,
        request: &Relay,
    ) -> Result<Transport, ErrorAnswer> {
        if self.config.relay_id.is_none() {
            return Err(ErrorAnswer::plain(
                "feature-not-implemented",
                "Relays are not enabled",
            ));
        }
        let transport = request
            .transport
            .as_ref()
            .ok_or_else(|| bad_request("No transport for a new relay"))?;
        let sctp = transport.sctp.filter(|_| self.config.sctp);
        let Some(sctp) = sctp else {
            return Err(ErrorAnswer::plain(
                "feature-not-implemented",
                "Bridges speak to each other on data channels: SCTP must be enabled on both and asked for",
            ));
        };
        if sctp.port.is_some_and(|port| port != SCTP_PORT) {
            return Err(bad_request("The SCTP port must be 5000"));
        }
        let role = sctp.role.unwrap_or(SctpRole::Server);
        let own = transport.use_unique_port.then(|| self.spare.pop());
        let addresses = own.flatten().unwrap_or_default();
        let (payload_types, header_extensions) = convert::media(&request.media);
        let spec = RelaySpec {
            id: id.clone(),
            mesh: request.mesh_id.clone(),
            payload_types,
            header_extensions,
            sctp: Some(match role {
                SctpRole::Client => RelayChannel::Opened,
                SctpRole::Server => RelayChannel::Awaited,
            }),
            ice_controlling: transport.ice_controlling,
            addresses: addresses.clone(),
        };
        let created = self.shard.create_relay(now, conference, &spec);
        let local = match created {
            Ok(local) => local,
            Err(error) => {
                self.free(addresses);
                return Err(control_error(error));
            }
        };
        if let Some(meeting) = self.meetings.get_mut(&conference) {
            let neighbour = Neighbour {
                open: false,
                addresses,
            };
            meeting.neighbours.insert(id.clone(), neighbour);
        }
        self.note(Note::RelayCreated(conference, id.clone()));
        // As Jitsi's bridge answers: the role of the other one.
        let theirs = match role {
            SctpRole::Client => SctpRole::Server,
            SctpRole::Server => SctpRole::Client,
        };
        Ok(Transport {
            ice: Some(convert::local(&local, false)),
            sctp: Some(Sctp {
                role: Some(theirs),
                port: Some(SCTP_PORT),
            }),
            ..Transport::default()
        })
    }

    fn modify_relayed(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        request: &Endpoint,
    ) -> Result<(), ErrorAnswer> {
        let id = EndpointId::new(&request.id).ok_or_else(|| bad_request("Bad endpoint id"))?;
        if request.expire {
            self.shard.expire_relayed(now, conference, relay, &id);
            return Ok(());
        }
        let sources = request.sources.as_deref().map(convert::sources);
        match self.shard.set_relayed(now, conference, relay, &id, sources) {
            Ok(()) => Ok(()),
            // What clients have caused, and what is on its way from one bridge to another, is no fault of the request.
            Err(e @ (ControlError::SsrcConflict | ControlError::Exists)) => {
                self.note(Note::Ignored(conference, id, e.to_string()));
                Ok(())
            }
            Err(e) => Err(control_error(e)),
        }
    }

    fn neighbour(&mut self, conference: ConferenceId, relay: &RelayId) -> Option<&mut Neighbour> {
        let meeting = self.meetings.get_mut(&conference)?;
        meeting.neighbours.get_mut(relay)
    }

    fn forget_relay(&mut self, conference: ConferenceId, relay: &RelayId) {
        let meeting = self.meetings.get_mut(&conference);
        let neighbour = meeting.and_then(|m| m.neighbours.remove(relay));
        self.free(neighbour.map(|n| n.addresses).unwrap_or_default());
    }

    /// The channel to another bridge opened.
    pub(super) fn relay_channel_opened(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
    ) {
        if let Some(neighbour) = self.neighbour(conference, relay) {
            neighbour.open = true;
            self.note(Note::RelayChannelOpened(conference, relay.clone()));
            self.shard.relay_opened(now, conference, relay);
        }
    }

    /// Another bridge said something.
    pub(super) fn handle_relay_text(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        text: &str,
    ) {
        match RelayMessage::parse(text) {
            Err(_) => self.stats.invalid += 1,
            Ok(message) => self.handle_relay_message(now, conference, relay, message),
        }
    }

    fn handle_relay_message(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        message: RelayMessage,
    ) {
        match message {
            RelayMessage::ClientHello => {
                let hello = RelayMessage::ServerHello(ServerHello {
                    version: self.config.version.clone(),
                });
                self.send_relay(now, conference, relay, &hello.to_json());
            }
            RelayMessage::ServerHello(_) => {}
            RelayMessage::AddReceiver(m) => {
                if let Some(source) = SourceName::new(&m.source_name) {
                    let height = match m.video_constraints.max_frame_rate == 0.0 {
                        true => 0,
                        false => m.video_constraints.max_height,
                    };
                    self.shard
                        .set_relay_wish(now, conference, relay, source, height);
                }
            }
            RelayMessage::SourceVideoType(m) => {
                if let Some(source) = SourceName::new(&m.source_name) {
                    let kind = convert::plain_video_type(m.video_type);
                    self.shard
                        .set_relayed_video_type(now, conference, relay, source, kind);
                }
            }
            RelayMessage::ConnectivityStatus(m) => {
                if let Some(endpoint) = EndpointId::new(&m.endpoint) {
                    self.shard
                        .set_relayed_activity(now, conference, relay, &endpoint, m.active);
                }
            }
            RelayMessage::EndpointMessage(m) => {
                let (from, to) = (m.from.clone(), m.to.trim().to_owned());
                let json = BridgeMessage::EndpointMessage(m).to_json().into();
                self.hear_relayed(now, conference, relay, (from, &to), false, json);
            }
            RelayMessage::EndpointStats(m) => {
                let from = m.from.clone();
                let json = BridgeMessage::EndpointStats(m).to_json().into();
                self.hear_relayed(now, conference, relay, (from, ""), true, json);
            }
            RelayMessage::SyntheticSourceSending(_) | RelayMessage::Unknown(_) => {
                self.stats.unknown += 1;
            }
        }
    }

    fn hear_relayed(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        (from, to): (Option<String>, &str),
        stats: bool,
        json: Arc<str>,
    ) {
        let from = from.and_then(|from| EndpointId::new(&from));
        let receiver = EndpointId::new(to);
        let known = from.filter(|_| to.is_empty() || receiver.is_some());
        let heard = known.is_some_and(|from| {
            let text = Text {
                from,
                to: receiver,
                stats,
                json,
            };
            self.shard.hear_relayed(now, conference, relay, &text)
        });
        self.stats.forbidden += u64::from(!heard);
    }

    /// Tells another bridge something.
    pub(super) fn relay_notice(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        relay: &RelayId,
        notice: RelayNotice,
    ) {
        let message = match notice {
            RelayNotice::Demand { source, max_height } => RelayMessage::AddReceiver(AddReceiver {
                bridge_id: self.config.relay_id.clone().unwrap_or_default(),
                source_name: source.as_str().to_owned(),
                video_constraints: VideoConstraints::height(max_height),
            }),
            RelayNotice::Shows {
                source,
                owner,
                video_type,
            } => RelayMessage::SourceVideoType(RelayedVideoType {
                video_type: convert::wire_video_type(video_type),
                source_name: source.as_str().to_owned(),
                endpoint_id: owner.as_str().to_owned(),
            }),
            RelayNotice::Connectivity { endpoint, active } => {
                RelayMessage::ConnectivityStatus(ConnectivityStatus {
                    endpoint: endpoint.as_str().to_owned(),
                    active,
                })
            }
            RelayNotice::Text(text) => {
                return self.send_relay(now, conference, relay, &text.json);
            }
        };
        self.send_relay(now, conference, relay, &message.to_json());
    }

    /// Sends to another bridge. What it must know is said again when the channel opens.
    fn send_relay(&mut self, now: Instant, conference: ConferenceId, relay: &RelayId, text: &str) {
        let open = self.neighbour(conference, relay).is_some_and(|n| n.open);
        if open && !self.shard.send_relay(now, conference, relay, text) {
            self.stats.no_channel += 1;
        }
    }
}
