//! New CMIDs, which the count does not hold: the limit for each source, and their number over time.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    limits::{NEW_CMIDS_INTERVAL, NEW_CMIDS_INTERVALS_MAX, NEW_CMIDS_WINDOW},
    records::source_quota::SourceQuota,
};

/// The limit of new CMIDs per source, and their numbers in the last 7 days.
#[derive(Debug)]
pub(crate) struct NewCmids {
    /// The limit per source in a minute; 0: no limit.
    per_minute_max: AtomicU32,
    of_sources: SourceQuota,
    began: Instant,
    /// Numbers of new CMIDs by the number of their [`NEW_CMIDS_INTERVAL`], counted from the start of the node.
    counted: Mutex<BTreeMap<u64, u64>>,
}

/// Numbers of new CMIDs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct NewCmidRates {
    /// New CMIDs within the last hour.
    pub(crate) last_hour: u64,
    /// New CMIDs per hour, on average over the 7 days before the last hour, rounded up; since the start of the node
    /// where that was later.
    pub(crate) usual: u64,
}

impl NewCmids {
    pub(crate) fn new(per_minute_max: u32) -> Self {
        Self {
            per_minute_max: AtomicU32::new(per_minute_max),
            of_sources: SourceQuota::every(NEW_CMIDS_WINDOW),
            began: Instant::now(),
            counted: Mutex::default(),
        }
    }

    /// Changes the limit, from the next request on.
    pub(crate) fn set_max(&self, per_minute_max: u32) {
        self.per_minute_max.store(per_minute_max, Ordering::Relaxed);
    }

    /// The limit per source in a minute; 0: no limit.
    pub(crate) fn per_minute_max(&self) -> u32 {
        self.per_minute_max.load(Ordering::Relaxed)
    }

    /// Whether a client may bring one more new CMID. Requests from within the process have no limit.
    pub(crate) fn admits(&self, client: Option<IpAddr>) -> bool {
        let max = self.per_minute_max();
        max == 0 || client.is_none_or(|client| self.of_sources.admits(client, max, Instant::now()))
    }

    /// Counts one new CMID.
    pub(crate) fn note(&self) {
        let interval = self.interval();
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        *counted.entry(interval).or_default() += 1;
        while counted.len() > NEW_CMIDS_INTERVALS_MAX {
            counted.pop_first();
        }
    }

    pub(crate) fn rates(&self) -> NewCmidRates {
        let of_hour = Duration::from_secs(3600).as_secs() / NEW_CMIDS_INTERVAL.as_secs();
        let hour_begins = (self.interval() + 1).saturating_sub(of_hour);
        let oldest = (self.interval() + 1).saturating_sub(NEW_CMIDS_INTERVALS_MAX as u64);
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let before: u64 = counted.range(oldest..hour_begins).map(|(_, number)| number).sum();
        let hours = (hour_begins - oldest).div_ceil(of_hour).max(1);
        NewCmidRates {
            last_hour: counted.range(hour_begins..).map(|(_, number)| number).sum(),
            usual: before.div_ceil(hours),
        }
    }

    fn interval(&self) -> u64 {
        self.began.elapsed().as_secs() / NEW_CMIDS_INTERVAL.as_secs()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn an_hours_rate_is_compared_with_the_rate_of_the_week_before() {
        let new = NewCmids::new(0);
        for _ in 0..10 {
            (0..4).for_each(|_| new.note());
            advance(HOUR).await;
        }
        assert_eq!(new.rates(), NewCmidRates { last_hour: 0, usual: 4 });
        (0..60).for_each(|_| new.note());
        assert_eq!(new.rates(), NewCmidRates { last_hour: 60, usual: 4 });
        advance(HOUR).await;
        assert_eq!(new.rates().last_hour, 0);
        advance(8 * 24 * HOUR).await;
        assert_eq!(new.rates(), NewCmidRates::default(), "more than a week ago");
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_adds_no_more_new_cmids_per_minute_than_the_limit() {
        let new = NewCmids::new(0);
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(|address| Some(IpAddr::from(address)));
        let admitted = |from| (0..100).filter(|_| new.admits(from)).count();
        assert_eq!(admitted(one), 100, "off by default");
        new.set_max(3);
        assert_eq!((admitted(one), admitted(other), admitted(None)), (3, 3, 100));
        advance(NEW_CMIDS_WINDOW).await;
        assert_eq!(admitted(one), 3);
    }
}
