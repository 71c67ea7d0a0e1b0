//! Spare sessions: every client that can has a second connection, on another bridge, over which nothing goes. When its bridge is
//! lost it goes on there at once, without making one first.

use stanza::Element;
use stanza::colibri2::{ConferenceModified, ConferenceModify};

use super::described::new_endpoint;
use super::member::Invite;
use super::{Conference, Member, Phase, Stay};
use crate::context::Context;
use crate::features::Features;
use crate::io::Purpose;

/// Spare endpoints of a conference that are asked for at one time; each answer makes place for the next.
const AT_ONCE: usize = 20;

impl Conference {
    /// Gives spare sessions to those who can have one and have none. A meeting on several bridges has none.
    pub(crate) fn ensure_spares(&mut self, cx: &mut Context<'_>) {
        if !cx.config.bridges.standby || self.phase != Phase::Ready {
            return;
        }
        if !self.further.is_empty() || !self.retiring.is_empty() {
            return self.drop_standby(cx);
        }
        let Some(home) = &self.stay else {
            return;
        };
        let asked = self.members.values();
        let asked = asked.filter(|m| m.spare_asked.is_some()).count();
        let without = self.members.iter();
        let without = without.filter(|(_, member)| lacks_spare(member, &home.id));
        let without = without.take(AT_ONCE.saturating_sub(asked));
        let nicks: Vec<String> = without.map(|(nick, _)| nick.clone()).collect();
        for nick in nicks {
            if self.standby.is_none() && !self.begin_standby(cx) {
                return;
            }
            self.ask_spare(cx, &nick);
        }
    }

    /// Chooses the bridge for the spare sessions; false if there is none.
    fn begin_standby(&mut self, cx: &mut Context<'_>) -> bool {
        let (None, Some(home)) = (&self.spare_timer, &self.stay) else {
            return false;
        };
        let (now, config) = (cx.io.now, &cx.config.bridges);
        let region = home.region.as_deref();
        let choice = cx.bridges.choose_standby(now, config, &home.bridge, region);
        self.standby = choice.map(|choice| Stay::new(cx, choice));
        self.standby.is_some()
    }

    fn ask_spare(&mut self, cx: &mut Context<'_>, nick: &str) {
        let start = self.force_mute_of(nick);
        let sid = cx.io.sid();
        let (Some(stay), Some(member)) = (&mut self.standby, self.members.get_mut(nick)) else {
            return;
        };
        let features = member.features.unwrap_or(Features::ASSUMED);
        let sctp = features.sctp && cx.bridges.has_data_channel(&stay.bridge);
        member.spare_asked = Some(Invite {
            sid: sid.clone(),
            stay: stay.id.clone(),
            sctp,
        });
        let create = !std::mem::replace(&mut stay.created, true);
        stay.endpoints.insert(nick.to_owned());
        let modify = ConferenceModify {
            meeting_id: self.meeting_id.clone(),
            name: create.then(|| self.room.to_string()),
            create,
            rtcstats_enabled: self.rtcstats,
            endpoints: vec![new_endpoint(cx, nick, features, sctp, start, member, true)],
            ..ConferenceModify::default()
        };
        let purpose = Purpose::Spare {
            room: self.room.clone(),
            nick: nick.to_owned(),
            sid,
        };
        let (bridge, patience) = (stay.bridge.clone(), cx.config.bridges.reply_timeout);
        cx.io.request("get", &bridge, &modify, purpose, patience);
        cx.bridges.promise_spare(&bridge);
    }

    /// The bridge answered, or did not.
    pub(crate) fn on_spare_answered(
        &mut self,
        cx: &mut Context<'_>,
        nick: &str,
        sid: &str,
        answer: Option<&Element>,
    ) {
        let Some(member) = self.members.get_mut(nick) else {
            return;
        };
        let asked = member.spare_asked.take_if(|asked| asked.sid == sid);
        let Some(asked) = asked else {
            // Its bridge was lost meanwhile, and this is the one in its place.
            return self.on_allocated(cx, nick, sid, answer);
        };
        let answer = answer.filter(|answer| answer.attr("type") == Some("result"));
        let modified = answer.and_then(|answer| {
            let mut children = answer.children();
            children.find_map(|child| ConferenceModified::try_from(child).ok())
        });
        let Some(modified) = modified else {
            return self.lose_standby(cx);
        };
        let mut endpoints = modified.endpoints.into_iter();
        let transport = endpoints.find(|e| e.id == nick).and_then(|e| e.transport);
        let port = transport.as_ref().and_then(|t| t.sctp.as_ref()?.port);
        match transport.and_then(|transport| transport.ice) {
            Some(ice) => self.offer(cx, nick, (asked.sid, &asked.stay), &ice, port),
            None => self.lose_standby(cx),
        }
    }
}

/// Whether a member of the stay `home` can have a spare session and has none.
fn lacks_spare(member: &Member, home: &str) -> bool {
    let session = member.session.as_ref();
    let served = session.is_some_and(|s| s.active && !s.stale && s.stay == home);
    let features = member.features.filter(|f| f.moves && f.spares);
    let able = features.is_some_and(|features| features.ssrc_rewriting);
    let coming = member.invite.is_some() || member.next.is_some() || member.spare_asked.is_some();
    served && able && !coming && !member.spare_failed && !member.released
}
