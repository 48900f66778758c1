//! Updates this node's records, domain by domain.

use activation::status::Status;
use api::admin::v1::{DnsOutcome, DnsSettled};
use discovery::{ChangeReport, Desired, DnsName, PublishError};
use tokio::time::Instant;

use super::{
    ledger::PublishedRecord,
    records::{Dns, shown},
};

/// The HRESULT of a failed write of the list: `HRESULT_FROM_WIN32(ERROR_WRITE_FAULT)`.
const WRITE_FAULT: u32 = 0x8007_001D;

/// The HRESULT of a refused update: `HRESULT_FROM_WIN32(DNS_ERROR_RCODE_REFUSED)`.
const REFUSED: u32 = 0x8007_232D;

/// One attempt to publish or withdraw a record.
struct PublishAttempt {
    result: Result<ChangeReport, PublishError>,
    /// True where the record is published, false where it is withdrawn.
    publishes: bool,
}

impl Dns {
    /// Publishes the wanted records, and withdraws published ones that are no longer wanted.
    pub(super) async fn settle(&self, wanted: &[Desired]) -> DnsSettled {
        let mut domains = Vec::new();
        for desired in wanted {
            domains.push(self.publish(desired).await);
        }
        for record in self.left(wanted) {
            domains.push(self.withdraw(&record).await);
        }
        DnsSettled { node: self.node(), passed_over: String::new(), domains }
    }

    async fn publish(&self, desired: &Desired) -> DnsOutcome {
        let record = record_of(desired);
        let is_new = match self.ledger.add(&record) {
            Ok(is_new) => is_new,
            Err(error) => return self.not_kept(&record.domain, &error),
        };
        let result = self.publisher().publish(desired, self.now_s()).await;
        // A record that existed before was not made by this node; one that the primary refused does not exist.
        let is_not_ours = match &result {
            Ok(outcome) => outcome.changes.is_empty(),
            Err(error) => !error.is_outcome_unknown(),
        };
        if is_new
            && is_not_ours
            && let Err(error) = self.ledger.remove(&record)
        {
            tracing::warn!(%error, "could not write the list of this node's DNS records");
        }
        self.note(&record.domain, PublishAttempt { result, publishes: true })
    }

    async fn withdraw(&self, record: &PublishedRecord) -> DnsOutcome {
        let PublishedRecord { service, domain, target } = record;
        let result = self.publisher().withdraw(service, domain, target, false, self.now_s()).await;
        if result.is_ok()
            && let Err(error) = self.ledger.remove(record)
        {
            return self.not_kept(domain, &error);
        }
        self.note(domain, PublishAttempt { result, publishes: false })
    }

    /// Records that this node published and that are no longer wanted.
    pub(super) fn left(&self, wanted: &[Desired]) -> Vec<PublishedRecord> {
        let wanted: Vec<_> = wanted.iter().map(record_of).collect();
        self.ledger.records().into_iter().filter(|record| !wanted.contains(record)).collect()
    }

    fn not_kept(&self, domain: &DnsName, error: &std::io::Error) -> DnsOutcome {
        let error = format!("the list of this node's records cannot be written in its data folder: {error}");
        self.standing().entry(shown(domain)).or_default().last_error = Some(error.clone());
        tracing::error!(domain = shown(domain), error);
        DnsOutcome { domain: shown(domain), error, status: WRITE_FAULT, ..DnsOutcome::default() }
    }

    /// Stores and returns an outcome. Logs event 12294 or 12293 where it differs from the previous outcome (R28).
    fn note(&self, domain: &DnsName, attempt: PublishAttempt) -> DnsOutcome {
        let shown = shown(domain);
        let mut all = self.standing();
        let standing = all.entry(shown.clone()).or_default();
        match attempt.result {
            Ok(outcome) => {
                let first = standing.settled.is_none() || standing.last_error.is_some();
                let changed = !outcome.changes.is_empty();
                let warning = warning_of(&outcome);
                if warning.is_some() && standing.last_error != warning {
                    tracing::warn!(
                        event = 12293,
                        status = %Status(REFUSED),
                        domain = shown,
                        error = warning,
                        "the SRV record is published, but the addresses are not"
                    );
                }
                standing.last_error = warning.clone();
                standing.settled = attempt.publishes.then(Instant::now);
                if (first || changed) && warning.is_none() {
                    let (publishes, changes) = (attempt.publishes, outcome.changes.len());
                    tracing::info!(event = 12294, domain = shown, publishes, changes, "DNS records are up to date");
                }
                if outcome.addresses == discovery::Addresses::OutsideZone {
                    tracing::debug!(domain = shown, "the target's addresses belong to another zone");
                }
                let changes = outcome.changes.iter().map(ToString::to_string).collect();
                let warning = warning.unwrap_or_default();
                DnsOutcome { domain: shown, changes, error: String::new(), status: 0, warning }
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
                DnsOutcome { domain: shown, error: words, status, ..DnsOutcome::default() }
            }
        }
    }
}

/// A warning about address records that the primary refused, with the remedy; `None` where it refused none.
fn warning_of(outcome: &ChangeReport) -> Option<String> {
    let refused: Vec<_> = outcome.refused.iter().map(ToString::to_string).collect();
    let primary = outcome.primary;
    (!refused.is_empty()).then(|| {
        format!(
            "the primary {primary} accepts this key's SRV record and refuses (REFUSED) its addresses, {}: Allow this \
             key to update A and AAAA at the node's own name, or create these records manually: `quorate dns zone` \
             prints both.",
            refused.join(", ")
        )
    })
}

fn record_of(desired: &Desired) -> PublishedRecord {
    PublishedRecord {
        service: desired.service.clone(),
        domain: desired.domain.name.clone(),
        target: desired.target.clone(),
    }
}
