//! Both ends of an XMPP stream: framing, features, SASL, bind, stream management.
