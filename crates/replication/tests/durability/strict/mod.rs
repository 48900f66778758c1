//! A file system in memory whose power can be cut: data that was not synced before is lost.

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

/// How long a program may take until it gets an error after the power cut.
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
    /// The folder listings that programs are reading.
    listings: BTreeMap<u64, Vec<(Box<OsStr>, Status)>>,
    next_listing: u64,
    has_power: bool,
    /// Number of syncs of files and folders.
    syncs: u64,
    /// The number of syncs after which the power is cut.
    cut_after_syncs: u64,
    /// Whether the next sync of a file fails.
    fails_next_sync: bool,
    /// Number of failed syncs.
    failed_syncs: u64,
    /// Whether syncs hang.
    hangs: bool,
    /// Number of calls after the power cut.
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

    /// Cuts the power: from now on every call returns EIO.
    pub(crate) fn cut(&self) {
        self.state().has_power = false;
    }

    /// Cuts the power after this many more syncs. The last one succeeds.
    pub(crate) fn cut_after_syncs(&self, more: u64) {
        let mut state = self.state();
        state.cut_after_syncs = state.syncs + more;
    }

    /// The next sync of a file that was written fails with EIO. Programs continue to read what it should have made
    /// durable, but it is not on the disk.
    pub(crate) fn fail_next_sync(&self) {
        self.state().fails_next_sync = true;
    }

    /// Number of failed syncs.
    pub(crate) fn failed_syncs(&self) -> u64 {
        self.state().failed_syncs
    }

    /// Sets whether syncs hang.
    pub(crate) fn hang(&self, hangs: bool) {
        self.state().hangs = hangs;
        self.0.goes_on.notify_all();
    }

    /// Number of syncs of files and folders.
    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// Waits until a call failed because of the power cut; returns `false` if none failed within a minute.
    pub(crate) fn wait_for_refusal(&self) -> bool {
        let none = |state: &mut State| state.refused == 0;
        let (state, _) = self.0.refused.wait_timeout_while(self.state(), NOTICED_WITHIN, none).unwrap();
        state.refused > 0
    }

    /// The file system after the power returns: a new one, with the durable data.
    pub(crate) fn after_power_cut(&self) -> Self {
        Self::with(self.state().tree.after_power_cut())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    /// Executes a call of a program; EIO if there is no power.
    fn call<T>(&self, act: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.state();
        if state.has_power {
            return act(&mut state);
        }
        state.refused += 1;
        self.0.refused.notify_all();
        Err(Errno::EIO)
    }

    /// Executes `fsync` and `fdatasync` of a file or a folder.
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

    /// Waits while syncs hang. Call it on a thread of its own, because other calls must be answered in the
    /// meantime.
    fn wait_while_it_hangs(&self) {
        drop(self.0.goes_on.wait_while(self.state(), |state| state.hangs).unwrap());
    }

    /// Keeps a listing, which does not change while the program reads it.
    fn open_listing(&self, folder: Inode) -> Result<u64, Errno> {
        self.call(|state| {
            let listing = state.tree.list(folder)?;
            state.next_listing += 1;
            state.listings.insert(state.next_listing, listing);
            Ok(state.next_listing)
        })
    }
}
