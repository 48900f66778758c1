//! The stored state of a client machine: its CMID, and the key that selects how it is activated (R22, R24, R35).
//!
//! ```text
//! DIR/client.toml   replaced as a whole; readable by its owner alone, because it holds a direct key
//! DIR/trust.toml    the publisher's keys and catalog, as they were given with the key
//! DIR/lock          held while the folder is open, so that two clients do not share a state
//! ```
//! Signed answers are stored as they were received and verified again whenever they are used, so editing the file
//! yields no licence.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use activation::catalog::Name;
use activation::channel::{Channel, DirectKey};
use activation::direct::DirectCertificate;
use activation::hresult;
use activation::id::{Cmid, KeyId};
use activation::key::{KeyKind, TypedKey};
use activation::lifecycle::Lifecycle;
use activation::status::Status;
use data_encoding::HEXLOWER_PERMISSIVE;
use discovery::limits::ADDRESSES_MAX;
use discovery::{FixedHost, FoundHost};
use machine::Identity;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::hosts::Hosts;
use crate::limits::STATE_BYTES_MAX;
use crate::request::{NoEntropy, chance, moment, random_cmid};

const FILE: &str = "client.toml";
const TRUST: &str = "trust.toml";
const LOCK: &str = "lock";
/// How often the lock is tried, and the pause between two tries: one second in all.
const LOCK_LOOKS: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// The newest format that this version reads. It writes 2 where a direct key was cleared, otherwise 1.
const STATE_FORMAT: u32 = 2;

/// Why a state folder was not opened or not written. Its content is unchanged.
#[derive(Debug, Error)]
pub enum StateError {
    #[error("{} is in use by another client", folder.display())]
    InUse { folder: PathBuf },
    #[error("{} has format {found}; this version reads up to {STATE_FORMAT}: run a newer version", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error(
        "{} is damaged ({problem}): restore it, or delete it and run `quorate client install-key` again",
        path.display()
    )]
    Damaged { path: PathBuf, problem: String },
    /// File permissions control which accounts may change the state.
    #[error(
        "this account has no access to {} ({}): run the command as its owner or as root",
        path.display(), Status::ACCESS_DENIED
    )]
    Denied { path: PathBuf },
    #[error("cannot use {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl StateError {
    /// The HRESULT for events and programs.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::InUse { .. } => hresult::IN_USE,
            Self::Newer { .. } => hresult::NEWER_FORMAT,
            Self::Damaged { .. } => hresult::INVALID_DATA,
            Self::Denied { .. } => Status::ACCESS_DENIED,
            Self::Io { source, .. } => hresult::of_io(source),
            Self::NoEntropy(_) => hresult::NO_ENTROPY,
        }
    }

    fn of(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::PermissionDenied { Self::Denied { path } } else { Self::Io { path, source } }
    }
}

/// An open state folder.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    /// The lock, which is released when the file is closed.
    _lock: File,
    kept: Kept,
}

/// The content of the state file.
#[derive(Clone, Debug)]
struct Kept {
    cmid: Cmid,
    channel: Option<Channel>,
    fixed_host: Option<FixedHost>,
    cached_host: Option<FoundHost>,
    life: Life,
}

/// The machine's times, the proof of its licence, and the identity of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Life {
    /// The lifecycle, as [`activation::lifecycle::Lifecycle`] encodes itself.
    pub(crate) times: Vec<u8>,
    /// The request that licensed the machine, and the signed answer to it.
    pub(crate) exchange: Option<(Vec<u8>, Vec<u8>)>,
    /// The machine's identity; `None` before the first read, and in an image for others.
    pub(crate) identity: Option<Identity>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    cmid: String,
    product: Option<String>,
    key: Option<String>,
    /// Since format 2: the id of a key that was cleared.
    cleared_key: Option<String>,
    direct_certificate: Option<String>,
    fixed_host: Option<String>,
    times: String,
    /// A checksum over the times and the CMID. It detects damage, not deliberate changes.
    times_checksum: String,
    licence_request: Option<String>,
    licence_answer: Option<String>,
    // Tables, which must be last in TOML.
    cached_host: Option<FoundHost>,
    identity: Option<Identity>,
}

#[derive(Deserialize)]
struct StoredFormat {
    format: u32,
}

impl StateFolder {
    /// Whether this folder holds a machine's state. Creates nothing.
    pub fn is_made(folder: &Path) -> Result<bool, StateError> {
        let path = folder.join(FILE);
        path.try_exists().map_err(|source| StateError::of(&path, source))
    }

    /// Opens the folder. At first use it is created with a random CMID, which is kept.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::of(&path, source)
        };
        DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(io_error(folder))?;
        let lock_path = folder.join(LOCK);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.map_err(io_error(&lock_path))?;
        take(&lock).map_err(|error| match error {
            TryLockError::WouldBlock => StateError::InUse { folder: folder.to_owned() },
            TryLockError::Error(source) => StateError::of(&lock_path, source),
        })?;
        let path = folder.join(FILE);
        let state = match read(&path).map_err(io_error(&path))? {
            Some(text) => Self { folder: folder.to_owned(), _lock: lock, kept: parse(&path, &text)? },
            None => {
                let times = Lifecycle::begin(moment(Path::new("/")), chance()?).encode();
                let life = Life { times, ..Life::default() };
                let kept = Kept { cmid: random_cmid()?, channel: None, fixed_host: None, cached_host: None, life };
                let new = Self { folder: folder.to_owned(), _lock: lock, kept };
                new.write(&new.kept)?;
                new
            }
        };
        Ok(state)
    }

    #[must_use]
    pub fn cmid(&self) -> Cmid {
        self.kept.cmid
    }

    /// The channel; `None` until a key was installed.
    #[must_use]
    pub fn channel(&self) -> Option<&Channel> {
        self.kept.channel.as_ref()
    }

    /// Stores a channel; it is on the disk when this returns.
    pub fn set_channel(&mut self, channel: Channel) -> Result<(), StateError> {
        self.change(|kept| kept.channel = Some(channel))
    }

    /// Removes the channel.
    pub fn clear_channel(&mut self) -> Result<(), StateError> {
        self.change(|kept| kept.channel = None)
    }

    /// The fixed host (R18).
    #[must_use]
    pub fn fixed_host(&self) -> Option<&FixedHost> {
        self.kept.fixed_host.as_ref()
    }

    /// The host that answered last (R16).
    #[must_use]
    pub fn cached_host(&self) -> Option<&FoundHost> {
        self.kept.cached_host.as_ref()
    }

    /// Sets a fixed host: only this host is used, and discovery is off (R18).
    pub fn set_host(&mut self, host: FixedHost) -> Result<(), StateError> {
        self.change(|kept| kept.fixed_host = Some(host))
    }

    /// Turns discovery on again, and removes the host that answered last (R18).
    pub fn clear_host(&mut self) -> Result<(), StateError> {
        self.change(|kept| (kept.fixed_host, kept.cached_host) = (None, None))
    }

    /// Stores the host that answered last. Nothing is written where it is unchanged.
    pub fn keep_hosts(&mut self, hosts: &Hosts) -> Result<(), StateError> {
        if hosts.cached() == self.kept.cached_host.as_ref() {
            return Ok(());
        }
        self.change(|kept| kept.cached_host = hosts.cached().cloned())
    }

    pub(crate) fn life(&self) -> &Life {
        &self.kept.life
    }

    pub(crate) fn keep_life(&mut self, cmid: Cmid, life: Life) -> Result<(), StateError> {
        self.change(|kept| (kept.cmid, kept.life) = (cmid, life))
    }

    fn change(&mut self, change: impl FnOnce(&mut Kept)) -> Result<(), StateError> {
        let mut kept = self.kept.clone();
        change(&mut kept);
        self.write(&kept)?;
        self.kept = kept;
        Ok(())
    }

    fn write(&self, kept: &Kept) -> Result<(), StateError> {
        let path = self.folder.join(FILE);
        let (key, cleared_key, certificate) = match &kept.channel {
            None => (None, None, None),
            Some(Channel::Volume { setup_key, .. }) => (Some(setup_key), None, None),
            Some(Channel::Direct { key: DirectKey::Typed(key), certificate, .. }) => {
                (Some(key), None, certificate.as_ref())
            }
            Some(Channel::Direct { key: DirectKey::Cleared(id), certificate, .. }) => {
                (None, Some(id), certificate.as_ref())
            }
        };
        let stored = Stored {
            format: if cleared_key.is_some() { STATE_FORMAT } else { 1 },
            cmid: kept.cmid.to_string(),
            product: kept.channel.as_ref().map(|channel| channel.product().to_string()),
            key: key.map(ToString::to_string),
            cleared_key: cleared_key.map(ToString::to_string),
            direct_certificate: certificate.map(|certificate| HEXLOWER_PERMISSIVE.encode(&certificate.encode())),
            fixed_host: kept.fixed_host.as_ref().map(ToString::to_string),
            times: HEXLOWER_PERMISSIVE.encode(&kept.life.times),
            times_checksum: checksum(kept.cmid, &kept.life.times),
            licence_request: kept.life.exchange.as_ref().map(|(request, _)| HEXLOWER_PERMISSIVE.encode(request)),
            licence_answer: kept.life.exchange.as_ref().map(|(_, answer)| HEXLOWER_PERMISSIVE.encode(answer)),
            cached_host: kept.cached_host.clone(),
            identity: kept.life.identity.clone(),
        };
        let text = toml::to_string(&stored).map_err(io::Error::other);
        let head = "# The state of a client machine. Changing it gains nothing: answers are verified again.\n";
        let written = text.and_then(|text| replace(&self.folder, FILE, &[head, &text].concat()));
        written.map_err(|source| StateError::of(&path, source))
    }

    /// The path of the publisher's trust file.
    #[must_use]
    pub fn trust_file(folder: &Path) -> PathBuf {
        folder.join(TRUST)
    }

    /// Stores the publisher's trust file beside the state, for commands without a trust file argument.
    pub fn keep_trust(&self, text: &str) -> Result<(), StateError> {
        replace(&self.folder, TRUST, text).map_err(|source| StateError::of(&self.folder.join(TRUST), source))
    }
}

/// Replaces the file as a whole or not at all; only its owner can read it, from the first byte on.
fn replace(folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))?;
    File::open(folder)?.sync_all()
}

/// Takes the lock. Other processes hold it only for moments, so this waits up to a second.
fn take(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_LOOKS {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::park_timeout(LOCK_PAUSE),
            taken => return taken,
        }
    }
    lock.try_lock()
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        file => {
            let mut text = String::new();
            file?.take(STATE_BYTES_MAX).read_to_string(&mut text)?;
            Ok(Some(text))
        }
    }
}

fn parse(path: &Path, text: &str) -> Result<Kept, StateError> {
    let damaged = |problem: &str| StateError::Damaged { path: path.to_owned(), problem: problem.to_owned() };
    let format = toml::from_str::<StoredFormat>(text).map_err(|error| damaged(error.message()))?.format;
    if format > STATE_FORMAT {
        return Err(StateError::Newer { path: path.to_owned(), found: format });
    }
    let stored: Stored = toml::from_str(text).map_err(|error| damaged(error.message()))?;
    let cmid = stored.cmid.parse().map_err(|_| damaged("cmid"))?;
    let bytes = |text: &str| HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let times = bytes(&stored.times).filter(|times| checksum(cmid, times) == stored.times_checksum);
    let exchange = match (&stored.licence_request, &stored.licence_answer) {
        (Some(request), Some(answer)) => bytes(request).zip(bytes(answer)),
        _ => None,
    };
    let life = Life { times: times.ok_or_else(|| damaged("times"))?, exchange, identity: stored.identity };
    let fixed_host = stored.fixed_host.map(|text| text.parse().map_err(|_| damaged("fixed_host"))).transpose()?;
    let cached_host = stored.cached_host.filter(is_host_to_ask);
    let kept = |channel| Kept { cmid, channel, fixed_host, cached_host, life };
    let certificate = stored.direct_certificate.map(|text| {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let decoded = bytes.and_then(|bytes| DirectCertificate::decode(&bytes).ok());
        decoded.ok_or_else(|| damaged("direct_certificate"))
    });
    let certificate = certificate.transpose()?;
    let (product, key, cleared) = match (stored.product, stored.key, stored.cleared_key) {
        (None, None, None) => return Ok(kept(None)),
        (Some(product), key, cleared) => (product, key, cleared),
        _ => return Err(damaged("product and key")),
    };
    let product: Name = product.parse().map_err(|_| damaged("product"))?;
    let key = key.map(|key| key.parse::<TypedKey>().map_err(|_| damaged("key"))).transpose()?;
    let cleared = cleared.map(|id| id.parse::<KeyId>().map_err(|_| damaged("cleared_key"))).transpose()?;
    let channel = match (key, cleared, certificate) {
        (Some(key), None, None) if key.kind() == KeyKind::Setup => Channel::Volume { product, setup_key: key },
        (Some(key), None, certificate) if key.kind() == KeyKind::Direct => {
            Channel::Direct { product, key: DirectKey::Typed(key), certificate }
        }
        (None, Some(id), certificate @ Some(_)) => {
            Channel::Direct { product, key: DirectKey::Cleared(id), certificate }
        }
        _ => return Err(damaged("kind of key")),
    };
    Ok(kept(Some(channel)))
}

fn checksum(cmid: Cmid, times: &[u8]) -> String {
    let digest = Sha256::new_with_prefix("quorate/times/1").chain_update(cmid.0).chain_update(times).finalize();
    HEXLOWER_PERMISSIVE.encode(&digest)
}

/// Whether the cached host is valid. An invalid one is dropped, and the client queries DNS again.
fn is_host_to_ask(host: &FoundHost) -> bool {
    host.target.parse::<FixedHost>().is_ok() && host.port > 0 && (1..=ADDRESSES_MAX).contains(&host.addresses.len())
}
