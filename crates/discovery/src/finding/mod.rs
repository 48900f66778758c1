//! Hosts looked up by DNS, put in order, and tried one after the other.

mod connect;
mod error;
mod finder;
mod fixed;
mod order;
mod preferred;
mod zone;

pub use connect::{ConnectAttempt, ConnectError, connect, interleave};
pub use error::FindError;
pub use finder::{Finder, FoundHost};
pub use fixed::{FixedHost, FixedHostError};
pub use order::order;
pub use preferred::{NextStep, Preferred};
