//! Defects of the focus cost no meeting.

use std::path::PathBuf;

use link::{Credentials, LinkConfig, Target};
use stanza::{BareJid, FullJid};
use telemetry::Metrics;

use super::*;
use crate::{Node, SignallingConfig};

const DOMAIN: &str = "meet.internal";
const SECRET: &[u8] = b"secret of the test";
const ROOM: &str = "standup@conference.meet.internal";
/// Ends a test that would hang; no test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node without a focus, and a focus whose task the test drives itself.
async fn task(metrics: &Metrics, state: Option<PathBuf>) -> (Node, FocusTask) {
    let mut config = SignallingConfig::new(DOMAIN, SECRET, metrics.clone()).unwrap();
    config.focus = None;
    let node = Node::start(config).await.unwrap();
    let task = attach(&node, metrics, state);
    (node, task)
}

fn attach(node: &Node, metrics: &Metrics, state: Option<PathBuf>) -> FocusTask {
    let credentials = Credentials::Password {
        user: "focus".to_owned(),
        password: xmpp::auth::derive_password(SECRET, "focus"),
    };
    let target = Target::Memory(node.memory_connector());
    let link = LinkConfig::new(target, &format!("auth.{DOMAIN}"), credentials);
    let (sender, events) = link::spawn(link.with_resource("focus"));
    let host = FocusHost {
        config: FocusConfig::for_domain(DOMAIN).unwrap(),
        store: Store::new(state, now()),
        metrics: FocusMetrics::register(metrics),
        seen: crate::seen::Seen::default(),
    };
    new(host, sender, events, false).2
}

/// Lets the focus live until `done`.
async fn until(task: &mut FocusTask, mut done: impl FnMut(&FocusStats) -> bool) {
    let live = async {
        while !done(&task.focus.stats()) {
            let event = task.events.recv().await.unwrap();
            task.on_link(event);
            task.carry_out();
        }
    };
    assert!(timeout(PATIENCE, live).await.is_ok());
}

/// A conference in its room.
async fn meet(task: &mut FocusTask) {
    while task.online.is_none() {
        let event = task.events.recv().await.unwrap();
        task.on_link(event);
        task.carry_out();
    }
    let asking = async {
        // Like a client: it asks until the room is ready.
        while !ask(task).await {}
    };
    assert!(timeout(PATIENCE, asking).await.is_ok());
}

async fn ask(task: &mut FocusTask) -> bool {
    let (answer, mut answered) = oneshot::channel();
    let room = BareJid::new(ROOM).unwrap();
    task.ask(ConferenceRequest::new(room), answer);
    task.carry_out();
    loop {
        if let Ok(answer) = answered.try_recv() {
            return answer.unwrap().ready;
        }
        let event = task.events.recv().await.unwrap();
        task.on_link(event);
        task.carry_out();
    }
}

#[tokio::test]
async fn a_defect_of_the_focus_ends_no_meeting() {
    let metrics = Metrics::new();
    let (_node, mut task) = task(&metrics, None).await;
    meet(&mut task).await;
    assert!(!task.guarded(|_| panic!("a defect")));
    assert_eq!(task.focus.stats().conferences, 1);
    task.carry_out();
    until(&mut task, |stats| stats.adopted_total == 1).await;
    task.count();
    let text = metrics.encode();
    assert!(text.contains("focus_restarts_total 1"), "{text}");
    assert!(text.contains("focus_adopted_conferences_total 1"), "{text}");
}

#[tokio::test]
async fn a_focus_that_meets_one_defect_after_the_other_begins_anew() {
    let (_node, mut task) = task(&Metrics::new(), None).await;
    meet(&mut task).await;
    for _ in 0..=MAX_DEFECTS {
        task.guarded(|_| panic!("a defect"));
    }
    assert_eq!(task.focus.stats().conferences, 0);
    meet(&mut task).await;
}

#[tokio::test]
async fn a_focus_finds_its_meetings_in_the_file_of_the_one_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("meetings.json");
    let metrics = Metrics::new();
    let (node, mut first) = task(&metrics, Some(path.clone())).await;
    meet(&mut first).await;
    while first.save_due().is_none() {
        first.save(now());
        tokio::task::yield_now().await;
        if path.exists() {
            break;
        }
    }
    // It ends without a word, as by a crash; its session hibernates.
    drop(first);
    let mut second = attach(&node, &metrics, Some(path));
    assert_eq!(second.focus.stats().conferences, 1);
    until(&mut second, |stats| stats.adopted_total == 1).await;
    // It ends in order: nothing is left to go on with.
    let (stop, stopping) = watch::channel(true);
    second.run(stopping).await;
    drop(stop);
    let last = Store::new(Some(directory.path().join("meetings.json")), now()).load();
    assert!(last.is_empty());
}

#[tokio::test]
async fn all_that_has_come_is_heard_before_time_judges() {
    let (_node, mut task) = task(&Metrics::new(), None).await;
    let (sender, events) = mpsc::channel(8);
    task.events = events;
    let jid = FullJid::new("focus@auth.meet.internal/focus").unwrap();
    let online = LinkEvent::Online {
        jid,
        resumed: false,
    };
    let offline = LinkEvent::Offline {
        reason: "it broke".to_owned(),
    };
    for event in [online.clone(), offline, online] {
        sender.try_send(event).unwrap();
    }
    task.hear_all();
    assert!(task.online.is_some());
    assert!(task.events.is_empty());
}
