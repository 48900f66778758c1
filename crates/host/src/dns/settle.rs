//! Bringing this node's records in line, domain by domain.

use activation::status::Status;
use api::admin::v1::{DnsOutcome, DnsSettled};
use discovery::{Desired, DnsName, Outcome, PublishError};
use tokio::time::Instant;

use super::{Dns, ledger::Place};

/// `HRESULT_FROM_WIN32(ERROR_WRITE_FAULT)`.
const WRITE_FAULT: u32 = 0x8007_001D;

/// What became of one place.
struct Attempt {
    result: Result<Outcome, PublishError>,
    /// Whether the record is to stand there.
    publishes: bool,
}

impl Dns {
    /// Publishes where the node should stand, and withdraws where it stood and should no longer.
    pub(super) async fn settle(&self, wanted: &[Desired]) -> DnsSettled {
        let mut domains = Vec::new();
        for desired in wanted {
            domains.push(self.publish(desired).await);
        }
        for place in self.left(wanted) {
            domains.push(self.withdraw(&place).await);
        }
        DnsSettled { node: self.node(), passed_over: String::new(), domains }
    }

    async fn publish(&self, desired: &Desired) -> DnsOutcome {
        let place = place(desired);
        let is_new = match self.ledger.add(&place) {
            Ok(is_new) => is_new,
            Err(error) => return self.not_kept(&place.domain, &error),
        };
        let result = self.publisher().publish(desired, self.now_s()).await;
        // A record that stood already is not of this node's making; one that was refused does not stand.
        let is_not_ours = match &result {
            Ok(outcome) => outcome.changes.is_empty(),
            Err(error) => !error.is_outcome_unknown(),
        };
        if is_new
            && is_not_ours
            && let Err(error) = self.ledger.remove(&place)
        {
            tracing::warn!(%error, "the list of this node's records was not written");
        }
        self.note(&place.domain, Attempt { result, publishes: true })
    }

    async fn withdraw(&self, place: &Place) -> DnsOutcome {
        let Place { service, domain, target } = place;
        let result = self.publisher().withdraw(service, domain, target, false, self.now_s()).await;
        if result.is_ok()
            && let Err(error) = self.ledger.remove(place)
        {
            return self.not_kept(domain, &error);
        }
        self.note(domain, Attempt { result, publishes: false })
    }

    /// Places of records that this node made, and that are no longer wanted.
    pub(super) fn left(&self, wanted: &[Desired]) -> Vec<Place> {
        let wanted: Vec<_> = wanted.iter().map(place).collect();
        self.ledger.places().into_iter().filter(|place| !wanted.contains(place)).collect()
    }

    fn not_kept(&self, domain: &DnsName, error: &std::io::Error) -> DnsOutcome {
        let error = format!("the list of this node's records cannot be written in its data folder: {error}");
        self.standing().entry(shown(domain)).or_default().last_error = Some(error.clone());
        tracing::error!(domain = shown(domain), error);
        DnsOutcome { domain: shown(domain), changes: Vec::new(), error, status: WRITE_FAULT }
    }

    /// Remembers and reports an outcome; events 12294 and 12293 where it is another than before (R28).
    fn note(&self, domain: &DnsName, attempt: Attempt) -> DnsOutcome {
        let shown = shown(domain);
        let mut all = self.standing();
        let standing = all.entry(shown.clone()).or_default();
        match attempt.result {
            Ok(outcome) => {
                let first = standing.settled.is_none() || standing.last_error.is_some();
                let changed = !outcome.changes.is_empty();
                standing.last_error = None;
                standing.settled = attempt.publishes.then(Instant::now);
                if first || changed {
                    let (publishes, changes) = (attempt.publishes, outcome.changes.len());
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
                standing.last_error = Some(words.clone());
                DnsOutcome { domain: shown, changes: Vec::new(), error: words, status }
            }
        }
    }
}

fn place(desired: &Desired) -> Place {
    Place { service: desired.service.clone(), domain: desired.domain.name.clone(), target: desired.target.clone() }
}

/// As people write it, without the root's dot.
pub(super) fn shown(domain: &DnsName) -> String {
    domain.to_string().trim_end_matches('.').to_owned()
}
