//! Records in DNS.

use api::admin::v1::{DnsDomain, DnsRecord, DnsRecordState};

use crate::{cluster::observation::ClusterObservation, finding::Problem, wire::record_state};

pub(super) fn records(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(dns) = &observation.dns else {
        return vec![Problem::unknown(
            "DNS was not checked: this node has no dns.target, or the check did not run yet",
            "set dns.target in the configuration of each node, or configure the hosts on the clients",
        )];
    };
    if dns.domains.is_empty() {
        return vec![Problem::unknown(
            "DNS was not checked: the nodes publish in no domain and serve no zone",
            "quorate settings set dns.domains DOMAIN",
        )];
    }
    let mut problems = Vec::new();
    for domain in &dns.domains {
        if !domain.last_error.is_empty() {
            problems.push(Problem::failure(
                format!("{}: {}", domain.domain, domain.last_error),
                "correct what the error names, then run quorate dns publish",
            ));
        }
        problems.extend(domain.records.iter().filter_map(|found| record(domain, found)));
    }
    problems
}

fn record(domain: &DnsDomain, record: &DnsRecord) -> Option<Problem> {
    let what = format!("{} port {} in {}", record.target, record.port, domain.domain);
    match record_state(record) {
        DnsRecordState::Foreign => Some(Problem::warning(
            format!("{what} is not the record of a member"),
            format!(
                "if it is a rogue or former host, delete it (nsupdate: update delete {} SRV {} {} {} {}); otherwise \
                 add its target to dns.known on every node",
                domain.name, record.priority, record.weight, record.port, record.target
            ),
        )),
        DnsRecordState::Dead => Some(Problem::warning(
            format!("{what} is the record of a member that does not answer"),
            "start the node; the leader withdraws the record if the node stays down",
        )),
        DnsRecordState::Missing => Some(Problem::failure(format!("{what} is missing"), "quorate dns publish")),
        DnsRecordState::Unspecified => Some(Problem::unknown(
            format!("the owner of {what} is unknown: the node that was asked runs another version"),
            "ask a node of the newest version",
        )),
        _ if record.stale => {
            Some(Problem::warning(format!("{what} differs from what its node announces"), "quorate dns publish"))
        }
        _ => None,
    }
}
