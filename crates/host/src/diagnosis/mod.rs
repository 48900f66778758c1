//! Examination of a node's own machine, for the checks of the crate `admin`.

pub(crate) mod builds;
pub(crate) mod machine_probe;
