//! Records that a node keeps beside the count, and that the count never reads: the activation log, CMIDs that
//! several machines share, estimates of distinct machines, what happens to the cluster, the limits of log lines, and the queue through which log
//! lines are written.

pub(crate) mod activations;
pub(crate) mod cluster_life;
pub(crate) mod distinct;
pub(crate) mod duplicates;
pub(crate) mod log_limit;
pub(crate) mod log_queue;
pub(crate) mod new_cmids;
mod sketch;
pub(crate) mod source_quota;
