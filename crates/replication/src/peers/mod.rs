//! The other nodes: channels and calls to them, and the service that they call.

pub(crate) mod channels;
pub(crate) mod forward;
pub(crate) mod identify;
pub(crate) mod receiving;
pub(crate) mod service;
pub(crate) mod taking_over;
