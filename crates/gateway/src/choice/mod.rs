//! Which upstream an association goes to: health of each upstream, the preference of all nodes, the order of one node.
//! Pure: time and events are arguments.

pub(crate) mod health;
pub(crate) mod order;
pub(crate) mod preference;
pub(crate) mod target;
