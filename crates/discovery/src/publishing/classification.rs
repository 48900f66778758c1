//! Compares the records in DNS with the membership. Pure.

use serde::Serialize;

use crate::name::DnsName;
use crate::record::{Srv, SrvRecord};

/// A node of the cluster and its SRV record, from the membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// The SRV record that the node should have published here.
    pub srv: Srv,
    /// `false` once the node has been silent for the time after which its record is withdrawn.
    pub alive: bool,
}

/// The state of a record, by its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordState {
    /// A record of the node that makes the comparison.
    Own,
    /// A living member's record.
    Member,
    /// A dead member's record: clients still try it.
    Dead,
    /// Not a member's record, but listed as known in the configuration.
    Known,
    /// A record of no member, and not known: a rogue host, or a leftover. Reported, never deleted.
    Foreign,
    /// A living member's record that is missing in DNS.
    Missing,
}

/// A record with its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JudgedRecord {
    #[serde(flatten)]
    pub srv: Srv,
    pub state: RecordState,
    /// The record's port, priority or weight differs from what the member should have published.
    pub stale: bool,
    /// The TTL of the record; `None` where it is missing.
    pub ttl_seconds: Option<u32>,
}

/// Every record in DNS, and every missing record of a living member, ordered by target and then rdata.
pub fn classify(
    standing: &[SrvRecord],
    own: &DnsName,
    members: &[MemberRecord],
    known: &[DnsName],
) -> Vec<JudgedRecord> {
    let judged = standing.iter().map(|record| {
        let member = members.iter().find(|member| member.srv.target == record.srv.target);
        let state = match member {
            _ if record.srv.target == *own => RecordState::Own,
            Some(member) if member.alive => RecordState::Member,
            Some(_) => RecordState::Dead,
            None if known.contains(&record.srv.target) => RecordState::Known,
            None => RecordState::Foreign,
        };
        let stale = member.is_some_and(|member| member.srv != record.srv);
        JudgedRecord { srv: record.srv.clone(), state, stale, ttl_seconds: Some(record.ttl_seconds) }
    });
    let is_missing = |member: &&MemberRecord| !standing.iter().any(|record| record.srv.target == member.srv.target);
    let missing = members.iter().filter(|member| member.alive).filter(is_missing).map(|member| JudgedRecord {
        srv: member.srv.clone(),
        state: RecordState::Missing,
        stale: false,
        ttl_seconds: None,
    });
    let mut entries: Vec<JudgedRecord> = judged.chain(missing).collect();
    entries.sort_by(|one, other| one.srv.cmp(&other.srv));
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn srv(target: &str, weight: u16) -> Srv {
        Srv { target: target.parse().unwrap(), port: 1688, priority: 0, weight }
    }

    #[test]
    fn each_record_is_own_member_dead_known_foreign_or_missing() {
        let standing: Vec<SrvRecord> =
            [srv("n1.test", 60), srv("N2.test", 10), srv("n3.test", 10), srv("old.test", 0), srv("rogue.test", 0)]
                .map(|srv| SrvRecord { srv, ttl_seconds: 300 })
                .into();
        let member = |target, alive| MemberRecord { srv: srv(target, 60), alive };
        let members = [
            member("n1.test", true),
            member("n2.test", true),
            member("n3.test", false),
            member("n4.test", true),
            member("n5.test", false),
        ];
        let known = ["old.test".parse().unwrap()];
        let entries = classify(&standing, &"n1.test".parse().unwrap(), &members, &known);
        let seen: Vec<_> =
            entries.iter().map(|entry| (entry.srv.target.to_string(), entry.state, entry.stale)).collect();
        let expected = [
            ("n1.test.", RecordState::Own, false),
            ("N2.test.", RecordState::Member, true),
            ("n3.test.", RecordState::Dead, true),
            ("n4.test.", RecordState::Missing, false),
            ("old.test.", RecordState::Known, false),
            ("rogue.test.", RecordState::Foreign, false),
        ];
        assert_eq!(seen, expected.map(|(target, state, stale)| (target.to_owned(), state, stale)));
    }

    #[test]
    fn an_entry_is_written_flat() {
        let entry =
            JudgedRecord { srv: srv("n1.test", 60), state: RecordState::Own, stale: false, ttl_seconds: Some(300) };
        assert_eq!(
            serde_json::to_string(&entry).unwrap(),
            r#"{"target":"n1.test.","port":1688,"priority":0,"weight":60,"state":"own","stale":false,"ttl_seconds":300}"#
        );
    }
}
