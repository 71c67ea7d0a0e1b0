//! A conference as a snapshot keeps it, and back.
use std::collections::BTreeMap;
use std::time::Instant;

use stanza::colibri2::ForceMute;
use stanza::jitsi::conference::ConferenceRequest;
use stanza::jitsi::mute::MuteMedia;
use stanza::jitsi::presence::ParticipantInfo;
use stanza::muc::Item;
use stanza::{BareJid, FullJid, Jid};

use super::member::Session;
use super::{Conference, Member, Phase, Stay};
use crate::config::FocusConfig;
use crate::features::Features;
use crate::snapshot::{ConferenceRecord, MemberRecord, SessionRecord, StayRecord};
use crate::sources::SourceSet;

/// Longest id or name that is believed.
const MAX_TEXT: usize = 1_024;
/// Bridges of one conference that are believed.
const MAX_FURTHER: usize = 64;
/// Properties of a conference that are believed.
const MAX_PROPERTIES: usize = 64;

impl Conference {
    /// What another focus needs to go on with it; `None` while the room is joined for the first time, and at the end.
    pub(crate) fn record(&self) -> Option<ConferenceRecord> {
        match self.phase {
            Phase::Ready | Phase::Returning => {}
            Phase::Joining if self.adopting => {}
            Phase::Joining | Phase::Over(_) => return None,
        }
        let name = |media: &MuteMedia| media.name().to_owned();
        Some(ConferenceRecord {
            room: self.room.to_string(),
            meeting_id: self.meeting_id.clone(),
            place: self.place.clone(),
            rtcstats: self.rtcstats,
            start_audio_muted_after: self.start_audio_muted_after,
            start_video_muted_after: self.start_video_muted_after,
            start_audio_muted: self.start_audio_muted,
            start_video_muted: self.start_video_muted,
            is_breakout: self.is_breakout,
            properties: self.info.properties.clone(),
            bridge_not_available: self.info.bridge_not_available,
            moderated: self.moderation.enabled.iter().map(name).collect(),
            allowed: {
                let allowed = self.moderation.allowed.iter();
                allowed
                    .map(|(media, nicks)| (name(media), nicks.clone()))
                    .collect()
            },
            stay: self.stay.as_ref().map(Stay::record),
            further: self.further.iter().map(Stay::record).collect(),
            relays: self.mesh.record(),
            leaves: {
                let leaves = self.mesh.topology.leaves();
                leaves
                    .map(|(leaf, parent)| (leaf.to_owned(), parent.to_owned()))
                    .collect()
            },
            standby: self.standby.as_ref().map(Stay::record),
            members: self
                .members
                .iter()
                .map(|(nick, member)| self.member_record(nick, member))
                .collect(),
        })
    }

    fn member_record(&self, nick: &str, member: &Member) -> MemberRecord {
        let sources = self.sources.of(nick).map(SourceSet::to_record);
        MemberRecord {
            nick: nick.to_owned(),
            jid: member.jid.as_ref().map(ToString::to_string),
            order: member.order,
            features: member.features,
            recorder: member.recorder,
            gateway: member.gateway,
            released: member.released,
            invited_before: member.invited_before,
            mute_audio: member.force_mute.audio,
            mute_video: member.force_mute.video,
            session: member.session.as_ref().map(|session| SessionRecord {
                sid: session.sid.clone(),
                stay: session.stay.clone(),
                active: session.active,
                stale: session.stale,
                ice_generation: session.ice_generation,
            }),
            sources: sources.unwrap_or_default(),
        }
    }

    /// A conference on its way back into its room. The record is not trusted: what is wrong is said in words.
    pub(crate) fn from_record(
        now: Instant,
        config: &FocusConfig,
        record: &ConferenceRecord,
    ) -> Result<Self, String> {
        let room = BareJid::new(&record.room).map_err(|error| format!("its room: {error}"))?;
        if !config.serves(&room) {
            return Err("its room is not served".to_owned());
        }
        check_texts([&record.meeting_id].into_iter().chain(&record.place))?;
        check_texts(
            record
                .properties
                .iter()
                .flat_map(|(key, value)| [key, value]),
        )?;
        if record.properties.len() > MAX_PROPERTIES {
            return Err("it has too many properties".to_owned());
        }
        if record.members.len() > config.max_participants {
            return Err("it has too many members".to_owned());
        }
        let request = ConferenceRequest::new(room);
        let mut conference = Self::empty(&request, record.meeting_id.clone());
        conference.phase = Phase::Returning;
        conference.place = record.place.clone();
        conference.rtcstats = record.rtcstats;
        conference.start_audio_muted_after = record.start_audio_muted_after;
        conference.start_video_muted_after = record.start_video_muted_after;
        conference.start_audio_muted = record.start_audio_muted;
        conference.start_video_muted = record.start_video_muted;
        conference.is_breakout = record.is_breakout;
        conference.info.properties = record.properties.clone();
        conference.info.bridge_not_available = record.bridge_not_available;
        conference.read_moderation(record);
        conference.stay = record
            .stay
            .as_ref()
            .map(|stay| Stay::from_record(config, stay))
            .transpose()?;
        for stay in record.further.iter().take(MAX_FURTHER) {
            conference.further.push(Stay::from_record(config, stay)?);
        }
        conference.standby = record
            .standby
            .as_ref()
            .map(|stay| Stay::from_record(config, stay))
            .transpose()?;
        conference.assume_relays(now, &record.relays, &record.leaves);
        for member in &record.members {
            conference.read_member(config, member)?;
        }
        conference.assume_told(config);
        Ok(conference)
    }

    fn read_moderation(&mut self, record: &ConferenceRecord) {
        let named = |name: &String| MuteMedia::from_name(name);
        let moderation = &mut self.moderation;
        moderation.enabled = record.moderated.iter().filter_map(named).collect();
        let allowed = record.allowed.iter();
        moderation.allowed = allowed
            .filter_map(|(name, nicks)| Some((named(name)?, nicks.clone())))
            .collect();
    }

    fn read_member(&mut self, config: &FocusConfig, record: &MemberRecord) -> Result<(), String> {
        let nick = &record.nick;
        let jid = record.jid.as_deref().map(Jid::new).transpose();
        let jid = jid.map_err(|error| format!("the address of a member: {error}"))?;
        let valid =
            FullJid::new(&self.occupant(nick)).is_ok_and(|jid| jid.resource().as_str() == nick);
        if !valid || self.members.contains_key(nick) {
            return Err("the name of a member is wrong".to_owned());
        }
        let item = Item {
            jid,
            ..Item::default()
        };
        let mut member = Member::new(&item, ParticipantInfo::default(), record.order);
        member.seen = false;
        member.features = record.features;
        member.recorder = record.recorder;
        member.gateway = record.gateway;
        member.released = record.released;
        member.invited_before = record.invited_before;
        member.force_mute = ForceMute {
            audio: record.mute_audio,
            video: record.mute_video,
        };
        if let Some(session) = &record.session {
            check_texts([&session.sid, &session.stay])?;
            member.session = Some(Session {
                sid: session.sid.clone(),
                stay: session.stay.clone(),
                active: session.active,
                stale: session.stale,
                doubtful: false,
                ice_generation: session.ice_generation,
                signalled: BTreeMap::new(),
            });
        }
        self.members.insert(nick.clone(), member);
        let sources = SourceSet::from_record(nick, &record.sources);
        sources
            .and_then(|sources| self.sources.add(nick, sources, config.max_ssrcs_per_user))
            .map_err(|error| format!("the sources of a member: {error}"))
    }

    /// Those who learn sources from the focus are taken to know what it knew.
    fn assume_told(&mut self, config: &FocusConfig) {
        for (nick, member) in self.members.details_mut() {
            let told = member.is_told_sources();
            let features = member.features.unwrap_or(Features::ASSUMED);
            let Some(session) = member.session.as_mut().filter(|_| told) else {
                continue;
            };
            let filter = |set: &SourceSet| {
                set.filtered(features.audio, features.video, config.strip_simulcast)
            };
            let others = self.sources.owners().filter(|(owner, _)| *owner != nick);
            session.signalled = others
                .map(|(owner, set)| (owner.clone(), filter(set)))
                .filter(|(_, set)| !set.is_empty())
                .collect();
        }
    }
}

impl Stay {
    fn record(&self) -> StayRecord {
        StayRecord {
            id: self.id.clone(),
            bridge: self.bridge.to_string(),
            region: self.region.clone(),
            relay: self.relay.clone(),
            created: self.created,
            endpoints: self.endpoints.clone(),
        }
    }

    fn from_record(config: &FocusConfig, record: &StayRecord) -> Result<Self, String> {
        let bridge =
            FullJid::new(&record.bridge).map_err(|error| format!("its bridge: {error}"))?;
        if bridge.to_bare() != config.brewery {
            return Err("its bridge is not in the brewery".to_owned());
        }
        check_texts([&record.id].into_iter().chain(&record.endpoints))?;
        check_texts(record.region.iter().chain(&record.relay))?;
        Ok(Self {
            id: record.id.clone(),
            bridge,
            region: record.region.clone(),
            relay: record.relay.clone(),
            created: record.created,
            endpoints: record.endpoints.clone(),
            why: "it was there before the focus".to_owned(),
            feedback: None,
            errors: 0,
        })
    }
}

fn check_texts<'a>(texts: impl IntoIterator<Item = &'a String>) -> Result<(), String> {
    let good = |text: &String| text.len() <= MAX_TEXT && !text.chars().any(char::is_control);
    match texts.into_iter().all(good) {
        true => Ok(()),
        false => Err("a text is too long or holds control characters".to_owned()),
    }
}
