//! The gateway on tokio: connections, names, probes, mirrors. What is decided is decided in the pure modules.

mod connect;
pub(crate) mod environment;
pub(crate) mod forward;
pub(crate) mod gateway;
mod inner;
mod issued;
mod link;
mod mirror_job;
mod mirroring;
pub(crate) mod names;
pub(crate) mod observer;
mod probe;
mod srv;
pub(crate) mod state;
mod upkeep;
pub(crate) mod upstreams;
