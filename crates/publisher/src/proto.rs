//! The records' messages, generated from this crate's `.proto` file.

include!(concat!(env!("OUT_DIR"), "/quorate.publisher.v1.rs"));
