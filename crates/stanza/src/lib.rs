//! Typed XMPP vocabulary over a limited XML reader and an always-explicit-xmlns writer.

pub mod build;
pub mod colibri2;
pub mod data_form;
pub mod disco;
pub mod jitsi;
pub mod media;
pub mod muc;

pub use jid::{self, BareJid, FullJid, Jid};
pub use minidom::Element;
