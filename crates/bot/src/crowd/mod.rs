//! Thousands of participants in one thread: few sockets, bursts in and out, one heap of deadlines.
//!
//! The thread runs all the bots of a [`Crowd`]; only their XMPP connections are tasks, on the tokio runtime they are given.

mod look;
mod member;
mod message;
mod sockets;
mod worker;

pub use look::Look;
pub use member::{MemberId, MemberLook};
pub use message::{CrowdConfig, Local};

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc;

use link::LinkConfig;
use net::{Poller, Waker};
use tokio::runtime::Handle as Runtime;

use crate::bot::{Bot, BotConfig};
use message::Message;
use sockets::Sockets;
use worker::Worker;

/// Participants in a thread of their own. It ends with this value.
#[derive(Debug)]
pub struct Crowd {
    messages: mpsc::Sender<Message>,
    waker: Waker,
    next: AtomicU32,
    links: Arc<AtomicUsize>,
    runtime: Runtime,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Crowd {
    /// Starts the thread, without anybody in it.
    ///
    /// # Errors
    /// If there are no threads or descriptors left, or the processor is not ours.
    pub fn start(config: CrowdConfig) -> io::Result<Self> {
        let (poller, waker) = Poller::new()?;
        let (messages, inbox) = mpsc::channel();
        let runtime = config.runtime.clone();
        let (ready, started) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("crowd".to_owned())
            .spawn(move || {
                let pinned = config.processor.map_or(Ok(()), net::pin_current_thread);
                let good = pinned.is_ok();
                if ready.send(pinned).is_ok() && good {
                    let sockets = Sockets::new(config.local, config.abroad);
                    Worker::new(config, sockets, poller, inbox).run();
                }
            })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Self {
            messages,
            waker,
            next: AtomicU32::new(0),
            links: Arc::default(),
            runtime,
            thread: Some(thread),
        })
    }

    fn tell(&self, message: Message) {
        // A thread that has ended has nobody left to do anything with.
        let _ = self.messages.send(message);
        self.waker.wake();
    }

    /// Lets somebody log in and join. `config.local` is chosen by the crowd.
    pub fn join(&self, config: BotConfig, link: LinkConfig, seed: u64) -> MemberId {
        let id = MemberId(self.next.fetch_add(1, Ordering::Relaxed));
        let _runtime = self.runtime.enter();
        let (sender, mut events) = link::spawn(link);
        let open = Arc::clone(&self.links);
        open.fetch_add(1, Ordering::Relaxed);
        self.tell(Message::Join(id, Box::new(config), seed, sender));
        let (messages, waker) = (self.messages.clone(), self.waker.clone());
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                // When the crowd is no more, nobody hears it.
                let _ = messages.send(Message::Link(id, event));
                waker.wake();
            }
            open.fetch_sub(1, Ordering::Relaxed);
            let _ = messages.send(Message::LinkEnded(id));
            waker.wake();
        });
        id
    }

    /// Does something with a participant: speak, arrange, write. One who has left does nothing.
    pub fn with(&self, id: MemberId, deed: impl FnOnce(&mut Bot) + Send + 'static) {
        self.tell(Message::Do(id, Box::new(deed)));
    }

    /// Lets somebody leave the room and log out.
    pub fn leave(&self, id: MemberId) {
        self.tell(Message::Leave(id));
    }

    /// Connections to the server, those included that are just being ended in order.
    #[must_use]
    pub fn links(&self) -> usize {
        self.links.load(Ordering::Relaxed)
    }

    /// What all have seen so far. The delays are those since the last look.
    #[must_use]
    pub fn look(&self) -> Look {
        let (reply, answer) = mpsc::channel();
        self.tell(Message::Look(reply));
        answer.recv().unwrap_or_default()
    }

    /// What each of them gets. The pauses are those since the last call.
    #[must_use]
    pub fn members(&self) -> Vec<MemberLook> {
        let (reply, answer) = mpsc::channel();
        self.tell(Message::Members(reply));
        answer.recv().unwrap_or_default()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.tell(Message::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
