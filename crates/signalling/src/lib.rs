//! The signalling node: runs xmpp and focus behind WebSocket, BOSH, TCP and in-memory streams.
