//! Bringing this node's records in line, domain by domain.

use activation::status::Status;
use api::admin::v1::{DnsOutcome, DnsSettled};
use discovery::{Desired, DnsName, Outcome, PublishError};

use super::Dns;

impl Dns {
    /// Publishes where the node should stand, and withdraws where it stood and should no longer.
    pub(super) async fn settle(&self) -> DnsSettled {
        let wanted = self.wanted();
        let publisher = self.publisher();
        let mut domains = Vec::new();
        for desired in &wanted {
            let result = publisher.publish(desired, self.now_s()).await;
            domains.push(self.note(&desired.domain.name, true, result));
        }
        for domain in self.left(&wanted) {
            let result = publisher.withdraw(&self.own.service, &domain, &self.own.target, false, self.now_s()).await;
            domains.push(self.note(&domain, false, result));
        }
        DnsSettled { node: self.node(), passed_over: String::new(), domains }
    }

    /// Domains in which this node published itself since it started, and is no longer wanted. What it published before a
    /// restart is not withdrawn: it could not be told from a record that somebody made by hand (R29).
    fn left(&self, wanted: &[Desired]) -> Vec<DnsName> {
        let standing = self.standing();
        let may_stand = standing.iter().filter(|(_, standing)| standing.may_stand);
        let known = may_stand.filter_map(|(domain, _)| domain.parse::<DnsName>().ok());
        known.filter(|domain| !wanted.iter().any(|desired| desired.domain.name == *domain)).collect()
    }

    /// Remembers and reports an outcome; events 12294 and 12293 where it is another than before (R28).
    fn note(&self, domain: &DnsName, publishes: bool, result: Result<Outcome, PublishError>) -> DnsOutcome {
        let shown = shown(domain);
        let mut all = self.standing();
        let standing = all.entry(shown.clone()).or_default();
        match result {
            Ok(outcome) => {
                let first = standing.published_ms.is_none() || standing.last_error.is_some();
                let changed = !outcome.changes.is_empty();
                standing.last_error = None;
                standing.may_stand = publishes;
                standing.published_ms = publishes.then(|| self.replica.wall_ms());
                if first || changed {
                    let changes = outcome.changes.len();
                    tracing::info!(event = 12294, domain = shown, publishes, changes, "DNS records are as wanted");
                }
                if outcome.addresses == discovery::Addresses::OutsideZone {
                    tracing::debug!(domain = shown, "the target's addresses belong to another zone");
                }
                let changes = outcome.changes.iter().map(ToString::to_string).collect();
                DnsOutcome { domain: shown, changes, error: String::new(), status: 0 }
            }
            Err(error) => {
                let status = error.code();
                let words = format!("{error}: {}", error.advice());
                if standing.last_error.as_ref() != Some(&words) {
                    tracing::warn!(
                        event = 12293,
                        status = %Status(status),
                        domain = shown,
                        %error,
                        "DNS records were not published"
                    );
                }
                // Whether it stands there is unknown where the answer did not come.
                standing.may_stand |= publishes;
                standing.last_error = Some(words.clone());
                DnsOutcome { domain: shown, changes: Vec::new(), error: words, status }
            }
        }
    }
}

/// As people write it, without the root's dot.
pub(super) fn shown(domain: &DnsName) -> String {
    domain.to_string().trim_end_matches('.').to_owned()
}
