//! The web front: HTTPS, the web app, config.js, redirects, health and metrics.
//!
//! [`Front::bind`] opens the ports and reads the certificate, so that whatever is wrong is said before anything runs;
//! [`Front::run`] serves until told to stop. Other parts hand in their endpoints as routers; everything that is not an
//! endpoint is a file of the web client or the name of a room.
#![allow(clippy::disallowed_methods, reason = "a host reads the clock")]

mod acme;
pub mod address;
mod answer;
mod certificate;
mod client_config;
mod embedded;
mod error;
mod expiry;
pub mod forwarded;
mod guard;
mod headers;
mod listen;
mod metrics;
mod pem;
mod proxy;
mod redirect;
mod relay;
mod served;
mod server;
mod site;
pub mod ssi;
mod tree;
mod validity;
mod well_known;

pub use acme::{AcmeConfig, keep as keep_by_acme};
pub use certificate::{Certificate, CertificateSource, keep_private, warn_if_open, write_private};
pub use client_config::ClientConfig;
pub use error::FrontError;
pub use forwarded::{Person, TrustedProxies};
pub use listen::bind_tcp;
pub use relay::TurnServer;
pub use served::Certificates;
pub use server::{Doors, Front, FrontConfig, HealthCheck, MediaDoor, check_web_root};
