//! Requests and messages against a whole shard.
