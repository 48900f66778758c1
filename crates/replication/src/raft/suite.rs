//! openraft's own suite of storage tests, on our log and state machine.

use std::sync::Arc;

use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use storage::{Kind, Owner, Store, Writer};
use tempfile::TempDir;
use uuid::Uuid;

use crate::raft::{
    log::Log,
    snapshot_file::SnapshotFile,
    state_machine::StateMachine,
    types::{Runtime, TypeConfig},
};

struct InFolder;

impl StoreBuilder<TypeConfig, Log, StateMachine, TempDir> for InFolder {
    async fn build(&self) -> Result<(TempDir, Log, StateMachine), StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(1) };
        let store = Arc::new(Store::open(&folder.path().join("store"), owner).unwrap());
        let log = Log::load(&store, Writer::start(Arc::clone(&store)).unwrap(), false).unwrap();
        let state_machine = StateMachine::load(SnapshotFile::new(folder.path())).unwrap();
        Ok((folder, log, state_machine))
    }
}

#[tokio::test]
async fn the_log_and_the_state_machine_pass_openrafts_own_suite() {
    Runtime::scope(7, Suite::test_all(InFolder)).await.unwrap();
}
