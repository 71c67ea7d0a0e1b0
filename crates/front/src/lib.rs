//! The web front: HTTPS, the web app, config.js, redirects, health and metrics.
