//! Streams that come and go: conferences outlive them, and outlive the focus itself by snapshots.
use std::time::{Duration, Instant};

use stanza::muc::Join;
use stanza::{FullJid, element, ns};

use super::Focus;
use crate::conference::Conference;
use crate::config::{FocusConfig, NICK};
use crate::context::Context;
use crate::io::{Purpose, Timer};
use crate::snapshot::Snapshot;

/// After a pause of the stream: time for what was on its way.
const RESUME_GRACE: Duration = Duration::from_secs(2);
/// After a change of the stream: time for bridges and rooms to show themselves.
const CHANGE_GRACE: Duration = Duration::from_secs(5);

impl Focus {
    /// A focus that goes on with the conferences of an earlier one, once it is online. What cannot be used of the
    /// snapshot is left out, with an [`crate::Event::Warning`] for each conference.
    #[must_use]
    pub fn restore(now: Instant, config: FocusConfig, seed: [u8; 32], snapshot: &Snapshot) -> Self {
        let mut focus = Self::new(config, seed);
        let io = focus.at(now);
        io.set_adopting();
        io.count_from(snapshot.highest_order());
        for record in snapshot.conferences() {
            let full = focus.conferences.len() >= focus.config.max_conferences;
            let restored = match full {
                true => Err("too many conferences".to_owned()),
                false => Conference::from_record(now, &focus.config, record),
            };
            let taken = |new: &Conference| {
                let mut others = focus.conferences.values();
                others.any(|c| c.room() == new.room() || c.meeting_id() == new.meeting_id())
            };
            match restored {
                Ok(conference) if !taken(&conference) => {
                    let spares = conference.spares_on().map(|(bridge, _)| bridge);
                    for bridge in conference.bridges().chain(spares) {
                        focus.bridges.expect(now, bridge.clone());
                    }
                    let room = conference.room().clone();
                    focus.conferences.insert(room, conference);
                }
                Ok(_) => focus.warn_of_record("it is there twice"),
                Err(reason) => focus.warn_of_record(&reason),
            }
        }
        focus
    }

    fn warn_of_record(&mut self, reason: &str) {
        if let Some(io) = self.io.as_mut() {
            io.warn(format!(
                "a conference of the snapshot is left out: {reason}"
            ));
        }
    }

    /// What another focus needs to go on with the conferences of this one.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let records = self.conferences.values().filter_map(Conference::record);
        Snapshot::new(records.collect())
    }

    /// Whether a snapshot may differ from the one taken before the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The host has logged in as `jid`. `resumed`: the former stream goes on (XEP-0198), so everything the server
    /// knows of the focus still holds. Otherwise the focus enters its rooms again and goes on with what it finds there.
    pub fn online(&mut self, now: Instant, jid: FullJid, resumed: bool) {
        let io = self.at(now);
        if resumed && io.jid.as_ref() == Some(&jid) {
            io.postpone(RESUME_GRACE);
            let now = io.now;
            self.bridges.excuse(now);
        } else {
            self.begin_stream(jid);
        }
        self.online = true;
        self.offline_since = None;
        self.settle();
    }

    fn begin_stream(&mut self, jid: FullJid) {
        let Some(io) = self.io.as_mut() else { return };
        let undone = io.change_stream(jid, CHANGE_GRACE);
        self.bridges.lose_sight(io.now);
        self.leaving.clear();
        // Where everybody is will be seen anew.
        self.urgent.clear();
        self.planned.clear();
        self.greet();
        let Some(io) = self.io.as_mut() else { return };
        self.returning.clear();
        self.to_return.clear();
        for (room, conference) in &mut self.conferences {
            if conference.lose_stream() {
                self.to_return.push_back(room.clone());
            } else {
                let mut cx = Context {
                    config: &self.config,
                    io,
                    bridges: &mut self.bridges,
                    caps: &mut self.caps,
                };
                conference.join(&mut cx);
            }
        }
        for undone in undone {
            let room = undone.purpose.room().cloned();
            if let Some(conference) = room.and_then(|room| self.conferences.get_mut(&room)) {
                conference.keep_undone(undone);
            }
        }
    }

    /// What the server must know of the focus on a new stream, rooms of meetings apart.
    fn greet(&mut self) {
        let (Some(io), config) = (self.io.as_mut(), &self.config) else {
            return;
        };
        // The proxy in front of the focus learns its full address from this presence.
        io.send(element("presence", ns::CLIENT).done());
        let question = element("query", ns::DISCO_INFO);
        io.request(
            "get",
            &config.domain,
            question,
            Purpose::Components,
            config.reply_timeout,
        );
        let brewery =
            element("presence", ns::CLIENT).attr("to", format!("{}/{NICK}", config.brewery));
        io.send(brewery.child(Join::default()).done());
        io.after(config.bridges.health_interval, Timer::Health);
    }

    /// The stream is lost; it may come back by [`Focus::online`], sooner or later. Conferences are kept until then.
    pub fn offline(&mut self, now: Instant) {
        let now = self.at(now).now;
        self.online = false;
        self.offline_since.get_or_insert(now);
    }
}
