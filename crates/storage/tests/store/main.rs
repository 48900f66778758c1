//! What a store keeps, and which stores it refuses, on real files.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod disk_full;
mod files;
mod refusals;
mod reopening;

use std::{path::Path, sync::Arc};

use storage::{Batch, Kind, OpenError, Owner, Store, Writer};
use uuid::Uuid;

const NODE_1: Owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(0x51) };

fn open(folder: &Path) -> Result<Arc<Store>, OpenError> {
    Store::open(folder, NODE_1).map(Arc::new)
}

fn refusal(folder: &Path, owner: Owner) -> OpenError {
    Store::open(folder, owner).err().expect("the store was opened")
}

fn put(key: &str, value: impl Into<Vec<u8>>) -> Batch {
    let mut batch = Batch::default();
    batch.put(key, value).unwrap();
    batch
}

fn key(number: impl Into<u32>) -> String {
    format!("key {:04}", number.into())
}

/// 512 bytes that occur in no other record.
fn value(number: u8) -> Vec<u8> {
    vec![number; 512]
}

/// A store of 64 records, each from one write, closed again.
async fn filled(folder: &Path) {
    let store = open(folder).unwrap();
    let writer = Writer::start(Arc::clone(&store)).unwrap();
    for number in 0..64u8 {
        writer.commit(put(&key(number), value(number))).await.unwrap();
    }
    drop(writer);
    closed(store);
}

/// Waits until the writing thread has released the store, and closes it.
fn closed(mut store: Arc<Store>) {
    let deadline = std::time::Duration::from_secs(10);
    let (done, gone) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        loop {
            match Arc::try_unwrap(store) {
                Ok(store) => break drop(store),
                Err(shared) => store = shared,
            }
            std::thread::yield_now();
        }
        done.send(()).unwrap();
    });
    gone.recv_timeout(deadline).expect("the writing thread keeps the store open");
}
