//! The targets of `srv:` names, as they come and go.

use std::{collections::BTreeMap, time::Duration};

use discovery::{DnsName, Srv};

use crate::{
    address::HostPort,
    driver::names::{Found, NotFound},
    limits::{TTL_MAX, TTL_MIN},
};

/// One target of a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SrvTarget {
    pub(super) address: HostPort,
    pub(super) priority: u16,
    pub(super) weight: u16,
}

#[derive(Debug, Default)]
struct NameState {
    targets: Vec<SrvTarget>,
    next: Duration,
    is_running: bool,
}

/// All `srv:` names of the settings.
#[derive(Debug, Default)]
pub(super) struct SrvNames(BTreeMap<DnsName, NameState>);

impl SrvNames {
    /// Keeps these names, with what is known of them.
    pub(super) fn keep(&mut self, names: impl IntoIterator<Item = DnsName>) {
        let mut known = std::mem::take(&mut self.0);
        self.0 = names.into_iter().map(|name| (name.clone(), known.remove(&name).unwrap_or_default())).collect();
    }

    pub(super) fn targets(&self, name: &DnsName) -> &[SrvTarget] {
        self.0.get(name).map_or(&[], |state| &state.targets)
    }

    /// When the next lookup is due.
    pub(super) fn due(&self) -> Option<Duration> {
        self.0.values().filter(|state| !state.is_running).map(|state| state.next).min()
    }

    /// Begins the lookups that are due.
    pub(super) fn begin(&mut self, now: Duration) -> Vec<DnsName> {
        let due = self.0.iter_mut().filter(|(_, state)| !state.is_running && state.next <= now);
        due.map(|(name, state)| {
            state.is_running = true;
            name.clone()
        })
        .collect()
    }

    /// Takes an answer; returns whether the targets changed. Without an answer the last targets stay.
    pub(super) fn ended(&mut self, name: &DnsName, result: Result<Found<Srv>, NotFound>, now: Duration) -> bool {
        let Some(state) = self.0.get_mut(name) else { return false };
        state.is_running = false;
        let Ok(Found { values, ttl }) = result else {
            state.next = now + TTL_MIN;
            return false;
        };
        state.next = now + ttl.clamp(TTL_MIN, TTL_MAX);
        let mut targets: Vec<_> = values.iter().filter_map(target).collect();
        targets.sort();
        targets.dedup();
        // The root as the only target: the service is not offered. A name without usable targets keeps its last ones.
        if targets.is_empty() || targets == state.targets {
            return false;
        }
        state.targets = targets;
        true
    }
}

fn target(srv: &Srv) -> Option<SrvTarget> {
    let address = HostPort::new(&srv.target.to_string(), srv.port).ok()?;
    Some(SrvTarget { address, priority: srv.priority, weight: srv.weight })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(targets: &[&str]) -> Result<Found<Srv>, NotFound> {
        let srv = |target: &&str| Srv { target: target.parse().unwrap(), port: 1688, priority: 0, weight: 0 };
        Ok(Found { values: targets.iter().map(srv).collect(), ttl: Duration::from_secs(1) })
    }

    #[test]
    fn g11_targets_come_and_go_and_stay_while_there_is_no_answer() {
        let name: DnsName = "_svc._tcp.example.test".parse().unwrap();
        let (mut names, now) = (SrvNames::default(), Duration::from_secs(9));
        names.keep([name.clone()]);
        assert_eq!(names.begin(now), std::slice::from_ref(&name));
        assert!(names.begin(now).is_empty(), "one lookup at a time");
        assert!(names.ended(&name, found(&["b.test", "a.test", "b.test"]), now));
        assert_eq!(names.targets(&name).len(), 2);
        assert_eq!(names.due(), Some(now + TTL_MIN));
        assert!(!names.ended(&name, found(&["a.test", "b.test"]), now));
        assert!(!names.ended(&name, Err(NotFound("no server".to_owned())), now));
        assert!(!names.ended(&name, found(&["."]), now));
        assert_eq!(names.targets(&name).len(), 2);
        assert!(names.ended(&name, found(&["b.test"]), now));
        names.keep([]);
        assert!(names.targets(&name).is_empty());
    }
}
