//! Number of distinct machines: an estimate (HyperLogLog) of the distinct CMIDs of the last days, over all nodes.
//!
//! The count keeps CMIDs only up to its cache limit, twice a threshold; this estimate shows how many machines there
//! are. Each node keeps a sketch for every quarter of a day, and sketches merge: a machine that sent requests to two
//! nodes is one machine.
//!
//! ```text
//! DATA/distinct/<quarter since 1970, 16 hex digits>.hll      the sketch's registers, a byte each
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use activation::id::Cmid;
use api::node::v1::{DistinctMachinesReply, DistinctMachinesRequest};
use bytes::Bytes;
use futures::future::join_all;
use tokio::time::sleep;

use super::sketch::{REGISTERS, Sketch};
use crate::{
    limits::{DISTINCT_INTERVAL, WORK_TIMEOUT},
    peers::node_client::NodeClient,
    tasks::{self, HostTask},
};

/// The periods over which the machines are estimated, in days.
pub(crate) const DISTINCT_DAYS: [u64; 4] = [1, 7, 30, 180];

const QUARTER_MS: u64 = 6 * 3_600_000;
const QUARTERS_A_DAY: u64 = 4;

/// A node's sketches of the machines that sent it requests.
pub(crate) struct Distinct {
    folder: PathBuf,
    known: Mutex<Known>,
    /// The estimates over all nodes for each of [`DISTINCT_DAYS`], as of the last exchange.
    estimates: Mutex<[f64; DISTINCT_DAYS.len()]>,
}

#[derive(Default)]
struct Known {
    quarters: BTreeMap<u64, Sketch>,
    unsaved: BTreeSet<u64>,
}

impl Distinct {
    /// Loads the sketches that were saved in the data folder. A file that cannot be read is left out: the result is
    /// an estimate.
    pub(crate) fn open(data: &Path) -> Self {
        let folder = data.join("distinct");
        let quarters = read(&folder).unwrap_or_default();
        let known = Mutex::new(Known { quarters, unsaved: BTreeSet::new() });
        Self { folder, known, estimates: Mutex::default() }
    }

    /// Notes a request of a machine.
    pub(crate) fn note(&self, cmid: Cmid, now_ms: u64) {
        let quarter = now_ms / QUARTER_MS;
        let known = &mut *self.known();
        known.quarters.entry(quarter).or_default().insert(cmid);
        known.unsaved.insert(quarter);
    }

    /// The merged sketches of the last days, one for each of [`DISTINCT_DAYS`].
    pub(crate) fn windows(&self, now_ms: u64) -> DistinctMachinesReply {
        let now = now_ms / QUARTER_MS;
        let windows = DISTINCT_DAYS.map(|days| {
            let mut whole = Sketch::default();
            // The current quarter, and the quarters before it that make up the days.
            for (_, quarter) in self.known().quarters.range(now.saturating_sub(days * QUARTERS_A_DAY)..=now) {
                whole.merge(quarter);
            }
            Bytes::copy_from_slice(whole.registers())
        });
        DistinctMachinesReply { windows: windows.into() }
    }

    /// The estimates over all nodes for each of [`DISTINCT_DAYS`], as of the last exchange.
    pub(crate) fn estimates(&self) -> [f64; DISTINCT_DAYS.len()] {
        *self.estimates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves new data, and removes sketches older than the longest of [`DISTINCT_DAYS`].
    pub(crate) fn save(&self, now_ms: u64) -> io::Result<()> {
        let now = now_ms / QUARTER_MS;
        let days = DISTINCT_DAYS.into_iter().max().unwrap_or(0);
        let oldest = now.saturating_sub(days * QUARTERS_A_DAY);
        let (changed, forgotten) = {
            let known = &mut *self.known();
            let unsaved = std::mem::take(&mut known.unsaved);
            let changed: Vec<_> = unsaved
                .into_iter()
                .filter_map(|quarter| Some((quarter, known.quarters.get(&quarter)?.clone())))
                .collect();
            let kept = |quarter: &u64| (oldest..=now).contains(quarter);
            let forgotten: Vec<_> = known.quarters.keys().copied().filter(|quarter| !kept(quarter)).collect();
            known.quarters.retain(|quarter, _| kept(quarter));
            (changed, forgotten)
        };
        fs::create_dir_all(&self.folder)?;
        for (quarter, sketch) in changed {
            storage::durable::replace_file(&path(&self.folder, quarter), sketch.registers())?;
        }
        for quarter in forgotten {
            match fs::remove_file(path(&self.folder, quarter)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Periodically saves the sketches, and gets those of all nodes.
pub(crate) async fn follow(distinct: Arc<Distinct>, nodes: NodeClient) {
    loop {
        let (saved, now_ms) = (Arc::clone(&distinct), nodes.replica().wall_ms());
        match tasks::blocking(HostTask::SketchFolder, move || saved.save(now_ms)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "could not save the sketches that estimate the number of distinct machines")
            }
            Err(_) => return,
        }
        let members = nodes.replica().cluster().members;
        let asked = members.keys().map(|&node| nodes.ask(node, DistinctMachinesRequest {}, WORK_TIMEOUT));
        let answers = join_all(asked).await.into_iter().flatten();
        let estimates = merged(answers);
        *distinct.estimates.lock().unwrap_or_else(PoisonError::into_inner) = estimates;
        sleep(DISTINCT_INTERVAL).await;
    }
}

/// The estimated number of machines of several nodes together, for each of [`DISTINCT_DAYS`]. Invalid sketches are
/// left out.
pub(crate) fn merged(answers: impl Iterator<Item = DistinctMachinesReply>) -> [f64; DISTINCT_DAYS.len()] {
    let mut wholes = DISTINCT_DAYS.map(|_| Sketch::default());
    for answer in answers {
        for (whole, window) in wholes.iter_mut().zip(&answer.windows) {
            if let Ok(window) = Sketch::try_from(window.as_ref()) {
                whole.merge(&window);
            }
        }
    }
    wholes.map(|whole| whole.estimate())
}

fn path(folder: &Path, quarter: u64) -> PathBuf {
    folder.join(format!("{quarter:016x}.hll"))
}

fn read(folder: &Path) -> io::Result<BTreeMap<u64, Sketch>> {
    let mut quarters = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem =
            path.file_stem().and_then(|stem| stem.to_str()).filter(|_| path.extension().is_some_and(|e| e == "hll"));
        let quarter = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok());
        if let Some(quarter) = quarter
            && fs::metadata(&path)?.len() == REGISTERS as u64
            && let Ok(sketch) = Sketch::try_from(fs::read(&path)?.as_slice())
        {
            quarters.insert(quarter, sketch);
        }
    }
    Ok(quarters)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 86_400_000;
    const NOW: u64 = 20_000 * DAY_MS;

    fn cmid(number: u64) -> Cmid {
        Cmid((u128::from(number) << 64 | 7).to_be_bytes())
    }

    fn of_one(distinct: &Distinct, now_ms: u64) -> [f64; 4] {
        merged([distinct.windows(now_ms)].into_iter())
    }

    fn is_about(estimate: f64, machines: f64) -> bool {
        (estimate - machines).abs() <= machines * 0.05
    }

    #[test]
    fn machines_are_estimated_over_each_window_and_counted_once_however_often_they_ask() {
        let folder = tempfile::tempdir().unwrap();
        let distinct = Distinct::open(folder.path());
        assert_eq!(of_one(&distinct, NOW), [0.0; 4]);
        for _ in 0..3 {
            (0..2000).for_each(|machine| distinct.note(cmid(machine), NOW));
        }
        (2000..6000).for_each(|machine| distinct.note(cmid(machine), NOW - 5 * DAY_MS));
        (0..3000).for_each(|machine| distinct.note(cmid(machine), NOW - 20 * DAY_MS));
        (10_000..14_000).for_each(|machine| distinct.note(cmid(machine), NOW - 100 * DAY_MS));
        (20_000..30_000).for_each(|machine| distinct.note(cmid(machine), NOW - 300 * DAY_MS));
        let estimates = of_one(&distinct, NOW);
        for (estimate, machines) in estimates.into_iter().zip([2000.0, 6000.0, 6000.0, 10_000.0]) {
            assert!(is_about(estimate, machines), "{estimates:?}");
        }
    }

    #[test]
    fn a_machine_known_to_several_nodes_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let nodes = [1, 2].map(|node| Distinct::open(&folder.path().join(node.to_string())));
        (0..3000).for_each(|machine| nodes[0].note(cmid(machine), NOW));
        (2000..5000).for_each(|machine| nodes[1].note(cmid(machine), NOW));
        let [today, ..] = merged(nodes.iter().map(|node| node.windows(NOW)));
        assert!(is_about(today, 5000.0), "{today}");
        let strange = [vec![], vec![1; 10], vec![0xff; REGISTERS]].map(Bytes::from);
        assert_eq!(merged([DistinctMachinesReply { windows: strange.into() }].into_iter()), [0.0; 4]);
    }

    #[test]
    fn saved_sketches_are_loaded_at_the_next_start_and_expired_ones_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let distinct = Distinct::open(folder.path());
        (0..500).for_each(|machine| distinct.note(cmid(machine), NOW));
        (0..500).for_each(|machine| distinct.note(cmid(machine), NOW - 200 * DAY_MS));
        distinct.save(NOW).unwrap();
        fs::write(folder.path().join("distinct/0000000000000001.hll"), "torn").unwrap();
        let again = Distinct::open(folder.path());
        assert_eq!(of_one(&again, NOW), of_one(&distinct, NOW));
        assert_eq!(again.known().quarters.len(), 1);
        again.save(NOW + 400 * DAY_MS).unwrap();
        assert!(!path(&folder.path().join("distinct"), NOW / QUARTER_MS).exists());
    }
}
