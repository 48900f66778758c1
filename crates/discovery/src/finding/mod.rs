//! Discovers hosts by DNS, orders them, and tries one after the other.

mod connect;
mod error;
mod finder;
mod fixed;
mod found;
mod order;
mod preferred;
mod query_name;
mod resolvers;
mod search;
mod zone;

pub use connect::{ConnectAttempt, ConnectError, connect, interleave};
pub use error::FindError;
pub use finder::Finder;
pub use fixed::{FixedHost, FixedHostError};
pub use found::FoundHost;
pub use order::order;
pub use preferred::{NextStep, Preferred};
pub use search::{AskedName, NameAnswer, Search};
