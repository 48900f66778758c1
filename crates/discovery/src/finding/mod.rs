//! Hosts looked up by DNS, put in order, and tried one after the other.

mod connect;
mod finder;
mod fixed;
mod order;
mod preferred;

pub use connect::{Attempt, ConnectError, connect, interleave};
pub use finder::{FindError, Finder, Host};
pub use fixed::{Fixed, FixedError};
pub use order::order;
pub use preferred::{Next, Preferred};
