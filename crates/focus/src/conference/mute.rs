//! Muting by moderators, moderation of who may unmute, limits of senders.
use std::collections::BTreeSet;

use stanza::colibri2::{ConferenceModify, Endpoint, ForceMute};
use stanza::error::{Condition, StanzaError};
use stanza::jitsi::moderation::AvModeration;
use stanza::jitsi::mute::{Mute, MuteMedia};
use stanza::{Element, Jid, iq};

use super::{Conference, Phase};
use crate::context::Context;

impl Conference {
    fn is_forbidden(&self, media: MuteMedia, nick: &str) -> bool {
        let Some(member) = self.members.get(nick) else {
            return false;
        };
        !member.is_moderator()
            && !member.is_exempt_from_mute()
            && self.moderation.forbids(media, nick)
    }

    /// What the bridge shall drop of `nick`. Its video flag stands for camera and screen together.
    pub(super) fn force_mute_of(&self, nick: &str) -> ForceMute {
        ForceMute {
            audio: self.is_forbidden(MuteMedia::Audio, nick),
            video: self.is_forbidden(MuteMedia::Video, nick)
                && self.is_forbidden(MuteMedia::Desktop, nick),
        }
    }

    /// Tells the bridge whose force-mute changed.
    pub(super) fn refresh_force_mutes(&mut self, cx: &mut Context<'_>) {
        // On the way back into the room the roles of its people are not all known yet.
        if self.phase == Phase::Returning {
            return;
        }
        let members = self.members.iter();
        let stale = members
            .filter(|(nick, member)| member.seen && member.force_mute != self.force_mute_of(nick));
        let stale: BTreeSet<String> = stale.map(|(nick, _)| nick.clone()).collect();
        if stale.is_empty() {
            return;
        }
        for nick in &stale {
            let force_mute = self.force_mute_of(nick);
            if let Some(member) = self.members.get_mut(nick) {
                member.force_mute = force_mute;
            }
        }
        // Whoever changes bridges is on two of them for a while.
        let stays = self.stays().chain(&self.standby);
        let stays = stays.map(|stay| stay.id.clone());
        for stay in stays.collect::<Vec<_>>() {
            self.refresh_force_mutes_at(cx, &stay, &stale);
        }
    }

    fn refresh_force_mutes_at(
        &mut self,
        cx: &mut Context<'_>,
        stay: &str,
        stale: &BTreeSet<String>,
    ) {
        let Some(stay) = self.stay_by_id(stay) else {
            return;
        };
        let nicks: Vec<String> = stay.endpoints.intersection(stale).cloned().collect();
        let (bridge, stay) = (stay.bridge.clone(), stay.id.clone());
        let endpoints = nicks.iter().map(|nick| Endpoint {
            id: nick.clone(),
            force_mute: Some(self.force_mute_of(nick)),
            ..Endpoint::default()
        });
        let endpoints = endpoints.collect();
        if let Some(first) = nicks.first() {
            let modify = ConferenceModify {
                meeting_id: self.meeting_id.clone(),
                endpoints,
                ..ConferenceModify::default()
            };
            self.send_update(cx, first, &bridge, &stay, modify, false);
        }
    }

    /// A participant asks to mute somebody, or tells that it unmutes.
    pub(crate) fn on_mute(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        request: &Element,
        mute: &Mute,
    ) {
        match self.check_mute(nick, mute) {
            Ok(target) => {
                cx.io.answer(iq::result_to(request, None));
                if target != nick {
                    self.mute_client(cx, &target, mute.media, Jid::new(&self.occupant(nick)).ok());
                }
                self.refresh_force_mutes(cx);
            }
            Err((condition, text)) => {
                self.refused(cx, nick, format!("mute: {text}"));
                cx.io.answer(
                    StanzaError::new(condition)
                        .with_text(text)
                        .reply_to(request),
                );
            }
        }
    }

    fn check_mute(&self, nick: &str, mute: &Mute) -> Result<String, (Condition, &'static str)> {
        let (Some(jid), Some(value)) = (&mute.jid, mute.mute) else {
            return Err((
                Condition::BadRequest,
                "whom to mute, or whether to, is missing",
            ));
        };
        let target = jid
            .resource()
            .filter(|_| jid.to_bare() == self.room)
            .map(|nick| nick.as_str());
        let Some(requester) = self.members.get(nick) else {
            return Err((Condition::ItemNotFound, "not in the room"));
        };
        let Some((target, member)) =
            target.and_then(|target| Some((target, self.members.get(target)?)))
        else {
            return Err((Condition::ItemNotFound, "no such participant"));
        };
        let own = target == nick;
        if !own && !requester.is_moderator() {
            return Err((Condition::NotAllowed, "only moderators mute others"));
        }
        if !own && !value {
            return Err((Condition::NotAllowed, "others cannot be unmuted"));
        }
        if own && !value && self.is_forbidden(mute.media, nick) {
            return Err((Condition::NotAllowed, "a moderator must permit to unmute"));
        }
        if !own && member.is_exempt_from_mute() {
            return Err((Condition::NotAllowed, "this participant cannot be muted"));
        }
        Ok(target.to_owned())
    }

    fn mute_client(&self, cx: &mut Context<'_>, nick: &str, media: MuteMedia, actor: Option<Jid>) {
        let mute = Mute {
            media,
            jid: None,
            actor,
            mute: Some(true),
        };
        cx.io.tell(&self.room, "set", self.occupant(nick), &mute);
    }

    /// The moderation component says who may unmute.
    pub(crate) fn on_moderation(&mut self, cx: &mut Context<'_>, message: AvModeration) {
        for (media, jids) in message.whitelists {
            let nicks = jids
                .iter()
                .filter(|jid| jid.to_bare() == self.room)
                .filter_map(Jid::resource);
            self.moderation
                .allowed
                .insert(media, nicks.map(|nick| nick.as_str().to_owned()).collect());
        }
        if let (Some(media), Some(enabled)) = (message.media, message.enabled) {
            let was_enabled = !self.moderation.enabled.insert(media);
            if !enabled {
                self.moderation.enabled.remove(&media);
                self.moderation.allowed.remove(&media);
            } else if !was_enabled {
                let actor = message
                    .actor
                    .as_ref()
                    .and_then(Jid::resource)
                    .map(|nick| nick.as_str());
                let others = self.members.iter().filter(|(nick, m)| {
                    Some(nick.as_str()) != actor && m.session.is_some() && !m.is_exempt_from_mute()
                });
                for nick in others.map(|(nick, _)| nick.clone()).collect::<Vec<_>>() {
                    self.mute_client(cx, &nick, media, None);
                }
            }
        }
        self.refresh_force_mutes(cx);
    }

    fn senders(&self, audio: bool) -> usize {
        let muted = |m: &super::Member| {
            if audio {
                m.info.audio_muted
            } else {
                m.info.video_muted
            }
        };
        self.members.values().filter(|m| !muted(m)).count()
    }

    /// No further participant may send this medium.
    pub(super) fn is_full(&self, cx: &Context<'_>, audio: bool) -> bool {
        let limit = if audio {
            cx.config.max_audio_senders
        } else {
            cx.config.max_video_senders
        };
        self.senders(audio) >= limit
    }

    /// Tells clients whether they may offer to unmute. Said once a limit was reached the first time.
    pub(super) fn update_sender_limits(&mut self, cx: &mut Context<'_>) {
        for (audio, key) in [
            (true, "audio-limit-reached"),
            (false, "video-limit-reached"),
        ] {
            let full = self.is_full(cx, audio);
            if full || self.info.properties.contains_key(key) {
                self.set_property(cx, key, Some(full.to_string()));
            }
        }
    }
}
