//! The state as one sequence of bytes with a format number. The encoding is deterministic: equal states give equal
//! bytes, so the SHA-256 of the bytes is the state hash.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::command::{decode_announcement, encode_announcement};
use super::format::{Format, UnknownFormat};
use super::keys::HeldKey;
use super::outcomes::Outcomes;
use super::registration::ClusterAuthority;
use super::registry::Registry;
use super::tokens::Tokens;
use super::{Activation, KeySlots, MalformedCommand, PublisherState, State};
use crate::audit::{Actor, Audit, AuditEntry, Description, Origin};
use crate::catalog::{CatalogError, Name, OpenedCatalog, SignedCatalog};
use crate::certificate::NodeCertificate;
use crate::coded::Coded;
use crate::count::{Count, Seen};
use crate::host_activation::{KeyStanding, ReleaseStatement};
use crate::id::{Cmid, KeyId, MachineDigest, MachineName, NodeId, ProductId, node_id};
use crate::key::TypedKey;
use crate::settings::{NodeSettings, Setting, Settings};
use crate::{limits, proto};

/// Why bytes are not accepted as a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    #[error("the snapshot has format {found}; this version reads up to {newest}: run a newer version")]
    Newer { found: u32, newest: Format },
    #[error("the snapshot contains data of a newer version: run the newer version")]
    NewerContent,
    #[error("the snapshot is damaged: {0}")]
    Malformed(&'static str),
    #[error("the snapshot is damaged: {0}")]
    Catalog(#[from] CatalogError),
}

/// How the machines of an application are encoded.
#[derive(Clone, Copy)]
enum Counts {
    /// As their records.
    Records,
    /// As a sum over the records, for the hash.
    Sums,
}

impl State {
    /// SHA-256 of [`Self::encode_snapshot`]; since format 3 with sums in place of the records of machines.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let counts = if self.format.hashes_sums() { Counts::Sums } else { Counts::Records };
        Sha256::digest(self.encode(counts)).into()
    }

    #[must_use]
    pub fn encode_snapshot(&self) -> Vec<u8> {
        self.encode(Counts::Records)
    }

    /// Encodes into one allocation of the right size, so that a state of millions of machines is not copied while it
    /// is encoded.
    fn encode(&self, counts: Counts) -> Vec<u8> {
        let format = self.format;
        let head = proto::Snapshot { format: format.number(), time_ms: self.time_ms, ..proto::Snapshot::default() };
        let publishers: Vec<_> = self.publishers.values().map(|it| PublisherParts::new(it, format, counts)).collect();
        let rest = self.rest_of_snapshot();
        let nested = publishers.iter().map(|publisher| nested_len(publisher.len)).sum::<usize>();
        let length = head.encoded_len() + nested + rest.encoded_len();
        let mut bytes = Vec::with_capacity(length);
        put(&head, &mut bytes);
        for publisher in &publishers {
            put_nested_key(PUBLISHERS_TAG, publisher.len, &mut bytes);
            publisher.put(&mut bytes);
        }
        put(&rest, &mut bytes);
        assert_eq!(bytes.len(), length, "a snapshot is as long as it was computed to be");
        bytes
    }

    /// The fields that follow the publishers.
    fn rest_of_snapshot(&self) -> proto::Snapshot {
        let (tokens, highest_enrolled) = self.tokens.encode();
        let node_settings = self.node_settings.iter();
        proto::Snapshot {
            settings: encode_settings(&self.settings, self.format),
            announcements: self.announcements.iter().map(|(node, it)| encode_announcement(*node, it)).collect(),
            node_settings: node_settings.map(|(node, it)| encode_node_settings(*node, it, self.format)).collect(),
            tokens,
            highest_enrolled,
            audit: encode_audit(&self.audit),
            audit_others: encode_audit(&self.audit_others),
            expiry_ms: self.expiry_ms,
            outcomes: self.outcomes.encode(),
            registrations: self.registry.encode_registrations(),
            joining: self.registry.encode_joining(),
            revocations: self.registry.encode_revocations(),
            authority: self.authority.as_ref().map(ClusterAuthority::to_proto),
            spent_tokens: self.tokens.encode_spent(),
            ..proto::Snapshot::default()
        }
    }

    /// Reads the state from the bytes of [`Self::encode_snapshot`].
    ///
    /// Errors: a format that this version does not read, or the malformed field.
    pub fn decode_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        Self::decode_snapshot_up_to(Format::NEWEST, &Bytes::copy_from_slice(bytes))
    }

    /// Reads a snapshot as a version does whose newest format is `newest`; the state then reads commands as that
    /// version. Beside the state and `bytes` it needs memory for one application's records.
    pub fn decode_snapshot_up_to(newest: Format, bytes: &Bytes) -> Result<Self, SnapshotError> {
        let format =
            proto::SnapshotFormat::decode(bytes.as_ref()).map_err(|_| SnapshotError::Malformed("encoding"))?.format;
        let format = match Format::new(format) {
            Ok(format) if format <= newest => format,
            Ok(newer) => return Err(SnapshotError::Newer { found: newer.number(), newest }),
            Err(UnknownFormat { found: 0 }) => return Err(SnapshotError::Malformed("format")),
            Err(UnknownFormat { found }) => return Err(SnapshotError::Newer { found, newest }),
        };
        let raw: proto::Snapshot = decode(format, bytes)?;
        if raw.time_ms.is_some_and(|time_ms| time_ms > limits::TIME_MS_MAX) {
            return Err(SnapshotError::Malformed("time"));
        }
        if raw.expiry_ms > raw.time_ms
            || raw.expiry_ms.is_some() != (format.has_expiry_clock() && raw.time_ms.is_some())
        {
            return Err(SnapshotError::Malformed("time of expiry"));
        }
        let outcomes = Outcomes::decode(&raw.outcomes).filter(|it| format.remembers_commands() || it.is_empty());
        let outcomes = outcomes.ok_or(SnapshotError::Malformed("outcomes"))?;
        let audit_others = decode_audit(raw.audit_others.as_ref(), Actor::Other);
        let audit_others = audit_others.filter(|audit| format.holds_codes() || *audit == Audit::default());
        let audit_others = audit_others.ok_or(SnapshotError::Malformed("audit of others"))?;
        let audit = decode_audit(raw.audit.as_ref(), Actor::Administrator);
        let audit = audit.filter(|audit| format.holds_audit() || *audit == Audit::default());
        let audit = audit.ok_or(SnapshotError::Malformed("audit"))?;
        if format.is_strict() && raw.registrations.iter().any(|raw| proto::Grant::try_from(raw.role).is_err()) {
            return Err(SnapshotError::NewerContent);
        }
        let registry = Registry::decode(&raw.registrations, &raw.joining, &raw.revocations);
        let registry = registry.filter(|registry| format.registers_keys() || registry.is_empty());
        let registry = registry.ok_or(SnapshotError::Malformed("registry"))?;
        let authority = raw.authority.as_ref().map(|raw| ClusterAuthority::from_proto(raw).ok_or(())).transpose();
        let authority = authority.ok().filter(|authority| format.registers_keys() || authority.is_none());
        let authority = authority.ok_or(SnapshotError::Malformed("authority"))?;
        let (time_ms, expiry_ms) = (raw.time_ms, raw.expiry_ms);
        let mut state = Self {
            time_ms,
            expiry_ms,
            format,
            audit,
            audit_others,
            outcomes,
            registry,
            authority,
            ..Self::reading_up_to(newest)
        };
        for raw in &raw.announcements {
            let decoded =
                decode_announcement(raw).map_err(|MalformedCommand(field)| SnapshotError::Malformed(field))?;
            state.announcements.extend([decoded]);
        }
        let tokens = Tokens::decode(&raw.tokens, raw.highest_enrolled);
        state.tokens = tokens.map_err(|MalformedCommand(field)| SnapshotError::Malformed(field))?;
        if !format.registers_keys() && !raw.spent_tokens.is_empty() {
            return Err(SnapshotError::Malformed("used tokens"));
        }
        let spent = state.tokens.decode_spent(&raw.spent_tokens);
        spent.map_err(|MalformedCommand(field)| SnapshotError::Malformed(field))?;
        for raw in raw.node_settings {
            let node = node_id(raw.node.into()).map_err(|_| SnapshotError::Malformed("node"))?;
            let mut settings = NodeSettings::default();
            for raw in raw.settings {
                let setting = Setting::from_log_name(&raw.name).ok_or_else(|| unknown(format, "setting"))?;
                settings.set(setting, &raw.value).map_err(|_| SnapshotError::Malformed("value of a setting"))?;
            }
            if settings == NodeSettings::default() {
                return Err(SnapshotError::Malformed("settings of a node"));
            }
            state.node_settings.insert(node, settings);
        }
        for raw in raw.settings {
            let setting = Setting::from_log_name(&raw.name).ok_or_else(|| unknown(format, "setting"))?;
            state.settings.set(setting, &raw.value).map_err(|_| SnapshotError::Malformed("value of a setting"))?;
        }
        for publisher in &raw.publishers {
            let publisher = state.decode_publisher(decode(format, publisher)?)?;
            if publisher.keys.keys().any(|key| state.keys().any(|known| known.id == *key)) {
                return Err(SnapshotError::Malformed("a key of two publishers"));
            }
            state.publishers.insert(publisher.id(), publisher);
        }
        Ok(state)
    }

    fn decode_publisher(&self, raw: proto::PublisherSnapshot) -> Result<PublisherState, SnapshotError> {
        let opened = SignedCatalog::open(&raw.catalog)?;
        let keys: BTreeMap<KeyId, HeldKey> =
            raw.keys.iter().map(|raw| decode_key(&opened, raw)).collect::<Result<_, _>>()?;
        let held = |node_key| {
            let mut activations = keys.values().flat_map(|held| held.activations.values());
            activations.any(|activation| activation.certificate.node_key == node_key)
        };
        let mut releases = BTreeMap::new();
        for raw in &raw.pending_releases {
            let statement = ReleaseStatement::from_proto(raw).map_err(|_| SnapshotError::Malformed("release"))?;
            if statement.publisher != opened.publisher || held(statement.node_key) {
                return Err(SnapshotError::Malformed("release"));
            }
            releases.insert((statement.key, statement.node_key), statement);
        }
        let mut counts = BTreeMap::new();
        for raw in &raw.applications {
            let raw: proto::ApplicationSnapshot = decode(self.format, raw)?;
            let name: Name = raw.name.parse().map_err(|_| SnapshotError::Malformed("application"))?;
            counts.insert(name, self.decode_count(&raw)?);
        }
        if !counts.keys().eq(opened.catalog.applications()) {
            return Err(SnapshotError::Malformed("applications"));
        }
        let mut publisher = PublisherState { opened, keys, releases, rights: BTreeMap::new(), counts };
        publisher.derive_rights();
        Ok(publisher)
    }

    fn decode_count(&self, raw: &proto::ApplicationSnapshot) -> Result<Count, SnapshotError> {
        let (limit, seen) = (raw.limit, &raw.seen);
        if raw.seen_sum.is_some() {
            return Err(SnapshotError::Malformed("a sum in place of machines"));
        }
        if limit > limits::COUNT_MAX || seen.last().is_some_and(|newest| Some(newest.time_ms) > self.time_ms) {
            return Err(SnapshotError::Malformed("limit or time"));
        }
        let seen: Vec<_> =
            seen.iter().map(decode_seen).collect::<Option<_>>().ok_or(SnapshotError::Malformed("CMID"))?;
        let next_order = self.format.hashes_sums().then_some(raw.next_order);
        Count::restore(limit, next_order, seen).ok_or(SnapshotError::Malformed("count"))
    }
}

/// The error for an unknown value: newer content since format 3, otherwise malformed.
fn unknown(format: Format, what: &'static str) -> SnapshotError {
    if format.is_strict() { SnapshotError::NewerContent } else { SnapshotError::Malformed(what) }
}

/// `None` before the first entry: an older format has no such field.
fn encode_audit(audit: &Audit) -> Option<proto::AuditSnapshot> {
    if *audit == Audit::default() {
        return None;
    }
    let entries = audit.entries().map(|entry| proto::AuditEntry {
        number: entry.number,
        who: entry.origin.who.clone(),
        from: entry.origin.from.clone(),
        time_ms: entry.origin.time_ms,
        act: in_words(Some(&entry.act)),
        refused: in_words(entry.refused.as_ref()),
        hash: Bytes::copy_from_slice(&entry.hash),
        act_coded: as_code(Some(&entry.act)),
        refused_coded: as_code(entry.refused.as_ref()),
    });
    Some(proto::AuditSnapshot { before: Bytes::copy_from_slice(&audit.before()), entries: entries.collect() })
}

fn decode_audit(raw: Option<&proto::AuditSnapshot>, actor: Actor) -> Option<Audit> {
    let Some(raw) = raw else { return Some(Audit::default()) };
    let entry = |raw: &proto::AuditEntry| {
        Some(AuditEntry {
            number: raw.number,
            origin: Origin { who: raw.who.clone(), from: raw.from.clone(), time_ms: raw.time_ms, actor },
            act: description(&raw.act, raw.act_coded.as_ref())?,
            refused: match (raw.refused.as_str(), &raw.refused_coded) {
                ("", None) => None,
                (text, coded) => Some(description(text, coded.as_ref())?),
            },
            hash: raw.hash.as_ref().try_into().ok()?,
        })
    };
    let entries = raw.entries.iter().map(entry).collect::<Option<Vec<_>>>()?;
    Audit::restore(raw.before.as_ref().try_into().ok()?, entries)
}

/// The text of a description; empty where it has none.
fn in_words(description: Option<&Description>) -> String {
    match description {
        Some(Description::Text(text)) => text.clone(),
        Some(Description::Coded(_)) | None => String::new(),
    }
}

fn as_code(description: Option<&Description>) -> Option<proto::Coded> {
    match description {
        Some(Description::Coded(coded)) => Some(coded.to_proto()),
        Some(Description::Text(_)) | None => None,
    }
}

/// A description from a text or a code. `None` where there are both, or the code is unknown.
fn description(text: &str, coded: Option<&proto::Coded>) -> Option<Description> {
    match coded {
        None => Some(Description::Text(text.to_owned())),
        Some(coded) if text.is_empty() => Coded::from_proto(coded).map(Description::Coded),
        Some(_) => None,
    }
}

fn encode_settings(settings: &Settings, format: Format) -> Vec<proto::SettingValue> {
    let defaults = Settings::default();
    encoded_settings(format, |setting| settings.get(setting), |setting| defaults.get(setting))
}

fn encode_node_settings(node: NodeId, settings: &NodeSettings, format: Format) -> proto::NodeSettings {
    let defaults = NodeSettings::default();
    let settings = encoded_settings(format, |setting| settings.get(setting), |setting| defaults.get(setting));
    // The conversion loses nothing, as in an announcement.
    proto::NodeSettings { node: u32::try_from(node).unwrap_or(u32::MAX), settings }
}

/// Since format 3 all settings, so that a version with another default arrives at the same hash or is recognised as
/// different; before that only the settings that differ from the defaults.
fn encoded_settings(
    format: Format,
    value: impl Fn(Setting) -> Option<String>,
    default: impl Fn(Setting) -> Option<String>,
) -> Vec<proto::SettingValue> {
    // Format 3 began with all settings. Those that it got later are absent while they have their default value, which
    // never changes, so that the state hash of earlier entries stays the same.
    let is_encoded = |setting: Setting, value: &String| {
        (format.is_strict() && !setting.is_of_gateway()) || Some(value) != default(setting).as_ref()
    };
    let all = Setting::ALL.into_iter();
    all.filter_map(|setting| {
        let value = value(setting).filter(|value| is_encoded(setting, value))?;
        Some(proto::SettingValue { name: setting.log_name().to_owned(), value })
    })
    .collect()
}

/// Tags of the fields that are written one record at a time.
const PUBLISHERS_TAG: u8 = 3;
const APPLICATIONS_TAG: u8 = 4;
const SEEN_TAG: u8 = 3;

/// A publisher while it is encoded into a snapshot. Its records are encoded one after the other as they are written.
struct PublisherParts<'a> {
    head: proto::PublisherSnapshot,
    applications: Vec<ApplicationParts<'a>>,
    /// Encoded length of the publisher, in bytes.
    len: usize,
}

impl<'a> PublisherParts<'a> {
    fn new(publisher: &'a PublisherState, format: Format, counts: Counts) -> Self {
        let head = proto::PublisherSnapshot {
            catalog: publisher.opened.bytes.clone(),
            keys: publisher.keys.values().map(encode_key).collect(),
            pending_releases: publisher.releases.values().map(ReleaseStatement::to_proto).collect(),
            applications: Vec::new(),
        };
        let applications =
            publisher.counts.iter().map(|(name, count)| ApplicationParts::new(name, count, format, counts));
        let applications: Vec<_> = applications.collect();
        let nested = applications.iter().map(|application| nested_len(application.len)).sum::<usize>();
        let len = head.encoded_len() + nested;
        Self { head, applications, len }
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        put(&self.head, bytes);
        for application in &self.applications {
            put_nested_key(APPLICATIONS_TAG, application.len, bytes);
            application.put(bytes);
        }
    }
}

/// An application while it is encoded into a snapshot.
struct ApplicationParts<'a> {
    head: proto::ApplicationSnapshot,
    /// The count whose records are written; `None` where a sum is written instead.
    records: Option<&'a Count>,
    has_order: bool,
    /// The fields that follow the records.
    rest: proto::ApplicationSnapshot,
    len: usize,
}

impl<'a> ApplicationParts<'a> {
    fn new(name: &Name, count: &'a Count, format: Format, counts: Counts) -> Self {
        let has_order = format.hashes_sums();
        let head = proto::ApplicationSnapshot {
            name: name.to_string(),
            limit: count.limit(),
            ..proto::ApplicationSnapshot::default()
        };
        let sum = || proto::SeenSum { records: count.remembered() as u64, sum: Bytes::copy_from_slice(&count.sum()) };
        let (records, seen_sum) = match counts {
            Counts::Records => (Some(count), None),
            Counts::Sums => (None, Some(sum())),
        };
        let next_order = if has_order { count.next_order() } else { 0 };
        let rest = proto::ApplicationSnapshot { next_order, seen_sum, ..proto::ApplicationSnapshot::default() };
        let parts = Self { head, records, has_order, rest, len: 0 };
        let nested = parts.seen(stand_in).map(|seen| nested_len(seen.encoded_len())).sum::<usize>();
        Self { len: parts.head.encoded_len() + nested + parts.rest.encoded_len(), ..parts }
    }

    /// The records, the oldest first.
    fn seen(&self, copy: impl Fn(&[u8]) -> Bytes) -> impl Iterator<Item = proto::SeenSnapshot> {
        let records = self.records.into_iter().flat_map(Count::with_order);
        records.map(move |(order, cmid, time_ms, seen)| proto::SeenSnapshot {
            cmid: copy(&cmid.0),
            time_ms,
            // The conversion loses nothing: as in a record, every parser refuses a larger node id.
            node: u32::try_from(seen.node).unwrap_or(u32::MAX),
            product: copy(&seen.product.0),
            machine: copy(&seen.machine.0),
            machine_name: copy(seen.machine_name.as_bytes()),
            virtual_machine: seen.virtual_machine,
            order: if self.has_order { order } else { 0 },
        })
    }

    fn put(&self, bytes: &mut Vec<u8>) {
        put(&self.head, bytes);
        for seen in self.seen(Bytes::copy_from_slice) {
            put_nested_key(SEEN_TAG, seen.encoded_len(), bytes);
            put(&seen, bytes);
        }
        put(&self.rest, bytes);
    }
}

/// Zero bytes, as many as `value` has, for a record of which only the length is needed.
fn stand_in(value: &[u8]) -> Bytes {
    static ZEROS: [u8; limits::MACHINE_NAME_BYTES_MAX] = [0; limits::MACHINE_NAME_BYTES_MAX];
    Bytes::from_static(ZEROS.get(..value.len()).unwrap_or(&ZEROS))
}

/// Length in bytes of a nested message of `len` bytes with its tag and its length field.
fn nested_len(len: usize) -> usize {
    1 + prost::length_delimiter_len(len) + len
}

/// Writes the tag and the length field of a nested message.
fn put_nested_key(tag: u8, len: usize, bytes: &mut Vec<u8>) {
    const LENGTH_DELIMITED: u8 = 2;
    bytes.push(tag << 3 | LENGTH_DELIMITED);
    prost::encode_length_delimiter(len, bytes).expect("a vector grows as needed");
}

fn put(message: &impl Message, bytes: &mut Vec<u8>) {
    message.encode(bytes).expect("a vector grows as needed");
}

/// Decodes a message that is a part of a snapshot. Its fields share the snapshot's bytes; nothing is copied.
fn decode<M: Message + Default>(format: Format, bytes: &Bytes) -> Result<M, SnapshotError> {
    let message = M::decode(bytes.clone()).map_err(|_| SnapshotError::Malformed("encoding"))?;
    // The decoder drops fields that it does not know, so re-encoding gives fewer bytes.
    if format.is_strict() && message.encoded_len() != bytes.len() {
        return Err(SnapshotError::NewerContent);
    }
    Ok(message)
}

fn encode_key(held: &HeldKey) -> proto::KeySnapshot {
    let activations = held.activations.iter().map(|(node, activation)| proto::ActivationSnapshot {
        // The conversion loses nothing: as in a record, every parser refuses a larger node id.
        node: u32::try_from(*node).unwrap_or(u32::MAX),
        certificate: activation.certificate.encode().into(),
        reactivations_left: activation.reactivations_left,
    });
    let key = held.key.key_id();
    let standing = held
        .standing
        .map(|KeySlots { hosts_limit, hosts_used, .. }| KeyStanding { key, hosts_limit, hosts_used }.to_proto());
    proto::KeySnapshot {
        key: held.key.to_string(),
        standing,
        told_ms: held.standing.map_or(0, |standing| standing.told_ms),
        activations: activations.collect(),
    }
}

fn decode_key(opened: &OpenedCatalog, raw: &proto::KeySnapshot) -> Result<(KeyId, HeldKey), SnapshotError> {
    let malformed = SnapshotError::Malformed;
    let key: TypedKey = raw.key.parse().map_err(|_| malformed("key"))?;
    let mut activations = BTreeMap::new();
    for raw in &raw.activations {
        let node = node_id(raw.node.into()).map_err(|_| malformed("node"))?;
        let certificate = NodeCertificate::decode(&raw.certificate).map_err(|_| malformed("certificate"))?;
        if (certificate.publisher, certificate.key) != (opened.publisher, key.key_id()) {
            return Err(malformed("certificate"));
        }
        activations.insert(node, Activation { certificate, reactivations_left: raw.reactivations_left });
    }
    let standing = raw.standing.as_ref().map(|standing| -> Result<_, SnapshotError> {
        let KeyStanding { hosts_limit, hosts_used, .. } =
            KeyStanding::from_proto(standing).map_err(|_| malformed("standing"))?;
        Ok(KeySlots { hosts_limit, hosts_used, told_ms: raw.told_ms })
    });
    let standing = standing.transpose()?;
    Ok((key.key_id(), HeldKey { key, standing, activations }))
}

fn decode_seen(raw: &proto::SeenSnapshot) -> Option<(Cmid, u64, Seen, u64)> {
    let seen = Seen {
        node: node_id(raw.node.into()).ok()?,
        product: ProductId::try_from(raw.product.as_ref()).ok()?,
        machine: MachineDigest::try_from(raw.machine.as_ref()).ok()?,
        machine_name: MachineName::try_from(raw.machine_name.as_ref()).ok()?,
        virtual_machine: raw.virtual_machine,
    };
    Some((Cmid::try_from(raw.cmid.as_ref()).ok()?, raw.time_ms, seen, raw.order))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_record_of_a_machine_takes_more_than_its_limit() {
        let name = "m".repeat(limits::MACHINE_NAME_BYTES_MAX);
        let seen = Seen {
            node: limits::NODE_ID_MAX,
            product: ProductId([0xff; 16]),
            machine: MachineDigest([0xff; 8]),
            machine_name: name.parse().unwrap(),
            virtual_machine: true,
        };
        let order = u64::MAX - 1;
        let seen = [(Cmid([0xff; 16]), limits::TIME_MS_MAX, seen, order)];
        let count = Count::restore(limits::COUNT_MAX, Some(u64::MAX), seen).unwrap();
        let name: Name = "platform".parse().unwrap();
        let with_one = ApplicationParts::new(&name, &count, Format::NEWEST, Counts::Records);
        let without = with_one.head.encoded_len() + with_one.rest.encoded_len();
        assert_eq!(with_one.len - without, limits::SEEN_BYTES_MAX);
    }
}
