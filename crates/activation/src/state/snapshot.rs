//! The state as one versioned blob. Deterministic: equal states give equal bytes, so the SHA-256 of the blob is the
//! state hash.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::command::{decode_announcement, encode_announcement};
use super::format::{Format, UnknownFormat};
use super::keys::HeldKey;
use super::tokens::Tokens;
use super::{Activation, KeySlots, MalformedCommand, PublisherState, State};
use crate::audit::{Audit, AuditEntry, Origin};
use crate::catalog::{CatalogError, Name, OpenedCatalog, SignedCatalog};
use crate::certificate::NodeCertificate;
use crate::count::{Count, Seen};
use crate::host_activation::{KeyStanding, ReleaseStatement};
use crate::id::{Cmid, KeyId, MachineDigest, MachineName, NodeId, ProductId, node_id};
use crate::key::TypedKey;
use crate::settings::{NodeSettings, Setting, Settings};
use crate::{limits, proto};

/// Why a blob is not taken as the state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    #[error("the snapshot has format {found}; this version reads up to {newest}: run a newer version")]
    Newer { found: u32, newest: Format },
    #[error("the snapshot is damaged: {0}")]
    Malformed(&'static str),
    #[error("the snapshot is damaged: {0}")]
    Catalog(#[from] CatalogError),
}

impl State {
    /// SHA-256 of [`Self::encode_snapshot`].
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.encode_snapshot()).into()
    }

    #[must_use]
    pub fn encode_snapshot(&self) -> Vec<u8> {
        let (tokens, highest_enrolled) = self.tokens.encode();
        proto::Snapshot {
            format: self.format.number(),
            time_ms: self.time_ms,
            publishers: self.publishers.values().map(encode_publisher).collect(),
            settings: encode_settings(&self.settings),
            announcements: self.announcements.iter().map(|(node, it)| encode_announcement(*node, it)).collect(),
            node_settings: self.node_settings.iter().map(encode_node_settings).collect(),
            tokens,
            highest_enrolled,
            audit: encode_audit(&self.audit),
        }
        .encode_to_vec()
    }

    /// Reads the state from [`Self::encode_snapshot`]'s bytes.
    ///
    /// Errors: a format that this version does not read, or the field that is malformed.
    pub fn decode_snapshot(bytes: &[u8]) -> Result<Self, SnapshotError> {
        Self::decode_snapshot_up_to(Format::NEWEST, bytes)
    }

    /// The same, as a version reads it whose newest format is `newest`; the state goes on to read commands as that version.
    pub fn decode_snapshot_up_to(newest: Format, bytes: &[u8]) -> Result<Self, SnapshotError> {
        let format = proto::SnapshotFormat::decode(bytes).map_err(|_| SnapshotError::Malformed("encoding"))?.format;
        let format = match Format::new(format) {
            Ok(format) if format <= newest => format,
            Ok(newer) => return Err(SnapshotError::Newer { found: newer.number(), newest }),
            Err(UnknownFormat { found: 0 }) => return Err(SnapshotError::Malformed("format")),
            Err(UnknownFormat { found }) => return Err(SnapshotError::Newer { found, newest }),
        };
        let raw = proto::Snapshot::decode(bytes).map_err(|_| SnapshotError::Malformed("encoding"))?;
        if raw.time_ms.is_some_and(|time_ms| time_ms > limits::TIME_MS_MAX) {
            return Err(SnapshotError::Malformed("time"));
        }
        let audit = decode_audit(raw.audit.as_ref()).filter(|audit| format.holds_audit() || *audit == Audit::default());
        let audit = audit.ok_or(SnapshotError::Malformed("audit"))?;
        let mut state = Self { time_ms: raw.time_ms, format, audit, ..Self::reading_up_to(newest) };
        for raw in &raw.announcements {
            let decoded =
                decode_announcement(raw).map_err(|MalformedCommand(field)| SnapshotError::Malformed(field))?;
            state.announcements.extend([decoded]);
        }
        let tokens = Tokens::decode(&raw.tokens, raw.highest_enrolled);
        state.tokens = tokens.map_err(|MalformedCommand(field)| SnapshotError::Malformed(field))?;
        for raw in raw.node_settings {
            let node = node_id(raw.node.into()).map_err(|_| SnapshotError::Malformed("node"))?;
            let mut settings = NodeSettings::default();
            for raw in raw.settings {
                let setting = Setting::from_log_name(&raw.name).ok_or(SnapshotError::Malformed("setting"))?;
                settings.set(setting, &raw.value).map_err(|_| SnapshotError::Malformed("value of a setting"))?;
            }
            if settings == NodeSettings::default() {
                return Err(SnapshotError::Malformed("settings of a node"));
            }
            state.node_settings.insert(node, settings);
        }
        for raw in raw.settings {
            let setting = Setting::from_log_name(&raw.name).ok_or(SnapshotError::Malformed("setting"))?;
            state.settings.set(setting, &raw.value).map_err(|_| SnapshotError::Malformed("value of a setting"))?;
        }
        for publisher in raw.publishers {
            let publisher = state.decode_publisher(publisher)?;
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
        for raw in raw.applications {
            let name: Name = raw.name.parse().map_err(|_| SnapshotError::Malformed("application"))?;
            counts.insert(name, self.decode_count(raw.limit, &raw.seen)?);
        }
        if !counts.keys().eq(opened.catalog.applications()) {
            return Err(SnapshotError::Malformed("applications"));
        }
        let mut publisher = PublisherState { opened, keys, releases, rights: BTreeMap::new(), counts };
        publisher.derive_rights();
        Ok(publisher)
    }

    fn decode_count(&self, limit: u32, seen: &[proto::SeenSnapshot]) -> Result<Count, SnapshotError> {
        if limit > limits::COUNT_MAX || seen.last().is_some_and(|newest| Some(newest.time_ms) > self.time_ms) {
            return Err(SnapshotError::Malformed("limit or time"));
        }
        let seen: Vec<_> =
            seen.iter().map(decode_seen).collect::<Option<_>>().ok_or(SnapshotError::Malformed("CMID"))?;
        Count::restore(limit, seen).ok_or(SnapshotError::Malformed("count"))
    }
}

/// Nothing before the first entry: an older format has no such field.
fn encode_audit(audit: &Audit) -> Option<proto::AuditSnapshot> {
    if *audit == Audit::default() {
        return None;
    }
    let entries = audit.entries().map(|entry| proto::AuditEntry {
        number: entry.number,
        who: entry.origin.who.clone(),
        from: entry.origin.from.clone(),
        time_ms: entry.origin.time_ms,
        act: entry.act.clone(),
        refused: entry.refused.clone(),
        hash: Bytes::copy_from_slice(&entry.hash),
    });
    Some(proto::AuditSnapshot { before: Bytes::copy_from_slice(&audit.before()), entries: entries.collect() })
}

fn decode_audit(raw: Option<&proto::AuditSnapshot>) -> Option<Audit> {
    let Some(raw) = raw else { return Some(Audit::default()) };
    let entry = |raw: &proto::AuditEntry| {
        Some(AuditEntry {
            number: raw.number,
            origin: Origin { who: raw.who.clone(), from: raw.from.clone(), time_ms: raw.time_ms },
            act: raw.act.clone(),
            refused: raw.refused.clone(),
            hash: raw.hash.as_ref().try_into().ok()?,
        })
    };
    let entries = raw.entries.iter().map(entry).collect::<Option<Vec<_>>>()?;
    Audit::restore(raw.before.as_ref().try_into().ok()?, entries)
}

fn encode_settings(settings: &Settings) -> Vec<proto::SettingValue> {
    let defaults = Settings::default();
    changed(|setting| settings.get(setting), |setting| defaults.get(setting))
}

fn encode_node_settings((node, settings): (&NodeId, &NodeSettings)) -> proto::NodeSettings {
    let defaults = NodeSettings::default();
    // As in an announcement.
    let node = u32::try_from(*node).unwrap_or(u32::MAX);
    proto::NodeSettings { node, settings: changed(|setting| settings.get(setting), |setting| defaults.get(setting)) }
}

/// Those that are not as by default.
fn changed(
    value: impl Fn(Setting) -> Option<String>,
    default: impl Fn(Setting) -> Option<String>,
) -> Vec<proto::SettingValue> {
    let changed = |setting: Setting| value(setting).filter(|value| Some(value) != default(setting).as_ref());
    let all = Setting::ALL.into_iter();
    all.filter_map(|setting| {
        Some(proto::SettingValue { name: setting.log_name().to_owned(), value: changed(setting)? })
    })
    .collect()
}

fn encode_publisher(publisher: &PublisherState) -> proto::PublisherSnapshot {
    let applications = publisher.counts.iter().map(|(name, count)| proto::ApplicationSnapshot {
        name: name.to_string(),
        limit: count.limit(),
        seen: count.in_order().map(encode_seen).collect(),
    });
    proto::PublisherSnapshot {
        catalog: publisher.opened.bytes.clone(),
        keys: publisher.keys.values().map(encode_key).collect(),
        pending_releases: publisher.releases.values().map(ReleaseStatement::to_proto).collect(),
        applications: applications.collect(),
    }
}

fn encode_key(held: &HeldKey) -> proto::KeySnapshot {
    let activations = held.activations.iter().map(|(node, activation)| proto::ActivationSnapshot {
        // As in a record: no parser lets a larger node id through.
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

fn encode_seen((cmid, time_ms, seen): (Cmid, u64, &Seen)) -> proto::SeenSnapshot {
    proto::SeenSnapshot {
        cmid: Bytes::copy_from_slice(&cmid.0),
        time_ms,
        // As in a record: no parser lets a larger node id through.
        node: u32::try_from(seen.node).unwrap_or(u32::MAX),
        product: Bytes::copy_from_slice(&seen.product.0),
        machine: Bytes::copy_from_slice(&seen.machine.0),
        machine_name: Bytes::copy_from_slice(seen.machine_name.as_bytes()),
        virtual_machine: seen.virtual_machine,
    }
}

fn decode_seen(raw: &proto::SeenSnapshot) -> Option<(Cmid, u64, Seen)> {
    let seen = Seen {
        node: node_id(raw.node.into()).ok()?,
        product: ProductId::try_from(raw.product.as_ref()).ok()?,
        machine: MachineDigest::try_from(raw.machine.as_ref()).ok()?,
        machine_name: MachineName::try_from(raw.machine_name.as_ref()).ok()?,
        virtual_machine: raw.virtual_machine,
    };
    Some((Cmid::try_from(raw.cmid.as_ref()).ok()?, raw.time_ms, seen))
}
