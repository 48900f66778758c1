//! Code generated from `proto/`: calls between nodes, calls of administrators, calls to a publisher's service,
//! and the encoding of the log on disk.
//!
//! ```
//! use api::peer::v1::StateHashRequest;
//! use prost::Message;
//!
//! let request = StateHashRequest { index: 1024 };
//! let bytes = request.encode_to_vec();
//! assert_eq!(StateHashRequest::decode(bytes.as_slice())?, request);
//! # Ok::<(), prost::DecodeError>(())
//! ```
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

pub mod node {
    pub mod v1 {
        tonic::include_proto!("quorate.node.v1");
    }
}

pub mod publishing {
    pub mod v1 {
        tonic::include_proto!("quorate.publishing.v1");
    }
}
