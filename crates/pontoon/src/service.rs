//! What systemd is told of a service of the type `notify`; nothing where nobody asks.

use sd_notify::NotifyState;

/// The process serves.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// How things are, in a sentence, for `systemctl status`.
pub(crate) fn status(sentence: &str) {
    tell(&[NotifyState::Status(sentence)]);
}

/// The process ends in order.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told how this service does");
    }
}
