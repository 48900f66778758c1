//! What an administrator asks of a node.

use std::{collections::BTreeSet, time::Duration};

use activation::state::Command;
use tokio::sync::oneshot;

/// An administrator's command to a node, with where its outcome goes.
pub(crate) type Asked = (Order, oneshot::Sender<Result<String, String>>);

/// A command to a node, as its own command line gives it.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Form(BTreeSet<u64>),
    Propose(Box<Command>),
    /// The node's public key for the host key, as a list of bytes in hexadecimal.
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
    /// Members and their leader, as numbers.
    Status,
}
