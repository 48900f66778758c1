//! `quorate doctor --client`: finds what keeps a client machine from being activated, as far as the client machine
//! can observe it. It uses only the rights of a client, and its probes are not counted.

mod probe;

pub(crate) use self::probe::Args;
