//! Synthetic participants on an independent WebRTC stack (str0m).
