//! Reports of all nodes, gathered by one of them for administrators and the console.

pub(crate) mod cluster_status;
pub(crate) mod counted_in;
pub(crate) mod counts;
pub(crate) mod duplicates;
pub(crate) mod events;
pub(crate) mod keys;
