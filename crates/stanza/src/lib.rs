//! Typed XMPP vocabulary over a limited XML reader and an always-explicit-xmlns writer.
//!
//! The tree type is [`Element`]. Trees come from [`xml::Reader`] or [`xml::parse`], which bound everything a peer can make
//! grow, and leave through [`xml::write`], which spells out `xmlns` on every element outside `jabber:client`. Typed
//! payloads implement `TryFrom<&Element>` and `From<T> for Element`.
//!
//! ```
//! use stanza::{Element, ElementExt, el, ns};
//!
//! let ping = el("iq", ns::CLIENT)
//!     .with_attr("type", "get")
//!     .with_attr("id", "1")
//!     .with_child(el("ping", ns::PING));
//! assert_eq!(
//!     stanza::xml::to_string(&ping),
//!     r#"<iq xmlns="jabber:client" id="1" type="get"><ping xmlns="urn:xmpp:ping"/></iq>"#
//! );
//! ```

pub mod build;
pub mod colibri2;
pub mod data_form;
pub mod disco;
pub mod error;
mod ext;
pub mod iq;
pub mod jingle;
pub mod jitsi;
pub mod media;
pub mod muc;
pub mod ns;
pub mod xml;

pub use ext::{ElementExt, el};
pub use jid::{self, BareJid, FullJid, Jid};
pub use minidom::{Element, Node};
