//! What happens to the cluster, as lines of the node's log: elections, members, catalogs, keys, settings, formats and
//! snapshots. Two observations are compared, so a line says what this node's state shows, whatever caused the change.

use std::{collections::BTreeMap, time::Duration};

use activation::settings::{NodeSettings, Setting, Settings};
use replication::Replica;
use tokio::time::sleep;

/// How often the cluster is observed: at most one line a second about elections that follow each other.
const INTERVAL: Duration = Duration::from_secs(1);

/// A member, as a log line shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seat {
    address: String,
    is_voter: bool,
}

/// One observation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Observed {
    node: u64,
    /// `None`: no leader that a majority confirmed recently.
    leader: Option<u64>,
    term: u64,
    members: BTreeMap<u64, Seat>,
    /// Serial number of each publisher's catalog, by the publisher's name.
    catalogs: BTreeMap<String, u64>,
    /// The nodes that are activated with each installed key, by the key's id.
    keys: BTreeMap<String, Vec<u64>>,
    settings: Settings,
    /// The settings of this node.
    own_settings: NodeSettings,
    format: u32,
    /// Index of the last entry in this node's snapshot.
    snapshot: u64,
}

impl Observed {
    fn now(replica: &Replica) -> Self {
        let cluster = replica.cluster();
        let members = cluster.members.into_iter().map(|(node, member)| {
            let is_voter = cluster.voters.contains(&node);
            (node, Seat { address: member.address, is_voter })
        });
        let members = members.collect();
        let observed = Self {
            node: cluster.node,
            leader: cluster.leader,
            term: cluster.term,
            members,
            snapshot: replica.snapshot_index(),
            ..Self::default()
        };
        replica.view(|state| {
            let catalogs = state.publishers().map(|publisher| (publisher.name().to_owned(), publisher.serial()));
            let keys = state.publishers().flat_map(|publisher| publisher.keys());
            let keys = keys.map(|key| (key.id.to_string(), key.activations.keys().copied().collect()));
            Self {
                catalogs: catalogs.collect(),
                keys: keys.collect(),
                settings: state.settings().clone(),
                own_settings: state.node_settings(cluster.node),
                format: state.format().number(),
                ..observed
            }
        })
    }

    /// One line for each difference from the observation `before`.
    fn changes(&self, before: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        self.leader_changes(before, &mut lines);
        self.member_changes(before, &mut lines);
        self.content_changes(before, &mut lines);
        lines
    }

    fn leader_changes(&self, before: &Self, lines: &mut Vec<String>) {
        let voters = self.members.values().filter(|seat| seat.is_voter).count();
        let term = self.term;
        match (before.leader, self.leader) {
            (was, Some(leader)) if was != Some(leader) => {
                let which = if leader == self.node { "this node leads".into() } else { format!("node {leader} leads") };
                let instead = was.map_or_else(String::new, |was| format!(" instead of node {was}"));
                lines.push(format!("{which}{instead}, elected in term {term}"));
            }
            (Some(was), None) => lines.push(format!(
                "no leader: node {was} is not confirmed by a majority of the {voters} voters any more; clients get no answer \
                 until one is elected"
            )),
            (None, None) if before.term != term => {
                lines.push(format!("an election was held in term {term} without a leader that a majority confirms"));
            }
            _ => {}
        }
    }

    fn member_changes(&self, before: &Self, lines: &mut Vec<String>) {
        let role = |seat: &Seat| if seat.is_voter { "a voter" } else { "a learner" };
        for (node, seat) in &self.members {
            match before.members.get(node) {
                None => lines.push(format!("node {node} at {} joined as {}", seat.address, role(seat))),
                Some(was) if was.is_voter != seat.is_voter => {
                    lines.push(format!("node {node} is {} now, not {} any more", role(seat), role(was)));
                }
                Some(was) if was.address != seat.address => {
                    lines.push(format!("node {node} moved from {} to {}", was.address, seat.address));
                }
                Some(_) => {}
            }
        }
        for (node, was) in before.members.iter().filter(|(node, _)| !self.members.contains_key(node)) {
            lines.push(format!("node {node} at {} was removed from the cluster", was.address));
        }
    }

    fn content_changes(&self, before: &Self, lines: &mut Vec<String>) {
        for (publisher, serial) in &self.catalogs {
            match before.catalogs.get(publisher) {
                None => lines.push(format!("the catalog of {publisher:?} was installed, serial number {serial}")),
                Some(was) if was != serial => {
                    lines.push(format!("the catalog of {publisher:?} was replaced: serial number {was} to {serial}"));
                }
                Some(_) => {}
            }
        }
        for publisher in before.catalogs.keys().filter(|publisher| !self.catalogs.contains_key(*publisher)) {
            lines.push(format!("the catalog of {publisher:?} was removed"));
        }
        for (key, nodes) in &self.keys {
            let Some(was) = before.keys.get(key) else {
                lines.push(format!("host key {key} was installed"));
                continue;
            };
            let other = |from: &[u64], than: &[u64]| from.iter().copied().filter(|node| !than.contains(node)).collect();
            let (added, gone): (Vec<u64>, Vec<u64>) = (other(nodes, was), other(was, nodes));
            added.iter().for_each(|node| lines.push(format!("node {node} is activated with host key {key}")));
            gone.iter()
                .for_each(|node| lines.push(format!("node {node} is not activated with host key {key} any more")));
        }
        for key in before.keys.keys().filter(|key| !self.keys.contains_key(*key)) {
            lines.push(format!("host key {key} was removed"));
        }
        for setting in Setting::ALL {
            let shown = |observed: &Self| {
                let own =
                    observed.own_settings.get(setting).map(|value| (value, format!(" of node {}", observed.node)));
                observed.settings.get(setting).map(|value| (value, String::new())).or(own)
            };
            if let (Some((was, _)), Some((now, scope))) = (shown(before), shown(self))
                && was != now
            {
                lines.push(format!("the setting {}{scope} changed from {was:?} to {now:?}", setting.name()));
            }
        }
        if self.format != before.format {
            lines.push(format!("the cluster's format changed from {} to {}", before.format, self.format));
        }
        if self.snapshot > before.snapshot {
            lines.push(format!("a snapshot of the state up to log entry {} is on the disk", self.snapshot));
        }
    }
}

/// Logs what happens to the cluster until the replica stops. The first observation is what the later ones are compared
/// with; of it, only the leader is logged.
pub(crate) async fn report(replica: Replica) {
    let mut progress = replica.progress();
    let first = Observed::now(&replica);
    let mut before = Observed { leader: None, ..first };
    loop {
        let now = Observed::now(&replica);
        for change in now.changes(&before) {
            tracing::info!(term = now.term, "{change}");
        }
        before = now;
        let seen = progress.borrow_and_update().configuration_index;
        tokio::select! {
            changed = progress.wait_for(|progress| progress.configuration_index > seen) => {
                if changed.is_err() {
                    return;
                }
            }
            () = sleep(INTERVAL) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(address: &str, is_voter: bool) -> Seat {
        Seat { address: address.into(), is_voter }
    }

    fn cluster() -> Observed {
        Observed {
            node: 1,
            leader: Some(1),
            term: 3,
            members: BTreeMap::from([(1, seat("a:1689", true)), (2, seat("b:1689", true))]),
            catalogs: BTreeMap::from([("Example".into(), 4)]),
            keys: BTreeMap::from([("0123".into(), vec![1])]),
            format: 2,
            ..Observed::default()
        }
    }

    #[test]
    fn what_stays_the_same_makes_no_line() {
        assert_eq!(cluster().changes(&cluster()), Vec::<String>::new());
        let later = Observed { term: 4, ..cluster() };
        assert_eq!(later.changes(&cluster()), Vec::<String>::new(), "a new term with the same leader");
    }

    #[test]
    fn each_change_is_one_line_with_what_was_before() {
        let mut settings = Settings::default();
        settings.set(Setting::DnsTtl, "60").unwrap();
        let cases = [
            (Observed { leader: Some(2), term: 4, ..cluster() }, "node 2 leads instead of node 1, elected in term 4"),
            (
                Observed { leader: None, ..cluster() },
                "no leader: node 1 is not confirmed by a majority of the 2 voters",
            ),
            (
                Observed { members: BTreeMap::from([(1, seat("a:1689", true))]), ..cluster() },
                "node 2 at b:1689 was removed from the cluster",
            ),
            (
                Observed {
                    members: [cluster().members, BTreeMap::from([(3, seat("c:1689", false))])]
                        .into_iter()
                        .flatten()
                        .collect(),
                    ..cluster()
                },
                "node 3 at c:1689 joined as a learner",
            ),
            (
                Observed { catalogs: BTreeMap::from([("Example".into(), 5)]), ..cluster() },
                "the catalog of \"Example\" was replaced: serial number 4 to 5",
            ),
            (Observed { keys: BTreeMap::new(), ..cluster() }, "host key 0123 was removed"),
            (
                Observed { keys: BTreeMap::from([("0123".into(), vec![1, 2])]), ..cluster() },
                "node 2 is activated with host key 0123",
            ),
            (Observed { settings, ..cluster() }, "the setting dns.ttl_s changed from \"300\" to \"60\""),
            (Observed { format: 3, ..cluster() }, "the cluster's format changed from 2 to 3"),
            (Observed { snapshot: 9, ..cluster() }, "a snapshot of the state up to log entry 9 is on the disk"),
        ];
        for (now, line) in cases {
            let lines = now.changes(&cluster());
            assert!(lines.len() == 1 && lines[0].starts_with(line), "{lines:?}, expected {line}");
        }
        let elected = cluster().changes(&Observed { leader: None, term: 2, ..cluster() });
        assert_eq!(elected, ["this node leads, elected in term 3"]);
    }
}
