//! Virtual clock and network for deterministic simulation.
