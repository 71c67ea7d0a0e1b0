//! A rolling upgrade: nodes of two versions carry a meeting together while one after another is replaced, and nobody has to
//! come again. `make mixed` takes a former version; without it, both are this one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test ends where its set-up fails, and reads the clock"
)]

#[path = "common/nodes.rs"]
mod nodes;

use std::path::{Path, PathBuf};

use bot::{Event, Handle};
use nodes::{Process, free_tcp, join, media_flow, role};
use tempfile::TempDir;

/// The version that is replaced, and the one that replaces it.
fn versions() -> (PathBuf, PathBuf) {
    let this = PathBuf::from(env!("CARGO_BIN_EXE_pontoon"));
    let former = std::env::var_os("FORMER").filter(|former| !former.is_empty());
    (former.map_or_else(|| this.clone(), PathBuf::from), this)
}

/// A bridge of its own state.
async fn bridge(binary: &Path, token: &str) -> (Process, TempDir) {
    let state = tempfile::tempdir().unwrap();
    let arguments = ["bridge", "--udp", "127.0.0.1:0", "--join", token].map(str::to_owned);
    let (bridge, _) = Process::start_other(binary, state.path(), &arguments, "Pontoon").await;
    (bridge, state)
}

/// Nobody was thrown out, and nobody was seen to leave.
fn all_stayed(bots: &[Handle], what: &str) {
    for bot in bots {
        let events = bot.snapshot().events;
        let lost = |event: &&Event| {
            matches!(
                event,
                Event::Out(_) | Event::Failed(_) | Event::OccupantLeft(_)
            )
        };
        assert_eq!(events.iter().find(lost), None, "{what}: {events:?}");
    }
}

/// A node with a bridge and a meeting; the node and the bridge are replaced, in this order or the other.
async fn upgrade(node_first: bool) {
    let (former, this) = versions();
    let state = tempfile::tempdir().unwrap();
    let (https, xmpp) = (free_tcp(), free_tcp());
    let meet = role("meet", https, xmpp);
    let start = async |binary: &Path| {
        Process::start_other(binary, state.path(), &meet, "Add a bridge").await
    };
    let (mut node, token) = start(&former).await;
    let (mut old, _old_state) = bridge(&former, &token).await;
    let mut bots = vec![join(https, 0).await, join(https, 1).await];
    media_flow(&mut bots, "at first").await;
    let mut new = None;
    for replace_node in [node_first, !node_first] {
        let what = format!("node first: {node_first}, node now: {replace_node}");
        if replace_node {
            node.signal("-TERM");
            (node, _) = start(&this).await;
        } else {
            // A bridge that is told to end moves its people away first.
            new = Some(bridge(&this, &token).await);
            old.signal("-TERM");
        }
        media_flow(&mut bots, &what).await;
        // Whoever comes meets the others, on whichever bridge.
        bots.push(join(https, bots.len() as u64).await);
        media_flow(&mut bots, &format!("another one, {what}")).await;
        all_stayed(&bots, &what);
    }
    drop((node, new));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_works_with_a_former_bridge() {
    upgrade(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_bridge_works_with_a_former_node() {
    upgrade(false).await;
}
