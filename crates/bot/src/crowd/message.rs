//! What a crowd is told: its settings, who shall come, what they shall do.

use std::net::IpAddr;
use std::sync::mpsc;
use std::time::Instant;

use link::{LinkEvent, LinkSender};
use tokio::runtime::Handle as Runtime;

use super::look::Look;
use super::member::{MemberId, MemberLook};
use crate::bot::{Bot, BotConfig};

/// Where the datagrams of a crowd come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Local {
    /// Addresses of 127.0.0.0/8: reaches bridges on this machine.
    Loopback,
    /// This address of the machine, with a port for each bot.
    Address(IpAddr),
}

/// Settings of a [`Crowd`].
#[derive(Debug, Clone)]
pub struct CrowdConfig {
    /// Where datagrams come from.
    pub local: Local,
    /// The zero of the stamps in frames: give all crowds the same one.
    pub epoch: Instant,
    /// Keep the thread on this processor.
    pub processor: Option<usize>,
    /// Send media to bridges on other machines too. Otherwise it is dropped and counted.
    pub abroad: bool,
    /// Where the XMPP connections run.
    pub runtime: Runtime,
}

pub(super) type Deed = Box<dyn FnOnce(&mut Bot) + Send>;

/// What the thread is told.
pub(super) enum Message {
    Join(MemberId, Box<BotConfig>, u64, LinkSender),
    Link(MemberId, LinkEvent),
    LinkEnded(MemberId),
    Do(MemberId, Deed),
    Leave(MemberId),
    Look(mpsc::Sender<Look>),
    Members(mpsc::Sender<Vec<MemberLook>>),
    Stop,
}
