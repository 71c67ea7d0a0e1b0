//! The bridge's side of colibri2: what each request does and how it is answered.

use std::time::Instant;

use rand::Rng;
use stanza::BareJid;
use stanza::colibri2::{
    ConferenceModified, ConferenceModify, Endpoint, ErrorAnswer, Reason, Sctp, SctpRole, Transport,
    capability,
};

use super::answers::{SCTP_PORT, bad_request, control_error, not_implemented};
use super::output::Note;
use super::{Bucket, Controller, Meeting, Member, convert};
use crate::media::{
    ChannelPath, ConferenceId, ConferenceSpec, ControlError, EndpointId, EndpointSpec,
    EndpointUpdate, LocalParameters, Part,
};

/// The answer to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// What to send back.
    pub result: Result<ConferenceModified, ErrorAnswer>,
    /// The conference's id, if it exists after the request.
    pub conference: Option<ConferenceId>,
}

impl Controller {
    /// Handles a request. `accept_new`: conferences may be created (no graceful shutdown is under way).
    ///
    /// There is no rollback: what was done before an error stays.
    pub fn modify(&mut self, now: Instant, request: &ConferenceModify, accept_new: bool) -> Answer {
        self.modify_part(now, request, accept_new, None)
    }

    /// The same where other shards may have parts of the conference. A request that creates an endpoint makes this
    /// shard's part of a conference that exists elsewhere.
    pub fn modify_part(
        &mut self,
        now: Instant,
        request: &ConferenceModify,
        accept_new: bool,
        part: Option<Part>,
    ) -> Answer {
        self.stats.requests += 1;
        let result = self
            .find_or_create(now, request, accept_new, part)
            .and_then(|id| {
                let modified = self.modify_conference(now, id, request)?;
                let empty = self.shard.is_deserted(id);
                if request.expire || (!request.create && empty) {
                    self.end_conference(now, id);
                }
                Ok(modified)
            });
        if result.is_err() {
            self.stats.request_errors += 1;
        }
        Answer {
            result,
            conference: self.by_meeting_id.get(&request.meeting_id).copied(),
        }
    }

    fn find_or_create(
        &mut self,
        now: Instant,
        request: &ConferenceModify,
        accept_new: bool,
        part: Option<Part>,
    ) -> Result<ConferenceId, ErrorAnswer> {
        let known = self.by_meeting_id.get(&request.meeting_id).copied();
        match (request.create, known) {
            (false, Some(id)) => Ok(id),
            (false, None)
                if part.as_ref().is_some_and(|p| p.exists)
                    && request.endpoints.iter().any(|e| e.create) =>
            {
                self.create_conference(now, request, part)
            }
            (false, None) => Err(ErrorAnswer::marked(
                "item-not-found",
                Reason::ConferenceNotFound,
                "Conference not found",
            )),
            (true, Some(_)) => Err(ErrorAnswer::marked(
                "conflict",
                Reason::ConferenceAlreadyExists,
                "Conference already exists",
            )),
            (true, None) if !accept_new => Err(ErrorAnswer::marked(
                "service-unavailable",
                Reason::GracefulShutdown,
                "No new conferences during shutdown",
            )),
            (true, None) => self.create_conference(now, request, part),
        }
    }

    fn create_conference(
        &mut self,
        now: Instant,
        request: &ConferenceModify,
        part: Option<Part>,
    ) -> Result<ConferenceId, ErrorAnswer> {
        if let Some(name) = &request.name
            && BareJid::new(name).is_err()
        {
            return Err(bad_request("The conference name is not a bare JID"));
        }
        let mut id = ConferenceId(0);
        while id.0 == 0 || self.meetings.contains_key(&id) {
            id = ConferenceId((self.rng.next_u64() & !0xff) | u64::from(self.config.shard));
        }
        let spec = ConferenceSpec {
            id,
            meeting_id: request.meeting_id.clone(),
            name: request.name.clone(),
            part,
        };
        self.shard
            .create_conference(now, spec)
            .map_err(control_error)?;
        self.meetings.insert(
            id,
            Meeting {
                meeting_id: request.meeting_id.clone(),
                members: Default::default(),
                neighbours: Default::default(),
            },
        );
        self.by_meeting_id.insert(request.meeting_id.clone(), id);
        self.note(Note::ConferenceCreated(id));
        Ok(id)
    }

    fn modify_conference(
        &mut self,
        now: Instant,
        id: ConferenceId,
        request: &ConferenceModify,
    ) -> Result<ConferenceModified, ErrorAnswer> {
        check_shape(request)?;
        let only_expires = request.endpoints.iter().all(|e| e.expire);
        let only_mutes = request.endpoints.iter().all(only_force_mute);
        let mut modified = ConferenceModified::default();
        for endpoint in &request.endpoints {
            let tolerant = only_expires || only_mutes;
            modified
                .endpoints
                .push(self.modify_endpoint(now, id, endpoint, tolerant)?);
        }
        if let Some(connects) = &request.connects
            && connects.children().next().is_some()
        {
            return Err(not_implemented(
                "This bridge has no exporters to other services",
            ));
        }
        for relay in &request.relays {
            modified.relays.push(self.modify_relay(now, id, relay)?);
        }
        if request.create || request.endpoints.iter().any(|e| e.create && !e.expire) {
            modified.sources = self
                .shard
                .feedback_sources(id)
                .map(convert::feedback_sources);
        }
        Ok(modified)
    }

    fn modify_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        request: &Endpoint,
        tolerant: bool,
    ) -> Result<Endpoint, ErrorAnswer> {
        let id = EndpointId::new(&request.id).ok_or_else(|| bad_request("Bad endpoint id"))?;
        let mut answer = Endpoint::bare(request.id.clone());
        if request.expire {
            let _ = self.shard.expire_endpoint(now, conference, &id);
            self.forget_endpoint(conference, &id);
            answer.expire = true;
            return Ok(answer);
        }
        let known = self.member(conference, &id).is_some();
        if request.create {
            if known {
                return Err(ErrorAnswer::plain(
                    "conflict",
                    format!("Endpoint already exists: {id}"),
                ));
            }
            answer.transport = Some(self.create_endpoint(now, conference, &id, request)?);
            return Ok(answer);
        }
        if !known {
            if tolerant {
                return Ok(answer);
            }
            let mut error = ErrorAnswer::marked(
                "item-not-found",
                Reason::UnknownEndpoint,
                format!("Endpoint not found: {id}"),
            );
            error.endpoint = Some(request.id.clone());
            return Err(error);
        }
        answer.transport = self.update_endpoint(now, conference, &id, request)?;
        Ok(answer)
    }

    fn create_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        id: &EndpointId,
        request: &Endpoint,
    ) -> Result<Transport, ErrorAnswer> {
        let transport = request
            .transport
            .as_ref()
            .ok_or_else(|| bad_request("No transport for a new endpoint"))?;
        if !request.has_capability(capability::SOURCE_NAMES) {
            return Err(bad_request("Source names are required"));
        }
        let sctp = self.check_sctp(transport.sctp.as_ref())?;
        check_visitor(request, request.is_visitor())?;

        let (payload_types, header_extensions) = convert::media(&request.media);
        let spec = EndpointSpec {
            stats_id: request.stats_id.clone(),
            ssrc_rewriting: request.has_capability(capability::SSRC_REWRITING),
            sound_ahead: request.has_capability(capability::SOUND_AHEAD),
            private_addresses: self.config.private_addresses
                || request.has_capability(capability::PRIVATE_ADDRESSES),
            visitor: request.is_visitor(),
            payload_types: payload_types.clone(),
            header_extensions: header_extensions.clone(),
            initial_last_n: request.initial_last_n,
            sctp,
            ice_controlling: transport.ice_controlling,
            ..EndpointSpec::new(id.clone())
        };
        let local = self
            .shard
            .create_endpoint(now, conference, spec)
            .map_err(control_error)?;
        let password = self.random_password();
        let member = Member {
            visitor: request.is_visitor(),
            payload_types,
            header_extensions,
            password,
            data_channel: false,
            web_socket: None,
            active: ChannelPath::Data,
            bucket: Bucket::new(now),
            sctp,
        };
        if let Some(meeting) = self.meetings.get_mut(&conference) {
            meeting.members.insert(id.clone(), member);
        }
        self.note(Note::EndpointCreated(conference, id.clone()));
        self.apply(now, conference, id, request)?;
        Ok(self.describe(conference, id, &local, true))
    }

    fn check_sctp(&self, sctp: Option<&Sctp>) -> Result<bool, ErrorAnswer> {
        let Some(sctp) = sctp else { return Ok(false) };
        if !self.config.sctp {
            return Err(ErrorAnswer::plain(
                "feature-not-implemented",
                "SCTP is not enabled",
            ));
        }
        if sctp.role == Some(SctpRole::Client) {
            return Err(ErrorAnswer::plain(
                "feature-not-implemented",
                "The bridge is the SCTP server of an endpoint",
            ));
        }
        if sctp.port.is_some_and(|port| port != SCTP_PORT) {
            return Err(bad_request("The SCTP port must be 5000"));
        }
        Ok(true)
    }

    fn update_endpoint(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        id: &EndpointId,
        request: &Endpoint,
    ) -> Result<Option<Transport>, ErrorAnswer> {
        let Some(member) = self.member(conference, id) else {
            return Ok(None);
        };
        check_visitor(request, member.visitor)?;
        self.apply(now, conference, id, request)?;
        if !request.transport.as_ref().is_some_and(|t| t.ice_restart) {
            return Ok(None);
        }
        let update = EndpointUpdate {
            ice_restart: true,
            ..EndpointUpdate::default()
        };
        // A transport that cannot restart is no error of the request: the answer has no transport then.
        let local = self.shard.update_endpoint(now, conference, id, update).ok();
        Ok(local.map(|local| self.describe(conference, id, &local, false)))
    }

    /// Everything of an endpoint element that is the same on create and later.
    fn apply(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        id: &EndpointId,
        request: &Endpoint,
    ) -> Result<(), ErrorAnswer> {
        let mut update = EndpointUpdate {
            force_mute_audio: request.force_mute.map(|m| m.audio),
            force_mute_video: request.force_mute.map(|m| m.video),
            initial_last_n: request.initial_last_n,
            ..EndpointUpdate::default()
        };
        if !request.media.is_empty() && !request.create {
            self.add_media(conference, id, request, &mut update);
        }
        self.update(now, conference, id, update)?;
        if let Some(sources) = &request.sources {
            let update = EndpointUpdate {
                sources: Some(convert::sources(sources)),
                ..EndpointUpdate::default()
            };
            self.update(now, conference, id, update)?;
        }
        if let Some(ice) = request.transport.as_ref().and_then(|t| t.ice.as_ref()) {
            let update = EndpointUpdate {
                remote: Some(convert::remote(ice)),
                ..EndpointUpdate::default()
            };
            self.update(now, conference, id, update)?;
        }
        Ok(())
    }

    fn add_media(
        &mut self,
        conference: ConferenceId,
        id: &EndpointId,
        request: &Endpoint,
        update: &mut EndpointUpdate,
    ) {
        let Some(member) = self.member(conference, id) else {
            return;
        };
        let (payload_types, extensions) = convert::media(&request.media);
        for pt in payload_types {
            member.payload_types.retain(|known| known.id != pt.id);
            member.payload_types.push(pt);
        }
        for extension in extensions {
            if !member.header_extensions.contains(&extension) {
                member.header_extensions.push(extension);
            }
        }
        update.payload_types = Some(member.payload_types.clone());
        update.header_extensions = Some(member.header_extensions.clone());
    }

    /// Applies a change. What only the endpoint's own client can have caused (its SSRCs, its transport) does not fail
    /// the request: a focus would give up the whole bridge for all participants.
    fn update(
        &mut self,
        now: Instant,
        conference: ConferenceId,
        id: &EndpointId,
        update: EndpointUpdate,
    ) -> Result<(), ErrorAnswer> {
        match self.shard.update_endpoint(now, conference, id, update) {
            Ok(_) => Ok(()),
            Err(e @ (ControlError::SsrcConflict | ControlError::BadTransport)) => {
                self.note(Note::Ignored(conference, id.clone(), e.to_string()));
                Ok(())
            }
            Err(e) => Err(control_error(e)),
        }
    }

    fn describe(
        &mut self,
        conference: ConferenceId,
        id: &EndpointId,
        local: &LocalParameters,
        create: bool,
    ) -> Transport {
        let mut ice = convert::local(local, !create);
        let bases = self.config.web_socket_bases.clone();
        let mut sctp = None;
        if let Some(member) = self.member(conference, id)
            && create
        {
            sctp = member.sctp.then_some(Sctp {
                role: Some(SctpRole::Server),
                port: Some(SCTP_PORT),
            });
            ice.web_sockets = bases
                .iter()
                .map(|base| format!("{base}/{conference}/{id}?pwd={}", member.password))
                .collect();
        }
        Transport {
            ice: Some(ice),
            sctp,
            ..Transport::default()
        }
    }
}

/// The combinations of parts that a request may have.
fn check_shape(request: &ConferenceModify) -> Result<(), ErrorAnswer> {
    if !request.endpoints.is_empty() && !request.relays.is_empty() {
        return Err(not_implemented("Endpoints and relays in one request"));
    }
    let batchable = |e: &Endpoint| {
        !e.create && e.media.is_empty() && e.transport.is_none() && e.sources.is_none()
    };
    if request.endpoints.len() > 1 && !request.endpoints.iter().all(batchable) {
        return Err(not_implemented(
            "More than one endpoint in a request that creates or describes one",
        ));
    }
    if request.relays.len() > 1 {
        return Err(not_implemented("More than one relay in a request"));
    }
    Ok(())
}

fn only_force_mute(e: &Endpoint) -> bool {
    e.force_mute.is_some()
        && !e.create
        && !e.expire
        && e.media.is_empty()
        && e.transport.is_none()
        && e.sources.is_none()
        && e.initial_last_n.is_none()
}

fn check_visitor(request: &Endpoint, visitor: bool) -> Result<(), ErrorAnswer> {
    let sends = request.sources.as_ref().is_some_and(|s| !s.is_empty());
    if visitor && sends {
        return Err(bad_request("A visitor has no sources"));
    }
    Ok(())
}
