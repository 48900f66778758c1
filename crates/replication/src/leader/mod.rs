//! What a leader does: it batches requests, keeps cluster time, executes proposals, and manages the membership.

pub(crate) mod batcher;
pub(crate) mod clock;
pub(crate) mod confirmation;
pub(crate) mod duties;
pub(crate) mod format;
pub(crate) mod handover;
pub(crate) mod hashes;
pub(crate) mod links;
pub(crate) mod membership;
pub(crate) mod presence;
pub(crate) mod profiles;
pub(crate) mod proposal;
pub(crate) mod propose;
pub(crate) mod rejoin;
pub(crate) mod round_trips;
pub(crate) mod voters;
