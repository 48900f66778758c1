//! The input of the checks of a cluster.

use std::{collections::BTreeSet, fmt::Display};

use api::admin::v1::{
    ClusterStatusReply, CountReply, DnsRecordState, DnsStatusReply, DuplicatesReply, ListKeysReply, MachineReport,
    NodeStatus, SettingValue,
};

use crate::wire::record_state;

/// The reports of the nodes, and the results of attempts from the observer's machine. Values that only a leader
/// reports are absent where there is none.
#[derive(Clone, Debug, Default)]
pub struct ClusterObservation {
    /// The members, each with its own report.
    pub status: ClusterStatusReply,
    /// Each member's report of its own machine: disk, certificate.
    pub machines: Vec<MachineReport>,
    /// Installed host keys.
    pub keys: Option<ListKeysReply>,
    /// Counts of all applications.
    pub counts: Option<CountReply>,
    /// The cluster's settings; empty where they are unknown.
    pub settings: Vec<SettingValue>,
    /// CMIDs that several machines share.
    pub duplicates: Option<DuplicatesReply>,
    /// The records in DNS.
    pub dns: Option<DnsStatusReply>,
    /// Endpoints for clients ([`client_endpoints`]) that accept no connection from the observer's machine; `None`
    /// where none was tried yet.
    pub unreachable: Option<Vec<UnreachablePort>>,
}

impl ClusterObservation {
    /// Members that answered.
    pub(super) fn reachable(&self) -> impl Iterator<Item = &NodeStatus> {
        self.status.nodes.iter().filter(|node| node.reachable)
    }

    /// Machines of members that answered.
    pub(super) fn known_machines(&self) -> impl Iterator<Item = &MachineReport> {
        self.machines.iter().filter(|machine| machine.passed_over.is_empty())
    }
}

/// An endpoint that accepts no connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnreachablePort {
    /// The endpoint, `HOST:PORT`.
    pub endpoint: String,
    /// The reason.
    pub cause: String,
}

impl UnreachablePort {
    /// From the result of a connection attempt to an endpoint of [`client_endpoints`].
    pub fn new((host, port): (String, u16), cause: impl Display) -> Self {
        Self { endpoint: format!("{host}:{port}"), cause: cause.to_string() }
    }
}

/// Host and port at which clients should be answered: each node's own, and those of the cluster's records in DNS.
/// Names in a zone that the nodes serve themselves lead to the nodes' own ports; a check on a client machine
/// determines whether resolvers ask the nodes for them.
#[must_use]
pub fn client_endpoints(status: &ClusterStatusReply, dns: Option<&DnsStatusReply>) -> BTreeSet<(String, u16)> {
    let port = |port: u32| u16::try_from(port).ok().filter(|port| *port > 0);
    let own = status.nodes.iter().filter(|node| node.reachable).filter_map(|node| {
        let (host, _) = node.peer_address.rsplit_once(':')?;
        Some((host.trim_matches(['[', ']']).to_owned(), port(node.clients_port)?))
    });
    let published = dns.into_iter().flat_map(|dns| &dns.domains).filter(|domain| !domain.served);
    let records = published.flat_map(|domain| &domain.records);
    let ours = records.filter(|record| matches!(record_state(record), DnsRecordState::Own | DnsRecordState::Member));
    let named = ours.filter_map(|record| Some((record.target.trim_end_matches('.').to_owned(), port(record.port)?)));
    own.chain(named).collect()
}

#[cfg(test)]
mod tests {
    use api::admin::v1::{DnsDomain, DnsRecord};

    use super::*;

    #[test]
    fn endpoints_are_those_of_nodes_and_of_records_in_zones_of_others() {
        let record = |target: &str, state: DnsRecordState| DnsRecord {
            target: target.into(),
            port: 1688,
            state: state.into(),
            ..DnsRecord::default()
        };
        let domain = |served, records| DnsDomain { served, records, ..DnsDomain::default() };
        let node = NodeStatus {
            reachable: true,
            peer_address: "[2001:db8::1]:1689".into(),
            clients_port: 1680,
            ..NodeStatus::default()
        };
        let status = ClusterStatusReply {
            nodes: vec![node.clone(), NodeStatus { reachable: false, ..node }],
            ..ClusterStatusReply::default()
        };
        let published = vec![
            record("n1.example.com.", DnsRecordState::Own),
            record("stranger.example.com.", DnsRecordState::Foreign),
        ];
        let dns = DnsStatusReply {
            domains: vec![
                domain(false, published),
                domain(true, vec![record("n1.quorate.example.com.", DnsRecordState::Own)]),
            ],
        };
        let expected = [("2001:db8::1", 1680), ("n1.example.com", 1688)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(client_endpoints(&status, Some(&dns)), BTreeSet::from(expected));
    }
}
