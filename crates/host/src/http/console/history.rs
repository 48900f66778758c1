//! Counts over the last day, in memory: sampled every 30 s, with or without viewers.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use activation::{catalog::Name, id::PublisherId};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::http::metrics::Watched;
use crate::limits::{CONSOLE_APPLICATIONS_MAX, CONSOLE_POINTS_MAX, CONSOLE_SAMPLE_INTERVAL, CONSOLE_SAMPLES_MAX};
use crate::test_hooks;

/// An application, with its publisher.
pub(super) type Of = (PublisherId, Name);

/// A sample: its time in milliseconds since 1970, and the count.
type Sample = (u64, u32);

/// The samples of each application, oldest first.
#[derive(Default)]
pub(super) struct History(Mutex<BTreeMap<Of, VecDeque<Sample>>>);

/// Samples the counts until the future is dropped.
pub(super) async fn note(watched: &Watched, history: &History) {
    let mut ticks = interval(test_hooks::console_sample_interval().unwrap_or(CONSOLE_SAMPLE_INTERVAL));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now_ms = watched.expiry_time_ms();
        let counts = watched.replica.view(|state| {
            let all = state.publishers().flat_map(|publisher| {
                let names = publisher.catalog().applications();
                names.filter_map(|name| {
                    let count = state.count(publisher.id(), name.as_str())?;
                    Some(((publisher.id(), name.clone()), count.live(now_ms)))
                })
            });
            all.collect::<Vec<_>>()
        });
        history.add(watched.replica.wall_ms(), counts);
    }
}

impl History {
    /// Adds a sample per application. Applications that no longer exist are removed.
    fn add(&self, time_ms: u64, counts: Vec<(Of, u32)>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|of, _| counts.iter().any(|(counted, _)| counted == of));
        for (of, count) in counts {
            if kept.len() >= CONSOLE_APPLICATIONS_MAX && !kept.contains_key(&of) {
                continue;
            }
            let samples = kept.entry(of).or_default();
            if samples.len() >= CONSOLE_SAMPLES_MAX {
                samples.pop_front();
            }
            samples.push_back((time_ms, count));
        }
    }

    /// For each application its id on the page, and its points in order of time: seconds since 1970, and the count.
    /// Where there are more samples than points, a point is the lowest of several samples, so that no dip is lost.
    pub(super) fn shown(&self) -> Value {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all = kept.iter().map(|(of, samples)| {
            let together = samples.len().div_ceil(CONSOLE_POINTS_MAX).max(1);
            let samples: Vec<_> = samples.iter().copied().collect();
            let points = samples.chunks(together).filter_map(|chunk| {
                let (time_ms, _) = chunk.last()?;
                Some(json!([time_ms / 1000, chunk.iter().map(|(_, count)| count).min()]))
            });
            json!({ "id": id(of), "points": points.collect::<Vec<_>>() })
        });
        all.collect()
    }
}

/// The id by which the page distinguishes applications.
pub(super) fn id((publisher, application): &Of) -> String {
    format!("{publisher}/{application}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_kept_and_no_dip_is_lost() {
        let history = History::default();
        let of = |name: &str| (PublisherId([7; 16]), name.parse::<Name>().unwrap());
        history.add(0, vec![(of("gone"), 1), (of("platform"), 1)]);
        for sample in 1..=3000_u64 {
            let count = if sample == 1500 { 3 } else { 30 };
            history.add(sample * 30_000, vec![(of("platform"), count)]);
        }
        let shown = history.shown();
        let all = shown.as_array().unwrap();
        assert_eq!(all.len(), 1, "an application that no longer exists is removed");
        let points = all[0]["points"].as_array().unwrap();
        assert!(points.len() <= CONSOLE_POINTS_MAX && points.len() > CONSOLE_POINTS_MAX / 2);
        assert!(points.iter().any(|point| point[1] == 3), "the dip is there");
        assert_eq!(points.last().unwrap()[0], 90_000);
        assert!(points[0][0].as_u64().unwrap() >= 90_000 - 86_400);
    }
}
