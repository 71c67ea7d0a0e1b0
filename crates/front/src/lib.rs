//! The web front: HTTPS, the web app, config.js, redirects, health and metrics.
//!
//! [`Front::bind`] opens the ports and reads the certificate, so that whatever is wrong is said before anything runs;
//! [`Front::run`] serves until told to stop. Other parts hand in their endpoints as routers; everything that is not an
//! endpoint is a file of the web client or the name of a room.
#![allow(clippy::disallowed_methods, reason = "a host reads the clock")]

mod certificate;
mod client_config;
mod embedded;
mod error;
mod listen;
mod proxy;
mod server;
mod site;
mod ssi;
mod tenant;

pub use certificate::{Certificate, CertificateSource, write_private};
pub use client_config::ClientConfig;
pub use error::FrontError;
pub use listen::bind_tcp;
pub use server::{Front, FrontConfig, HealthCheck, check_web_root};
