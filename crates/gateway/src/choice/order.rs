//! The upstreams that one node tries for one association, in order.

use crate::{
    address::HostPort,
    choice::{health::State, target::Target},
    limits::ATTEMPTS_MAX,
};

/// The upstreams to try: the preferred one, then healthy ones by rank, then those whose state is unknown by rank.
/// Drained ones, and those that this node's probes do not reach, are left out. At most [`ATTEMPTS_MAX`].
///
/// `preferred` is the last replicated choice; it holds without a leader, too.
pub fn candidates(
    targets: &[Target],
    preferred: Option<&HostPort>,
    state: impl Fn(&HostPort) -> State,
) -> Vec<HostPort> {
    let usable = targets.iter().filter(|target| !target.is_drained);
    let mut sorted: Vec<_> = usable
        .filter_map(|target| {
            let is_unknown = match state(&target.address) {
                State::Failing | State::Drained => return None,
                State::Unknown => true,
                State::Healthy => false,
            };
            let is_other = preferred != Some(&target.address);
            // The preferred one is first also while its state is unknown.
            Some((is_other, is_other && is_unknown, target.rank, &target.address))
        })
        .collect();
    sorted.sort();
    sorted.into_iter().take(ATTEMPTS_MAX).map(|(.., address)| address.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::target::Rank;

    fn host(name: &str) -> HostPort {
        HostPort::new(name, 1688).unwrap()
    }

    fn target(name: &str, priority: u16, weight: u16) -> Target {
        Target { address: host(name), rank: Rank::new(priority, weight, false), is_drained: false }
    }

    fn tried(targets: &[Target], preferred: Option<&str>, states: &[(&str, State)]) -> String {
        let preferred = preferred.map(host);
        let of = |address: &HostPort| {
            states.iter().find(|(name, _)| *name == address.host()).map_or(State::Healthy, |(_, state)| *state)
        };
        let tried = candidates(targets, preferred.as_ref(), of);
        tried.iter().map(HostPort::host).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn g3_the_preferred_upstream_is_tried_first_and_the_others_follow_by_priority() {
        let targets = [target("c", 2, 0), target("a", 0, 0), target("b", 1, 1), target("d", 1, 9), target("e", 3, 0)];
        let unknown_first = [("a", State::Unknown)];
        assert_eq!(tried(&targets, Some("c"), &[]), "c a d b");
        assert_eq!(tried(&targets, None, &[]), "a d b c");
        assert_eq!(tried(&targets, None, &unknown_first), "d b c e");
        assert_eq!(tried(&targets, Some("a"), &unknown_first), "a d b c");
        // A preference for an upstream that is gone.
        assert_eq!(tried(&targets, Some("z"), &[]), "a d b c");
    }

    #[test]
    fn a_node_skips_what_it_does_not_reach_itself_and_what_is_drained() {
        let mut targets = [target("a", 0, 0), target("b", 1, 0), target("c", 2, 0)];
        assert_eq!(tried(&targets, Some("a"), &[("a", State::Failing)]), "b c");
        targets[1].is_drained = true;
        assert_eq!(tried(&targets, Some("b"), &[("a", State::Failing)]), "c");
        assert_eq!(tried(&targets, Some("b"), &[("a", State::Failing), ("c", State::Failing)]), "");
    }
}
