//! The replicated state machine: catalogs, keys, certificates, counts and time, changed only by applying commands.
//!
//! Every node applies the same commands in the same order and arrives at the same bytes, which [`State::hash`]
//! proves. Applying reads no clock, no randomness and no file, and never fails: a command that cannot be applied is
//! refused, on every node alike.

mod activations;
mod apply;
mod batch;
mod command;
mod format;
mod frozen_text;
mod hashes;
mod keys;
mod malformed;
mod outcome;
mod outcomes;
mod recorded;
mod registration;
mod registry;
mod snapshot;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};

pub use self::batch::{Batch, BatchBuilder, BatchFull, PushError};
pub use self::command::{Act, Command};
pub use self::format::Format;
use self::hashes::Hashes;
pub use self::keys::{Activation, InstalledKey, KeySlots};
use self::keys::{CertificateClock, HeldKey, Rights};
pub use self::malformed::MalformedCommand;
pub use self::outcome::{Applied, CommandRefusal, Counted, MalformedOutcome, RecordOutcome, Refusal};
use self::outcomes::Outcomes;
pub use self::outcomes::RequestId;
pub use self::registration::{
    ClusterAuthority, Holder, Joining, KeyDigest, PersonRole, Registration, Revocation, Serial, Whom,
};
pub use self::registry::Registry;
pub use self::snapshot::SnapshotError;
use self::tokens::Tokens;
pub use self::tokens::{Enrolled, Grant, OpenToken, token_id};
use crate::audit::Audit;
use crate::catalog::{Catalog, Name, OpenedCatalog};
use crate::certificate::NodeCertificate;
use crate::clock::Times;
use crate::count::{Count, Forecast, Seen};
use crate::host_activation::ReleaseStatement;
use crate::id::{Cmid, KeyId, NodeId, PublisherId};
use crate::limits;
use crate::settings::{Announcement, NodeSettings, Settings};

/// The whole replicated state.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Cluster time of the last batch, in milliseconds since 1970; absent before the first batch.
    time_ms: Option<u64>,
    /// The clock by which requests expire, in milliseconds since 1970, never above `time_ms`. Absent before the
    /// first batch, and below format 3, where requests expire by `time_ms`.
    expiry_ms: Option<u64>,
    settings: Settings,
    announcements: BTreeMap<NodeId, Announcement>,
    /// Settings of nodes that differ from the defaults.
    node_settings: BTreeMap<NodeId, NodeSettings>,
    publishers: BTreeMap<PublisherId, PublisherState>,
    tokens: Tokens,
    /// The format that is written; 1 until an administrator raises it.
    format: Format,
    /// Acts of administrators. Empty below format 2.
    audit: Audit,
    /// Acts of callers other than administrators. Empty below format 3.
    audit_others: Audit,
    /// Outcomes of the last commands that carry a request id. Empty below format 3.
    outcomes: Outcomes,
    /// Registered keys and revocations. Empty below format 3.
    registry: Registry,
    /// The authority that replaced the first one. Absent below format 3, and until the first one is replaced.
    authority: Option<ClusterAuthority>,
    /// The time of expiry after the last batch, where no clock alarm was in force at it. Computed anew by each batch
    /// before it counts. Not replicated, and not part of the hash: it is absent after a start and after a command that
    /// sets a clock, until the next batch.
    certificate_clock_ms: CertificateClock,
    /// This node's state hashes. Not replicated, and not part of the hash.
    hashes: Hashes,
    /// The newest format that the running version reads. Not replicated, and not part of the hash.
    reads: NewestRead,
}

/// The newest format that a version reads; by default the newest of this version.
#[derive(Clone, Copy, Debug)]
struct NewestRead(Format);

impl Default for NewestRead {
    fn default() -> Self {
        Self(Format::NEWEST)
    }
}

/// The cluster's state for one publisher.
#[derive(Clone, Debug)]
pub struct PublisherState {
    opened: OpenedCatalog,
    /// Installed host keys, with the activations of nodes by each key.
    keys: BTreeMap<KeyId, HeldKey>,
    /// Statements of released activation slots that the publisher has not confirmed, by key and node key.
    releases: BTreeMap<(KeyId, [u8; 32]), ReleaseStatement>,
    /// Derived from activations and catalog.
    rights: BTreeMap<NodeId, Rights>,
    /// The counts, one for each application of the catalog.
    counts: BTreeMap<Name, Count>,
}

impl PublisherState {
    #[must_use]
    pub fn id(&self) -> PublisherId {
        self.opened.publisher
    }

    /// The publisher's name, for display.
    #[must_use]
    pub fn name(&self) -> &str {
        self.opened.catalog.publisher_name()
    }

    #[must_use]
    pub fn serial(&self) -> u64 {
        self.opened.catalog.serial()
    }

    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.opened.catalog
    }

    /// The catalog with its keys, product ids and signed bytes.
    #[must_use]
    pub fn opened(&self) -> &OpenedCatalog {
        &self.opened
    }

    /// Installed keys, by id.
    pub fn keys(&self) -> impl Iterator<Item = InstalledKey<'_>> {
        self.keys.iter().map(|(id, held)| held.installed(*id, self.id()))
    }

    /// Statements of released activation slots that the publisher has not confirmed yet.
    pub fn pending_releases(&self) -> impl Iterator<Item = &ReleaseStatement> {
        self.releases.values()
    }
}

/// The count of one application, for display and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationCount {
    pub publisher: PublisherId,
    pub publisher_name: String,
    pub application: Name,
    pub count: u32,
    /// R12: the most CMIDs that are kept; 0 before the first request.
    pub cache_limit: u32,
    /// The oldest last request among the machines that count, in milliseconds since 1970; `None` where no machine
    /// counts.
    pub oldest_ms: Option<u64>,
    /// How many machines are forgotten within 1, 3 and 7 days if they do not ask again.
    pub expiring: [u32; 3],
    /// How many counted machines did not renew: their last request is at least a day older than the renewal interval.
    /// Made-up CMIDs, and machines that were reinstalled or removed, are among them.
    pub unrenewed: u32,
    /// The application's products with their thresholds, ordered by name.
    pub products: Vec<ProductThreshold>,
}

/// How late a renewal may be, in milliseconds, before its machine counts as not renewed: machines may be off at night.
const RENEWAL_GRACE_MS: u64 = 86_400_000;

/// The days of [`ApplicationCount::expiring`].
pub const EXPIRING_DAYS: [u64; 3] = [1, 3, 7];

/// A product of an application, with its threshold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductThreshold {
    pub name: Name,
    pub group: Name,
    pub threshold: u32,
    pub forecast: Forecast,
}

/// The last request of a CMID in one application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenIn<'a> {
    pub publisher: PublisherId,
    pub application: &'a Name,
    pub last_request_ms: u64,
    pub seen: &'a Seen,
}

impl State {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty state that reads commands as a version whose newest format is `newest`.
    #[must_use]
    pub fn reading_up_to(newest: Format) -> Self {
        Self { reads: NewestRead(newest), ..Self::default() }
    }

    /// What the unused token with this digest grants, and when it expires.
    #[must_use]
    pub fn open_token(&self, digest: &[u8; 32]) -> Option<OpenToken> {
        self.tokens.open(digest)
    }

    /// The unused tokens, by the digest of their secret.
    pub fn open_tokens(&self) -> impl Iterator<Item = (&[u8; 32], &OpenToken)> {
        self.tokens.all()
    }

    /// What the bearer of the used token with this digest received; `None` where the token was not used, is no
    /// longer remembered, or below format 3.
    #[must_use]
    pub fn enrolled(&self, digest: &[u8; 32]) -> Option<&Enrolled> {
        self.tokens.enrolled(digest)
    }

    /// The registered keys and the revocations.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The authority that replaced the first one; `None` where the first one was never replaced.
    #[must_use]
    pub fn authority(&self) -> Option<&ClusterAuthority> {
        self.authority.as_ref()
    }

    /// Removes the registry, the replaced authority and the used tokens, because a new cluster begins with this
    /// state: it has another authority, and no key of the cluster before has access to it.
    pub fn forget_registry(&mut self) {
        self.registry = Registry::default();
        self.authority = None;
        self.tokens.forget_spent();
    }

    /// The highest node number that a token granted; 0 where no token granted one.
    #[must_use]
    pub fn highest_enrolled(&self) -> NodeId {
        self.tokens.highest_enrolled()
    }

    /// The format that the cluster writes.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Acts of callers other than administrators, as far as they are kept, in a separate record.
    #[must_use]
    pub fn audit_of_others(&self) -> &Audit {
        &self.audit_others
    }

    /// Acts of administrators, as far as they are kept.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Cluster time as of the last batch; `None` before the first.
    #[must_use]
    pub fn time_ms(&self) -> Option<u64> {
        self.time_ms
    }

    /// Both clocks as of the last batch.
    #[must_use]
    pub fn times(&self) -> Times {
        Times { time_ms: self.time_ms, expiry_ms: self.expiry_ms }
    }

    /// The time with which the expiry of requests and certificates is compared, as of the last batch, in milliseconds
    /// since 1970; `None` before the first.
    #[must_use]
    pub fn expiry_ms(&self) -> Option<u64> {
        self.expiry_ms.or(self.time_ms)
    }

    /// The time with which the expiry of node certificates is compared, in milliseconds since 1970; `None` below format
    /// 3, during a clock alarm, and before the first batch that this process applied: then none counts as expired.
    #[must_use]
    pub fn certificate_clock_ms(&self) -> Option<u64> {
        self.certificate_clock_ms
    }

    /// Whether a command with this id was carried out, among the last [`limits::OUTCOMES_KEPT`] such commands.
    #[must_use]
    pub fn has_carried_out(&self, id: &RequestId) -> bool {
        self.outcomes.get(id).is_some()
    }

    /// The settings that all nodes follow.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings of this node alone.
    #[must_use]
    pub fn node_settings(&self, node: NodeId) -> NodeSettings {
        self.node_settings.get(&node).cloned().unwrap_or_default()
    }

    /// The DNS names, ports and ranks of the nodes, by node.
    #[must_use]
    pub fn announcements(&self) -> &BTreeMap<NodeId, Announcement> {
        &self.announcements
    }

    /// The publishers, by id.
    pub fn publishers(&self) -> impl Iterator<Item = &PublisherState> {
        self.publishers.values()
    }

    #[must_use]
    pub fn publisher(&self, publisher: PublisherId) -> Option<&PublisherState> {
        self.publishers.get(&publisher)
    }

    /// The certificate with which a node answers for a publisher, for this host key.
    #[must_use]
    pub fn certificate(&self, publisher: PublisherId, key: KeyId, node: NodeId) -> Option<&NodeCertificate> {
        let key = self.publishers.get(&publisher)?.keys.get(&key)?;
        key.activations.get(&node).map(|activation| &activation.certificate)
    }

    /// Every application's count at `now_ms` of the clock of expiry, by publisher and name. Changes nothing:
    /// requests that have expired by then are left out.
    #[must_use]
    pub fn counts(&self, now_ms: u64) -> Vec<ApplicationCount> {
        let counts =
            self.publishers.values().flat_map(|publisher| publisher.counts.iter().map(move |c| (publisher, c)));
        counts
            .map(|(publisher, (application, count))| ApplicationCount {
                publisher: publisher.id(),
                publisher_name: publisher.name().to_owned(),
                application: application.clone(),
                count: count.live(now_ms),
                cache_limit: count.limit(),
                oldest_ms: count.oldest_live_ms(now_ms),
                unrenewed: count.silent_for(self.renewal_missed_ms(), now_ms),
                expiring: EXPIRING_DAYS.map(|days| count.expiring_within(days * 86_400_000, now_ms)),
                products: publisher.thresholds(application, count, now_ms),
            })
            .collect()
    }

    /// The age of a last request from which on its machine counts as not renewed, in milliseconds.
    fn renewal_missed_ms(&self) -> u64 {
        u64::from(self.settings.renewal_interval_minutes) * 60_000 + RENEWAL_GRACE_MS
    }

    /// The last requests of a CMID: at most one for each application.
    pub fn seen(&self, cmid: Cmid) -> impl Iterator<Item = SeenIn<'_>> {
        self.publishers.values().flat_map(move |publisher| {
            publisher.counts.iter().filter_map(move |(application, count)| {
                let (last_request_ms, seen) = count.get(cmid)?;
                Some(SeenIn { publisher: publisher.id(), application, last_request_ms, seen })
            })
        })
    }

    /// The remembered machines of an application, the oldest request first.
    #[must_use]
    pub fn count(&self, publisher: PublisherId, application: &str) -> Option<&Count> {
        self.publishers.get(&publisher)?.counts.get(application)
    }

    /// Panics if an invariant is broken. [`Self::apply_checked`] calls it after each entry.
    pub fn check_invariants(&self) {
        self.check_limits();
        let targets: BTreeSet<_> = self.announcements.values().map(|announcement| &announcement.target).collect();
        assert_eq!(targets.len(), self.announcements.len(), "two nodes with one DNS name");
        let defaults = NodeSettings::default();
        assert!(self.node_settings.values().all(|settings| *settings != defaults), "settings that are as by default");
        assert!(self.format.holds_audit() || self.audit == Audit::default(), "an audit below its format");
        assert!(self.format.holds_codes() || self.audit_others == Audit::default(), "an audit below its format");
        self.audit.check_invariants();
        self.audit_others.check_invariants();
        assert!(self.format.remembers_commands() || self.outcomes.is_empty(), "outcomes below their format");
        assert!(self.format.registers_keys() || self.registry.is_empty(), "a registry below its format");
        assert!(self.format.registers_keys() || self.authority.is_none(), "an authority below its format");
        self.registry.check_invariants();
        assert!(self.format.has_expiry_clock() || self.expiry_ms.is_none(), "a clock of expiry below its format");
        assert!(self.expiry_ms <= self.time_ms, "the clock of expiry is ahead of cluster time");
        for (id, publisher) in &self.publishers {
            assert_eq!(*id, publisher.id(), "a publisher under another's id");
            let applications: Vec<_> = publisher.counts.keys().collect();
            assert_eq!(
                applications,
                publisher.catalog().applications().collect::<Vec<_>>(),
                "one count per application"
            );
            assert_eq!(publisher.rights, Rights::derive(&publisher.opened, &publisher.keys), "stale rights");
            for (key, held) in &publisher.keys {
                assert_eq!(*key, held.key.key_id(), "a key under another's id");
                let others = self.publishers.values().filter(|other| other.keys.contains_key(key));
                assert_eq!(others.count(), 1, "a key of two publishers");
                for Activation { certificate, .. } in held.activations.values() {
                    let of = (certificate.key, certificate.publisher);
                    assert_eq!((*key, *id), of, "a certificate under another's key");
                    assert!(
                        !publisher.releases.contains_key(&(*key, certificate.node_key)),
                        "released, and still held"
                    );
                }
            }
            for count in publisher.counts.values() {
                count.check_invariants();
                let newest_ms = count.in_order().map(|(_, time_ms, _)| time_ms).last();
                assert!(newest_ms <= self.time_ms, "a request later than cluster time");
            }
        }
    }
}

impl State {
    fn check_limits(&self) {
        let sum = |count: fn(&PublisherState) -> usize| self.publishers.values().map(count).sum::<usize>();
        let most = |count: fn(&PublisherState) -> usize| self.publishers.values().map(count).max().unwrap_or(0);
        let certificates = |publisher: &PublisherState| publisher.keys().map(|key| key.activations.len()).sum();
        for (what, count, max) in [
            ("publishers", self.publishers.len(), limits::PUBLISHERS_MAX),
            ("keys", sum(|publisher| publisher.keys.len()), limits::KEYS_MAX),
            ("certificates of a publisher", most(certificates), limits::CERTIFICATES_MAX),
            ("pending releases of a publisher", most(|publisher| publisher.releases.len()), limits::CERTIFICATES_MAX),
            ("announcements", self.announcements.len(), limits::ANNOUNCEMENTS_MAX),
            ("nodes with settings of their own", self.node_settings.len(), limits::ANNOUNCEMENTS_MAX),
            ("open tokens", self.tokens.count(), limits::TOKENS_MAX),
            ("outcomes of commands", self.outcomes.len(), limits::OUTCOMES_KEPT),
        ] {
            assert!(count <= max, "{count} {what}, and {max} is the most");
        }
    }
}

impl PublisherState {
    fn thresholds(&self, application: &Name, count: &Count, now_ms: u64) -> Vec<ProductThreshold> {
        let products = self.catalog().products().filter(|product| product.application == *application);
        let threshold = |product: &crate::catalog::Product| {
            let group = self.catalog().group(product.group)?.name.clone();
            let threshold = product.threshold;
            let forecast = count.forecast(threshold, now_ms);
            Some(ProductThreshold { name: product.name.clone(), group, threshold, forecast })
        };
        products.filter_map(threshold).collect()
    }
}
