use proptest::prelude::*;

use super::*;
use crate::choice::target::Rank;

const S: Duration = Duration::from_secs(1);

fn host(name: &str) -> HostPort {
    HostPort::new(name, 1688).unwrap()
}

/// A cluster of three nodes with upstreams `a`, `b`, `c` of priorities 0, 1, 2, driven second by second.
struct Cluster {
    chooser: Chooser,
    targets: Vec<Target>,
    current: Option<HostPort>,
    reports: BTreeMap<u64, Report>,
    now: Duration,
    changes: Vec<(u64, String, Reason)>,
}

impl Cluster {
    fn new() -> Self {
        let target =
            |name, priority| Target { address: host(name), rank: Rank::new(priority, 0, false), is_drained: false };
        let targets = vec![target("a", 0), target("b", 1), target("c", 2)];
        let mut cluster = Self {
            chooser: Chooser::new(),
            targets,
            current: None,
            reports: BTreeMap::new(),
            now: Duration::ZERO,
            changes: Vec::new(),
        };
        for name in ["a", "b", "c"] {
            cluster.see(&[1, 2, 3], name, State::Healthy);
        }
        cluster
    }

    fn see(&mut self, nodes: &[u64], name: &str, state: State) {
        for node in nodes {
            self.reports.entry(*node).or_default().states.insert(host(name), state);
        }
    }

    /// Lets `seconds` pass, with a fresh report of each node and a decision in each.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            for report in self.reports.values_mut() {
                report.at = self.now;
            }
            self.decide();
            self.now += S;
        }
    }

    fn decide(&mut self) {
        let view =
            GroupView { targets: &self.targets, current: self.current.as_ref(), nodes: 3, reports: &self.reports };
        if let Some(Change { to, reason }) = self.chooser.decide(&view, self.now) {
            self.changes.push((self.now.as_secs(), to.host().to_owned(), reason));
            self.current = Some(to);
        }
    }

    fn prefer(&mut self, name: Option<&str>) {
        for (priority, target) in (0u16..).zip(&mut self.targets) {
            target.rank = Rank::new(priority, 0, name == Some(target.address.host()));
        }
    }
}

#[test]
fn g3_the_best_upstream_is_preferred_and_stays_while_a_minority_reports_a_failure() {
    let mut cluster = Cluster::new();
    cluster.pass(5);
    cluster.see(&[2], "a", State::Failing);
    cluster.pass(200);
    assert_eq!(cluster.changes, [(0, "a".to_owned(), Reason::First)]);
}

#[test]
fn g3_a_majority_changes_the_preference_and_it_returns_once_after_sixty_seconds() {
    let mut cluster = Cluster::new();
    cluster.pass(20);
    cluster.see(&[1, 3], "a", State::Failing);
    cluster.pass(20);
    cluster.see(&[1, 3], "a", State::Healthy);
    cluster.pass(300);
    let expected = [
        (0, "a".to_owned(), Reason::First),
        (20, "b".to_owned(), Reason::Failed),
        (100, "a".to_owned(), Reason::Returned),
    ];
    assert_eq!(cluster.changes, expected);
}

#[test]
fn the_sixty_seconds_begin_again_when_the_better_upstream_fails_again() {
    let mut cluster = Cluster::new();
    cluster.pass(20);
    cluster.see(&[1, 2], "a", State::Failing);
    cluster.pass(1);
    cluster.see(&[1, 2], "a", State::Healthy);
    cluster.pass(59);
    cluster.see(&[1, 2], "a", State::Failing);
    cluster.pass(1);
    cluster.see(&[1, 2], "a", State::Healthy);
    cluster.pass(60);
    assert_eq!(cluster.changes.len(), 2, "{:?}", cluster.changes);
    cluster.pass(1);
    assert_eq!(cluster.changes.last().unwrap().2, Reason::Returned);
}

#[test]
fn a_failed_preference_with_no_other_upstream_stays() {
    let mut cluster = Cluster::new();
    cluster.pass(20);
    for name in ["a", "b", "c"] {
        cluster.see(&[1, 2, 3], name, State::Failing);
    }
    cluster.pass(100);
    assert_eq!(cluster.changes.len(), 1);
    cluster.see(&[1, 2], "c", State::Healthy);
    cluster.pass(1);
    assert_eq!(cluster.changes.last().unwrap(), &(120, "c".to_owned(), Reason::Failed));
}

#[test]
fn g3_an_administrators_choice_holds_until_it_fails_and_after_it_is_well_again() {
    let mut cluster = Cluster::new();
    cluster.pass(5);
    cluster.prefer(Some("c"));
    cluster.pass(5);
    cluster.see(&[1, 2], "c", State::Failing);
    cluster.pass(30);
    cluster.see(&[1, 2], "c", State::Healthy);
    cluster.pass(100);
    cluster.prefer(None);
    cluster.pass(10);
    let reasons: Vec<_> = cluster.changes.iter().map(|(_, to, reason)| (to.as_str(), *reason)).collect();
    let expected = [
        ("a", Reason::First),
        ("c", Reason::Manual),
        ("a", Reason::Failed),
        ("c", Reason::Returned),
        ("a", Reason::Returned),
    ];
    assert_eq!(reasons, expected);
    assert_eq!(cluster.changes[1].0, 5, "the choice holds at once");
}

#[test]
fn g9_a_drained_or_removed_upstream_loses_the_preference_at_once() {
    let mut cluster = Cluster::new();
    cluster.pass(1);
    cluster.targets[0].is_drained = true;
    cluster.pass(1);
    cluster.targets.remove(1);
    cluster.pass(1);
    cluster.targets[0].is_drained = false;
    cluster.pass(100);
    let expected = [
        (0, "a".to_owned(), Reason::First),
        (1, "b".to_owned(), Reason::Drained),
        (2, "c".to_owned(), Reason::Removed),
        (60, "a".to_owned(), Reason::Returned),
    ];
    assert_eq!(cluster.changes, expected);
}

#[test]
fn reports_that_are_too_old_decide_nothing() {
    let mut cluster = Cluster::new();
    cluster.pass(20);
    cluster.see(&[1, 2], "a", State::Failing);
    cluster.now += REPORT_LIFE;
    cluster.decide();
    assert_eq!(cluster.changes.len(), 1);
}

proptest! {
    /// Whatever nodes report: health changes the preference at most every 10 s, never to an upstream that a majority
    /// reports as failing, and a return follows 60 s in which the upstream was well.
    #[test]
    fn g3_the_preference_changes_at_most_every_ten_seconds_and_never_to_a_failing_upstream(
        steps in prop::collection::vec((1u64..4, 0usize..3, any::<bool>(), 1u64..25), 1..120),
    ) {
        let mut cluster = Cluster::new();
        for (node, upstream, is_healthy, seconds) in steps {
            let name = ["a", "b", "c"][upstream];
            let before = cluster.changes.len();
            cluster.see(&[node], name, if is_healthy { State::Healthy } else { State::Failing });
            cluster.pass(seconds);
            for (_, to, _) in &cluster.changes[before..] {
                let failing = cluster.reports.values().filter(|r| r.states.get(&host(to)) == Some(&State::Failing));
                prop_assert!(failing.count() <= 1);
            }
        }
        let by_health: Vec<_> = cluster.changes.iter().filter(|(_, _, reason)| *reason != Reason::First).collect();
        for pair in by_health.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= CHANGE_INTERVAL.as_secs(), "{:?}", cluster.changes);
        }
        for pair in cluster.changes.windows(2) {
            prop_assert_ne!(&pair[0].1, &pair[1].1);
        }
    }
}
