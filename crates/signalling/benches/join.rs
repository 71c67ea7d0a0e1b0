//! What one more join costs a signalling node: N people in a room over WebSockets on real sockets, somebody comes.
//!
//! `cargo bench -p signalling --bench join [people...]` prints the processor time of the node's threads for a join, up to
//! where everybody has heard of the newcomer and the newcomer of everybody, and for a leave; the clients have threads of
//! their own, which do not count. Beside it what the kernel takes for the same writes alone, a message to each of as many
//! sockets: no server can be below that. Last, the memory of the process with the crowd and after it has gone.
//! Linux only: the times are those of `/proc`.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a benchmark stops at errors, and waits until threads rest"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{Browser, TestNode};
use stanza::ns;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const ROOM: &str = "standup@conference.meet.internal";
/// Joins that are measured; FULL=1 for more.
fn rounds() -> usize {
    match std::env::var("FULL").is_ok_and(|full| full == "1") {
        true => 21,
        false => 7,
    }
}
/// Bytes of a presence with the frame around it.
const PRESENCE: usize = 420;
/// Name of the threads that count.
const NODE: &str = "node";

/// Processor time that the threads of the node took, in µs.
fn spent() -> f64 {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |name: &str| std::fs::read_to_string(task.path().join(name)).unwrap();
        if read("comm").trim() == NODE {
            let schedstat = read("schedstat");
            nanos += schedstat.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    nanos as f64 / 1e3
}

fn runtime(name: &str) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name(name)
        .enable_all()
        .build()
        .unwrap()
}

/// Somebody who stays: reads, acknowledges, and says for which newcomers a presence came.
async fn stay(mut browser: Browser, heard: Arc<AtomicU32>, progress: mpsc::UnboundedSender<()>) {
    let mut received = 0;
    browser.enable().await;
    while let Some(text) = browser.hear().await {
        if text.starts_with("<r ") {
            browser
                .say(&format!("<a xmlns='urn:xmpp:sm:3' h='{received}'/>"))
                .await;
            continue;
        }
        if text.starts_with("<a ") {
            continue;
        }
        received += 1;
        if text.contains("/late") {
            heard.fetch_add(1, Ordering::Relaxed);
            let _ = progress.send(());
        }
    }
}

/// Waits until everybody has heard of something.
async fn wait_for(heard: &AtomicU32, progress: &mut mpsc::UnboundedReceiver<()>, many: usize) {
    while (heard.load(Ordering::Relaxed) as usize) < many {
        progress.recv().await;
    }
    heard.store(0, Ordering::Relaxed);
}

/// Lets what was begun be done, and threads sleep: only then the kernel has added up all their time.
async fn rest() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

fn median(costs: &mut [f64]) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

async fn measure(server: &Runtime, people: usize) {
    let start = TestNode::start_with(|config| {
        config.xmpp.limits.hibernation_clients = Duration::from_secs(1);
    });
    let node = server.spawn(start).await.unwrap();
    let heard = Arc::new(AtomicU32::new(0));
    let (sender, mut progress) = mpsc::unbounded_channel();
    let mut staying = JoinSet::new();
    for number in 0..people {
        let mut browser = Browser::connect(&node).await;
        browser.join(ROOM, &format!("p{number}")).await;
        staying.spawn(stay(browser, Arc::clone(&heard), sender.clone()));
    }
    let (mut joins, mut leaves) = (Vec::new(), Vec::new());
    for round in 0..rounds() {
        let mut browser = Browser::connect(&node).await;
        rest().await;
        let before = spent();
        browser.join(ROOM, &format!("late{round}")).await;
        wait_for(&heard, &mut progress, people).await;
        rest().await;
        joins.push(spent() - before);
        let before = spent();
        browser
            .say(&format!("<close xmlns='{}'/>", ns::FRAMING))
            .await;
        wait_for(&heard, &mut progress, people).await;
        rest().await;
        leaves.push(spent() - before);
    }
    let (join, leave) = (median(&mut joins), median(&mut leaves));
    let with_all = resident();
    staying.shutdown().await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    println!(
        "{people:5} people: join {join:8.0} µs, {:5.2} µs each; leave {leave:8.0} µs; {with_all} MiB resident, {} MiB after they left",
        join / people as f64,
        resident(),
    );
}

/// The kernel's part: one write of a presence's size to each of `people` sockets, whose peers read on other threads.
fn floor(clients: &Runtime, people: usize) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut sockets = Vec::new();
    for _ in 0..people {
        let peer = clients
            .block_on(tokio::net::TcpStream::connect(address))
            .unwrap();
        clients.spawn(async move {
            let (mut peer, mut bytes) = (peer, vec![0; 4096]);
            while peer.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
        });
        let (socket, _) = listener.accept().unwrap();
        socket.set_nodelay(true).unwrap();
        sockets.push(socket);
    }
    let writer = std::thread::Builder::new().name(NODE.to_owned());
    let written = writer.spawn(move || {
        let mut costs: Vec<f64> = (0..rounds())
            .map(|_| {
                std::thread::sleep(Duration::from_millis(200));
                let before = spent();
                for socket in &mut sockets {
                    socket.write_all(&[b'x'; PRESENCE]).unwrap();
                }
                std::thread::sleep(Duration::from_millis(50));
                spent() - before
            })
            .collect();
        median(&mut costs)
    });
    let cost = written.unwrap().join().unwrap();
    println!(
        "{people:5} writes alone: {cost:8.0} µs, {:5.2} µs each",
        cost / people as f64
    );
}

/// Memory of the process, MiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: usize = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

fn main() {
    // `cargo bench` says so; `cargo test --benches` only has to compile it.
    if !std::env::args().any(|a| a == "--bench") {
        return;
    }
    let mut sizes: Vec<usize> = std::env::args().filter_map(|a| a.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![100, 300, 1_000];
    }
    let clients = runtime("clients");
    for people in sizes {
        let server = runtime(NODE);
        clients.block_on(measure(&server, people));
        server.shutdown_background();
        floor(&clients, people);
    }
}
