//! Clusters of one and three replicas over real connections and real files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod catching_up;
mod clock;
mod cluster;
mod divergence;
mod formats;
mod forming;
mod gate;
mod growing;
mod hanging_disk;
mod node_calls;
mod one_count;
mod profiles;
mod recovering;
mod world;
