//! A snapshot that another node is sending, as far as it has arrived. It is on the disk, so that the next attempt
//! continues where the last one was interrupted, also after a restart of this node.
//!
//! There is at most one: the data held for another snapshot is removed when a new snapshot is offered. None of the
//! data is used before its digest equals the one that was offered.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use storage::{Disk, SnapshotIoError};
use tokio::sync::{Mutex, MutexGuard};

use crate::{
    environment::Computations,
    raft::types::{EncodedState, LogId},
};

/// Why a transfer ends before the snapshot is complete.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The sender, or another sender, has begun a new transfer.
    #[error("another transfer of a snapshot has begun")]
    Superseded,
    /// More bytes arrived than were offered.
    #[error("a snapshot is longer than offered")]
    TooLong,
    /// The digest does not match. The data is removed, and the next attempt starts from the beginning.
    #[error("the snapshot that was received does not match its digest")]
    Damaged,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] SnapshotIoError),
    /// The node stops.
    #[error(transparent)]
    Stopped(#[from] io::Error),
}

/// The transfers of a node; only the newest one may continue.
#[derive(Debug)]
pub(crate) struct Incoming {
    disk: Arc<dyn Disk>,
    newest: AtomicU64,
    /// Locked while the data on the disk is changed.
    turn: Mutex<()>,
}

/// One transfer of a snapshot.
#[derive(Debug)]
pub(crate) struct Transfer {
    incoming: Arc<Incoming>,
    number: u64,
    name: String,
    digest: [u8; 32],
    length: u64,
    held: u64,
}

impl Incoming {
    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        Self { disk, newest: AtomicU64::new(0), turn: Mutex::new(()) }
    }

    /// Begins the transfer of a snapshot of `length` bytes, and ends the previous transfer.
    pub(crate) async fn begin(
        self: &Arc<Self>,
        last: Option<LogId>,
        digest: [u8; 32],
        length: u64,
    ) -> Result<Transfer, TransferError> {
        let number = self.newest.fetch_add(1, Ordering::Relaxed) + 1;
        let (term, leader, index) = last.map_or((0, 0, 0), |id| (id.leader_id.term, id.leader_id.node_id, id.index));
        let name = format!("{term}-{leader}-{index}-{}", HEXLOWER.encode(&digest));
        let mut transfer = Transfer { incoming: Arc::clone(self), number, name, digest, length, held: 0 };
        let turn = transfer.turn().await?;
        let held = self.disk.keep_partial(Some(&transfer.name)).await?;
        let is_sound = held <= length;
        if !is_sound {
            self.disk.keep_partial(None).await?;
        }
        drop(turn);
        transfer.held = if is_sound { held } else { 0 };
        Ok(transfer)
    }
}

impl Transfer {
    /// The number of bytes held.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.held == self.length
    }

    /// Appends the next bytes of the snapshot.
    pub(crate) async fn add(&mut self, piece: Bytes) -> Result<(), TransferError> {
        let after = self.held + piece.len() as u64;
        if after > self.length {
            return Err(TransferError::TooLong);
        }
        let turn = self.turn().await?;
        self.incoming.disk.add_to_partial(&self.name, self.held, piece).await?;
        drop(turn);
        self.held = after;
        Ok(())
    }

    /// The complete state, after its digest was verified.
    pub(crate) async fn state(&self, computations: &Computations) -> Result<EncodedState, TransferError> {
        let turn = self.turn().await?;
        let (disk, name, digest) = (Arc::clone(&self.incoming.disk), self.name.clone(), self.digest);
        let read = move || Ok(EncodedState::verified(disk.read_partial(&name)?, &digest));
        let state: Result<_, SnapshotIoError> = computations.run(read).await?;
        if let Some(state) = state? {
            return Ok(state);
        }
        self.incoming.disk.keep_partial(None).await?;
        drop(turn);
        Err(TransferError::Damaged)
    }

    /// Removes the data held, which has been installed.
    pub(crate) async fn remove(self) -> Result<(), TransferError> {
        let _turn = self.turn().await?;
        self.incoming.disk.keep_partial(None).await?;
        Ok(())
    }

    async fn turn(&self) -> Result<MutexGuard<'_, ()>, TransferError> {
        let turn = self.incoming.turn.lock().await;
        match self.incoming.newest.load(Ordering::Relaxed) == self.number {
            true => Ok(turn),
            false => Err(TransferError::Superseded),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use storage::{Kind, Owner, SledDisk, Store};
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;

    const STATE: &[u8] = b"a state in a snapshot";

    fn incoming() -> (TempDir, Arc<Incoming>) {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(1) };
        let store = Arc::new(Store::open(&folder.path().join("store"), owner).unwrap());
        let disk = SledDisk::start(store, &folder.path().join("snapshots"), |_| {}).unwrap();
        (folder, Arc::new(Incoming::on(Arc::new(disk))))
    }

    fn partial(folder: &TempDir) -> Option<Vec<u8>> {
        let mut files = fs::read_dir(folder.path().join("snapshots")).unwrap();
        let file = files.next().map(|file| file.unwrap().path());
        assert!(files.next().is_none(), "one at most");
        file.map(|path| fs::read(path).unwrap())
    }

    async fn begin(incoming: &Arc<Incoming>, state: &[u8]) -> Transfer {
        let digest = *EncodedState::new(Bytes::copy_from_slice(state)).digest();
        incoming.begin(None, digest, state.len() as u64).await.unwrap()
    }

    #[tokio::test]
    async fn a_transfer_resumes_where_the_previous_one_ended_and_leaves_no_files() {
        let (folder, incoming) = incoming();
        let mut first = begin(&incoming, STATE).await;
        first.add(STATE[..5].into()).await.unwrap();
        let mut second = begin(&incoming, STATE).await;
        assert_eq!(second.held(), 5);
        assert!(matches!(first.add(STATE[5..].into()).await, Err(TransferError::Superseded)));
        second.add(STATE[5..].into()).await.unwrap();
        assert!(second.is_complete());
        let state = second.state(&Computations::default()).await.unwrap();
        assert_eq!(state.bytes(), STATE);
        second.remove().await.unwrap();
        assert_eq!(partial(&folder), None);
    }

    #[tokio::test]
    async fn a_transfer_of_another_snapshot_starts_over_and_removes_the_partial_one() {
        let (folder, incoming) = incoming();
        let mut first = begin(&incoming, STATE).await;
        first.add(STATE[..5].into()).await.unwrap();
        let mut other = begin(&incoming, b"another state").await;
        assert_eq!((other.held(), partial(&folder)), (0, None));
        other.add(Bytes::from_static(b"ano")).await.unwrap();
        assert_eq!(partial(&folder), Some(b"ano".to_vec()));
    }

    #[tokio::test]
    async fn more_data_than_offered_is_refused_before_it_is_written() {
        let (folder, incoming) = incoming();
        let mut transfer = begin(&incoming, STATE).await;
        transfer.add(STATE.into()).await.unwrap();
        assert!(matches!(transfer.add(Bytes::from_static(b"x")).await, Err(TransferError::TooLong)));
        assert_eq!(partial(&folder).unwrap(), STATE);
    }

    #[tokio::test]
    async fn every_flipped_bit_of_received_data_is_detected_and_the_next_transfer_starts_over() {
        let (_folder, incoming) = incoming();
        for bit in 0..STATE.len() * 8 {
            let mut damaged = STATE.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let mut transfer = begin(&incoming, STATE).await;
            assert_eq!(transfer.held(), 0, "bit {bit}");
            transfer.add(damaged.into()).await.unwrap();
            assert!(matches!(transfer.state(&Computations::default()).await, Err(TransferError::Damaged)), "bit {bit}");
        }
    }
}
