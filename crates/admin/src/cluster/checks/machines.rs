//! The nodes' machines: disks, certificates.

use api::admin::v1::MachineReport;

use super::unasked::not_reported;
use crate::{
    cluster::observation::ClusterObservation,
    finding::Problem,
    limits::{CERTIFICATE_WARNING_MS, DESCRIPTORS_PERCENT_MAX, SYNC_US_MAX, SYNC_US_MIN},
    time_text,
};

pub(super) fn disks(observation: &ClusterObservation) -> Vec<Problem> {
    observation.known_machines().flat_map(disk).chain(not_probed(observation, "disk")).collect()
}

/// Problems for machines that a check could not read; `what` names what it would have read.
fn not_probed(observation: &ClusterObservation, what: &str) -> Vec<Problem> {
    if observation.machines.is_empty() {
        return vec![Problem::unknown(
            format!("the {what} of the nodes was not checked yet"),
            "run the check again in a minute",
        )];
    }
    let silent = observation.machines.iter().filter(|machine| !machine.passed_over.is_empty());
    let unknown = silent.map(|machine| {
        let (node, why) = (machine.node, &machine.passed_over);
        Problem::unknown(
            format!("the {what} of node {node} is unknown: {why}"),
            "start the node; see the check `nodes`",
        )
    });
    unknown.collect()
}

fn disk(machine: &MachineReport) -> Vec<Problem> {
    let node = machine.node;
    if !machine.write_error.is_empty() {
        return vec![Problem::failure(
            format!("node {node} cannot write to its disk: {}", machine.write_error),
            "make room on its disk or repair it, and start the node again",
        )];
    }
    let mut problems = Vec::new();
    if machine.sync_us == 0 {
        problems.extend(not_reported([node].into_iter(), "fsync latency"));
    } else if machine.sync_us < SYNC_US_MIN {
        problems.push(Problem::warning(
            format!(
                "the fsync latency of node {node} is only {} us: its disk does not wait for the storage medium",
                machine.sync_us
            ),
            "use a file system that implements fsync (not tmpfs or eatmydata): otherwise a power cut loses \
             acknowledged data",
        ));
    } else if machine.sync_us > SYNC_US_MAX {
        problems.push(Problem::warning(
            format!("the fsync latency of node {node} is {} ms", machine.sync_us / 1000),
            "move its data folder to a faster disk: every activation waits for fsync",
        ));
    }
    if machine.data_size_bytes == 0 {
        problems.push(Problem::unknown(
            format!("the free disk space of node {node} is unknown: its file system does not report it"),
            "check the file system of its data folder (df)",
        ));
    }
    if machine.store_bytes == 0 {
        problems.extend(not_reported([node].into_iter(), "size of the store"));
    }
    let (free, store) = (machine.data_free_bytes, machine.store_bytes);
    if machine.data_size_bytes > 0 && (free < machine.data_size_bytes / 20 || free < 2 * store) {
        problems.push(Problem::warning(
            format!("node {node} has {} MiB of free disk space, and its store has {} MiB", free >> 20, store >> 20),
            "make room: a node that cannot write stops, and a start needs disk space for a copy of the store",
        ));
    }
    problems
}

pub(super) fn descriptors(observation: &ClusterObservation) -> Vec<Problem> {
    let known = observation.known_machines().flat_map(of_descriptors);
    known.chain(not_probed(observation, "limit of open files")).collect()
}

fn of_descriptors(machine: &MachineReport) -> Option<Problem> {
    let remedy = "raise LimitNOFILE in its unit (systemctl edit quorate), or `ulimit -n`, and start it again";
    let MachineReport { node, descriptors_limit: limit, descriptors_open: open, clients_wanted, clients_max, .. } =
        machine;
    if [*limit, *open, *clients_wanted, *clients_max].contains(&0) {
        return not_reported([*node].into_iter(), "number of open files, or their limit,");
    }
    if *open >= limit / 100 * DESCRIPTORS_PERCENT_MAX {
        return Some(Problem::warning(format!("node {node} has {open} of at most {limit} files open"), remedy));
    }
    (clients_max < clients_wanted).then(|| {
        Problem::warning(
            format!(
                "node {node} serves at most {clients_max} connections, not the {clients_wanted} of \
                 clients.connections_max: its limit of open files is {limit}"
            ),
            remedy,
        )
    })
}

pub(super) fn certificates(observation: &ClusterObservation) -> Vec<Problem> {
    let now_ms = observation.status.cluster_time_ms;
    if now_ms == 0 {
        let text = "the expiry of certificates is unknown: without a leader, cluster time is unknown";
        return vec![Problem::unknown(text, "see the check `leader`")];
    }
    let known = observation.known_machines();
    let unreported = observation.known_machines().filter(|machine| machine.certificate_ends_ms == 0);
    let unreported = unreported.map(|machine| machine.node);
    let problems = known
        .filter(|machine| (1..now_ms + CERTIFICATE_WARNING_MS).contains(&machine.certificate_ends_ms))
        .map(|machine| {
            let ends = time_text::second(machine.certificate_ends_ms);
            let text = format!("the certificate of node {} expires {ends}", machine.node);
            let remedy = "for a certificate of the cluster's authority, start it again, which renews it (its log says \
                          why it was not renewed); for one of your organisation, replace the file tls.certificate";
            if machine.certificate_ends_ms < now_ms {
                Problem::failure(text, remedy)
            } else {
                Problem::warning(text, remedy)
            }
        })
        .chain(observation.known_machines().filter_map(|machine| revocation_list(machine, now_ms)))
        .chain(not_probed(observation, "certificate"))
        .chain(not_reported(unreported, "end of the certificate"));
    problems.collect()
}

fn revocation_list(machine: &MachineReport, now_ms: u64) -> Option<Problem> {
    let ended_ms = machine.revocation_list_ends_ms.filter(|ends_ms| *ends_ms < now_ms)?;
    let (node, ended) = (machine.node, time_text::second(ended_ms));
    Some(Problem::warning(
        format!("the revocation list of node {node} expired {ended}: certificates revoked since then are admitted"),
        "write the authority's current list to the file in tls.crl; the certificates in the old list stay refused",
    ))
}
