//! A sync fails, and the node is restarted before a power failure.
//!
//! When a sync fails, Linux marks the pages as clean: a program that reads the file gets the written data, later
//! syncs succeed, and a crash loses the data. What a restarted node treats as durable must be durable.

use std::process::Command;

use crate::{
    strict::StrictFileSystem,
    writer::{Barrier, Lost, Snapshots, Writer, check, write_with},
};

/// How the second start treats the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reopened {
    Renewed,
    /// The store is used as it is found: the test must detect the loss that follows.
    AsFound,
}

impl Reopened {
    fn set(self, command: &mut Command) {
        match self {
            Self::Renewed => command.env_remove("QUORATE_FAULT_USE_AS_FOUND"),
            Self::AsFound => command.env("QUORATE_FAULT_USE_AS_FOUND", "1"),
        };
    }
}

/// Fails one sync after this many acknowledgements, restarts the writer, which acknowledges more, and cuts the
/// power.
fn fail_sync_after(acknowledged: usize, reopened: Reopened) -> Result<(), Lost> {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("mounted");
    let files = StrictFileSystem::empty();
    let mut all = Vec::new();
    {
        let mounted = files.mount(&at);
        let data = mounted.path().join("data");
        let mut writer = Writer::start(&data, Barrier::InPlace, Snapshots::Never);
        writer.wait_for(acknowledged);
        files.fail_next_sync();
        all.extend(writer.end());
        assert_eq!(files.failed_syncs(), 1);
        all.extend(write_with(&data, 64, |command| reopened.set(command))?);
    }
    let mounted = files.after_power_cut().mount(&at);
    check(&mounted.path().join("data"), &all, folder.path())
}

#[test]
fn machine_data_that_a_failed_sync_left_in_the_page_cache_is_made_durable_before_it_is_used() {
    for run in 0..4 {
        assert_eq!(fail_sync_after(100 + 211 * run, Reopened::Renewed), Ok(()), "run {run}");
    }
}

#[test]
fn machine_a_store_reused_unchecked_after_a_failed_sync_is_seen_to_lose_activations() {
    let losses: Vec<_> = (0..3).map(|run| fail_sync_after(100 + 211 * run, Reopened::AsFound)).collect();
    assert!(losses.iter().any(Result::is_err), "nothing was lost: this test proves nothing");
}
