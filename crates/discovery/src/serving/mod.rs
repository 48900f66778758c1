//! The cluster as the DNS server of its own zone: a site delegates one name once, and every node answers for it with
//! the hosts that are ready at that time.

mod answer;
mod cookies;
mod response_limit;
mod server;
mod zone;

pub use server::serve;
pub use zone::{Delegated, DelegatedError, Snapshot};
