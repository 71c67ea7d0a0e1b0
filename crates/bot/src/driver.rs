//! Drives a bot over real sockets.

#![allow(
    clippy::disallowed_methods,
    reason = "the host side of a bot reads the clock"
)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use link::{LinkConfig, LinkEvent, LinkSender};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::bot::{Bot, BotConfig};
use crate::event::Event;
use crate::receive::SourceStats;

const DATAGRAM: usize = 2_048;
/// Datagrams read before time gets its turn.
const BATCH: usize = 64;
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(50);

/// What a bot has seen so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Endpoint id; empty before the login.
    pub endpoint: String,
    /// Video received, by source name.
    pub video: BTreeMap<String, SourceStats>,
    /// Audio packets received, by source name.
    pub audio: BTreeMap<String, u64>,
    /// Delays of all frames decoded, camera to decoder, in microseconds.
    pub latencies: Vec<u64>,
    /// Everything told, in order.
    pub events: Vec<Event>,
}

type Command = Box<dyn FnOnce(&mut Bot) + Send>;

/// A running bot.
#[derive(Debug)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    snapshots: watch::Receiver<Snapshot>,
}

impl Handle {
    /// Does something with the bot: speak, write, leave.
    pub fn with(&self, command: impl FnOnce(&mut Bot) + Send + 'static) {
        // A bot that has ended does nothing more.
        let _ = self.commands.send(Box::new(command));
    }

    /// What the bot has seen so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshots.borrow().clone()
    }

    /// Waits until what the bot has seen is `enough`; `false` when it ended before.
    pub async fn wait(&mut self, mut enough: impl FnMut(&Snapshot) -> bool) -> bool {
        self.snapshots.wait_for(|s| enough(s)).await.is_ok()
    }
}

/// Starts a bot on the current tokio runtime. It ends with its handle.
///
/// # Errors
/// If no UDP socket can be bound to `address`.
pub async fn run(
    mut config: BotConfig,
    link: LinkConfig,
    address: IpAddr,
    epoch: Instant,
    seed: u64,
) -> std::io::Result<Handle> {
    let socket = UdpSocket::bind((address, 0)).await?;
    config.local = socket.local_addr()?;
    let (commands, command_queue) = mpsc::unbounded_channel();
    let (snapshot, snapshots) = watch::channel(Snapshot::default());
    let (sender, link) = link::spawn(link);
    let driver = Driver {
        bot: Bot::new(config, epoch, seed),
        socket,
        sender,
        snapshot,
        published: Instant::now(),
    };
    tokio::spawn(driver.run(link, command_queue));
    Ok(Handle {
        commands,
        snapshots,
    })
}

struct Driver {
    bot: Bot,
    socket: UdpSocket,
    sender: LinkSender,
    snapshot: watch::Sender<Snapshot>,
    published: Instant,
}

impl Driver {
    async fn run(
        mut self,
        mut link: mpsc::Receiver<LinkEvent>,
        mut commands: mpsc::UnboundedReceiver<Command>,
    ) {
        let mut buffer = [0; DATAGRAM];
        loop {
            self.flush();
            let deadline = self
                .bot
                .poll_timeout()
                .unwrap_or_else(|| Instant::now() + SNAPSHOT_INTERVAL);
            let deadline = deadline.min(self.published + SNAPSHOT_INTERVAL);
            tokio::select! {
                readable = self.socket.readable() => {
                    if readable.is_err() {
                        return;
                    }
                    self.read(&mut buffer);
                }
                event = link.recv() => match event {
                    Some(LinkEvent::Online { jid, resumed: false }) => self.bot.online(Instant::now(), jid),
                    Some(LinkEvent::Stanza(stanza)) => self.bot.handle_stanza(Instant::now(), &stanza),
                    Some(_) => {}
                    None => return,
                },
                command = commands.recv() => match command {
                    Some(command) => command(&mut self.bot),
                    None => {
                        self.flush();
                        return self.sender.close().await;
                    }
                },
                () = sleep_until(deadline.into()) => self.bot.handle_timeout(Instant::now()),
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) {
        for _ in 0..BATCH {
            let Ok((len, from)) = self.socket.try_recv_from(buffer) else {
                return;
            };
            self.bot
                .handle_datagram(Instant::now(), from, &buffer[..len]);
        }
    }

    fn flush(&mut self) {
        while let Some((to, bytes)) = self.bot.poll_datagram() {
            // A full socket buffer loses the datagram, as a network would.
            let _ = self.socket.try_send_to(&bytes, to);
        }
        while let Some(stanza) = self.bot.poll_stanza() {
            if self.sender.send(stanza).is_err() {
                tracing::warn!("the link's queue is full: a stanza is lost");
            }
        }
        let events: Vec<Event> = std::iter::from_fn(|| self.bot.poll_event()).collect();
        if events.is_empty() && self.published.elapsed() < SNAPSHOT_INTERVAL {
            return;
        }
        self.published = Instant::now();
        let bot = &mut self.bot;
        self.snapshot.send_modify(|s| {
            s.endpoint = bot.endpoint().to_owned();
            s.video.clone_from(bot.video());
            s.audio.clone_from(bot.audio());
            s.latencies.extend(bot.take_latencies());
            bot.take_voice_latencies();
            s.events.extend(events);
        });
    }
}
