//! The attachment to one signalling node: log in, sit in the brewery, publish the state, answer requests.
#![allow(
    clippy::disallowed_methods,
    reason = "presences carry the wall clock, timers are tokio's"
)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use link::{LinkEvent, LinkSender};
use stanza::colibri2::ErrorAnswer;
use stanza::element;
use stanza::jitsi::bridge_stats::BridgeStats;
use stanza::muc::{self, status};
use stanza::{Element, iq, ns};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::config::NodeConfig;
use crate::shared::Shared;
use crate::standing::{Keeping, Kind};
use crate::{joining, presence, requests};

/// Changes within this time share one presence.
const PRESENCE_SPACING: Duration = Duration::from_millis(100);
/// Wait before the brewery is joined again after a refusal: at first, and at most.
const REJOIN_DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Runs one attachment until `stop` becomes true; leaves the brewery then.
pub(crate) async fn run(
    node: NodeConfig,
    shared: Arc<Shared>,
    mut standing: Keeping,
    presence_interval: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut account = match &node.keeper {
        Some(keeper) => keeper.load(),
        None => Some((node.user.clone(), node.password.clone())),
    };
    loop {
        let (user, password) = match account.take() {
            Some(account) => account,
            None => {
                match joining::account(&node, &shared.server_id, &mut standing, &mut stop).await {
                    Some(account) => account,
                    None => return,
                }
            }
        };
        let mut config = node.link(user.clone(), &password);
        config.resource = Some(shared.server_id.clone());
        let who = Identity {
            account: format!("{user}@{}", node.service_domain()),
            node: node.target.to_string(),
        };
        let (sender, events) = link::spawn(config);
        let mut attachment = Attachment {
            brewery: node.brewery(),
            who,
            standing: &mut standing,
            rejoin_delay: REJOIN_DELAY.0,
            changes: shared.changes(),
            shared: shared.clone(),
            sender,
            events,
            presence_interval,
            may_join: node.keeper.is_some(),
            online: false,
            joined: false,
            next_presence: None,
            last_presence: None,
            next_id: 0,
        };
        let over = tokio::select! {
            end = attachment.serve() => end == End::Closed,
            _ = stop.wait_for(|stop| *stop) => true,
        };
        attachment.leave();
        attachment.sender.close().await;
        if over {
            return;
        }
    }
}

/// Why an attachment stopped serving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The link was closed.
    Closed,
    /// The node does not know the account any more, and another may be asked for.
    Unknown,
}

/// Who comes to whom, for the log.
struct Identity {
    account: String,
    node: String,
}

struct Attachment<'a> {
    brewery: String,
    who: Identity,
    standing: &'a mut Keeping,
    /// Wait before the brewery is joined again.
    rejoin_delay: Duration,
    shared: Arc<Shared>,
    changes: watch::Receiver<u64>,
    sender: LinkSender,
    events: mpsc::Receiver<LinkEvent>,
    presence_interval: Duration,
    /// Whether an account that is refused may be replaced.
    may_join: bool,
    online: bool,
    joined: bool,
    /// When to (re)publish the presence; `None` while offline.
    next_presence: Option<Instant>,
    last_presence: Option<Instant>,
    next_id: u64,
}

impl Attachment<'_> {
    async fn serve(&mut self) -> End {
        loop {
            let due = self.next_presence;
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(LinkEvent::Refused { .. }) if self.may_join => return End::Unknown,
                    Some(event) => self.handle_event(event),
                    None => return End::Closed,
                },
                changed = self.changes.changed() => {
                    if changed.is_err() {
                        return End::Closed;
                    }
                    self.publish_soon();
                }
                () = self.standing.remind() => {}
                () = async { match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }} => self.publish(),
            }
        }
    }

    fn handle_event(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Online { jid, resumed } => {
                tracing::info!(%jid, resumed, "attached to signalling node");
                self.set_online(true);
                if !resumed {
                    self.joined = false;
                }
                if self.joined {
                    self.standing.attached();
                }
                self.next_presence = Some(Instant::now());
            }
            LinkEvent::Offline { reason } => {
                self.shared.streams_lost.fetch_add(1, Ordering::Relaxed);
                self.set_online(false);
                self.next_presence = None;
                self.troubled(Kind::Lost, |who| {
                    format!("the stream to {} is lost: {reason}; trying on", who.node)
                });
            }
            LinkEvent::Unreachable { reason } => self.troubled(Kind::Unreachable, |who| {
                format!("{} cannot be reached: {reason}; trying on", who.node)
            }),
            LinkEvent::Refused { reason } => self.troubled(Kind::Refused, |who| {
                format!(
                    "{} does not let {} in: mostly it knows no such account, or another password for it ({reason}); \
                     \"pontoon token bridge NAME\" there prints a line for this machine; trying again now and then",
                    who.node, who.account
                )
            }),
            LinkEvent::Taken { .. } => self.troubled(Kind::Taken, |who| {
                format!(
                    "{} has another bridge in the place of this one, with the same account {} and the same name: this machine \
                     or its state directory is a copy of the other's. Stop one of the two, empty its state directory, and \
                     give it a token of its own; trying again now and then",
                    who.node, who.account
                )
            }),
            LinkEvent::Stanza(stanza) => self.handle_stanza(&stanza),
            LinkEvent::Ignored(reason) => {
                self.shared.stanzas_ignored.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(reason, "a stanza was passed over");
            }
        }
    }

    fn set_online(&mut self, online: bool) {
        if std::mem::replace(&mut self.online, online) != online {
            self.shared.node_in_reach(online);
        }
    }

    fn handle_stanza(&mut self, stanza: &Element) {
        match stanza.name() {
            "iq" if iq::is_request(stanza) => {
                let sender = self.sender.clone();
                requests::handle(&self.shared, stanza, &self.brewery, move |answer| {
                    if let Err(error) = sender.send(answer) {
                        tracing::warn!(%error, "an answer was lost");
                    }
                });
            }
            "presence" => self.handle_presence(stanza),
            _ => {}
        }
    }

    fn handle_presence(&mut self, stanza: &Element) {
        let own = self.occupant();
        if stanza
            .attr("from")
            .is_none_or(|from| !from.eq_ignore_ascii_case(&own))
        {
            return;
        }
        match stanza.attr("type") {
            None => {
                let created = muc::User::of(stanza).is_some_and(|u| u.has(status::CREATED));
                if created {
                    self.configure_room();
                }
                if !self.joined {
                    tracing::info!(room = self.brewery, "joined the brewery");
                    self.joined = true;
                    self.rejoin_delay = REJOIN_DELAY.0;
                    self.standing.attached();
                }
            }
            Some("error") => {
                let condition = ErrorAnswer::of_presence(stanza);
                let (brewery, name) = (self.brewery.clone(), self.shared.server_id.clone());
                self.troubled(Kind::Room, |who| match condition.as_deref() {
                    Some("conflict") => format!(
                        "another bridge of {} has the name {name}: two bridges have the same state directory, copied, or the \
                         same bridge.id. Empty the one or change the other; trying again now and then",
                        who.node
                    ),
                    other => format!(
                        "{} lets {} in, but not into {brewery}, the room of the bridges ({}); trying on",
                        who.node,
                        who.account,
                        other.unwrap_or("no reason given")
                    ),
                });
                self.rejoin();
            }
            // We were put out, or the room went away.
            Some("unavailable") => {
                let brewery = self.brewery.clone();
                self.troubled(Kind::Room, |who| {
                    format!(
                        "{} put this bridge out of {brewery}, the room of the bridges; trying on",
                        who.node
                    )
                });
                self.rejoin();
            }
            Some(_) => {}
        }
    }

    fn rejoin(&mut self) {
        self.joined = false;
        self.next_presence = Some(Instant::now() + self.rejoin_delay);
        self.rejoin_delay = (self.rejoin_delay * 2).min(REJOIN_DELAY.1);
    }

    fn troubled(&mut self, kind: Kind, sentence: impl FnOnce(&Identity) -> String) {
        self.standing.troubled(kind, sentence(&self.who));
    }

    fn occupant(&self) -> String {
        format!("{}/{}", self.brewery, self.shared.server_id)
    }

    /// A new room is locked until its owner has configured it.
    fn configure_room(&mut self) {
        self.next_id += 1;
        let field = |var: &str, value: &str| {
            element("field", ns::DATA)
                .attr("var", var)
                .child(element("value", ns::DATA).text(value).done())
                .done()
        };
        let form = element("x", ns::DATA)
            .attr("type", "submit")
            .child(field("FORM_TYPE", muc::NS_ROOM_CONFIG))
            .child(field("muc#roomconfig_whois", "anyone"))
            .done();
        let query = element("query", muc::NS_OWNER).child(form).done();
        let id = format!("configure-{}", self.next_id);
        let _ = self.sender.send(iq::set(&self.brewery, &id, query));
    }

    fn publish_soon(&mut self) {
        if !self.online {
            return;
        }
        let earliest = match self.last_presence {
            Some(last) => last + PRESENCE_SPACING,
            None => Instant::now(),
        };
        let due = self.next_presence.map_or(earliest, |due| due.min(earliest));
        self.next_presence = Some(due);
    }

    fn publish(&mut self) {
        let now = Instant::now();
        self.last_presence = Some(now);
        self.next_presence = Some(now + self.presence_interval);
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let stats = presence::extension(&self.shared, wall);
        let presence = self.presence(&stats);
        if let Err(error) = self.sender.send(presence) {
            tracing::warn!(%error, "a presence was lost");
        }
    }

    fn presence(&self, stats: &BridgeStats) -> Element {
        let presence = element("presence", ns::CLIENT).attr("to", self.occupant());
        // Without this element a presence is an update of an occupant, with it a request to join.
        let presence = if self.joined {
            presence
        } else {
            presence.child(element("x", muc::NS).done())
        };
        presence.child(Element::from(stats)).done()
    }

    fn leave(&mut self) {
        if self.online {
            // The last word on our state, should it not have been said yet.
            self.publish();
            let presence = element("presence", ns::CLIENT)
                .attr("to", self.occupant())
                .attr("type", "unavailable")
                .done();
            let _ = self.sender.send(presence);
        }
        self.set_online(false);
    }
}
