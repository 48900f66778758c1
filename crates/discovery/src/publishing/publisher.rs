//! Publishes, withdraws and reads records, each in one conversation with the zone's primary.

use std::net::SocketAddr;
use std::time::Duration;

use domain::base::Rtype;
use serde::Serialize;
use tokio::time::{Instant, timeout, timeout_at};

use super::conversation::Conversation;
use super::desired::{Desired, Neighbours};
use super::difference::{PresentRecords, RecordChange, RefusedChange, Update, difference, withdrawal};
use super::error::PublishError;
use super::key::Credentials;
use super::primary::Primary;
use super::signature::AnswerSignatures;
use crate::finding::{Finder, connect};
use crate::limits::{ADDRESSES_MAX, CONVERSATION_TIMEOUT};
use crate::name::DnsName;
use crate::record::SrvRecord;

/// Publishes one node's records at the primaries of its domains.
///
/// Every call is one conversation: a connection, the queries for the present records, and at most one update. The
/// caller passes the signing time of the messages, in seconds since 1970. A failed call is not retried here.
#[derive(Clone, Debug)]
pub struct RecordPublisher {
    pub primary: Primary,
    pub credentials: Credentials,
    pub neighbours: Neighbours,
    /// Deadline of a whole conversation, including the search for the primary. Connecting takes at most half of it.
    pub timeout: Duration,
    finder: Finder,
}

/// The changes of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeReport {
    pub zone: DnsName,
    pub primary: SocketAddr,
    /// The changes; empty where the records were already as desired.
    pub changes: Vec<RecordChange>,
    /// Changes of addresses that the primary does not allow this key to make. The SRV record is published all the
    /// same.
    pub refused: Vec<RefusedChange>,
    pub addresses: Addresses,
    /// How the primary signed its answers.
    pub answer_signatures: AnswerSignatures,
}

/// The result for the A and AAAA records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    /// They are as desired.
    Settled,
    /// None were desired, so they were not changed.
    NotAsked,
    /// The target's name is not in the zone of this domain, so they must be published in its own zone.
    OutsideZone,
}

/// A connection whose zone is known, and whether the target's addresses are in that zone.
struct Opened<'a> {
    conversation: Conversation<'a>,
    zone: DnsName,
    primary: SocketAddr,
    addresses: Addresses,
}

impl RecordPublisher {
    /// `finder` looks up the primary where it is not an address.
    pub fn new(primary: Primary, credentials: Credentials, neighbours: Neighbours, finder: Finder) -> Self {
        Self { primary, credentials, neighbours, timeout: CONVERSATION_TIMEOUT, finder }
    }

    /// Publishes the desired records. The update that adds the new records also deletes outdated ones (R25).
    ///
    /// # Errors
    /// [`PublishError`], each with its code and advice. The records are unchanged, except where the outcome is
    /// unknown.
    pub async fn publish(&self, desired: &Desired, signed_at_unix_seconds: u64) -> Result<ChangeReport, PublishError> {
        if desired.addresses.len() > ADDRESSES_MAX {
            return Err(PublishError::TooMany { what: "addresses of one node" });
        }
        let name = desired.service_name()?;
        let with_addresses = !desired.addresses.is_empty();
        self.within_deadline(async {
            let mut opened = self.open(&name, &desired.target, with_addresses, signed_at_unix_seconds).await?;
            let standing = opened.standing(&name, &desired.target).await?;
            let update = difference(desired, &standing, &self.neighbours)?;
            opened.make(update).await
        })
        .await
    }

    /// Withdraws the SRV records of `target`. Its addresses are removed only on request, because other services may
    /// use the name.
    ///
    /// # Errors
    /// As [`RecordPublisher::publish`].
    pub async fn withdraw(
        &self,
        service: &str,
        domain: &DnsName,
        target: &DnsName,
        with_addresses: bool,
        signed_at_unix_seconds: u64,
    ) -> Result<ChangeReport, PublishError> {
        let name = domain.below(service)?;
        self.within_deadline(async {
            let mut opened = self.open(&name, target, with_addresses, signed_at_unix_seconds).await?;
            let standing = opened.standing(&name, target).await?;
            let update = withdrawal(service, domain, target, &standing)?;
            opened.make(update).await
        })
        .await
    }

    /// Withdraws the SRV records of a dead member on its behalf, never its addresses.
    ///
    /// # Errors
    /// As [`RecordPublisher::publish`].
    pub async fn withdraw_dead(
        &self,
        service: &str,
        domain: &DnsName,
        target: &DnsName,
        signed_at_unix_seconds: u64,
    ) -> Result<ChangeReport, PublishError> {
        self.withdraw(service, domain, target, false, signed_at_unix_seconds).await
    }

    /// The SRV records that the primary has now, for [`crate::classify`].
    ///
    /// # Errors
    /// As [`RecordPublisher::publish`].
    pub async fn standing(
        &self,
        service: &str,
        domain: &DnsName,
        signed_at_unix_seconds: u64,
    ) -> Result<Vec<SrvRecord>, PublishError> {
        let name = domain.below(service)?;
        self.within_deadline(async {
            let mut opened = self.open(&name, domain, false, signed_at_unix_seconds).await?;
            Ok(opened.standing(&name, domain).await?.srv)
        })
        .await
    }

    async fn within_deadline<T>(
        &self,
        conversation: impl Future<Output = Result<T, PublishError>>,
    ) -> Result<T, PublishError> {
        let silent = |_| PublishError::Timeout { primary: self.primary.to_string(), after: self.timeout };
        timeout(self.timeout, Box::pin(conversation)).await.map_err(silent)?
    }

    async fn open(
        &self,
        name: &DnsName,
        target: &DnsName,
        with_addresses: bool,
        signed_at_unix_seconds: u64,
    ) -> Result<Opened<'_>, PublishError> {
        // Half of the time, so that the other half remains for the queries and the update.
        let connected_by = Instant::now() + self.timeout / 2;
        let silent = |_| PublishError::Timeout { primary: self.primary.to_string(), after: self.timeout / 2 };
        let located = self.primary.located(name, &self.finder);
        let located = timeout_at(connected_by, Box::pin(located)).await.map_err(silent)??;
        let unreachable = |cause| PublishError::Unreachable { primary: located.shown.clone(), cause };
        let left = connected_by.saturating_duration_since(Instant::now());
        let stream =
            connect(&located.addresses, left).await.map_err(|error| unreachable(std::io::Error::other(error)))?;
        let primary = stream.peer_addr().map_err(unreachable)?;
        let mut conversation = Conversation::new(stream, primary, &self.credentials, signed_at_unix_seconds);
        #[cfg(feature = "gss-tsig")]
        if let Credentials::Gss(key) = &self.credentials {
            Box::pin(key.agree(&mut conversation, located.server, name)).await?;
        }
        #[cfg(not(feature = "gss-tsig"))]
        let _ = located.server;
        let zone = conversation.zone(name).await?;
        let addresses = match with_addresses {
            false => Addresses::NotAsked,
            true if target.is_in(&zone) => Addresses::Settled,
            true => Addresses::OutsideZone,
        };
        Ok(Opened { conversation, zone, primary, addresses })
    }
}

impl Opened<'_> {
    async fn standing(&mut self, name: &DnsName, target: &DnsName) -> Result<PresentRecords, PublishError> {
        let (at_name, _) = self.conversation.ask(name, Rtype::SRV).await?;
        if at_name.is_alias {
            return Err(PublishError::Alias { name: name.clone() });
        }
        if self.addresses != Addresses::Settled {
            return Ok(PresentRecords { srv: at_name.srv, addresses: None });
        }
        let mut addresses = Vec::new();
        for rtype in [Rtype::A, Rtype::AAAA] {
            let (at_target, _) = self.conversation.ask(target, rtype).await?;
            if at_target.is_alias {
                return Err(PublishError::TargetAlias { name: target.clone() });
            }
            addresses.extend(at_target.addresses);
        }
        Ok(PresentRecords { srv: at_name.srv, addresses: Some(addresses) })
    }

    /// Makes all changes in one update. Where a key may write the SRV record and not the addresses, the primary
    /// refuses the whole update; then each type of record gets a separate update, and refused changes of addresses
    /// are reported.
    async fn make(mut self, mut update: Update) -> Result<ChangeReport, PublishError> {
        let mut refused = Vec::new();
        if !update.changes.is_empty() {
            match self.conversation.update(&self.zone, &update).await {
                Err(error) if error.is_refusal() && update.has_addresses() => {
                    (update.changes, refused) = self.make_one_by_one(update.clone()).await?;
                }
                other => other?,
            }
        }
        let Self { conversation, zone, primary, addresses } = self;
        let answer_signatures = conversation.answer_signatures();
        Ok(ChangeReport { zone, primary, changes: update.changes, refused, addresses, answer_signatures })
    }

    /// Makes a separate update for each type. Returns the changes that were made and those that were refused.
    async fn make_one_by_one(
        &mut self,
        update: Update,
    ) -> Result<(Vec<RecordChange>, Vec<RefusedChange>), PublishError> {
        let (mut made, mut refused) = (Vec::new(), Vec::new());
        for part in update.by_kind() {
            match self.conversation.update(&self.zone, &part).await {
                Ok(()) => made.extend(part.changes),
                // A refused SRV record is an error, because without it the node is not published.
                Err(error) if error.is_refusal() && !part.is_of_srv() => {
                    let target = part.target;
                    let of_target = |change| RefusedChange { name: target.clone(), change };
                    refused.extend(part.changes.into_iter().map(of_target));
                }
                Err(error) => return Err(error),
            }
        }
        Ok((made, refused))
    }
}
