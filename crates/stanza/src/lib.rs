//! Typed XMPP vocabulary over a limited XML reader and an always-explicit-xmlns writer.
//!
//! The tree type is [`Element`]. Trees come from [`xml::Reader`] or [`xml::parse`], which bound everything a peer can make
//! grow, and leave through [`xml::write`], which spells out `xmlns` on every element outside `jabber:client`. Typed
//! payloads implement `TryFrom<&Element>` and `From<T> for Element`.
//!
//! ```
//! use stanza::{element, ns};
//!
//! let ping = element("iq", ns::CLIENT)
//!     .attr("type", "get")
//!     .attr("id", "1")
//!     .child(element("ping", ns::PING))
//!     .done();
//! assert_eq!(
//!     stanza::xml::to_string(&ping),
//!     r#"<iq xmlns="jabber:client" id="1" type="get"><ping xmlns="urn:xmpp:ping"/></iq>"#
//! );
//! ```

mod build;
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

pub use build::{Build, element};
pub use ext::ElementExt;
pub use jid::{self, BareJid, FullJid, Jid};
pub use minidom::{Element, Node};
