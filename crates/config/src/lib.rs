//! The configuration file: format, defaults, checks, generated reference.
//!
//! One list, [`OPTIONS`], says everything about a setting: its key, kind, default and why. From it come the TOML parser, the
//! environment names, the reference page, the sample file and the JSON schema. A setting is read in two steps: [`Layers`]
//! is what was written and where (file and line, environment, command line); [`Settings`] is what it means.

mod account;
mod address;
mod advertise;
mod certificate;
mod client;
mod error;
mod join;
mod kind;
mod layers;
mod options;
pub mod reference;
mod settings;
mod turn_server;

pub use account::ServiceAccount;
pub use advertise::{Advertised, StunServer};
pub use certificate::AcmeSettings;
pub use client::ClientSettings;
pub use error::{ConfigError, Origin};
pub use join::{JoinToken, JoinTokenError};
pub use kind::{Cidr, Kind, Listen, Value};
pub use layers::{Layers, env_name};
pub use options::{DefaultValue, OPTIONS, OptionSpec, SECTIONS, SectionSpec, find};
pub use settings::{
    BridgeSettings, FocusSettings, FrontSettings, Machine, MeetSettings, Settings, WebhookSettings,
};
pub use turn_server::TurnServer;
