//! Logging set-up, metric registry and redaction.
//!
//! Logs go to standard error, one line per event. Metrics are registered where they are counted and collected here for
//! `/metrics`. Whatever identifies a person or opens a door travels in [`Redacted`].

mod logging;
mod metrics;
mod page;
mod redacted;

pub use logging::{LogConfig, LogFormat, LogInitError, check_filter, init};
pub use metrics::Metrics;
pub use redacted::Redacted;

/// The metric types hosts register, so that they need not name the library.
pub use prometheus_client;
