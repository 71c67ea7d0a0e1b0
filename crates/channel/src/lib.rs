//! JSON messages between client and bridge on the bridge channel.
