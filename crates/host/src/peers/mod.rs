//! Communication between nodes: the port of the peer and node services, and the client of the node service.

pub(crate) mod in_process;
mod legacy;
pub(crate) mod node_client;
pub(crate) mod node_service;
pub(crate) mod request;
pub(crate) mod server;
pub(crate) mod signing;
