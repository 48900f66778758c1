//! Commands that explain what is wrong: `quorate doctor` (of the cluster, and with `--client` of a client machine), `events`,
//! `explain` and `duplicates`. One file a command.

pub(crate) mod client_doctor;
pub(crate) mod doctor;
pub(crate) mod duplicates;
pub(crate) mod events;
pub(crate) mod explain;
