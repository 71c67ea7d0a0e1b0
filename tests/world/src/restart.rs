//! The meet node, which is server and focus, is killed and started again; clients and bridges come back by themselves.

use std::time::Duration;

use focus::Focus;
use xmpp::{Server, WallClock};

use crate::streams::Party;
use crate::world::{DOMAIN, SECRET, World, seed};

/// Time between two snapshots of the focus, as its host takes them.
const SNAPSHOT: Duration = Duration::from_millis(100);

/// What the host of the meet node has on its disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    journal: Vec<u8>,
    snapshot: Vec<u8>,
    /// When the snapshot was taken, since the beginning.
    taken: Duration,
}

impl World {
    /// From now on the meet node's host writes down what it needs to be replaced.
    pub fn keep_journal(&mut self) {
        self.server.keep_journal();
        self.disk = Some(Disk {
            journal: self.server.journal(),
            snapshot: self.focus.snapshot().to_json(),
            taken: self.elapsed(),
        });
    }

    /// Writes down what is new, before anybody hears of it.
    pub(crate) fn write_down(&mut self) {
        let elapsed = self.elapsed();
        let Some(disk) = &mut self.disk else { return };
        disk.journal.extend(self.server.take_news());
        if elapsed >= disk.taken + SNAPSHOT {
            disk.snapshot = self.focus.snapshot().to_json();
            disk.taken = elapsed;
        }
    }

    /// What was written down is of no interest any more.
    pub(crate) fn clear_disk(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.journal = Vec::new();
        }
    }

    /// The meet node is told to end: it writes down all there is, and its connections break.
    pub fn end_meet(&mut self) {
        self.write_down();
        if let Some(disk) = &mut self.disk {
            disk.journal = self.server.journal();
            disk.snapshot = self.focus.snapshot().to_json();
        }
        self.kill_meet();
    }

    /// Whether the meet node answers nobody at present.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down || self.stopped
    }

    /// Whether there is no meet node at present.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.down
    }

    /// The meet node is killed. What was on its way, in either direction, is lost.
    pub fn kill_meet(&mut self) {
        self.down = true;
        self.stopped = false;
        self.lose_all();
    }

    /// The clock on the wall jumps, of which a meet node that is started later knows nothing; forward, or back.
    pub fn set_wall_clock(&mut self, forward: bool, by: Duration) {
        self.wall = match forward {
            true => self.wall + by,
            false => self.wall.saturating_sub(by),
        };
    }

    /// The meet node is started again, with what is on its disk. Everybody comes back within `within`, each at another
    /// moment.
    ///
    /// # Panics
    /// If what is on the disk cannot be read.
    #[allow(clippy::expect_used, reason = "as it is documented")]
    pub fn start_meet(&mut self, within: Duration) {
        let disk = self.disk.take().expect("a journal is kept");
        let clock = WallClock::new(self.now, self.wall + self.elapsed());
        let number = 1_000 + self.connections;
        let config = xmpp::Config::new(DOMAIN, SECRET);
        let restored = Server::restore(config, clock, seed(self.seed, number), &disk.journal);
        let (server, restored) = restored.expect("the domain is valid");
        assert_eq!(restored.error, None);
        assert_eq!((restored.left_out, restored.damaged), (0, 0));
        self.server = server;
        let snapshot = focus::Snapshot::from_json(&disk.snapshot).expect("it was written whole");
        let config = self.focus_config.clone();
        self.focus = Focus::restore(self.now, config, seed(self.seed, number + 1), &snapshot);
        self.down = false;
        self.keep_journal();
        let bridges = (0..self.bridges.len()).map(Party::Bridge);
        let all: Vec<Party> = bridges
            .chain((0..self.bots.len()).map(Party::Bot))
            .collect();
        for (n, party) in (0u32..).zip(all) {
            // Spread over the time, in an order that differs with the number of the restart.
            let share = (n * 37 + self.connections as u32 * 13) % 100;
            self.returns.push((self.now + within * share / 100, party));
        }
        self.log_focus_in();
    }
}
