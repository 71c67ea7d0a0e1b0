//! The media node: a thread and a socket for each shard, the XMPP link, colibri-ws.
