//! A whole cluster: what is observed of it, and the checks of `quorate doctor` and the console.

mod checks;
mod observation;

pub use checks::check;
pub use observation::{ClusterObservation, UnreachablePort, client_endpoints};
