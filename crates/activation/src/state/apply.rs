//! Applies commands, one match arm for each kind.

use super::frozen_text;
use super::hashes::Hashes;
use super::keys::{CertificateClock, admit};
use super::outcomes::{Outcome, Outcomes, RequestId};
use super::recorded;
use super::tokens::Enrolled;
use super::{
    Act, Applied, Batch, Command, CommandRefusal, Counted, Format, Joining, KeyDigest, MalformedCommand,
    PublisherState, RecordOutcome, Refusal, Registration, Registry, State,
};
use crate::audit::{Actor, Audit, Description, Origin};
use crate::catalog::{OpenedCatalog, SignedCatalog};
use crate::clock::SkewReference;
use crate::coded::{Code, Coded};
use crate::count::{Count, Seen};
use crate::id::{Cmid, NodeId, ProductId, PublisherId};
use crate::limits;
use crate::message::Record;
use crate::settings::{Announcement, NodeSettings, SettingChange};

impl State {
    /// Applies the log entry at `index`. Never fails and never panics, whatever the bytes: bytes that are not a
    /// command are refused and change nothing.
    pub fn apply(&mut self, index: u64, command: &[u8]) -> Applied {
        if let Some(boundary) = self.hashes.missed_before(index) {
            let hash = self.hash();
            self.hashes.keep(boundary, hash);
        }
        let mut is_noted = false;
        let applied = match Command::decode_written_in(self.format, self.reads.0, command) {
            Ok(Command::NoteHash) => {
                is_noted = true;
                Applied::Done
            }
            Ok(Command::Once { id, command }) => self.once(index, id, *command),
            Ok(command) => self.execute(command),
            Err(MalformedCommand::NEWER) => return Applied::Newer,
            Err(MalformedCommand(field)) => Applied::Refused(CommandRefusal::Malformed(field)),
        };
        self.hashes.applied(index);
        if Hashes::is_due_at(index) {
            let hash = self.hash();
            self.hashes.keep(index, hash);
        }
        if is_noted {
            let hash = self.hash();
            self.hashes.note(index, hash);
        }
        applied
    }

    /// Like [`Self::apply`], and then checks the invariants with [`Self::check_invariants`]; for the demo and for
    /// tests of whole clusters. The check reads the whole state, which costs a small share of a batch's time at a
    /// cluster's usual counts.
    pub fn apply_checked(&mut self, index: u64, command: &[u8]) -> Applied {
        let before = (self.time_ms, self.audit.entries().last().map(|entry| entry.number));
        let applied = self.apply(index, command);
        self.check_invariants();
        let is_batch = matches!(applied, Applied::Batch { .. });
        assert!(!is_batch || self.time_ms >= before.0, "entry {index}: cluster time runs backwards");
        let last = self.audit.entries().last().map(|entry| entry.number);
        assert!(last.is_none() || last >= before.1, "entry {index}: an entry of the audit is gone");
        applied
    }

    /// The newest of this node's hashes that are taken every [`limits::STATE_HASH_INTERVAL_ENTRIES`], with its
    /// index: the hash that a leader writes to the log.
    #[must_use]
    pub fn newest_hash(&self) -> Option<(u64, [u8; 32])> {
        self.hashes.newest()
    }

    /// The index of the last entry after which a hash was noted because a command requested it.
    #[must_use]
    pub fn noted_hash_index(&self) -> Option<u64> {
        self.hashes.newest_noted()
    }

    /// Carries the command out if its id is new; otherwise returns the outcome of the first time.
    fn once(&mut self, index: u64, id: RequestId, command: Command) -> Applied {
        if let Some(Outcome { index, refused }) = self.outcomes.get(&id) {
            return Applied::Repeated { index: *index, refused: refused.clone() };
        }
        let applied = self.execute(command);
        if self.format.remembers_commands() {
            let refused = match &applied {
                Applied::Refused(refusal) => Some(recorded::refusal(refusal)),
                _ => None,
            };
            self.outcomes.push(id, Outcome { index, refused });
        }
        applied
    }

    /// This node's hash after the entry at `index`; `None` when it is no longer kept.
    #[must_use]
    pub fn hash_at(&self, index: u64) -> Option<[u8; 32]> {
        self.hashes.at(index)
    }

    fn execute(&mut self, command: Command) -> Applied {
        let changed = match command {
            Command::Batch(batch) => return self.count_batch(batch),
            Command::StateHash { index, hash } => {
                let matches = self.hashes.at(index).map(|own| own == hash);
                return Applied::HashChecked { index, matches };
            }
            Command::InstallCatalog { signed } => self.install_catalog(&signed),
            Command::InstallKey { publisher, key } => self.install_key(publisher, key),
            Command::InstallActivation { signed } => self.install_activation(&signed),
            Command::Release { statements } => self.release(&statements),
            Command::ChangeSettings { node: None, changes } => self.change_settings(&changes),
            Command::ChangeSettings { node: Some(node), changes } => self.change_node_settings(node, &changes),
            Command::Announce { node, announcement } => self.announce(node, announcement),
            Command::Forget { node } => {
                self.announcements.remove(&node);
                self.node_settings.remove(&node);
                Ok(())
            }
            Command::AddToken { digest, token } => self.tokens.add(digest, token, self.time_ms),
            Command::UseToken { digest, time_ms, node, registration, enrolled, joining } => {
                self.use_token((digest, time_ms, node), registration, enrolled, joining)
            }
            // A leader never writes one of these below the format that introduced it.
            Command::Register { .. } | Command::Revoke(_) | Command::SetAuthority(_)
                if !self.format.registers_keys() =>
            {
                Err(CommandRefusal::Malformed("command"))
            }
            Command::Register { keys, renews: true } => self.registry.renew(keys),
            Command::Register { keys, renews: false } => self.registry.register(&keys, self.time_ms),
            Command::Revoke(revocation) => self.registry.revoke(revocation),
            Command::SetAuthority(authority) => {
                self.authority = Some(authority);
                Ok(())
            }
            Command::RevokeToken { digest } => self.tokens.revoke(&digest),
            Command::SetFormat { format } => {
                self.set_format(format);
                Ok(())
            }
            Command::Audited { origin, act } => self.audited(origin, act),
            Command::ResetClock { time_ms } => self.reset_clock(time_ms),
            Command::AcceptClock { time_ms } => {
                self.accept_clock(time_ms);
                Ok(())
            }
            // `apply` alone carries these out, and neither may be inside another command.
            Command::Once { .. } | Command::NoteHash => Err(CommandRefusal::Malformed("command")),
        };
        match changed {
            Ok(()) => Applied::Done,
            Err(refusal) => Applied::Refused(refusal),
        }
    }

    /// Carries the act out and records it with its outcome: as codes since format 3, as text before that.
    fn audited(&mut self, origin: Origin, act: Act) -> Result<(), CommandRefusal> {
        let codes = self.format.holds_codes();
        match act {
            // Text in a format that holds codes, or codes in a format that holds text: a leader writes neither.
            Act::Note { .. } if codes => Err(CommandRefusal::Malformed("act")),
            Act::Noted { .. } if !codes => Err(CommandRefusal::Malformed("act")),
            Act::Note { act, refused } => {
                if self.format.holds_audit() {
                    self.record_of(&origin).push_text(origin, &act, &refused);
                }
                Ok(())
            }
            Act::Noted { what, refused } => {
                let refused = refused.map(|status| Coded::new(Code::Status, [status]));
                self.record_of(&origin).push_coded(origin, what, refused);
                Ok(())
            }
            Act::Command(command) => {
                // Recorded in the encoding of the format that holds after the command.
                let codes = command.sets_format().unwrap_or(self.format).holds_codes();
                let description = if codes {
                    Description::Coded(recorded::act(&command))
                } else {
                    Description::Text(frozen_text::act(&command))
                };
                let done = match self.execute(*command) {
                    Applied::Refused(refusal) => Err(refusal),
                    _ => Ok(()),
                };
                // Checked after the command: a change of the format may have ended or begun the audit.
                if self.format.holds_audit() {
                    let refused = done.as_ref().err();
                    match description {
                        Description::Coded(act) => {
                            self.record_of(&origin).push_coded(origin, act, refused.map(recorded::refusal))
                        }
                        Description::Text(act) => {
                            let refused = refused.map_or_else(String::new, frozen_text::refusal);
                            self.record_of(&origin).push_text(origin, &act, &refused);
                        }
                    }
                }
                done
            }
        }
    }

    /// The audit record that keeps the acts of this origin.
    fn record_of(&mut self, origin: &Origin) -> &mut Audit {
        match origin.actor {
            Actor::Other if self.format.holds_codes() => &mut self.audit_others,
            Actor::Other | Actor::Administrator => &mut self.audit,
        }
    }

    /// Why a request to `node` for this product is refused whatever its clock shows, in the present state. The same
    /// refusal that [`Self::apply`] gives for a record of the request.
    #[must_use]
    pub fn refusal(&self, node: NodeId, publisher: PublisherId, product: ProductId) -> Option<Refusal> {
        let Some(publisher) = self.publishers.get(&publisher) else { return Some(Refusal::NotActivated) };
        match admit(&publisher.rights, &publisher.opened, self.certificate_clock_ms, node, product) {
            Ok((_, product)) => (!publisher.counts.contains_key(&product.application)).then_some(Refusal::NotCovered),
            Err(refusal) => Some(refusal),
        }
    }

    /// Whether the application's count holds no request of this CMID. False where the product is in no catalog.
    #[must_use]
    pub fn is_new(&self, publisher: PublisherId, product: ProductId, cmid: Cmid) -> bool {
        let count = self.publishers.get(&publisher).and_then(|publisher| {
            let product = publisher.opened.product(product)?;
            publisher.counts.get(&product.application)
        });
        count.is_some_and(|count| count.get(cmid).is_none())
    }

    fn count_batch(&mut self, batch: Batch) -> Applied {
        let time_ms = batch.stamp.time_ms.max(self.time_ms.unwrap_or(0));
        self.time_ms = Some(time_ms);
        if self.format.has_expiry_clock() {
            // Without `expiry_ms` the batch was written in the format before: the clock of expiry stays where it is.
            let to_ms = batch.stamp.expiry_ms.or(self.expiry_ms).unwrap_or(time_ms);
            self.expiry_ms = Some(to_ms.max(self.expiry_ms.unwrap_or(0)).min(time_ms));
        }
        let reference_ms = match batch.stamp.skew {
            SkewReference::ClusterTime => Some(time_ms),
            SkewReference::Other(other_ms) => Some(other_ms),
            SkewReference::LeaveOut => None,
        };
        let times = (time_ms, self.expiry_ms.unwrap_or(time_ms));
        self.certificate_clock_ms = self.judge_certificates_at(times, batch.stamp.skew);
        let records = batch.records.len();
        let outcomes = batch.records.into_iter().map(|record| self.count_record(record, times, reference_ms));
        let outcomes: Vec<_> = outcomes.collect();
        // Each caller is answered by the position of its record in the batch.
        assert_eq!(outcomes.len(), records, "one outcome for each record");
        Applied::Batch { time_ms, outcomes }
    }

    /// The time by which the ends of certificates are judged in a batch with this stamp. None during a clock alarm, as
    /// [`crate::clock`] defines it: a clock that jumped, or that was set back, ends no certificate.
    fn judge_certificates_at(&self, (time_ms, expiry_ms): (u64, u64), skew: SkewReference) -> CertificateClock {
        let is_unconfirmed = time_ms - expiry_ms > limits::CLOCK_JUMP_MS_MAX;
        let is_ahead = match skew {
            SkewReference::Other(median_ms) => time_ms > median_ms.saturating_add(limits::CLOCK_AGREEMENT_MS),
            SkewReference::ClusterTime | SkewReference::LeaveOut => false,
        };
        let is_judged = self.format.holds_ending_certificates() && !is_unconfirmed && !is_ahead;
        is_judged.then_some(expiry_ms)
    }

    /// Counts one record. The order of the checks is part of the replicated behaviour: activated, covered, clock,
    /// then the count.
    fn count_record(
        &mut self,
        record: Record,
        (time_ms, expiry_ms): (u64, u64),
        reference_ms: Option<u64>,
    ) -> RecordOutcome {
        let Some(publisher) = self.publishers.get_mut(&record.publisher) else {
            return RecordOutcome::Refused(Refusal::NotActivated);
        };
        let clock = self.certificate_clock_ms;
        let (key, product) = match admit(&publisher.rights, &publisher.opened, clock, record.node, record.product) {
            Ok(admitted) => admitted,
            Err(refusal) => return RecordOutcome::Refused(refusal),
        };
        let skew_ms = reference_ms.map_or(0, |reference_ms| reference_ms.abs_diff(record.client_time_ms));
        if skew_ms > limits::CLOCK_SKEW_MS_MAX {
            return RecordOutcome::Refused(Refusal::ClockSkew);
        }
        let threshold = product.threshold;
        let Some(count) = publisher.counts.get_mut(&product.application) else {
            return RecordOutcome::Refused(Refusal::NotCovered);
        };
        let Record { node, product, cmid, machine, machine_name, virtual_machine, .. } = record;
        let seen = Seen { node, product, machine, machine_name, virtual_machine };
        let (count, before) = count.record(threshold, cmid, seen, time_ms, expiry_ms);
        RecordOutcome::Counted(Counted {
            count,
            threshold,
            activation_interval_minutes: self.settings.activation_interval_minutes,
            renewal_interval_minutes: self.settings.renewal_interval_minutes,
            key,
            other_machine: before.is_some_and(|before| before.machine != machine),
        })
    }

    fn install_catalog(&mut self, signed: &[u8]) -> Result<(), CommandRefusal> {
        let opened = SignedCatalog::open(signed)?;
        let Some(installed) = self.publishers.get_mut(&opened.publisher) else {
            if self.publishers.len() >= limits::PUBLISHERS_MAX {
                return Err(CommandRefusal::TooMany { what: "publishers", max: limits::PUBLISHERS_MAX });
            }
            self.publishers.insert(opened.publisher, PublisherState::new(opened));
            return Ok(());
        };
        if installed.opened.bytes == opened.bytes {
            return Ok(());
        }
        opened.catalog.check_successor(&installed.opened.catalog)?;
        installed.replace_catalog(opened);
        Ok(())
    }

    /// Uses a token. The token is spent only if its bearer's key can be registered, or may join.
    fn use_token(
        &mut self,
        (digest, time_ms, node): ([u8; 32], u64, Option<NodeId>),
        registration: Option<(KeyDigest, Registration)>,
        enrolled: Option<Enrolled>,
        joining: Option<(KeyDigest, Joining)>,
    ) -> Result<(), CommandRefusal> {
        let mut registry = self.registry.clone();
        // A version that does not know the field `registration` ignores it.
        if let Some(registration) = registration.filter(|_| self.format.registers_keys()) {
            registry.register(&[registration], self.time_ms)?;
        }
        if let Some((key, joining)) = joining.filter(|_| self.format.registers_keys()) {
            registry.let_join(key, joining, time_ms)?;
        }
        self.tokens.spend(digest, time_ms, node, enrolled.filter(|_| self.format.registers_keys()))?;
        self.registry = registry;
        Ok(())
    }

    fn change_settings(&mut self, changes: &[SettingChange]) -> Result<(), CommandRefusal> {
        let mut changed = self.settings.clone();
        for change in changes {
            changed.change(change)?;
        }
        self.settings = changed;
        Ok(())
    }

    fn change_node_settings(&mut self, node: NodeId, changes: &[SettingChange]) -> Result<(), CommandRefusal> {
        let mut changed = self.node_settings(node);
        for change in changes {
            changed.change(change)?;
        }
        let max = limits::ANNOUNCEMENTS_MAX;
        if changed == NodeSettings::default() {
            self.node_settings.remove(&node);
        } else if self.node_settings.len() >= max && !self.node_settings.contains_key(&node) {
            return Err(CommandRefusal::TooMany { what: "nodes with settings of their own", max });
        } else {
            self.node_settings.insert(node, changed);
        }
        Ok(())
    }

    fn announce(&mut self, node: NodeId, announcement: Announcement) -> Result<(), CommandRefusal> {
        let max = limits::ANNOUNCEMENTS_MAX;
        if self.announcements.len() >= max && !self.announcements.contains_key(&node) {
            return Err(CommandRefusal::TooMany { what: "announcements", max });
        }
        let same_target = |(other, known): (&NodeId, &Announcement)| {
            (*other != node && known.target == announcement.target).then_some(*other)
        };
        if let Some(other) = self.announcements.iter().find_map(same_target) {
            return Err(CommandRefusal::TargetOfAnother { node, other });
        }
        self.announcements.insert(node, announcement);
        Ok(())
    }

    fn set_format(&mut self, format: Format) {
        let before = std::mem::replace(&mut self.format, format);
        if !format.holds_audit() {
            self.audit = Audit::default();
        }
        if !format.holds_codes() {
            self.audit.take_in(&mut self.audit_others);
            self.audit.put_in_words();
        }
        if !format.remembers_commands() {
            self.outcomes = Outcomes::default();
        }
        if !format.registers_keys() {
            self.authority = None;
            self.registry = Registry::default();
            self.tokens.forget_spent();
        }
        if !format.holds_ending_certificates() {
            self.certificate_clock_ms = None;
            self.publishers.values_mut().for_each(PublisherState::drop_ending_certificates);
        }
        self.settings.put_in(format);
        self.expiry_ms = if format.has_expiry_clock() { self.expiry_ms.or(self.time_ms) } else { None };
        if format.hashes_sums() && !before.hashes_sums() {
            let counts = self.publishers.values_mut().flat_map(|publisher| publisher.counts.values_mut());
            counts.for_each(Count::number_anew);
        }
    }

    fn accept_clock(&mut self, time_ms: u64) {
        self.certificate_clock_ms = None;
        if self.format.has_expiry_clock()
            && let (Some(now_ms), Some(expiry_ms)) = (self.time_ms, self.expiry_ms)
        {
            self.expiry_ms = Some(expiry_ms.max(time_ms).min(now_ms));
        }
    }

    fn reset_clock(&mut self, time_ms: u64) -> Result<(), CommandRefusal> {
        if self.time_ms.is_none_or(|now_ms| time_ms > now_ms) {
            return Err(CommandRefusal::NotABackwardReset);
        }
        self.time_ms = Some(time_ms);
        self.certificate_clock_ms = None;
        self.expiry_ms = self.expiry_ms.min(Some(time_ms));
        let counts = self.publishers.values_mut().flat_map(|publisher| publisher.counts.values_mut());
        counts.for_each(|count| count.reset_clock(time_ms));
        Ok(())
    }
}

impl PublisherState {
    fn new(opened: OpenedCatalog) -> Self {
        let counts = opened.catalog.applications().map(|name| (name.clone(), Count::new())).collect();
        let (keys, releases, rights) = Default::default();
        Self { opened, keys, releases, rights, counts }
    }

    /// Removes the certificates that end: the format before does not hold them.
    fn drop_ending_certificates(&mut self) {
        let mut has_dropped = false;
        for held in self.keys.values_mut() {
            has_dropped |= held.drop_ending();
        }
        if has_dropped {
            self.derive_rights();
        }
    }

    /// Replaces the catalog. A successor keeps every application that has products, so no count is lost that a
    /// client machine could still ask for.
    fn replace_catalog(&mut self, opened: OpenedCatalog) {
        let mut before = std::mem::take(&mut self.counts);
        let kept = |name: &crate::catalog::Name| (name.clone(), before.remove(name).unwrap_or_default());
        self.counts = opened.catalog.applications().map(kept).collect();
        self.opened = opened;
        self.derive_rights();
    }
}
