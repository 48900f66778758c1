//! One client machine: what is observed on it, with a client's rights, and the checks of `quorate doctor --client`.

mod checks;
mod observation;

pub use checks::check;
pub use observation::{
    ClientObservation, HostProbe, LicenseObservation, LookupProblem, MachineObservation, ProbeResult,
};
