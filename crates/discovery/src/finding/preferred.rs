//! Selects the host to try next (R16, R18): the host that answered last until it fails, then the hosts from DNS. A
//! host that fails is dropped for the round. Pure.
//!
//! A round ends with [`Preferred::answered`] or with [`NextStep::Exhausted`]; the next call of
//! [`Preferred::next_step`] begins a new one.
//!
//! Invariant: never queries DNS more than once in a round, nor while the preferred host answers or a fixed host is set.

use std::collections::VecDeque;

use super::found::FoundHost;
use crate::limits::HOSTS_MAX;

/// The hosts of one client, kept across rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preferred {
    fixed: Option<FoundHost>,
    preferred: Option<FoundHost>,
    round: Round,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Round {
    tried_first: bool,
    asked_dns: bool,
    silent: Vec<FoundHost>,
    waiting: VecDeque<FoundHost>,
}

/// The next step of a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Try this host, then call [`Preferred::answered`] or [`Preferred::failed`].
    Try(FoundHost),
    /// Ask DNS, then call [`Preferred::found`].
    AskDns,
    /// No host is left: the attempt failed.
    Exhausted,
}

impl Preferred {
    /// Starts with the host that answered last, from the stored state (R16).
    pub fn new(preferred: Option<FoundHost>) -> Self {
        Self { preferred, ..Self::default() }
    }

    /// The host that is tried first and alone. Store it across restarts.
    pub fn preferred(&self) -> Option<&FoundHost> {
        self.preferred.as_ref()
    }

    /// Sets a fixed host: discovery is off, and only this host is tried (`/skms`).
    pub fn fix(&mut self, host: FoundHost) {
        self.fixed = Some(host);
        self.round = Round::default();
    }

    /// Turns discovery on again and removes the preferred host (`/ckms`).
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    pub fn next_step(&mut self) -> NextStep {
        let first = self.fixed.as_ref().or(self.preferred.as_ref());
        if !self.round.tried_first {
            self.round.tried_first = true;
            if let Some(first) = first {
                return NextStep::Try(first.clone());
            }
        }
        if self.fixed.is_none() {
            if !self.round.asked_dns {
                return NextStep::AskDns;
            }
            if let Some(host) = self.round.waiting.pop_front() {
                return NextStep::Try(host);
            }
        }
        self.round = Round::default();
        NextStep::Exhausted
    }

    /// Adds the hosts that DNS returned, in the order in which to try them; none where the query failed. Only the
    /// first [`crate::limits::HOSTS_MAX`] are used.
    pub fn found(&mut self, hosts: Vec<FoundHost>) {
        self.round.asked_dns = true;
        let silent = &self.round.silent;
        // A failed host may have moved: its addresses that were not tried yet are tried.
        let fresh = |host: FoundHost| {
            let tried = |address| silent.iter().any(|s| s.is_same_place(&host) && s.addresses.contains(address));
            let addresses: Vec<_> = host.addresses.iter().filter(|address| !tried(address)).copied().collect();
            (!addresses.is_empty()).then_some(FoundHost { addresses, ..host })
        };
        self.round.waiting = hosts.into_iter().filter_map(fresh).take(HOSTS_MAX).collect();
    }

    /// The host answered: it is preferred from now on, and the round is over.
    pub fn answered(&mut self, host: &FoundHost) {
        if self.fixed.is_none() {
            self.preferred = Some(host.clone());
        }
        self.round = Round::default();
    }

    /// The host was silent, refused, or gave an answer that does not verify: it is dropped for this round and is no
    /// longer preferred.
    pub fn failed(&mut self, host: &FoundHost) {
        if self.preferred.as_ref().is_some_and(|preferred| preferred.is_same_place(host)) {
            self.preferred = None;
        }
        self.round.waiting.retain(|waiting| !waiting.is_same_place(host) || waiting.addresses != host.addresses);
        if self.round.silent.len() < HOSTS_MAX {
            self.round.silent.push(host.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(target: &str) -> FoundHost {
        FoundHost {
            target: target.to_owned(),
            port: 1688,
            priority: 0,
            weight: 0,
            addresses: vec!["192.0.2.1".parse().unwrap()],
        }
    }

    #[test]
    fn the_host_that_answered_is_tried_first_and_dns_is_asked_only_when_it_fails() {
        let (one, two) = (host("node1."), host("node2."));
        let mut hosts = Preferred::default();
        assert_eq!(hosts.next_step(), NextStep::AskDns);
        hosts.found(vec![one.clone(), two.clone()]);
        assert_eq!(hosts.next_step(), NextStep::Try(one.clone()));
        hosts.failed(&one);
        assert_eq!(hosts.next_step(), NextStep::Try(two.clone()));
        hosts.answered(&two);
        for _ in 0..3 {
            assert_eq!(hosts.next_step(), NextStep::Try(two.clone()));
            hosts.answered(&two);
        }
        assert_eq!(hosts.next_step(), NextStep::Try(two.clone()));
        hosts.failed(&two);
        assert_eq!(hosts.next_step(), NextStep::AskDns);
        // A silent host is not tried twice in a round, except at addresses that it did not have before.
        let both = ["192.0.2.1", "192.0.2.7"].map(|address| address.parse().unwrap()).to_vec();
        let moved = FoundHost { addresses: vec!["192.0.2.7".parse().unwrap()], ..two.clone() };
        hosts.found(vec![FoundHost { addresses: both, ..two.clone() }, one.clone(), two.clone()]);
        assert_eq!(hosts.next_step(), NextStep::Try(moved.clone()));
        hosts.failed(&moved);
        assert_eq!(hosts.next_step(), NextStep::Try(one.clone()));
        hosts.failed(&one);
        assert_eq!(hosts.next_step(), NextStep::Exhausted);
        assert_eq!(hosts.preferred(), None);
        assert_eq!(hosts.next_step(), NextStep::AskDns);
    }

    #[test]
    fn a_round_in_which_dns_gives_nothing_ends() {
        let mut hosts = Preferred::new(Some(host("node1.")));
        assert_eq!(hosts.next_step(), NextStep::Try(host("node1.")));
        hosts.failed(&host("node1."));
        assert_eq!(hosts.next_step(), NextStep::AskDns);
        hosts.found(Vec::new());
        assert_eq!(hosts.next_step(), NextStep::Exhausted);
    }

    #[test]
    fn a_fixed_host_turns_discovery_off_until_it_is_cleared() {
        let mut hosts = Preferred::new(Some(host("node1.")));
        hosts.fix(host("fixed."));
        for _ in 0..2 {
            assert_eq!(hosts.next_step(), NextStep::Try(host("fixed.")));
            hosts.failed(&host("fixed."));
            assert_eq!(hosts.next_step(), NextStep::Exhausted);
        }
        hosts.next_step();
        hosts.answered(&host("fixed."));
        hosts.clear();
        assert_eq!(hosts.preferred(), None);
        assert_eq!(hosts.next_step(), NextStep::AskDns);
    }
}
