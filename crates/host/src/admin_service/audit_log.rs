//! The lines of the log that say what administrators do.

/// Their target: by it they go to a file of their own, too, where one is configured.
pub const AUDIT_TARGET: &str = "quorate::audit";
