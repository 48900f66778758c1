//! What stands in DNS, judged against the membership; and the records as text.

use std::collections::BTreeMap;

use api::admin::v1::{DnsDomain, DnsRecord, DnsStatusReply, DnsZoneReply};
use discovery::{Desired, DnsName, Entry, Member, Srv, State, classify, update_policy, zone_lines};

use super::{Dns, domains, name, settle::shown};

/// Every domain of the publish list, as its primary has it now.
pub(crate) async fn status(dns: &Dns) -> DnsStatusReply {
    let reachable = dns.reachable().await;
    let mut reply = DnsStatusReply::default();
    for domain in dns.all_domains() {
        let text = shown(&domain);
        let standing = dns.standing().get(&text).cloned().unwrap_or_default();
        let (entries, asked) = match dns.entries(&domain, |node| reachable.get(&node) == Some(&true)).await {
            Ok(entries) => (entries, None),
            Err(error) => (Vec::new(), Some(format!("{error}: {}", error.advice()))),
        };
        reply.domains.push(DnsDomain {
            domain: text,
            records: entries.iter().map(record).collect(),
            last_error: standing.last_error.or(asked).unwrap_or_default(),
            published_ms: standing.published_ms.unwrap_or(0),
        });
    }
    reply
}

fn record(entry: &Entry) -> DnsRecord {
    let state = match entry.state {
        State::Own => "own",
        State::Member => "member",
        State::Dead => "dead",
        State::Known => "known",
        State::Foreign => "foreign",
        State::Missing => "missing",
    };
    DnsRecord {
        target: entry.srv.target.to_string(),
        port: entry.srv.port.into(),
        priority: entry.srv.priority.into(),
        weight: entry.srv.weight.into(),
        state: state.into(),
        stale: entry.stale,
    }
}

/// Lines for those who publish by hand, and the policy for those who let nodes do it.
pub(crate) fn zone(dns: &Dns) -> Result<DnsZoneReply, discovery::NameError> {
    let all = dns.all_desired();
    let mut by_domain: BTreeMap<String, Vec<(DnsName, DnsName)>> = BTreeMap::new();
    for desired in &all {
        let key = match &dns.own.key_name {
            Some(own) if desired.target == dns.own.target => own.clone(),
            // By convention a node's key has its name.
            _ => desired.target.clone(),
        };
        by_domain.entry(shown(&desired.domain.name)).or_default().push((key, desired.target.clone()));
    }
    let mut policy = String::new();
    for (domain, nodes) in &by_domain {
        let text = update_policy(&dns.own.service, &domain.parse()?, nodes)?;
        policy += &format!("// zone {domain}\n{text}");
    }
    Ok(DnsZoneReply { lines: zone_lines(&all)?, update_policy: policy })
}

impl Dns {
    /// Domains in which any member publishes itself.
    pub(super) fn all_domains(&self) -> Vec<DnsName> {
        let mut names: Vec<DnsName> = self.all_desired().into_iter().map(|desired| desired.domain.name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The records of every member, whether they stand or not.
    fn all_desired(&self) -> Vec<Desired> {
        let own = self.own.announcement();
        self.replica.view(|state| {
            let mut members = state.announcements().clone();
            members.entry(self.node()).or_insert(own);
            let of_member = |of| domains(state.settings(), of).into_iter().map(move |domain| (of, domain));
            let all = members.values().flat_map(of_member);
            all.map(|(of, domain)| self.desired(state.settings(), of, domain)).collect()
        })
    }

    /// What stands in a domain now, and whose it is.
    pub(super) async fn entries(
        &self,
        domain: &DnsName,
        is_alive: impl Fn(u64) -> bool,
    ) -> Result<Vec<Entry>, discovery::PublishError> {
        let standing = self.publisher().standing(&self.own.service, domain, self.now_s()).await?;
        let publishes = self.replica.view(|state| state.settings().dns_publish);
        let members: Vec<Member> = self.replica.view(|state| {
            let member = |(node, of): (&u64, &activation::settings::Announcement)| {
                let there = domains(state.settings(), of).into_iter().find(|there| there.name == *domain)?;
                let (priority, weight) = (there.priority, there.weight);
                let srv = Srv { target: name(of.target.as_str())?, port: of.port, priority, weight };
                // Nobody's record is missing where none is to stand.
                let stands = standing.iter().any(|record| record.srv.target == srv.target);
                (publishes || stands).then_some(Member { srv, alive: is_alive(*node) })
            };
            state.announcements().iter().filter_map(member).collect()
        });
        Ok(classify(&standing, &self.own.target, &members, &self.own.known))
    }
}
