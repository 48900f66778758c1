//! Counts of client machines.

use api::admin::v1::NodeStatus;

use super::unasked::{not_asked, not_reported};
use crate::{
    cluster::observation::ClusterObservation,
    finding::Problem,
    limits::{COUNT_WARNING_MS, NEW_CMIDS_FACTOR, NEW_CMIDS_MIN, UNRENEWED_MIN, UNRENEWED_PERCENT_MIN},
    time_text,
};

pub(super) fn counts(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(counts) = &observation.counts else {
        return vec![Problem::unknown("the counts are unknown: no leader reported them", "see the check `leader`")];
    };
    let before_ms = counts.cluster_time_ms + COUNT_WARNING_MS;
    let mut problems = Vec::new();
    for application in &counts.applications {
        let soon = application.products.iter().filter_map(|product| {
            let at_ms = product.falls_below_by_trend_ms.filter(|at_ms| *at_ms < before_ms)?;
            Some((at_ms, product))
        });
        if let Some((at_ms, product)) = soon.min_by_key(|(at_ms, _)| *at_ms) {
            problems.push(Problem::warning(
                format!(
                    "by the current trend, {} falls below the threshold of {} on {}",
                    application.application,
                    product.product,
                    time_text::second(at_ms)
                ),
                "find out why machines stopped renewing: run quorate client discover on one of them",
            ));
        }
    }
    problems
}

pub(super) fn duplicates(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(reply) = &observation.duplicates else {
        return vec![Problem::unknown(
            "the client machines of the nodes were not compared yet",
            "run the check again in a minute",
        )];
    };
    let mut problems = Vec::new();
    let shared = reply.duplicates.len();
    if shared > 0 {
        problems.push(Problem::warning(
            format!("CMIDs that several machines share, and that are counted once: {shared}"),
            "run quorate duplicates, which lists the machines with the remedy for each",
        ));
    }
    if observation.status.nodes.is_empty() {
        problems.extend(not_asked(observation, "list of machines"));
    }
    let passed_over = reply.passed_over.iter();
    problems.extend(passed_over.map(|why| {
        Problem::unknown(
            format!("the client machines of a node are unknown: {why}"),
            "start the node; see the check `nodes`",
        )
    }));
    problems
}

/// Far more new machines than usual, which no count remembered: a rollout, or invented CMIDs that displace genuine
/// ones.
pub(super) fn new_machines(observation: &ClusterObservation) -> Vec<Problem> {
    let sum = |of: fn(&NodeStatus) -> Option<u64>| observation.status.nodes.iter().filter_map(of).sum::<u64>();
    let (last_hour, usual) = (sum(|node| node.new_cmids_last_hour), sum(|node| node.new_cmids_usual));
    let silent = |node: &&NodeStatus| node.new_cmids_last_hour.is_none() || node.new_cmids_usual.is_none();
    let unreported = observation.reachable().filter(silent).map(|node| node.node);
    let mut problems: Vec<_> = not_reported(unreported, "number of new machines").into_iter().collect();
    problems.extend(not_asked(observation, "number of new machines"));
    if last_hour <= NEW_CMIDS_MIN.max(usual.saturating_mul(NEW_CMIDS_FACTOR)) {
        return problems;
    }
    problems.push(Problem::warning(
        format!("new client machines within an hour: {last_hour}; usual: {usual}"),
        "unless machines are being installed, find their client addresses with quorate events --since 1h, then block \
         these in the firewall for port 1688, or set clients.new_cmids_per_minute",
    ));
    problems
}

/// A large share of the counted machines did not renew. Causes are made-up CMIDs, which send one request, machines that
/// are reinstalled often, and machines that do not reach a node any more.
pub(super) fn unrenewed_machines(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(counts) = &observation.counts else {
        return vec![Problem::unknown(
            "the number of machines that did not renew is unknown: there is no leader",
            "see the check `leader`",
        )];
    };
    let problems = counts.applications.iter().filter_map(|of| {
        let Some(unrenewed) = of.unrenewed else {
            return Some(Problem::unknown(
                format!(
                    "the number of machines of {} that did not renew is unknown: the contacted node does not report it",
                    of.application
                ),
                "upgrade that node",
            ));
        };
        let percent = u64::from(unrenewed) * 100 / u64::from(of.count.max(1));
        (unrenewed > UNRENEWED_MIN && percent >= UNRENEWED_PERCENT_MIN.into()).then(|| {
            Problem::warning(
                format!("{unrenewed} of {} machines of {} have not renewed: {percent} %", of.count, of.application),
                "find out which machines these are: quorate events shows the machines that send requests, quorate \
                 explain CMID shows the last request of one; for made-up CMIDs see the check `new-machines`; on a \
                 genuine machine run quorate client discover",
            )
        })
    });
    problems.collect()
}
