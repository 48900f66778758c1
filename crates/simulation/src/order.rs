//! The commands that the simulated administrator sends to a node.

use std::{collections::BTreeSet, time::Duration};

use activation::state::Command;
use tokio::sync::oneshot;

/// An order to a node, with the channel for its outcome.
pub(crate) type Asked = (Order, oneshot::Sender<Result<String, String>>);

/// A command to a node, as a caller of its administration would send it.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Form(BTreeSet<u64>),
    Propose(Box<Command>),
    /// Returns the node's public key for the host key, as bytes in hexadecimal.
    NodeKey,
    Add(u64),
    Remove(u64),
    Transfer(u64),
    Rejoin(u64),
    Drain(Duration),
    Read,
    Backup,
    AcceptClock,
    ResetClock,
    /// Returns the members and the leader, as numbers.
    Status,
}
