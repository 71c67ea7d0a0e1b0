//! The server's side of TURN (RFC 8656) for one client, that came over a stream or by datagrams: what the client says goes in,
//! with the time; what to answer, to open and to send comes out. And a client's side of STUN, to learn of the address that a
//! translator gives. Sockets are the host's.

mod binding;
mod message;
mod session;

pub use binding::{Binding, BindingError};
pub use message::{BadStream, MAX_MESSAGE, begins_with_message, message_len};
pub use session::{Now, Output, Session, Settings};
