//! The thread of a crowd.

#![allow(
    clippy::disallowed_methods,
    reason = "the host side of bots reads the clock"
)]

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use link::{LinkEvent, LinkSender};
use net::{Poller, Ready};

use super::look::{Look, note, note_time};
use super::member::{MemberId, MemberLook};
use super::message::{CrowdConfig, Message};
use super::sockets::{Seat, Sockets};

use crate::bot::{Bot, BotConfig};
use crate::event::Event;
use crate::receive::{SourceStats, Tally};

/// Messages taken before datagrams get their turn.
const TURN: usize = 256;
/// Where there are many sockets they are read this often.
const ROUND: Duration = Duration::from_millis(4);

struct Member {
    bot: Bot,
    seat: Seat,
    sender: LinkSender,
    began: Instant,
    joined: bool,
    connected: bool,
    /// Sessions that came up so far.
    sessions: u64,
    /// The first picture was counted.
    pictured: bool,
    /// The earliest deadline in the heap.
    armed: Option<Instant>,
    touched: bool,
}

pub(super) struct Worker {
    config: CrowdConfig,
    sockets: Sockets,
    poller: Poller,
    inbox: mpsc::Receiver<Message>,
    members: BTreeMap<MemberId, Member>,
    deadlines: BinaryHeap<Reverse<(Instant, MemberId)>>,
    touched: Vec<MemberId>,
    /// Counted so far, people who are there excepted.
    past: Look,
}

impl Worker {
    pub(super) fn new(
        config: CrowdConfig,
        sockets: Sockets,
        poller: Poller,
        inbox: mpsc::Receiver<Message>,
    ) -> Self {
        Self {
            config,
            sockets,
            poller,
            inbox,
            members: BTreeMap::new(),
            deadlines: BinaryHeap::new(),
            touched: Vec::new(),
            past: Look::default(),
        }
    }

    pub(super) fn run(mut self) {
        let mut ready = Ready::default();
        loop {
            let mut busy = false;
            for turn in 0..TURN {
                match self.inbox.try_recv() {
                    Ok(Message::Stop) | Err(mpsc::TryRecvError::Disconnected) => return,
                    Ok(message) => self.obey(message),
                    Err(mpsc::TryRecvError::Empty) => break,
                }
                busy = turn + 1 == TURN;
            }
            self.expire(Instant::now());
            busy |= self.receive(ready);
            self.settle(Instant::now());
            self.sockets.send();
            ready = self.wait(busy);
        }
    }

    /// Waits for datagrams, messages or the next deadline; not at all when there is more to do.
    fn wait(&mut self, busy: bool) -> Ready {
        let now = Instant::now();
        let next = self.deadlines.peek().map(|Reverse((at, _))| *at);
        let timeout = next.map(|at| at.saturating_duration_since(now));
        let timeout = if busy { Some(Duration::ZERO) } else { timeout };
        if self.sockets.are_many() {
            std::thread::sleep(timeout.map_or(ROUND, |timeout| timeout.min(ROUND)));
            return Ready::default();
        }
        self.poller.wait(timeout).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot wait for sockets");
            std::thread::sleep(ROUND);
            Ready::default()
        })
    }

    fn obey(&mut self, message: Message) {
        match message {
            Message::Join(id, config, seed, sender) => self.join(id, *config, seed, sender),
            Message::Link(id, event) => self.handle_link(id, event),
            Message::LinkEnded(id) => self.remove(id),
            Message::Do(id, deed) => {
                if let Some(member) = self.members.get_mut(&id) {
                    deed(&mut member.bot);
                    self.touch(id);
                }
            }
            Message::Leave(id) => self.leave(id),
            Message::Look(reply) => {
                let _ = reply.send(self.look());
            }
            Message::Members(reply) => {
                let _ = reply.send(self.look_at_each(Instant::now()));
            }
            Message::Stop => {}
        }
    }

    fn join(&mut self, id: MemberId, mut config: BotConfig, seed: u64, sender: LinkSender) {
        let seat = match self.sockets.sit(id, &mut self.poller) {
            Ok(seat) => seat,
            Err(error) => {
                self.past.trouble(&format!("no socket: {error}"));
                return self.close(sender);
            }
        };
        config.local = seat.address;
        let member = Member {
            bot: Bot::new(config, self.config.epoch, seed),
            seat,
            sender,
            began: Instant::now(),
            joined: false,
            connected: false,
            sessions: 0,
            pictured: false,
            armed: None,
            touched: false,
        };
        self.members.insert(id, member);
    }

    fn close(&self, sender: LinkSender) {
        self.config
            .runtime
            .spawn(async move { sender.close().await });
    }

    fn handle_link(&mut self, id: MemberId, event: LinkEvent) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        let now = Instant::now();
        match event {
            LinkEvent::Online { jid, resumed } => {
                if !resumed {
                    member.bot.online(now, jid);
                }
            }
            LinkEvent::Stanza(stanza) => member.bot.handle_stanza(now, &stanza),
            LinkEvent::Refused { reason } => {
                self.past.trouble(&format!("login refused: {reason}"));
            }
            LinkEvent::Taken { reason } | LinkEvent::Unreachable { reason } => {
                self.past.trouble(&format!("no connection: {reason}"));
            }
            LinkEvent::Offline { reason } => self.past.trouble(&format!("connection: {reason}")),
            LinkEvent::Ignored(why) => self.past.trouble(&format!("stanza ignored: {why}")),
        }
        self.touch(id);
    }

    fn leave(&mut self, id: MemberId) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        member.bot.leave();
        self.settle_one(id, Instant::now());
        if let Some(sender) = self.remove_member(id) {
            self.close(sender);
        }
    }

    fn remove(&mut self, id: MemberId) {
        self.remove_member(id);
    }

    fn remove_member(&mut self, id: MemberId) -> Option<LinkSender> {
        let mut member = self.members.remove(&id)?;
        self.sockets.rise(member.seat);
        count(&mut member, &mut self.past);
        Some(member.sender)
    }

    fn touch(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id)
            && !std::mem::replace(&mut member.touched, true)
        {
            self.touched.push(id);
        }
    }

    /// Lets time pass where it is due.
    fn expire(&mut self, now: Instant) {
        while let Some(Reverse((at, id))) = self.deadlines.peek().copied() {
            if at > now {
                return;
            }
            self.deadlines.pop();
            let Some(member) = self.members.get_mut(&id) else {
                continue;
            };
            if member.armed == Some(at) {
                member.armed = None;
            }
            if member.bot.poll_timeout().is_some_and(|due| due <= now) {
                member.bot.handle_timeout(now);
            }
            self.touch(id);
        }
    }

    fn receive(&mut self, ready: Ready) -> bool {
        let now = Instant::now();
        let (members, touched) = (&mut self.members, &mut self.touched);
        self.sockets.receive(ready, |id, from, bytes| {
            let Some(member) = members.get_mut(&id) else {
                return;
            };
            if member.bot.count_datagram(now, from, bytes) {
                return;
            }
            member.bot.handle_datagram(now, from, bytes);
            if !std::mem::replace(&mut member.touched, true) {
                touched.push(id);
            }
        })
    }

    /// Carries on what the members that were touched have to say.
    fn settle(&mut self, now: Instant) {
        let mut touched = std::mem::take(&mut self.touched);
        for id in touched.drain(..) {
            self.settle_one(id, now);
        }
        self.touched = touched;
    }

    fn settle_one(&mut self, id: MemberId, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        member.touched = false;
        while let Some(stanza) = member.bot.poll_stanza() {
            if member.sender.send(stanza).is_err() {
                self.past
                    .trouble("a stanza was lost: the link is full or closed");
            }
        }
        while let Some((to, bytes)) = member.bot.poll_datagram() {
            self.sockets.queue(member.seat, to, &bytes);
        }
        for delay in member.bot.take_latencies() {
            note(&mut self.past.frame_delay, delay);
        }
        for delay in member.bot.take_voice_latencies() {
            note(&mut self.past.voice_delay, delay);
        }
        while let Some(event) = member.bot.poll_event() {
            match event {
                Event::Joined(_) => member.joined = true,
                Event::Connected => {
                    member.connected = true;
                    member.sessions += 1;
                    // A further one is a move, and no join.
                    if member.sessions == 1 {
                        self.past.joins += 1;
                        note_time(&mut self.past.join_time, now - member.began);
                    }
                }
                Event::Moved => member.sessions += 1,
                Event::SessionEnded => member.connected = false,
                Event::Out(why) => {
                    member.joined = false;
                    self.past.trouble(&format!("out of the room: {why}"));
                }
                Event::Failed(why) => self.past.trouble(&why),
                _ => {}
            }
        }
        let due = member.bot.poll_timeout();
        if let Some(due) = due
            && member.armed.is_none_or(|armed| due < armed)
        {
            member.armed = Some(due);
            self.deadlines.push(Reverse((due, id)));
        }
    }

    fn look(&mut self) -> Look {
        let mut look = self.past.clone();
        look.members = self.members.len();
        for member in self.members.values_mut() {
            look.joined += usize::from(member.joined);
            look.connected += usize::from(member.connected);
            look.receiving += usize::from(member.bot.tally().packets() > 0);
            look.pictures += member.bot.pictures();
            count_picture(member, &mut self.past.picture_time);
            count(member, &mut look);
        }
        look.picture_time.clone_from(&self.past.picture_time);
        look.refused = self.sockets.refused;
        look.dropped = self.sockets.dropped();
        self.past.frame_delay.reset();
        self.past.voice_delay.reset();
        look
    }

    fn look_at_each(&mut self, now: Instant) -> Vec<MemberLook> {
        let members = self.members.iter_mut();
        members
            .map(|(id, member)| MemberLook {
                member: *id,
                endpoint: member.bot.endpoint().to_owned(),
                joined: member.joined,
                connected: member.connected,
                sessions: member.sessions,
                served: member.bot.take_served(now),
            })
            .collect()
    }
}

/// Adds what a member has seen.
fn count(member: &mut Member, look: &mut Look) {
    count_picture(member, &mut look.picture_time);
    let sum = |of: fn(&SourceStats) -> u64| member.bot.video().values().map(of).sum::<u64>();
    look.frames += sum(|v| v.decoded);
    look.skipped += sum(|v| v.skipped);
    look.undated += sum(|v| v.undated);
    let tally: Tally = member.bot.tally();
    look.tally = look.tally.plus(tally);
}

/// Counts the first picture, once.
fn count_picture(member: &mut Member, times: &mut hdrhistogram::Histogram<u64>) {
    let first = member.bot.video().values().filter_map(|v| v.first_at).min();
    if let (Some(first), false) = (first, member.pictured) {
        member.pictured = true;
        note_time(times, first.saturating_duration_since(member.began));
    }
}
