//! XMPP server logic: sessions, routing, disco, multi-user chat and its services.
