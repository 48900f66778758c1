//! The lifecycle of a node: settings that take effect while it runs, drain, leaving the cluster, and the rescue of a
//! data folder while the node is stopped.

pub(crate) mod authority_key;
pub(crate) mod descriptors;
pub(crate) mod drain;
pub(crate) mod draining;
pub mod joining;
pub(crate) mod leave;
pub(crate) mod live_settings;
pub(crate) mod ports;
pub(crate) mod readiness;
pub(crate) mod registration;
pub mod rescue;
