//! The server's side of TURN (RFC 8656) for one client that came over a stream: what the client says goes in, with the
//! time; what to answer, to open and to send comes out. Sockets are the host's.

mod message;
mod session;

pub use message::{BadStream, MAX_MESSAGE, begins_with_message, message_len};
pub use session::{Now, Output, Session, Settings};
