//! A file system in memory whose power can be cut: what was not synced until then is gone.

mod content;
mod mounted;
mod tests;
mod tree;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use fuser::Errno;

pub(crate) use mounted::Mounted;
use tree::{Inode, Status, Tree};

/// How long a program may take until it notices that the power is gone.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// A handle to the file system, which is in this process.
#[derive(Clone)]
pub(crate) struct StrictFileSystem(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    refused: Condvar,
    goes_on: Condvar,
}

struct State {
    tree: Tree,
    /// The listings that programs are reading.
    listings: BTreeMap<u64, Vec<(Box<OsStr>, Status)>>,
    next_listing: u64,
    has_power: bool,
    /// How often a file or a folder was synced.
    syncs: u64,
    /// The power is cut when as many syncs are done.
    cut_after_syncs: u64,
    /// Whether the next sync of a file fails.
    fails_next_sync: bool,
    /// How many syncs have failed.
    failed_syncs: u64,
    /// Whether syncs take for ever.
    hangs: bool,
    /// How many calls came after the cut.
    refused: u64,
}

impl StrictFileSystem {
    pub(crate) fn empty() -> Self {
        Self::with(Tree::empty())
    }

    fn with(tree: Tree) -> Self {
        let (listings, cut_after_syncs) = (BTreeMap::new(), u64::MAX);
        let state = State {
            tree,
            listings,
            next_listing: 0,
            has_power: true,
            syncs: 0,
            cut_after_syncs,
            fails_next_sync: false,
            failed_syncs: 0,
            hangs: false,
            refused: 0,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), refused: Condvar::new(), goes_on: Condvar::new() }))
    }

    /// Cuts the power: from here on every call is answered with EIO.
    pub(crate) fn cut(&self) {
        self.state().has_power = false;
    }

    /// Cuts the power as soon as as many more syncs are done. The last one succeeds.
    pub(crate) fn cut_after_syncs(&self, more: u64) {
        let mut state = self.state();
        state.cut_after_syncs = state.syncs + more;
    }

    /// The next sync of a file that was written fails with EIO. What it should have made durable is seen by programs, and is
    /// not on the disk.
    pub(crate) fn fail_next_sync(&self) {
        self.state().fails_next_sync = true;
    }

    /// How many syncs have failed.
    pub(crate) fn failed_syncs(&self) -> u64 {
        self.state().failed_syncs
    }

    /// From here on a sync does not return, or does so again.
    pub(crate) fn hang(&self, hangs: bool) {
        self.state().hangs = hangs;
        self.0.goes_on.notify_all();
    }

    /// How often a file or a folder was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Waits until a program was refused something for want of power; `false` if none was in a minute.
    pub(crate) fn wait_for_refusal(&self) -> bool {
        let none = |state: &mut State| state.refused == 0;
        let (state, _) = self.0.refused.wait_timeout_while(self.state(), NOTICED_WITHIN, none).unwrap();
        state.refused > 0
    }

    /// The file system after the power came back: a new one, with what was durable.
    pub(crate) fn after_power_cut(&self) -> Self {
        Self::with(self.state().tree.after_power_cut())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Answers a call of a program.
    fn call<T>(&self, act: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.state();
        if state.has_power {
            return act(&mut state);
        }
        state.refused += 1;
        self.0.refused.notify_all();
        Err(Errno::EIO)
    }

    /// Answers `fsync` and `fdatasync`, of a file and of a folder.
    fn sync(&self, inode: Inode) -> Result<(), Errno> {
        self.call(|state| {
            let fails = state.fails_next_sync && state.tree.fail_sync(inode)?;
            if fails {
                state.fails_next_sync = false;
                state.failed_syncs += 1;
                return Err(Errno::EIO);
            }
            state.tree.sync(inode)?;
            state.syncs += 1;
            state.has_power = state.syncs < state.cut_after_syncs;
            Ok(())
        })
    }

    /// Waits while syncs hang. To be called where other calls are answered meanwhile.
    fn wait_while_it_hangs(&self) {
        drop(self.0.goes_on.wait_while(self.state(), |state| state.hangs).unwrap());
    }

    /// Keeps a listing, which stays as it is while the program reads it.
    fn open_listing(&self, folder: Inode) -> Result<u64, Errno> {
        self.call(|state| {
            let listing = state.tree.list(folder)?;
            state.next_listing += 1;
            state.listings.insert(state.next_listing, listing);
            Ok(state.next_listing)
        })
    }
}
