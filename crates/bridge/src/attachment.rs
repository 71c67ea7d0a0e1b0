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
use crate::{joining, presence, requests};

/// Changes within this time share one presence.
const PRESENCE_SPACING: Duration = Duration::from_millis(100);
/// Wait before the brewery is joined again after a refusal.
const REJOIN_DELAY: Duration = Duration::from_secs(1);

/// Runs one attachment until `stop` becomes true; leaves the brewery then.
pub(crate) async fn run(
    node: NodeConfig,
    shared: Arc<Shared>,
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
            None => match joining::account(&node, &shared.server_id, &mut stop).await {
                Some(account) => account,
                None => return,
            },
        };
        let mut config = node.link(user.clone(), &password);
        config.resource = Some(shared.server_id.clone());
        let who = Identity {
            account: format!("{user}@{}", node.service_domain()),
            node: config.target.to_string(),
        };
        let (sender, events) = link::spawn(config);
        let mut attachment = Attachment {
            brewery: node.brewery(),
            who,
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

struct Attachment {
    brewery: String,
    who: Identity,
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

impl Attachment {
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
                self.online = true;
                if !resumed {
                    self.joined = false;
                }
                self.next_presence = Some(Instant::now());
            }
            LinkEvent::Offline { reason } => {
                tracing::warn!(reason, "signalling node lost");
                self.online = false;
                self.next_presence = None;
            }
            LinkEvent::Refused { reason } => {
                tracing::warn!(
                    reason,
                    "{} does not let {} in: mostly it knows no such account, or another password for it; trying again now and then",
                    self.who.node,
                    self.who.account
                );
            }
            LinkEvent::Stanza(stanza) => self.handle_stanza(&stanza),
            LinkEvent::Ignored(reason) => {
                self.shared.stanzas_ignored.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(reason, "a stanza was passed over");
            }
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
                    self.shared.attached.send_replace(true);
                }
            }
            Some("error") => {
                let condition = ErrorAnswer::of_presence(stanza);
                tracing::warn!(
                    condition,
                    "{} lets {} in, but not into {}, the room of the bridges; trying on",
                    self.who.node,
                    self.who.account,
                    self.brewery
                );
                self.rejoin();
            }
            // We were put out, or the room went away.
            Some("unavailable") => self.rejoin(),
            Some(_) => {}
        }
    }

    fn rejoin(&mut self) {
        self.joined = false;
        self.next_presence = Some(Instant::now() + REJOIN_DELAY);
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
    }
}
