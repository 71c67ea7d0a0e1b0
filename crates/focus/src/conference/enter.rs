//! A conference begins and ends: the room is entered and left, and whoever waits for it gets an answer.

use std::collections::BTreeMap;
use std::time::Duration;

use stanza::jitsi::conference::{ConferenceRequest, ConferenceResponse};
use stanza::jitsi::presence::FocusInfo;
use stanza::muc::Join;
use stanza::{Element, element, iq, ns};

use super::mesh::Mesh;
use super::moderation::Moderation;
use super::roll::Roll;
use super::{Conference, Phase, Waiter};
use crate::config::NICK;
use crate::context::Context;
use crate::event::Event;
use crate::io::{Purpose, Timer};
use crate::sources::SourceTable;

/// Requests that wait for one room.
const MAX_WAITERS: usize = 10_000;

impl Conference {
    /// Begins to join the room of `request`.
    pub(crate) fn start(cx: &mut Context<'_>, request: &ConferenceRequest) -> Self {
        let mut conference = Self::empty(request, cx.io.uuid());
        conference.join(cx);
        conference.restart_initial_timer(cx);
        conference
    }

    /// A conference of nobody, on no bridge, whose room was not asked for anything yet.
    pub(super) fn empty(request: &ConferenceRequest, meeting_id: String) -> Self {
        let number = |name: &str| {
            request
                .properties
                .get(name)
                .and_then(|value| value.parse().ok())
        };
        let properties = [("support-terminate-restart".to_owned(), "true".to_owned())].into();
        let room = request.room.clone();
        let etherpad = room.node().map(|node| node.as_str().to_owned());
        let version = env!("CARGO_PKG_VERSION").to_owned();
        Self {
            meeting_id,
            phase: Phase::Joining,
            inside: true,
            place: None,
            waiters: Vec::new(),
            members: Roll::default(),
            stay: None,
            further: Vec::new(),
            mesh: Mesh::default(),
            retiring: Vec::new(),
            standby: None,
            sources: SourceTable::default(),
            silenced: Vec::new(),
            moderation: Moderation::default(),
            rtcstats: request
                .properties
                .get("rtcstatsEnabled")
                .is_none_or(|value| value != "false"),
            start_audio_muted_after: number("startAudioMuted"),
            start_video_muted_after: number("startVideoMuted"),
            start_audio_muted: false,
            start_video_muted: false,
            is_breakout: false,
            owner_asked: None,
            info: FocusInfo {
                etherpad,
                version,
                properties,
                bridge_not_available: false,
            },
            failures: 0,
            paused: false,
            unheard: BTreeMap::new(),
            prefer: None,
            avoid: None,
            undone: Vec::new(),
            adopting: false,
            told: None,
            began: None,
            join_tries: 0,
            join_timer: None,
            expected: 0,
            expected_since: None,
            initial_timer: None,
            single_timer: None,
            retry_timer: None,
            move_timer: None,
            spare_timer: None,
            room,
        }
    }

    /// Asks the room to let the focus in. On the way back its presence is whole at once: nobody sees less meanwhile.
    pub(crate) fn join(&mut self, cx: &mut Context<'_>) {
        self.stop_join_timer(cx);
        self.join_tries += 1;
        let join = element("presence", ns::CLIENT)
            .attr("to", self.occupant(NICK))
            .child(Join::default());
        let info = (self.phase == Phase::Returning).then(|| self.info.clone());
        let children: Vec<Element> = info.iter().flat_map(FocusInfo::elements).collect();
        cx.io.send(join.children(children).done());
        self.told = info;
        let overdue = Timer::Join(self.room.clone());
        self.join_timer = Some(cx.io.after(cx.config.reply_timeout, overdue));
    }

    /// Somebody asks whether the conference is ready.
    pub(crate) fn ask(&mut self, cx: &mut Context<'_>, waiter: Waiter) {
        if self.initial_timer.is_some() {
            self.restart_initial_timer(cx);
        }
        match self.phase {
            Phase::Joining | Phase::Returning if self.waiters.len() < MAX_WAITERS => {
                self.waiters.push(waiter)
            }
            phase => self.answer(cx, waiter, phase == Phase::Ready),
        }
    }

    fn answer(&mut self, cx: &mut Context<'_>, waiter: Waiter, ready: bool) {
        if ready {
            self.expected = self.expected.saturating_add(1);
            self.expected_since = Some(cx.io.now);
        }
        let mut response = ConferenceResponse::new(self.room.clone(), ready);
        response.focus_jid = cx.io.jid.as_ref().map(|jid| jid.to_bare());
        response
            .properties
            .insert("authentication".to_owned(), "false".to_owned());
        match waiter {
            Waiter::Http(id) => cx.io.reply(id, Ok(response)),
            Waiter::Iq(request) => {
                let reply = iq::result_to(&request, Some(response.into()));
                cx.io.answer(reply);
            }
        }
    }

    pub(super) fn answer_waiters(&mut self, cx: &mut Context<'_>) {
        for waiter in std::mem::take(&mut self.waiters) {
            self.answer(cx, waiter, true);
        }
    }

    /// Whoever asked over HTTP is told to ask again. Requests by IQ are the server's to bring again.
    pub(crate) fn dismiss_waiters(&mut self, cx: &mut Context<'_>) {
        for waiter in std::mem::take(&mut self.waiters) {
            match waiter {
                Waiter::Http(_) => self.answer(cx, waiter, false),
                Waiter::Iq(_) => self.waiters.push(waiter),
            }
        }
    }

    pub(super) fn restart_initial_timer(&mut self, cx: &mut Context<'_>) {
        if let Some(timer) = self.initial_timer.take() {
            cx.io.cancel(timer);
        }
        self.initial_timer = Some(
            cx.io
                .after(cx.config.initial_timeout, Timer::Initial(self.room.clone())),
        );
    }

    pub(super) fn stop_join_timer(&mut self, cx: &mut Context<'_>) {
        if let Some(timer) = self.join_timer.take() {
            cx.io.cancel(timer);
        }
    }

    /// Asks for what the room knows of itself, the first step of its configuration.
    pub(super) fn ask_room_form(&mut self, cx: &mut Context<'_>) {
        {
            self.stop_join_timer(cx);
            let question = element("query", ns::MUC_OWNER);
            let purpose = Purpose::RoomForm(self.room.clone());
            cx.io.request(
                "get",
                &self.room,
                question,
                purpose,
                cx.config.reply_timeout,
            );
        }
    }

    /// The end: everything is given up and everybody who waits gets an answer.
    pub(crate) fn stop(mut self, cx: &mut Context<'_>, leave: bool) {
        let timers = [
            self.join_timer,
            self.initial_timer,
            self.single_timer,
            self.retry_timer,
            self.move_timer,
        ];
        timers
            .into_iter()
            .flatten()
            .for_each(|timer| cx.io.cancel(timer));
        self.expire_all(cx);
        let now = cx.io.now;
        let began = self.began.unwrap_or(now);
        let (conferences, people) = &mut cx.io.totals.lasted;
        *conferences += now.saturating_duration_since(began);
        *people += self
            .members
            .values()
            .map(|m| m.lasted(now))
            .sum::<Duration>();
        for waiter in std::mem::take(&mut self.waiters) {
            // Clients ask again by themselves.
            self.answer(cx, waiter, false);
        }
        if leave {
            let presence = element("presence", ns::CLIENT)
                .attr("to", self.occupant(NICK))
                .attr("type", "unavailable");
            cx.io.send(presence.done());
        }
        let reason = match self.phase {
            Phase::Over(reason) => reason,
            _ => "the focus stops",
        };
        cx.io.event(Event::ConferenceEnded {
            room: self.room,
            reason,
        });
    }
}
