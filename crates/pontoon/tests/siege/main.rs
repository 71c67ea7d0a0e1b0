//! A running server under attack, while two meetings go on and people come and go.
//!
//! Strangers try everything that ever ended somebody else's meeting, one attack after the other, round and round. All
//! that time nobody in the meetings may be without a picture for more than a second, logins of others go on, and in the
//! end the server's memory is back near where it began.
//!
//! `SIEGE_SECONDS` says how long it takes: 40 when absent, 1,200 in full (`make siege`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test stops where it fails, and reads the clock"
)]

mod attacker;
mod attacks;
mod meetings;
mod server;
mod visitors;

use std::time::{Duration, Instant};

use attacker::Aim;
use attacks::ATTACKS;
use meetings::Meetings;
use server::Server;
use visitors::Visitors;

/// What memory may have grown by in the end, in KiB.
const GROWTH: u64 = 64 * 1024;
/// How long the server may take to let go of what the last strangers left behind. Ends a test that would hang.
const SETTLE: Duration = Duration::from_secs(150);

fn length() -> Duration {
    let seconds = std::env::var("SIEGE_SECONDS").ok();
    Duration::from_secs(seconds.map_or(40, |s| s.parse().expect("SIEGE_SECONDS: a number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_outside_a_meeting_can_end_or_disturb_it() {
    let server = Server::start().await;
    let aim = Aim::new(&server);
    let meetings = Meetings::start(&server, &[("alpha", 3), ("beta", 2)]).await;
    let visitors = Visitors::start(aim.clone());
    visitors.one_more("before the siege").await;
    let before = server.resident_kib();
    println!("siege: begins at {} MiB resident", before / 1024);

    let slice = length() / u32::try_from(ATTACKS.len()).expect("few");
    for attack in only(std::env::var("SIEGE_ONLY").ok()) {
        let began = Instant::now();
        meetings.forget();
        let report = (attack.run)(aim.clone(), began + slice).await;
        visitors.one_more(attack.name).await;
        let gap = meetings.worst(attack.name);
        println!(
            "siege: {:<22} {:>5.1} s, {report}; longest time without a picture {} ms, {} MiB",
            attack.name,
            began.elapsed().as_secs_f64(),
            gap.as_millis(),
            server.resident_kib() / 1024
        );
        server.must_run(attack.name);
    }
    meetings.must_be_whole("after the siege");
    visitors.one_more("after the siege").await;
    server.must_shrink_to(before + GROWTH, SETTLE).await;
    println!(
        "siege: ends at {} MiB resident",
        server.resident_kib() / 1024
    );
}

/// All attacks, or those whose names contain a word.
fn only(word: Option<String>) -> impl Iterator<Item = &'static attacks::Attack> {
    ATTACKS
        .iter()
        .filter(move |attack| word.as_ref().is_none_or(|word| attack.name.contains(word)))
}
