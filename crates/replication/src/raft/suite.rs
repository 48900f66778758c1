//! openraft's test suite for storage, run on this crate's log and state machine.

use std::{io, sync::Arc};

use activation::state::Format;
use futures::{Stream, TryStreamExt};
use openraft::{
    EntryPayload, OptionalSend, StorageError,
    storage::{EntryResponder, RaftStateMachine},
    testing::log::{StoreBuilder, Suite},
};
use storage::{Disk, Kind, Owner, SledDisk, Store};
use tempfile::TempDir;
use uuid::Uuid;

use crate::raft::{
    log::Log,
    snapshot_file::SnapshotFile,
    state_machine::StateMachine,
    types::{EncodedState, Entry, LogId, Runtime, Snapshot, SnapshotMeta, StoredMembership, TypeConfig},
};

/// A state machine that fills gaps between entries with blank entries: the suite applies entries with gaps, which
/// openraft never does and this crate's state machine refuses.
struct Gapless(StateMachine);

impl RaftStateMachine<TypeConfig> for Gapless {
    type SnapshotData = EncodedState;
    type SnapshotBuilder = StateMachine;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        self.0.applied_state().await
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            for index in self.0.last().map_or(0, |id| id.index + 1)..entry.log_id.index {
                let log_id = LogId::new(self.0.last().map_or(entry.log_id.leader_id, |id| id.leader_id), index);
                let blank = Entry { log_id, payload: EntryPayload::Blank };
                self.0.apply(futures::stream::iter([Ok((blank, None))])).await?;
            }
            self.0.apply(futures::stream::iter([Ok((entry, responder))])).await?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> StateMachine {
        self.0.get_snapshot_builder().await
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, state: EncodedState) -> io::Result<()> {
        self.0.install_snapshot(meta, state).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        self.0.get_current_snapshot().await
    }
}

struct InFolder;

impl StoreBuilder<TypeConfig, Log, Gapless, TempDir> for InFolder {
    async fn build(&self) -> Result<(TempDir, Log, Gapless), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(1) };
        let store = Arc::new(Store::open(&folder.path().join("store"), owner).unwrap());
        let disk: Arc<dyn Disk> = Arc::new(SledDisk::start(store, folder.path(), |_| {}).unwrap());
        let log = Log::load(Arc::clone(&disk)).unwrap();
        let state_machine = StateMachine::load(SnapshotFile::on(disk), Format::NEWEST).unwrap();
        Ok((folder, log, Gapless(state_machine)))
    }
}

#[tokio::test]
async fn the_log_and_the_state_machine_pass_openrafts_own_suite() {
    Runtime::scope(7, Suite::test_all(InFolder)).await.unwrap();
}
