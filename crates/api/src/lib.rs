//! Code generated from `proto/`: what nodes say to each other, what administrators say to a node, what is asked of a
//! publisher's service, and the form of the log on disk.
//!
//! Invariant: never a line of logic.

#![allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    clippy::disallowed_types,
    clippy::large_futures,
    reason = "generated code"
)]

pub mod log {
    pub mod v1 {
        tonic::include_proto!("quorate.log.v1");
    }
}

pub mod peer {
    pub mod v1 {
        tonic::include_proto!("quorate.peer.v1");
    }
}

pub mod admin {
    pub mod v1 {
        tonic::include_proto!("quorate.admin.v1");
    }
}

pub mod publishing {
    pub mod v1 {
        tonic::include_proto!("quorate.publishing.v1");
    }
}
