//! What is wrong with a cluster, and the command that mends it: what every node says of itself, and what can be tried from
//! here, looked at by checks that are pure.

mod checks;
mod commands;

use std::{collections::BTreeSet, time::Duration};

use api::admin::v1::{
    ClusterStatusReply, CountReply, DnsStatusReply, DuplicatesReply, ListKeysReply, NodeExamined, SettingValue,
};
use futures::future::join_all;
use tokio::{net::TcpStream, time::timeout};

pub use self::{checks::all, commands::commands};

/// How long a port may take to answer.
const PORT_PATIENCE: Duration = Duration::from_secs(2);

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All is well.
    Ok,
    /// It will fail, or a part of it does.
    Warning,
    /// Somebody is not served, or will not be after the next failure.
    Failure,
}

impl State {
    /// As it is written: `ok`, `warning`, `failure`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How bad it is.
    pub state: State,
    /// What was found.
    pub finding: String,
    /// What to do; empty where there is nothing.
    pub fix: String,
}

/// What was asked of the cluster, and tried from here. What only a leader knows is missing where there is none.
pub struct Found {
    /// Its members.
    pub cluster: ClusterStatusReply,
    /// What each found on its own machine.
    pub examined: Vec<NodeExamined>,
    /// Its keys.
    pub keys: Option<ListKeysReply>,
    /// Its counts.
    pub counts: Option<CountReply>,
    /// Its settings.
    pub settings: Vec<SettingValue>,
    /// CMIDs that several machines share.
    pub duplicates: Option<DuplicatesReply>,
    /// Its records.
    pub dns: Option<DnsStatusReply>,
    /// Hosts that take no connection from here, and why.
    pub silent: Vec<(String, String)>,
}

/// Where clients should be answered: each node's own port, and whatever DNS names of ours. Names that the nodes answer
/// themselves lead to those ports; whether resolvers ask the nodes for them is seen from a client machine.
#[must_use]
pub fn hosts(cluster: &ClusterStatusReply, dns: Option<&DnsStatusReply>) -> BTreeSet<(String, u16)> {
    let port = |port: u32| u16::try_from(port).ok().filter(|port| *port > 0);
    let own = cluster.nodes.iter().filter(|node| node.reachable).filter_map(|node| {
        let (host, _) = node.peer_address.rsplit_once(':')?;
        Some((host.trim_matches(['[', ']']).to_owned(), port(node.clients_port)?))
    });
    let published = dns.into_iter().flat_map(|dns| &dns.domains).filter(|domain| !domain.served);
    let records = published.flat_map(|domain| &domain.records);
    let ours = records.filter(|record| matches!(record.state.as_str(), "own" | "member"));
    let named = ours.filter_map(|record| Some((record.target.trim_end_matches('.').to_owned(), port(record.port)?)));
    own.chain(named).collect()
}

/// Those that take no connection from here, and why.
pub async fn unreachable(hosts: BTreeSet<(String, u16)>) -> Vec<(String, String)> {
    let tried = hosts.into_iter().map(|(host, port)| async move {
        let why = match timeout(PORT_PATIENCE, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(_)) => return None,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        Some((format!("{host}:{port}"), why))
    });
    join_all(tried).await.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use api::admin::v1::{DnsDomain, DnsRecord, NodeStatus};

    use super::*;

    #[test]
    fn ports_are_tried_of_nodes_and_of_what_others_dns_names() {
        let record = |target: &str, state: &str| DnsRecord {
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
        let cluster = ClusterStatusReply {
            nodes: vec![node.clone(), NodeStatus { reachable: false, ..node }],
            ..ClusterStatusReply::default()
        };
        let published = vec![record("n1.example.com.", "own"), record("stranger.example.com.", "foreign")];
        let dns = DnsStatusReply {
            domains: vec![domain(false, published), domain(true, vec![record("n1.quorate.example.com.", "own")])],
        };
        let expected = [("2001:db8::1", 1680), ("n1.example.com", 1688)].map(|(host, port)| (host.to_owned(), port));
        assert_eq!(hosts(&cluster, Some(&dns)), BTreeSet::from(expected));
    }
}
