//! Conferences of a media bridge: forwarding, layer choice, retransmission, speakers; colibri2 control.
