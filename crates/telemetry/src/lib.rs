//! Logging set-up, metric registry and redaction.
