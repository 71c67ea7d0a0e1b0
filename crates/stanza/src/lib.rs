//! Typed XMPP vocabulary over a limited XML reader and an always-explicit-xmlns writer.
