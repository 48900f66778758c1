//! The other nodes: channels to them, calls to them, and the service that they call.

pub(crate) mod channels;
pub(crate) mod forward;
pub(crate) mod identify;
pub(crate) mod receiving;
pub(crate) mod service;
pub(crate) mod taking_over;
