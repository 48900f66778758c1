//! Runs seeds, several in parallel, until the plan has none left or a seed has a finding.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::simulate::plan::{Job, Plan};
use crate::simulate::program::{Failure, Run};
use crate::simulate::verdict::{Judged, judge};

/// Runs one seed to its end.
pub(crate) type Play<'a> = &'a (dyn Fn(&Job) -> Result<Run, Failure> + Sync);

/// Whether the time for starting seeds is up.
pub(crate) type TimeIsUp<'a> = &'a (dyn Fn() -> bool + Sync);

/// Called for each seed that ended.
pub(crate) type Ended<'a> = &'a mut (dyn FnMut(&Judged) + Send);

struct Shared<'a> {
    plan: Plan,
    /// How many seeds were started.
    started: usize,
    /// The seeds that ended, by the order in which they were started.
    judged: BTreeMap<usize, Judged>,
    ended: Ended<'a>,
}

/// Runs the plan, several seeds in parallel. After the first finding no seed is started, and running seeds end as
/// usual. The result is in the order in which the seeds were started: the order of the plan.
pub(crate) fn run(
    plan: Plan,
    at_a_time: usize,
    play: Play<'_>,
    time_is_up: TimeIsUp<'_>,
    ended: Ended<'_>,
) -> Vec<Judged> {
    let shared = Mutex::new(Shared { plan, started: 0, judged: BTreeMap::new(), ended });
    thread::scope(|scope| {
        for _ in 0..at_a_time.max(1) {
            scope.spawn(|| {
                while let Some((number, job)) = start(&shared, time_is_up) {
                    let judged = judge(job.clone(), play(&job));
                    locked(&shared).end(number, judged);
                }
            });
        }
    });
    shared.into_inner().unwrap_or_else(PoisonError::into_inner).judged.into_values().collect()
}

fn start(shared: &Mutex<Shared<'_>>, time_is_up: TimeIsUp<'_>) -> Option<(usize, Job)> {
    let mut shared = locked(shared);
    let job = shared.plan.next(time_is_up())?;
    shared.started += 1;
    Some((shared.started, job))
}

impl Shared<'_> {
    fn end(&mut self, number: usize, judged: Judged) {
        if judged.finding().is_some() {
            self.plan.stop();
        }
        (self.ended)(&judged);
        self.judged.insert(number, judged);
    }
}

/// Ignores poisoning: a panic in one thread ends the command when all threads are joined.
fn locked<'m, 'a>(shared: &'m Mutex<Shared<'a>>) -> MutexGuard<'m, Shared<'a>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::plan::Limits;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn ended(job: &Job, kind: Option<&str>) -> Result<Run, Failure> {
        let failure = kind.map(|kind| Failure {
            kind: kind.to_owned(),
            at_seconds: Some(1.0),
            expected: String::new(),
            found: String::new(),
            last_events: Vec::new(),
        });
        Ok(Run { seed: job.seed, virtual_seconds: 60.0, faults: BTreeMap::new(), known: Vec::new(), failure })
    }

    fn seeds(judged: &[Judged]) -> Vec<u64> {
        judged.iter().map(|judged| judged.job.seed).collect()
    }

    #[test]
    fn all_seeds_run_and_are_reported_in_the_order_of_the_plan() {
        let plan = Plan::counting(Vec::new(), 1, Limits::new(Some(9), false));
        let told = AtomicU64::new(0);
        let judged = run(plan, 4, &|job| ended(job, None), &|| false, &mut |judged| {
            told.fetch_add(judged.job.seed, Ordering::Relaxed);
        });
        assert_eq!(seeds(&judged), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(told.into_inner(), 45);
    }

    #[test]
    fn several_seeds_run_at_a_time() {
        // Neither seed ends before both have started.
        let both = Barrier::new(2);
        let play = |job: &Job| {
            both.wait();
            ended(job, None)
        };
        let plan = Plan::counting(Vec::new(), 1, Limits::new(Some(2), false));
        assert_eq!(seeds(&run(plan, 2, &play, &|| false, &mut |_| {})), [1, 2]);
    }

    #[test]
    fn after_a_finding_no_seed_is_started_and_those_that_run_end() {
        // Seed 1 ends after seed 2 has failed: seed 1 still counts, and no third seed is started.
        let (both, failed) = (Barrier::new(2), Barrier::new(2));
        let play = |job: &Job| {
            if job.seed <= 2 {
                both.wait();
            }
            if job.seed == 1 {
                failed.wait();
            }
            ended(job, Some("stale_read").filter(|_| job.seed == 2))
        };
        let plan = Plan::counting(Vec::new(), 1, Limits::new(Some(9), false));
        let judged = run(plan, 2, &play, &|| false, &mut |judged| {
            if judged.job.seed == 2 {
                failed.wait();
            }
        });
        assert_eq!(seeds(&judged), [1, 2]);
        assert!(judged[0].finding().is_none() && judged[1].finding().is_some());
    }

    #[test]
    fn when_the_time_is_up_the_least_number_still_runs() {
        let plan = Plan::counting(Vec::new(), 1, Limits::new(None, true));
        assert_eq!(run(plan, 2, &|job| ended(job, None), &|| true, &mut |_| {}).len(), 20);
    }
}
