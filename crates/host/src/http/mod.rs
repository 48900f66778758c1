//! Port 9688: metrics for Prometheus, health, and the console.

mod connection;
pub(crate) mod console;
pub mod metrics;
pub(crate) mod server;
