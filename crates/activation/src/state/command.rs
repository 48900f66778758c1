//! Commands: the content of log entries.

use std::net::IpAddr;

use bytes::Bytes;
use prost::Message;

use super::batch::Batch;
use super::format::Format;
use super::malformed::MalformedCommand;
use super::outcomes::RequestId;
use super::registration::{ClusterAuthority, Joining, KeyDigest, Registration, Revocation};
use super::tokens::{Enrolled, OpenToken};
use super::tokens::{decode_digest, decode_token, encode_token};
use crate::audit::{Actor, Origin, shortened};
use crate::coded::Coded;
use crate::host_activation::{REQUESTS_MAX, ReleaseStatement};
use crate::id::{NodeId, PublisherId, node_id};
use crate::key::TypedKey;
use crate::settings::{Announcement, Rank, Setting, SettingChange};
use crate::{limits, proto};

/// A change of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Requests to count.
    Batch(Batch),
    /// A publisher's first catalog with its root key, or a newer catalog.
    InstallCatalog { signed: Bytes },
    /// A host key of a publisher whose catalog is installed.
    InstallKey { publisher: PublisherId, key: TypedKey },
    /// A publisher's answer: an encoded [`crate::host_activation::SignedAnswers`]. All of it is applied or nothing.
    InstallActivation { signed: Bytes },
    /// Nodes give their activation slots back: their certificates are removed, and the statements are kept until the
    /// publisher confirms them. All or none.
    Release { statements: Vec<ReleaseStatement> },
    /// Settings for all nodes, or for one node. All or none.
    ChangeSettings { node: Option<NodeId>, changes: Vec<SettingChange> },
    /// A node's name, port and rank in DNS.
    Announce { node: NodeId, announcement: Announcement },
    /// A node is no longer a member: its announcement and its settings are removed.
    Forget { node: NodeId },
    /// A new token: its bearer may enrol and receive a certificate. `digest` is the SHA-256 of the token's secret.
    AddToken { digest: [u8; 32], token: OpenToken },
    /// A bearer used the token at `time_ms` of cluster time and receives a certificate; a node receives the number
    /// `node` too. Since format 3 it also holds the key that is registered for a person, and the key with which a node
    /// may add itself to the cluster.
    UseToken {
        digest: [u8; 32],
        time_ms: u64,
        node: Option<NodeId>,
        registration: Option<(KeyDigest, Registration)>,
        enrolled: Option<Enrolled>,
        joining: Option<(KeyDigest, Joining)>,
    },
    /// Entries and snapshots are written in this format from here on.
    SetFormat { format: Format },
    /// An act, recorded in the audit with its origin.
    Audited { origin: Origin, act: Act },
    /// Cluster time was wrong: sets it back, and with it the times of requests that were recorded later.
    ResetClock { time_ms: u64 },
    /// The state hash after the entry at `index`, on which a majority of the voters agrees.
    StateHash { index: u64, hash: [u8; 32] },
    /// A command that is carried out once, however often it is written to the log. Never a batch, a command about
    /// state hashes, or another command of this kind.
    Once { id: RequestId, command: Box<Self> },
    /// An administrator confirms the clocks, which show `time_ms`: the clock of expiry continues from there.
    AcceptClock { time_ms: u64 },
    /// Every node notes the hash of its state after this entry, so that the leader can request it.
    NoteHash,
    /// Registers these keys, with the certificates that were last issued for them. A node has one key at most. All
    /// or none.
    Register {
        keys: Vec<(KeyDigest, Registration)>,
        /// Whether this is a renewal. A renewal of a key that is not registered is refused, so an earlier revocation
        /// holds. A node's renewal ends its right to add itself.
        renews: bool,
    },
    /// A node, a certificate or a person loses access.
    Revoke(Revocation),
    /// Replaces the cluster's authority.
    SetAuthority(ClusterAuthority),
    /// Revokes the token with this digest.
    RevokeToken { digest: [u8; 32] },
}

/// What an administrator did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// A command, which is neither a batch, nor about state hashes, nor itself an audited act.
    Command(Box<Command>),
    /// Formats 1 and 2: another act, as text. `refused` is the reason why it was refused, and empty where it was
    /// done.
    Note { act: String, refused: String },
    /// Since format 3: another act, as a code. `refused` is the gRPC status with which it was refused.
    Noted { what: Coded, refused: Option<u32> },
}

/// How a command is read.
#[derive(Clone, Copy)]
struct Reading {
    /// The newest format that the reader knows.
    newest: Format,
    /// The format in which the command was written, where it is known.
    written: Option<Format>,
}

impl Reading {
    /// The error for an unknown value: newer where the writer's format is strict, otherwise malformed.
    fn unknown(self, field: &'static str) -> MalformedCommand {
        if self.is_strict() { MalformedCommand::NEWER } else { MalformedCommand(field) }
    }

    fn is_strict(self) -> bool {
        self.written.is_some_and(Format::is_strict)
    }

    /// The setting with this name, if the format in which the command was written has it.
    fn setting(self, log_name: &str) -> Result<Setting, MalformedCommand> {
        Setting::from_log_name(log_name).filter(|setting| self.holds(*setting)).ok_or(self.unknown("setting"))
    }

    fn registration(self, raw: &proto::Registration) -> Result<(KeyDigest, Registration), MalformedCommand> {
        if proto::Grant::try_from(raw.role).is_err() {
            return Err(self.unknown("role"));
        }
        Registration::from_proto(raw).ok_or(MalformedCommand("registration"))
    }

    fn holds(self, setting: Setting) -> bool {
        setting.format() <= self.written.unwrap_or(self.newest).min(self.newest)
    }
}

impl Command {
    /// The format that this command sets, also where it is an audited command or one that is carried out once.
    #[must_use]
    pub fn sets_format(&self) -> Option<Format> {
        match self {
            Self::SetFormat { format } => Some(*format),
            Self::Audited { act: Act::Command(command), .. } | Self::Once { command, .. } => command.sets_format(),
            _ => None,
        }
    }

    /// The oldest format that can hold this command.
    #[must_use]
    pub fn format(&self) -> Format {
        match self {
            Self::ChangeSettings { changes, .. } => {
                changes.iter().map(|change| change.setting().format()).max().unwrap_or(Format::OLDEST)
            }
            Self::Audited { act: Act::Noted { .. }, .. }
            | Self::Once { .. }
            | Self::AcceptClock { .. }
            | Self::Register { .. }
            | Self::Revoke(_)
            | Self::RevokeToken { .. }
            | Self::SetAuthority(_)
            | Self::UseToken { registration: Some(_), .. }
            | Self::UseToken { enrolled: Some(_), .. }
            | Self::UseToken { joining: Some(_), .. }
            | Self::NoteHash => Format::CODED,
            Self::Batch(batch) if batch.stamp.expiry_ms.is_some() => Format::CODED,
            Self::Audited { origin: Origin { actor: Actor::Other, .. }, .. } => Format::CODED,
            Self::Audited { act: Act::Command(command), .. } => command.format().max(Format::AUDITED),
            Self::SetFormat { .. } | Self::Audited { act: Act::Note { .. }, .. } => Format::AUDITED,
            _ => Format::OLDEST,
        }
    }

    #[must_use]
    pub fn encode(&self) -> Bytes {
        use proto::command::Kind;
        let kind = match self {
            Self::Batch(batch) => Kind::Batch(proto::Batch {
                stamp: Some(batch.stamp.into()),
                records: batch.records.iter().map(crate::message::Record::to_proto).collect(),
            }),
            Self::InstallCatalog { signed } => Kind::InstallCatalog(proto::InstallCatalog { signed: signed.clone() }),
            Self::InstallKey { publisher, key } => Kind::InstallKey(proto::InstallKey {
                key: key.to_string(),
                publisher: Bytes::copy_from_slice(&publisher.0),
            }),
            Self::InstallActivation { signed } => {
                Kind::InstallActivation(proto::InstallActivation { signed: signed.clone() })
            }
            Self::Release { statements } => {
                let statements = statements.iter().map(ReleaseStatement::to_proto).collect();
                Kind::Release(proto::Release { statements })
            }
            Self::ChangeSettings { node, changes } => {
                let changes = changes.iter().map(|change| proto::SettingValue {
                    name: change.setting().log_name().to_owned(),
                    value: change.text().to_owned(),
                });
                // The conversion loses nothing, as in an announcement.
                let node = node.map_or(0, |node| u32::try_from(node).unwrap_or(u32::MAX));
                Kind::ChangeSettings(proto::ChangeSettings { changes: changes.collect(), node })
            }
            Self::Announce { node, announcement } => Kind::Announce(encode_announcement(*node, announcement)),
            // The conversion loses nothing, as in an announcement.
            Self::Forget { node } => Kind::Forget(proto::Forget { node: u32::try_from(*node).unwrap_or(u32::MAX) }),
            Self::AddToken { digest, token } => {
                Kind::AddToken(proto::AddToken { token: Some(encode_token(digest, token)) })
            }
            Self::UseToken { digest, time_ms, node, registration, enrolled, joining } => {
                Kind::UseToken(proto::UseToken {
                    digest: Bytes::copy_from_slice(digest),
                    time_ms: *time_ms,
                    // The conversion loses nothing, as in an announcement.
                    node: node.map_or(0, |node| u32::try_from(node).unwrap_or(u32::MAX)),
                    registration: registration.as_ref().map(|(key, registration)| registration.to_proto(key)),
                    enrolled: enrolled.as_ref().map(Enrolled::to_proto),
                    joining: joining.map(|(key, joining)| joining.to_proto(&key)),
                })
            }
            Self::SetFormat { format } => Kind::SetFormat(proto::SetFormat { format: format.number() }),
            Self::Audited { origin: Origin { who, from, time_ms, actor }, act } => {
                let (who, from) = (who.clone(), from.clone());
                let by_other = *actor == Actor::Other;
                let raw = proto::Audited { who, from, time_ms: *time_ms, by_other, ..proto::Audited::default() };
                Kind::Audited(match act {
                    Act::Command(command) => proto::Audited { command: command.encode(), ..raw },
                    Act::Note { act, refused } => proto::Audited { note: act.clone(), refused: refused.clone(), ..raw },
                    Act::Noted { what, refused } => {
                        let noted = Some(what.to_proto());
                        proto::Audited { noted, refused_status: refused.unwrap_or(0), ..raw }
                    }
                })
            }
            Self::ResetClock { time_ms } => Kind::ResetClock(proto::ResetClock { time_ms: *time_ms }),
            Self::StateHash { index, hash } => {
                Kind::StateHash(proto::StateHash { index: *index, hash: Bytes::copy_from_slice(hash) })
            }
            Self::Once { id, command } => {
                Kind::Once(proto::Once { id: Bytes::copy_from_slice(id), command: command.encode() })
            }
            Self::AcceptClock { time_ms } => Kind::AcceptClock(proto::AcceptClock { time_ms: *time_ms }),
            Self::NoteHash => Kind::NoteHash(proto::NoteHash {}),
            Self::Register { keys, renews } => Kind::Register(proto::Register {
                keys: keys.iter().map(|(key, registration)| registration.to_proto(key)).collect(),
                renews: *renews,
            }),
            Self::Revoke(revocation) => Kind::Revoke(proto::Revoke { revocation: Some(revocation.to_proto()) }),
            Self::SetAuthority(authority) => Kind::SetAuthority(authority.to_proto()),
            Self::RevokeToken { digest } => {
                Kind::RevokeToken(proto::RevokeToken { digest: Bytes::copy_from_slice(digest) })
            }
        };
        proto::Command { kind: Some(kind) }.encode_to_vec().into()
    }

    /// Reads a command.
    ///
    /// # Errors
    /// [`MalformedCommand::NEWER`] for a command of a kind or format that this version does not know; otherwise the
    /// malformed field.
    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedCommand> {
        Self::decode_up_to(Format::NEWEST, bytes)
    }

    /// Reads a command as a version does whose newest format is `newest`, where the format in which it was written
    /// is not known.
    ///
    /// # Errors
    /// [`MalformedCommand::NEWER`] or the malformed field, as [`Self::decode`].
    pub fn decode_up_to(newest: Format, bytes: &[u8]) -> Result<Self, MalformedCommand> {
        Self::read(Reading { newest, written: None }, bytes)
    }

    /// Reads a command that was written in format `written`, as a version does whose newest format is `newest`.
    /// Since format 3 anything unknown, a field or a value at any depth, makes it [`MalformedCommand::NEWER`].
    pub fn decode_written_in(written: Format, newest: Format, bytes: &[u8]) -> Result<Self, MalformedCommand> {
        Self::read(Reading { newest, written: Some(written) }, bytes)
    }

    fn read(reading: Reading, bytes: &[u8]) -> Result<Self, MalformedCommand> {
        use proto::command::Kind;
        let newest = reading.newest;
        if bytes.len() > limits::COMMAND_BYTES_MAX {
            return Err(MalformedCommand("too long"));
        }
        // One copy of the bytes, which the fields of all records share.
        let raw = proto::Command::decode(Bytes::copy_from_slice(bytes)).map_err(|_| MalformedCommand("encoding"))?;
        // The decoder drops fields that it does not know, so re-encoding gives fewer bytes.
        if reading.is_strict() && raw.encoded_len() != bytes.len() {
            return Err(MalformedCommand::NEWER);
        }
        let kind = match raw.kind {
            Some(
                Kind::Once(_)
                | Kind::AcceptClock(_)
                | Kind::NoteHash(_)
                | Kind::Register(_)
                | Kind::Revoke(_)
                | Kind::RevokeToken(_)
                | Kind::SetAuthority(_),
            ) if newest < Format::CODED => None,
            // A version without the audit knows neither kind.
            Some(Kind::SetFormat(_) | Kind::Audited(_)) if newest < Format::AUDITED => None,
            kind => kind,
        };
        // Bytes that are not empty and have no known kind hold a kind that this version does not know.
        let unknown = if bytes.is_empty() { MalformedCommand("unknown kind") } else { MalformedCommand::NEWER };
        match kind.ok_or(unknown)? {
            Kind::Batch(batch) => {
                let stamp = batch.stamp.as_ref();
                if stamp.is_some_and(|stamp| proto::SkewReference::try_from(stamp.skew_reference).is_err()) {
                    return Err(reading.unknown("skew reference"));
                }
                batch.try_into().map(Self::Batch)
            }
            Kind::InstallCatalog(install) => Ok(Self::InstallCatalog { signed: install.signed }),
            Kind::InstallKey(install) => {
                let publisher = PublisherId::try_from(install.publisher.as_ref());
                Ok(Self::InstallKey {
                    publisher: publisher.map_err(|_| MalformedCommand("publisher"))?,
                    key: install.key.parse().map_err(|_| MalformedCommand("key"))?,
                })
            }
            Kind::InstallActivation(install) => Ok(Self::InstallActivation { signed: install.signed }),
            Kind::Release(release) => {
                if !(1..=REQUESTS_MAX).contains(&release.statements.len()) {
                    return Err(MalformedCommand("1 to 64 statements"));
                }
                let statements = release.statements.iter().map(ReleaseStatement::from_proto);
                let statements = statements.collect::<Result<_, _>>().map_err(|_| MalformedCommand("statement"))?;
                Ok(Self::Release { statements })
            }
            Kind::ChangeSettings(change) => {
                if change.changes.len() > Setting::ALL.into_iter().filter(|setting| reading.holds(*setting)).count() {
                    return Err(MalformedCommand("too many settings"));
                }
                let changes = change.changes.into_iter().map(|change| {
                    let setting = reading.setting(&change.name)?;
                    Ok(SettingChange::from_log(setting, change.value))
                });
                let node = (change.node > 0).then(|| node_id(change.node.into())).transpose();
                let node = node.map_err(|_| MalformedCommand("node"))?;
                Ok(Self::ChangeSettings { node, changes: changes.collect::<Result<_, _>>()? })
            }
            Kind::Announce(raw) => {
                let (node, announcement) = decode_announcement(&raw)?;
                Ok(Self::Announce { node, announcement })
            }
            Kind::Forget(raw) => {
                let node = node_id(raw.node.into()).map_err(|_| MalformedCommand("node"))?;
                Ok(Self::Forget { node })
            }
            Kind::AddToken(add) => {
                let token = add.token.ok_or(MalformedCommand("token"))?;
                if proto::Grant::try_from(token.grant).is_err() {
                    return Err(reading.unknown("grant"));
                }
                let (digest, token) = decode_token(&token)?;
                Ok(Self::AddToken { digest, token })
            }
            Kind::UseToken(using) if using.time_ms <= limits::TIME_MS_MAX => {
                let node = (using.node > 0).then(|| node_id(using.node.into())).transpose();
                let node = node.map_err(|_| MalformedCommand("node"))?;
                let registration = match using.registration.filter(|_| newest >= Format::CODED) {
                    Some(raw) => Some(reading.registration(&raw)?),
                    None => None,
                };
                let enrolled = using.enrolled.filter(|_| newest >= Format::CODED);
                let enrolled = enrolled.as_ref().map(Enrolled::from_proto).transpose()?;
                let joining = match using.joining.filter(|_| newest >= Format::CODED) {
                    Some(raw) => {
                        let joining = Joining::from_proto(&raw).filter(|(_, joining)| node == Some(joining.node));
                        Some(joining.ok_or(MalformedCommand("joining"))?)
                    }
                    None => None,
                };
                let digest = decode_digest(&using.digest)?;
                Ok(Self::UseToken { digest, time_ms: using.time_ms, node, registration, enrolled, joining })
            }
            Kind::UseToken(_) => Err(MalformedCommand("time")),
            Kind::SetFormat(set) => {
                let format = Format::new(set.format).ok().filter(|format| *format <= newest);
                let format = format.ok_or(MalformedCommand::NEWER)?;
                Ok(Self::SetFormat { format })
            }
            Kind::Audited(raw) => decode_audited(reading, raw),
            Kind::Once(once) => {
                let id = once.id.as_ref().try_into().map_err(|_| MalformedCommand("id"))?;
                match Self::read(reading, &once.command)? {
                    Self::Once { .. } | Self::Batch(_) | Self::StateHash { .. } | Self::NoteHash => {
                        Err(MalformedCommand("command"))
                    }
                    command => Ok(Self::Once { id, command: Box::new(command) }),
                }
            }
            Kind::AcceptClock(accept) if accept.time_ms <= limits::TIME_MS_MAX => {
                Ok(Self::AcceptClock { time_ms: accept.time_ms })
            }
            Kind::AcceptClock(_) => Err(MalformedCommand("time")),
            Kind::ResetClock(reset) if reset.time_ms <= limits::TIME_MS_MAX => {
                Ok(Self::ResetClock { time_ms: reset.time_ms })
            }
            Kind::ResetClock(_) => Err(MalformedCommand("time")),
            Kind::StateHash(state) => {
                let hash = state.hash.as_ref().try_into().map_err(|_| MalformedCommand("hash"))?;
                Ok(Self::StateHash { index: state.index, hash })
            }
            Kind::NoteHash(proto::NoteHash {}) => Ok(Self::NoteHash),
            Kind::Register(register) => {
                if !(1..=limits::REGISTRATIONS_AT_ONCE_MAX).contains(&register.keys.len()) {
                    return Err(MalformedCommand("1 to 64 keys"));
                }
                let keys = register.keys.iter().map(|raw| reading.registration(raw)).collect::<Result<_, _>>()?;
                Ok(Self::Register { keys, renews: register.renews })
            }
            Kind::Revoke(revoke) => {
                let raw = revoke.revocation.as_ref().ok_or(MalformedCommand("revocation"))?;
                // Without a value in `whom` the entry names a kind of holder that this version does not know.
                let unknown = if raw.whom.is_none() { reading.unknown("whom") } else { MalformedCommand("whom") };
                Ok(Self::Revoke(Revocation::from_proto(raw).ok_or(unknown)?))
            }
            Kind::SetAuthority(set) => {
                ClusterAuthority::from_proto(&set).map(Self::SetAuthority).ok_or(MalformedCommand("authority"))
            }
            Kind::RevokeToken(revoke) => Ok(Self::RevokeToken { digest: decode_digest(&revoke.digest)? }),
        }
    }
}

fn decode_audited(reading: Reading, raw: proto::Audited) -> Result<Command, MalformedCommand> {
    let is_other = raw.by_other && reading.newest >= Format::CODED;
    let actor = if is_other { Actor::Other } else { Actor::Administrator };
    let origin = Origin { who: raw.who, from: raw.from, time_ms: raw.time_ms, actor };
    if !origin.is_valid() || origin.time_ms > limits::TIME_MS_MAX {
        return Err(MalformedCommand("origin"));
    }
    if let Some(noted) = &raw.noted
        && reading.newest >= Format::CODED
    {
        let what = Coded::from_proto(noted).ok_or(reading.unknown("act"))?;
        let refused = (raw.refused_status > 0).then_some(raw.refused_status);
        let is_alone = raw.command.is_empty() && raw.note.is_empty() && raw.refused.is_empty();
        let act = is_alone.then_some(Act::Noted { what, refused }).ok_or(MalformedCommand("act"))?;
        return Ok(Command::Audited { origin, act });
    }
    let act = match (raw.command.is_empty(), raw.note.is_empty()) {
        (false, true) => match Command::read(reading, &raw.command)? {
            Command::Audited { .. }
            | Command::Once { .. }
            | Command::Batch(_)
            | Command::StateHash { .. }
            | Command::NoteHash => return Err(MalformedCommand("act")),
            command => Act::Command(Box::new(command)),
        },
        (true, false) if [&raw.note, &raw.refused].iter().all(|text| shortened(text) == **text) => {
            Act::Note { act: raw.note, refused: raw.refused }
        }
        _ => return Err(MalformedCommand("act")),
    };
    Ok(Command::Audited { origin, act })
}

pub(super) fn encode_announcement(node: NodeId, announcement: &Announcement) -> proto::Announcement {
    let octets = |address: &IpAddr| match address {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    };
    proto::Announcement {
        // The conversion loses nothing: as in a record, every parser refuses a larger node id.
        node: u32::try_from(node).unwrap_or(u32::MAX),
        target: announcement.target.to_string(),
        port: announcement.port.into(),
        priority: announcement.rank.priority.into(),
        weight: announcement.rank.weight.into(),
        addresses: announcement.addresses.iter().map(octets).collect(),
    }
}

pub(super) fn decode_announcement(raw: &proto::Announcement) -> Result<(NodeId, Announcement), MalformedCommand> {
    let small = |number: u32, what| u16::try_from(number).map_err(|_| MalformedCommand(what));
    let address = |octets: &Bytes| {
        let v4 = <[u8; 4]>::try_from(octets.as_ref()).map(IpAddr::from);
        v4.or_else(|_| <[u8; 16]>::try_from(octets.as_ref()).map(IpAddr::from))
    };
    if raw.addresses.len() > limits::ADDRESSES_MAX {
        return Err(MalformedCommand("too many addresses"));
    }
    let node = node_id(raw.node.into()).map_err(|_| MalformedCommand("node"))?;
    let addresses = raw.addresses.iter().map(address).collect::<Result<_, _>>();
    let announcement = Announcement {
        target: raw.target.parse().map_err(|_| MalformedCommand("target"))?,
        port: small(raw.port, "port")
            .and_then(|port| if port == 0 { Err(MalformedCommand("port")) } else { Ok(port) })?,
        rank: Rank { priority: small(raw.priority, "priority")?, weight: small(raw.weight, "weight")? },
        addresses: addresses.map_err(|_| MalformedCommand("address"))?,
    };
    Ok((node, announcement))
}
