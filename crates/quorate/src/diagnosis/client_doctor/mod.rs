//! `quorate doctor --client`: what keeps a client machine from being activated, as far as it can be seen from there. Only a
//! client's rights are used, and nothing is counted.

mod probe;

pub(crate) use self::probe::Args;
