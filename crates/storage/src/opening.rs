//! The progress of opening a store, for the log and for a supervisor that waits.

use std::{cell::Cell, fmt, path::Path, time::Duration};

use tokio::time::Instant;

use crate::limits::{OPENING_LOG_INTERVAL, OPENING_STEP_MIN, OPENING_STEP_PER_MIB};

/// A step of opening a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpeningStep {
    /// The database is copied; progress in bytes.
    Copy,
    /// sled reads its log, first in the copy and finally in the database; total in bytes, `done` stays 0.
    Recover,
    /// The records of the copy are read and summed; progress in records.
    Check,
    /// The copy is synced and replaces the database; total in bytes, `done` stays 0.
    Sync,
}

/// The progress of opening a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The current step.
    pub step: OpeningStep,
    /// How much of the step is done, in the unit of the step.
    pub done: u64,
    /// The size of the whole step, in the unit of the step.
    pub total: u64,
    /// Size of the database, in bytes.
    pub database_bytes: u64,
}

impl Opening {
    /// The longest time until the next report, on a slow disk.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self.step {
            OpeningStep::Copy | OpeningStep::Check => OPENING_STEP_MIN,
            OpeningStep::Recover | OpeningStep::Sync => {
                let mib = u32::try_from(self.database_bytes >> 20).unwrap_or(u32::MAX);
                OPENING_STEP_MIN + OPENING_STEP_PER_MIB.saturating_mul(mib)
            }
        }
    }
}

impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, done, total, .. } = self;
        match step {
            OpeningStep::Copy => write!(f, "copied {done} of {total} bytes"),
            OpeningStep::Recover => write!(f, "reading the database of {total} bytes"),
            OpeningStep::Check => write!(f, "checked {done} of {total} records"),
            OpeningStep::Sync => write!(f, "syncing the copy of {total} bytes"),
        }
    }
}

/// Reports the steps of one opening.
pub(crate) struct Reporter<'a> {
    folder: &'a Path,
    report: &'a dyn Fn(Opening),
    database_bytes: Cell<u64>,
    began: Instant,
    logged: Cell<Instant>,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(folder: &'a Path, report: &'a dyn Fn(Opening)) -> Self {
        let began = Instant::now();
        Self { folder, report, database_bytes: Cell::new(0), began, logged: Cell::new(began) }
    }

    /// The database has this many bytes, and a copy of it is about to be made. Logged at debug level only: reports
    /// at info level follow only if the opening takes long.
    pub(crate) fn begins(&self, database_bytes: u64) {
        self.database_bytes.set(database_bytes);
        let store = self.folder.display();
        tracing::debug!(%store, bytes = database_bytes, "opening the store: a copy of it is checked, and replaces it");
    }

    /// Begins a step that reports no progress.
    pub(crate) fn step(&self, step: OpeningStep) {
        self.at(step, 0, self.database_bytes.get());
    }

    /// Reports the progress of a step.
    pub(crate) fn at(&self, step: OpeningStep, done: u64, total: u64) {
        let opening = Opening { step, done, total, database_bytes: self.database_bytes.get() };
        (self.report)(opening);
        if self.logged.get().elapsed() >= OPENING_LOG_INTERVAL {
            self.logged.set(Instant::now());
            let seconds = self.began.elapsed().as_secs();
            tracing::info!(store = %self.folder.display(), seconds, "opening the store: {opening}");
        }
    }

    /// The store is open and holds this many records.
    pub(crate) fn ends(&self, records: u64) {
        let (bytes, seconds) = (self.database_bytes.get(), self.began.elapsed().as_secs());
        if self.logged.get() > self.began {
            tracing::info!(store = %self.folder.display(), seconds, records, bytes, "the store is open");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_without_progress_reports_has_a_time_limit_by_the_size_of_the_database() {
        let opening = |step, database_bytes| Opening { step, done: 0, total: 0, database_bytes };
        let gib = 1 << 30;
        assert_eq!(opening(OpeningStep::Copy, gib).patience(), OPENING_STEP_MIN);
        assert_eq!(opening(OpeningStep::Sync, 0).patience(), OPENING_STEP_MIN);
        assert_eq!(opening(OpeningStep::Recover, gib).patience(), Duration::from_secs(60 + 256));
    }
}
