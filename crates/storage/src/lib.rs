//! sled, opened the one right way.
//!
//! sled 0.34 acknowledges a flush that an operating-system crash undoes: on Linux its `flush` ends in
//! `sync_file_range`, which asks for no barrier. So nothing in Quorate touches sled directly. This crate gives
//! - [`Store`]: a folder with one sled database in it, its [`Identity`] (whose it is, in which format), and a lock;
//! - [`Writer`]: the only way to write. One thread takes all that waits, applies it as one atomic batch, flushes,
//!   calls `fdatasync` on sled's file through a descriptor of its own, and only then reports success.
//!
//! A replica sees neither of them: it uses a [`Disk`], which [`SledDisk`] is made of both and of a folder for snapshots. A
//! simulation puts another disk in its place.
//!
//! sled opens a damaged database with what is left of it. So every write carries a tally of the whole content, and the
//! number of acknowledged writes stands in a file beside the database: a store that lacks anything is refused, and left
//! as it is.
//!
//! After a sync that failed the operating system may still show what never reached the disk, as if it had. So a store is
//! not used as it is found: a copy of it is checked and synced, and takes its place.
//!
//! Values are capped at [`limits::VALUE_BYTES_MAX`]: sled moves larger pages into files of their own, which it never
//! syncs at all.
//!
//! Invariant: never reports a write as done before a barrier covers it, and never reports success again after a failure.

mod batch;
mod check;
mod copy;
mod database;
mod disk;
pub mod durable;
mod error;
mod identity;
#[cfg(feature = "fault-injection")]
mod kept;
pub mod limits;
mod mark;
mod opening;
pub mod panics;
mod partial;
pub mod private;
mod sled_disk;
mod store;
mod tally;
mod writer;

pub use batch::{Batch, Done, Record, ValueTooLarge};
pub use disk::{Disk, Writes, commit};
pub use error::{OpenError, ReadError, SnapshotIoError, WriteFailed};
pub use identity::{Identity, Kind};
pub use opening::{Opening, OpeningStep};
pub use sled_disk::{DiskError, SNAPSHOT_FILE, SledDisk};
pub use store::{Owner, Store};
pub use writer::{WRITER_THREAD, Writer};
