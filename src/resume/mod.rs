//! What a reconnect means: event IDs, positions, and the decisions about them. Pure: no I/O, no clock.
