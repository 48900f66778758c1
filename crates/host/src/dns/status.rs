//! The records that exist in DNS, compared with the membership; and the wanted records as text.

use std::collections::BTreeMap;

use activation::settings::Announcement;
use admin::wire::TextEnum;
use api::{
    admin::v1::{DnsDomain, DnsRecord, DnsRecordState, DnsStatusReply, DnsZoneReply},
    node::v1::{DnsPublication, DnsPublicationsRequest},
};
use discovery::{
    Credentials, DnsName, JudgedRecord, MemberRecord, PublishError, RecordState, Srv, SrvRecord, classify,
    delegation_lines, update_policy, zone_lines,
};
use futures::future::join_all;

use super::{
    config::Served,
    records::{Dns, shown},
};
use crate::limits::LOOK_TIMEOUT;

/// The members' reports about publishing their own records, by domain and node.
type Standings = BTreeMap<(String, u64), DnsPublication>;

/// The status of every domain of the publish list, as its primary has it now, and of the domain that the nodes
/// serve.
pub(crate) async fn status(dns: &Dns) -> DnsStatusReply {
    let answering = dns.look().await;
    let standings = dns.standings().await;
    let mut reply = DnsStatusReply::default();
    for domain in dns.all_domains() {
        let (entries, asked) = match dns.entries(&domain, |node| answering.contains_key(&node)).await {
            Ok(entries) => (entries, None),
            Err(error) => (Vec::new(), Some(format!("{error}: {}", error.advice()))),
        };
        let domain = shown(&domain);
        reply.domains.push(DnsDomain {
            records: entries.iter().map(|entry| dns.record(entry, &domain, &standings)).collect(),
            last_error: dns.last_error(&domain, &standings).or(asked).unwrap_or_default(),
            name: dns.name_in(&domain),
            domain,
            served: false,
        });
    }
    reply.domains.extend(dns.own.served.as_ref().map(|served| dns.served_status(served)));
    reply
}

fn wire_state(state: RecordState) -> DnsRecordState {
    match state {
        RecordState::Own => DnsRecordState::Own,
        RecordState::Member => DnsRecordState::Member,
        RecordState::Dead => DnsRecordState::Dead,
        RecordState::Known => DnsRecordState::Known,
        RecordState::Foreign => DnsRecordState::Foreign,
        RecordState::Missing => DnsRecordState::Missing,
    }
}

fn record(srv: &Srv, state: RecordState) -> DnsRecord {
    DnsRecord {
        target: srv.target.to_string(),
        port: srv.port.into(),
        priority: srv.priority.into(),
        weight: srv.weight.into(),
        state: wire_state(state).into(),
        state_text: wire_state(state).text().into(),
        stale: false,
        age_s: None,
    }
}

/// Zone lines for administrators who publish by hand, and an update policy for administrators who let nodes publish.
pub(crate) async fn zone(dns: &Dns) -> Result<DnsZoneReply, discovery::NameError> {
    let all = dns.all_desired();
    let key_name = dns.own.key_name();
    // Sorted by the text of the domain.
    let mut by_domain: BTreeMap<String, (DnsName, Vec<(DnsName, DnsName)>)> = BTreeMap::new();
    for desired in &all {
        let key = match &key_name {
            Some(own) if desired.target == dns.own.target => own.clone(),
            // By convention a node's key has the name of the node.
            _ => desired.target.clone(),
        };
        let domain = &desired.domain.name;
        let (_, nodes) = by_domain.entry(shown(domain)).or_insert_with(|| (domain.clone(), Vec::new()));
        nodes.push((key, desired.target.clone()));
    }
    let mut policy = String::new();
    for (shown, (domain, nodes)) in &by_domain {
        let text = update_policy(&dns.own.service, domain, nodes)?;
        policy += &format!("// zone {shown}\n{text}");
    }
    let mut lines = zone_lines(&all)?;
    if let Some(served) = &dns.own.served {
        let ttl = dns.replica.view(|state| state.settings().dns_ttl_s);
        lines += &delegation_lines(&served.zone, ttl, &dns.name_servers(served).await);
    }
    Ok(DnsZoneReply { lines, update_policy: policy })
}

impl Dns {
    /// The name in a domain at which the SRV records are.
    fn name_in(&self, domain: &str) -> String {
        format!("{}.{}.", self.own.service, domain.trim_end_matches('.'))
    }

    /// The records that exist in a domain now, each with its state: a member's, a known or a foreign one.
    pub(super) async fn entries(
        &self,
        domain: &DnsName,
        is_alive: impl Fn(u64) -> bool,
    ) -> Result<Vec<JudgedRecord>, PublishError> {
        let standing = self.read(domain).await?;
        let publishes = self.replica.view(|state| state.settings().dns_publish);
        let members: Vec<MemberRecord> = self.replica.view(|state| {
            let member = |(node, of): (&u64, &Announcement)| {
                let there = self.domains(state.settings(), of).into_iter().find(|there| there.name == *domain)?;
                let (priority, weight) = (there.priority, there.weight);
                let srv = Srv { target: DnsName::from(&of.target), port: of.port, priority, weight };
                // No member's record is missing where none is to be published.
                let stands = standing.iter().any(|record| record.srv.target == srv.target);
                (publishes || stands).then_some(MemberRecord { srv, alive: is_alive(*node) })
            };
            state.announcements().iter().filter_map(member).collect()
        });
        Ok(classify(&standing, &self.own.target, &members, &self.own.known))
    }

    /// Reads without a signature first, so that a wrong key does not prevent it; where the primary refuses that, the
    /// node's key is used.
    async fn read(&self, domain: &DnsName) -> Result<Vec<SrvRecord>, PublishError> {
        let mut publisher = self.publisher();
        let signed = std::mem::replace(&mut publisher.credentials, Credentials::Unsigned);
        match publisher.standing(&self.own.service, domain, self.now_s()).await {
            Err(PublishError::Refused { .. } | PublishError::NotAuthoritative { .. })
                if !matches!(signed, Credentials::Unsigned) =>
            {
                publisher.credentials = signed;
                publisher.standing(&self.own.service, domain, self.now_s()).await
            }
            read => read,
        }
    }

    fn record(&self, entry: &JudgedRecord, domain: &str, standings: &Standings) -> DnsRecord {
        let node = self.replica.view(|state| {
            let is_target = |of: &Announcement| DnsName::from(&of.target) == entry.srv.target;
            state.announcements().iter().find_map(|(node, of)| is_target(of).then_some(*node))
        });
        let standing = node.and_then(|node| standings.get(&(domain.to_owned(), node)));
        let age_s = standing.and_then(|standing| standing.settled_ago_s);
        DnsRecord { stale: entry.stale, age_s, ..record(&entry.srv, entry.state) }
    }

    /// The last error in a domain: this node's own before that of another node.
    fn last_error(&self, domain: &str, standings: &Standings) -> Option<String> {
        let failed = |node: u64| {
            let standing = standings.get(&(domain.to_owned(), node))?;
            (!standing.last_error.is_empty()).then(|| standing.last_error.clone())
        };
        failed(self.node()).or_else(|| {
            let of_others = standings.keys().filter(|(of, _)| of == domain);
            of_others.into_iter().find_map(|(_, node)| Some(format!("node {node}: {}", failed(*node)?)))
        })
    }

    async fn standings(&self) -> Standings {
        let members = self.replica.cluster().members;
        let asked = members.keys().map(|&node| async move {
            let publications = self.nodes.ask(node, DnsPublicationsRequest {}, LOOK_TIMEOUT).await;
            let domains = publications.map(|reply| reply.domains).unwrap_or_default();
            domains.into_iter().map(move |standing| ((standing.domain.clone(), node), standing))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// The records that this node serves, and those of members that are not ready.
    fn served_status(&self, served: &Served) -> DnsDomain {
        let zone = self.zone.borrow();
        let ready = zone.as_ref().map_or(&[][..], |zone| zone.ready.as_slice());
        let members = self.replica.view(|state| {
            let own = |of: &Announcement| {
                let (priority, weight) = (of.rank.priority, of.rank.weight);
                Srv { target: DnsName::from(&of.target), port: of.port, priority, weight }
            };
            state.announcements().values().map(own).collect::<Vec<_>>()
        });
        let missing = members.iter().filter(|member| ready.iter().all(|srv| srv.target != member.target));
        let standing = ready
            .iter()
            .map(|srv| record(srv, if srv.target == self.own.target { RecordState::Own } else { RecordState::Member }));
        let last_error = zone.is_none().then_some("this node knows no leader, so it cannot tell which nodes are ready");
        DnsDomain {
            name: self.name_in(&shown(&served.domain)),
            domain: shown(&served.domain),
            records: standing.chain(missing.map(|srv| record(srv, RecordState::Missing))).collect(),
            last_error: last_error.unwrap_or_default().into(),
            served: true,
        }
    }
}
