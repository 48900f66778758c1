//! The power fails: only synced data remains.
//!
//! The writer runs on a file system that loses everything else. Its power is cut while the writer works. The writer
//! then gets only errors from its disk, and is killed. Every activation that it had acknowledged must be found in
//! the data that was synced before the cut, and the writer must be able to continue on it.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use storage::{Kind, Owner, Store, durable};
use uuid::Uuid;

use crate::{
    strict::{Mounted, StrictFileSystem},
    writer::{Barrier, Lost, Snapshots, Writer, check, write},
};

/// Environment variable: replays only the run of a soak test with this number.
const REPLAY: &str = "QUORATE_SOAK_RUN";

/// When the power is cut.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// As soon as the writer has acknowledged this many activations, whatever it does then.
    Acknowledged(usize),
    /// As soon as this many syncs are done since the writer was started; no later sync succeeds.
    Synced(u64),
}

/// One store, and its two power cuts.
#[derive(Clone, Copy, Debug)]
struct Run {
    cuts: [Moment; 2],
    snapshots: Snapshots,
}

/// The result of a run that lost nothing.
#[derive(Debug)]
struct Outcome {
    /// The number of activations acknowledged before the first cut, and between the two.
    acknowledged: [usize; 2],
    has_snapshot: bool,
}

impl Run {
    /// The run of a soak test with this number. Every other run makes snapshots. Cuts at a sync come early: while
    /// the store is created, while it is reopened, and during the first snapshots.
    fn of(number: usize) -> Self {
        let acknowledged = |seed: usize| Moment::Acknowledged(1 + seed * 7919 % 4001);
        let synced = |seed: usize| Moment::Synced(1 + (seed * 37 % 211) as u64);
        let cuts = match number % 4 {
            0 => [acknowledged(number), acknowledged(number + 1)],
            1 => [acknowledged(number), synced(number)],
            2 => [synced(number), acknowledged(number)],
            _ => [synced(number), synced(number + 1)],
        };
        let snapshots = if (number / 4).is_multiple_of(2) { Snapshots::EveryEntries(16) } else { Snapshots::Never };
        Self { cuts, snapshots }
    }

    /// Executes the run.
    ///
    /// Errors: the cut after which activations were lost, and which ones.
    fn cut(self, barrier: Barrier) -> Result<Outcome, String> {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("mounted");
        let mut files = StrictFileSystem::empty();
        let mut all = Vec::new();
        let mut outcome = Outcome { acknowledged: [0; 2], has_snapshot: false };
        for (moment, count) in self.cuts.into_iter().zip(&mut outcome.acknowledged) {
            let acknowledged = self.until(moment, &files, &at, barrier)?;
            *count = acknowledged.len();
            all.extend(acknowledged);
            files = files.after_power_cut();
            let mounted = files.mount(&at);
            // If nothing was acknowledged, the store may be empty: the writer starts from the beginning.
            if !all.is_empty() {
                check(&mounted.path().join("data"), &all, folder.path())
                    .map_err(|lost| format!("after the cut at {moment:?}, of {} acknowledged: {lost}", all.len()))?;
            }
        }
        let mounted = files.mount(&at);
        let data = mounted.path().join("data");
        outcome.has_snapshot = data.join("snapshots/snapshot").exists();
        let gone_on = |lost: Lost| format!("when it continued after both cuts: {lost}");
        all.extend(write(&data, 64).map_err(gone_on)?);
        check(&data, &all, folder.path()).map_err(gone_on)?;
        Ok(outcome)
    }

    /// Runs the writer until the power is cut, and returns the activations that it acknowledged.
    fn until(
        self,
        moment: Moment,
        files: &StrictFileSystem,
        at: &Path,
        barrier: Barrier,
    ) -> Result<Vec<String>, String> {
        let mounted = files.mount(at);
        if let Moment::Synced(syncs) = moment {
            files.cut_after_syncs(syncs);
        }
        let mut writer = Writer::start(&mounted.path().join("data"), barrier, self.snapshots);
        if let Moment::Acknowledged(activations) = moment {
            writer.wait_for(activations);
            files.cut();
        }
        let (is_refused, acknowledged) = writer.kill_after(|| files.wait_for_refusal());
        if is_refused { Ok(acknowledged) } else { Err(format!("the writer did not reach {moment:?}")) }
    }
}

/// The numbers of the runs of a soak test, or of the one that is replayed.
fn numbers(runs: usize) -> Vec<usize> {
    env::var(REPLAY).map_or_else(|_| (0..runs).collect(), |number| vec![number.parse().unwrap()])
}

#[test]
fn soak_a_power_cut_loses_nothing_that_was_acknowledged() {
    let cuts = [Moment::Acknowledged(2000), Moment::Acknowledged(500)];
    let run = Run { cuts, snapshots: Snapshots::EveryEntries(16) };
    let Outcome { acknowledged, has_snapshot } = run.cut(Barrier::InPlace).unwrap();
    assert!(acknowledged[0] >= 2000 && acknowledged[1] >= 500 && has_snapshot, "{acknowledged:?}, {has_snapshot}");
}

#[test]
fn soak_without_the_barrier_a_power_cut_is_seen_to_lose_activations() {
    let lost = Run::of(0).cut(Barrier::TakenAway);
    assert!(lost.is_err(), "nothing was lost without a barrier, so this test proves nothing: {lost:?}");
}

/// Nothing is acknowledged while a store is created and a cluster formed: from any remainder of them, the writer
/// must continue.
#[test]
fn soak_after_a_power_cut_before_the_first_acknowledgement_the_writer_begins_anew() {
    let mut acknowledged = 0;
    let mut syncs = 0;
    while acknowledged == 0 {
        syncs += 1;
        assert!(syncs < 100, "nothing is ever acknowledged");
        let run = Run { cuts: [Moment::Synced(syncs); 2], snapshots: Snapshots::Never };
        let outcome = run.cut(Barrier::InPlace).unwrap_or_else(|lost| panic!("{run:?}: {lost}"));
        [acknowledged, _] = outcome.acknowledged;
    }
}

fn store_in(mounted: &Mounted) -> PathBuf {
    mounted.path().join("data/of/a/node/store")
}

#[test]
fn soak_a_store_that_was_created_is_durable_with_the_folders_above_it() {
    let folder = tempfile::tempdir().unwrap();
    let contents = |mounted: &Mounted| {
        let files = ["identity", "acknowledged", "sled/conf", "sled/db"];
        files.map(|name| (name, fs::read(store_in(mounted).join(name)).map_err(|error| error.kind())))
    };
    let files = StrictFileSystem::empty();
    let mounted = files.mount(&folder.path().join("before"));
    let owner = Owner { kind: Kind::Node, number: 1, store_if_new: Uuid::from_u128(1) };
    let _open = Store::open(&store_in(&mounted), owner).unwrap();
    let after = files.after_power_cut().mount(&folder.path().join("after"));
    for (left, written) in contents(&after).into_iter().zip(contents(&mounted)) {
        assert!(left == written && left.1.is_ok(), "{}: {:?}", left.0, left.1.map(|bytes| bytes.len()));
    }
}

#[test]
fn soak_a_folder_that_was_created_is_durable_wherever_an_attempt_before_was_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    for syncs in 1..20 {
        let files = StrictFileSystem::empty();
        let first = files.mount(&folder.path().join(format!("{syncs} first")));
        files.cut_after_syncs(syncs);
        let is_cut_short = durable::create_folder(&store_in(&first)).is_err();
        drop(first);
        let files = files.after_power_cut();
        let second = files.mount(&folder.path().join(format!("{syncs} second")));
        if is_cut_short {
            durable::create_folder(&store_in(&second)).unwrap();
        }
        let after = files.after_power_cut().mount(&folder.path().join(format!("{syncs} after")));
        assert!(store_in(&after).is_dir(), "the first attempt was cut short after {syncs} syncs: {is_cut_short}");
    }
}

#[test]
fn soak_one_hundred_power_cuts_lose_nothing_acknowledged() {
    let (mut lost, mut acknowledged, mut snapshots) = (Vec::new(), 0, 0);
    let numbers = numbers(100);
    for &number in &numbers {
        let run = Run::of(number);
        match run.cut(Barrier::InPlace) {
            Ok(outcome) => {
                acknowledged += outcome.acknowledged.iter().sum::<usize>();
                snapshots += usize::from(outcome.has_snapshot);
            }
            Err(what) => lost.push(format!("run {number} ({run:?}): {what}\nrun it again with {REPLAY}={number}")),
        }
        if number % 10 == 9 {
            eprintln!(
                "power cuts: {} of {} runs, two cuts each; {} failed; {acknowledged} activations acknowledged and found; \
                 {snapshots} of the stores with a snapshot",
                number + 1,
                numbers.len(),
                lost.len()
            );
        }
    }
    assert!(lost.is_empty(), "{} of {} runs failed:\n{}", lost.len(), numbers.len(), lost.join("\n"));
    assert!(numbers.len() == 1 || snapshots > 20, "only {snapshots} stores had a snapshot when the power was cut");
}

#[test]
fn soak_power_cuts_find_a_skipped_fsync() {
    let outcomes: Vec<_> = (0..3).map(|number| Run::of(number).cut(Barrier::TakenAway)).collect();
    assert!(outcomes.iter().any(Result::is_err), "in three runs nothing was lost without a barrier: {outcomes:?}");
}
