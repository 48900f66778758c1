//! Real processes for tests of the whole product: the one binary, run as its users run it.
//!
//! [`Quorate`] runs commands. A [`Cluster`] is set up with these commands only: a publisher, a configuration for each
//! node, a process for each node, a key, certificates. A [`Product`] is what client machines ask for, [`wire`] makes
//! malformed requests. Everything is on loopback, each cluster on its own addresses, or in the namespaces of a
//! [`Network`], which can be partitioned.
//!
//! Invariant: never waits without a deadline, never leaves a process behind, never asserts how long anything took.

/// The words of a command, from texts and paths.
#[macro_export]
macro_rules! words {
    ($($word:expr),* $(,)?) => { [$(::std::ffi::OsString::from($word)),*] };
}

mod browser;
mod c_library;
mod cluster;
mod command;
pub mod document;
mod files;
mod flood;
mod joining;
mod load;
mod loopback;
mod lost_reply;
mod named;
mod network;
mod organisation;
mod packed;
mod process;
mod product;
mod prometheus;
mod seen;
mod slow_links;
pub mod terminal_code;
mod wait;
mod wall_clock;
pub mod wire;

pub use browser::Browser;
pub use c_library::{CLibrary, c_library};
pub use cluster::{CATALOG, Cluster, ClusterStatus, Member, Node, Plan};
pub use command::{Finished, Quorate, finished};
pub use files::{contents, copy_folder};
pub use flood::{Flood, connect_from};
pub use joining::join;
pub use load::{Load, LoadResult, Pause};
pub use loopback::{Loopback, free_port};
pub use lost_reply::{LostReply, LostReplyFromAfar};
pub use named::{Named, ZONE, dig};
pub use network::Network;
pub use organisation::{certify, certify_all};
pub use packed::unpack;
pub use process::Process;
pub use product::{Product, cmid};
pub use prometheus::{PROMETHEUS_FILES, Prometheus};
pub use seen::{page, value};
pub use slow_links::SlowLinks;
pub use wait::{TIMEOUT, eventually};
pub use wall_clock::now_ms;
