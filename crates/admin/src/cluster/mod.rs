//! A whole cluster: what is observed of it, and the checks of `quorate doctor` and the console.

mod checks;
mod link;
mod observation;

pub use checks::check;
pub use link::{Link, RoundTripTime};
pub use observation::{ClusterObservation, UnreachablePort, client_endpoints};
