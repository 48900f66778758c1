//! The checks of a cluster: pure functions from an observation to problems.

mod counts;
mod dns;
mod keys;
mod machines;
mod membership;
mod settings;
#[cfg(test)]
mod tests;
mod unasked;

use super::observation::ClusterObservation;
use crate::finding::{Finding, Problem, findings};

/// One check.
struct Check {
    name: &'static str,
    /// The text where the check finds no problem.
    passed: &'static str,
    problems: fn(&ClusterObservation) -> Vec<Problem>,
}

const CHECKS: [Check; 20] = [
    Check { name: "leader", passed: "a leader is known", problems: membership::leader },
    Check { name: "nodes", passed: "every node answers", problems: membership::nodes },
    Check { name: "quarantine", passed: "no node is quarantined", problems: membership::quarantined },
    Check {
        name: "quorum",
        passed: "the cluster tolerates the failure of one more node",
        problems: membership::quorum,
    },
    Check { name: "lag", passed: "every node has caught up", problems: membership::lag },
    Check {
        name: "links",
        passed: "round-trip times are within the limit of raft.profile",
        problems: membership::links,
    },
    Check { name: "activation", passed: "every node is activated", problems: keys::activation },
    Check { name: "keys", passed: "every host key has free activation slots", problems: keys::keys },
    Check {
        name: "host-certificates",
        passed: "no host certificate is due for renewal",
        problems: keys::host_certificates,
    },
    Check { name: "clocks", passed: "all clocks agree", problems: membership::clocks },
    Check { name: "ports", passed: "every client port accepts connections from here", problems: membership::ports },
    Check { name: "dns", passed: "DNS names the nodes and no other hosts", problems: dns::records },
    Check { name: "disk", passed: "disks have free space, and fsync latency is normal", problems: machines::disks },
    Check {
        name: "descriptors",
        passed: "the limit of open files is sufficient on every node",
        problems: machines::descriptors,
    },
    Check { name: "certificates", passed: "no certificate expires soon", problems: machines::certificates },
    Check { name: "count", passed: "no count is about to fall below a threshold", problems: counts::counts },
    Check {
        name: "new-machines",
        passed: "the number of new client machines is normal",
        problems: counts::new_machines,
    },
    Check {
        name: "unrenewed-machines",
        passed: "client machines renew within the renewal interval",
        problems: counts::unrenewed_machines,
    },
    Check { name: "duplicates", passed: "no two machines share a CMID", problems: counts::duplicates },
    Check { name: "settings", passed: "settings and versions are consistent", problems: settings::settings },
];

/// Runs every check. A check that passes yields one finding; a check that does not pass yields a finding for each
/// problem.
#[must_use]
pub fn check(observation: &ClusterObservation) -> Vec<Finding> {
    let run = |check: &Check| findings(check.name, check.passed, (check.problems)(observation));
    CHECKS.iter().flat_map(run).collect()
}
