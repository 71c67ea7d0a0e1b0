//! An XMPP client connection: connect, STARTTLS, log in, resume; stanzas in and out.
