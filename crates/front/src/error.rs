//! Why the front does not start. Each is a plain sentence for the operator.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A reason not to start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrontError {
    /// A port cannot be opened.
    #[error("{}", bind_sentence(.what, *.address, .source))]
    Bind {
        /// What the port is for, e.g. `HTTPS`.
        what: &'static str,
        /// The address asked for.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// A certificate or key file cannot be used.
    #[error("the certificate cannot be used: {}: {problem}", .path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file of the state directory cannot be read or written.
    #[error("{} cannot be written: {source}{}", .path.display(), what_to_do(.source))]
    State {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The web tree is not one.
    #[error("front.web_root: {} has no index.html; give the directory of an unpacked jitsi-meet web tree", .path.display())]
    WebRoot {
        /// The directory.
        path: PathBuf,
    },
}

fn what_to_do(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room there, or choose another directory with --state-dir"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; run pontoon as the owner of that directory, or choose another with --state-dir"
        }
        _ => "",
    }
}

fn bind_sentence(what: &str, address: SocketAddr, source: &io::Error) -> String {
    let port = address.port();
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "port {port} for {what} is taken by another program; stop it or choose another port"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "port {port} for {what} needs root; choose a port above 1023 or grant CAP_NET_BIND_SERVICE"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!(
                "this machine does not have the address {} for {what}",
                address.ip()
            )
        }
        _ => format!("port {port} for {what} cannot be opened: {source}"),
    }
}
