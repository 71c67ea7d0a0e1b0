//! The configuration file: format, defaults, checks, generated reference.
