//! Checks of the cluster, and what they look at.

pub mod doctor;
pub(crate) mod examine;
pub mod moment;
