//! Log lines about administrators' acts.

/// The tracing target of these lines. By it they are also written to a separate file, where one is configured.
pub const AUDIT_TARGET: &str = "quorate::audit";
