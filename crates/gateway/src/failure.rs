//! How an upstream failed.

use std::{fmt, io};

/// How an upstream, or an association with it, failed. A metric has one counter for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Its name has no address, or no answer came.
    Resolve,
    /// The connection was refused, or not established before the deadline.
    Connect,
    /// It accepted the connection, and its answer to the bind did not arrive before the deadline.
    Silent,
    /// bind_nak, or in a probe an interface that it does not offer any more.
    Refused,
    /// Bytes that are no answer to a bind, or no PDU.
    Protocol,
    /// It closed or reset the connection before it answered.
    Closed,
    /// It did not take a PDU, or did not finish one, before the deadline.
    Slow,
    /// A probe of it came back to this cluster.
    Loop,
    /// Its address is a member's own.
    Member,
    /// This node's own: no descriptor, port or memory is left. Says nothing about the upstream.
    Local,
}

impl Failure {
    /// All kinds.
    pub const ALL: [Self; 10] = [
        Self::Resolve,
        Self::Connect,
        Self::Silent,
        Self::Refused,
        Self::Protocol,
        Self::Closed,
        Self::Slow,
        Self::Loop,
        Self::Member,
        Self::Local,
    ];

    /// Name for labels and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Silent => "silent",
            Self::Refused => "refused",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Slow => "slow",
            Self::Loop => "loop",
            Self::Member => "member",
            Self::Local => "local",
        }
    }

    /// The kind of an error of `connect`.
    pub fn of_connect(error: &io::Error) -> Self {
        let is_local = error.kind() == io::ErrorKind::AddrNotAvailable
            || error.kind() == io::ErrorKind::OutOfMemory
            || matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS));
        if is_local { Self::Local } else { Self::Connect }
    }
}

/// No descriptor is left for the system, for the process; no buffers. The numbers of Linux.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = 105;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "its name was not resolved",
            Self::Connect => "no connection was established",
            Self::Silent => "it did not answer a bind",
            Self::Refused => "it refused a bind",
            Self::Protocol => "it sent bytes that are no answer",
            Self::Closed => "it closed the connection",
            Self::Slow => "it took too long for a PDU",
            Self::Loop => "it leads back to this cluster",
            Self::Member => "its address is a member's own",
            Self::Local => "this node has no descriptor or port left",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g4_the_nodes_own_errors_are_told_apart() {
        assert_eq!(Failure::of_connect(&io::Error::from_raw_os_error(EMFILE)), Failure::Local);
        assert_eq!(Failure::of_connect(&io::ErrorKind::AddrNotAvailable.into()), Failure::Local);
        assert_eq!(Failure::of_connect(&io::ErrorKind::ConnectionRefused.into()), Failure::Connect);
    }
}
