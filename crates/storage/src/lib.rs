//! Durable storage on sled.
//!
//! sled 0.34 acknowledges a flush that a crash of the operating system undoes: on Linux its `flush` ends in
//! `sync_file_range`, which issues no disk barrier. Therefore no other crate of Quorate uses sled directly. This
//! crate provides
//! - [`Store`]: a folder with one sled database in it, its [`Identity`] (its owner and format), and a lock;
//! - [`Writer`]: the only way to write. One thread takes all waiting writes, applies them as one atomic batch,
//!   flushes, calls `fdatasync` on sled's file through its own descriptor (the barrier), and only then reports
//!   success.
//!
//! A replica uses neither of them directly: it uses a [`Disk`]. [`SledDisk`] implements that with both, and with a
//! folder for snapshots. A simulation implements it differently.
//!
//! sled opens a damaged database with the part that is readable. Therefore every write updates a tally of the whole
//! content, and the number of acknowledged writes is in a file beside the database: a store that lacks anything is
//! refused, and left unchanged.
//!
//! After a failed sync the operating system may still return data from its cache that never reached the disk.
//! Therefore a store is not used as it is found: a copy of it is checked and synced, and replaces it.
//!
//! ```
//! use std::sync::Arc;
//! use storage::{Batch, Kind, Owner, Store, Writer};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! let owner = Owner { kind: Kind::Node, number: 1, store_if_new: uuid::Uuid::from_u128(1) };
//! let store = Arc::new(Store::open(folder.path(), owner)?);
//! let writer = Writer::start(Arc::clone(&store))?;
//!
//! let mut batch = Batch::default();
//! batch.put("term", "7")?;
//! writer.commit(batch).await?; // returns when the batch is durable
//! assert_eq!(store.get(b"term")?.as_deref(), Some(b"7".as_slice()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Values are limited to [`limits::VALUE_BYTES_MAX`]: sled writes larger pages to separate files, which it never
//! syncs.
//!
//! Invariant: never reports a write as done before a barrier covers it, and never reports success again after a
//! failure.

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
