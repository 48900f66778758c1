//! Commands that diagnose problems: `quorate doctor` (of the cluster, and with `--client` of a client machine),
//! `events`, `explain` and `duplicates`. Each command has one file or folder.

pub(crate) mod client_doctor;
pub(crate) mod doctor;
pub(crate) mod duplicates;
pub(crate) mod events;
pub(crate) mod explain;
