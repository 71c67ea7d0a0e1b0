//! Transport parameters, as the `rtc` crate names them.

pub use rtc::{Certificate, LocalParameters, RemoteParameters};
