//! Records in DNS.

use api::admin::v1::{DnsDomain, DnsRecord, DnsRecordState};

use crate::{cluster::observation::ClusterObservation, finding::Problem, wire::record_state};

pub(super) fn records(observation: &ClusterObservation) -> Vec<Problem> {
    let Some(dns) = &observation.dns else {
        return vec![Problem::unknown(
            "DNS was not asked: this node has no name in DNS, or was not asked yet",
            "set dns.target in the configuration of each node, or have clients find the nodes by other means",
        )];
    };
    if dns.domains.is_empty() {
        return vec![Problem::unknown(
            "DNS was not asked: the nodes publish in no domain and serve no zone",
            "quorate settings set dns.domains DOMAIN",
        )];
    }
    let mut problems = Vec::new();
    for domain in &dns.domains {
        if !domain.last_error.is_empty() {
            problems.push(Problem::failure(
                format!("{}: {}", domain.domain, domain.last_error),
                "mend what the error names, then quorate dns publish",
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
            format!("{what} belongs to no member"),
            format!(
                "a rogue host or a leftover: delete it there (nsupdate: update delete {} SRV {} {} {} {}), or list its \
                 target in dns.known of every node",
                domain.name, record.priority, record.weight, record.port, record.target
            ),
        )),
        DnsRecordState::Dead => Some(Problem::warning(
            format!("{what} is a member's that does not answer"),
            "start the node: the leader withdraws the record if it stays away",
        )),
        DnsRecordState::Missing => Some(Problem::failure(format!("{what} is not there"), "quorate dns publish")),
        DnsRecordState::Unspecified => Some(Problem::unknown(
            format!(
                "whose record {what} is, is not known: the node that was asked says it in words of another version"
            ),
            "ask a node of the newest version",
        )),
        _ if record.stale => {
            Some(Problem::warning(format!("{what} is not as its node announces it"), "quorate dns publish"))
        }
        _ => None,
    }
}
