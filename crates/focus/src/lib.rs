//! The conference focus: conference requests, Jingle, colibri2 client, bridge selection.
