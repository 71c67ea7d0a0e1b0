//! XMPP server logic: sessions, routing, disco, multi-user chat and its services.
//!
//! [`Server`] is pure: it takes the time, a seed and stanzas, and returns stanzas and its next deadline. The host owns
//! connections, runs the `stream` state machines and drives one `Server` like this:
//!
//! 1. SASL: [`Server::credentials`] for password mechanisms, [`Server::anonymous_user`] for ANONYMOUS.
//! 2. [`Server::bind`] for a new session, or [`Server::resume`] to take over one whose connection was lost.
//! 3. [`Server::handle_stanza`] for each stanza, [`Server::ack`] and [`Server::ack_requested`] for stream management.
//! 4. [`Server::detach`] when the connection is lost, [`Server::close`] when the peer ended its stream.
//! 5. A host that keeps a journal writes [`Server::take_news`] down after each call, and begins the next process with
//!    [`Server::restore`].
//! 6. After each call, [`Server::poll_output`] until `None`, then [`Server::poll_timeout`] and, at that time,
//!    [`Server::handle_timeout`].

mod accounts;
mod api;
pub mod auth;
mod clock;
mod config;
mod core;
mod hosts;
mod ids;
mod journal;
mod muc;
mod occupants;
mod outgoing;
mod pace;
mod requests;
mod server;
mod services;
mod session;

pub use accounts::{BridgeAccounts, Door, JOIN as JOIN_ACCOUNT, LOCAL_BRIDGE, is_bridge_name};
pub use api::{
    AuthError, BadName, BindError, Bound, Enabled, Login, Pace, Restored, ResumeError, Resumed,
    Stats, UnknownSession, WebQuery,
};
pub use clock::{WallClock, stamp};
pub use config::{
    Account, Config, Deployment, ExternalService, Limits, Rates, ServiceCredentials, ServiceKind,
    Transport,
};
pub use ids::{ConnectionId, SessionId};
pub use journal::JournalError;
pub use outgoing::{CloseReason, JoinRequest, Outgoing, Output};
pub use server::Server;
