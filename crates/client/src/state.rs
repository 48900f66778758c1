//! What a client machine keeps: its CMID, and the key that says how it is activated (R22, R24, R35).
//!
//! ```text
//! DIR/client.toml   replaced as a whole; readable by its owner alone, because a direct key stands in it
//! DIR/lock          held while the folder is open, so that two clients do not share a state
//! ```
//! Signed answers are stored as they came and verified again whenever they are used: editing the file gains nothing.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use activation::catalog::Name;
use activation::channel::Channel;
use activation::direct::DirectCertificate;
use activation::id::Cmid;
use activation::key::{KeyKind, TypedKey};
use data_encoding::HEXLOWER_PERMISSIVE;
use discovery::limits::ADDRESSES_MAX;
use discovery::{Fixed, Host};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::limits::STATE_BYTES_MAX;
use crate::{Hosts, NoEntropy, random_cmid};

const FILE: &str = "client.toml";
const LOCK: &str = "lock";
/// The format that this version writes, and the newest that it reads.
const STATE_FORMAT: u32 = 1;

/// Why a state folder was not opened or not written. What it held is as it was.
#[derive(Debug, Error)]
pub enum StateError {
    #[error("{} is in use by another client", folder.display())]
    InUse { folder: PathBuf },
    #[error("{} has format {found}; this version reads up to {STATE_FORMAT}: run a newer version", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("{} is not as it was written ({problem}): restore it, or delete it and set the machine up again", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

/// An open state folder.
#[derive(Debug)]
pub struct StateFolder {
    folder: PathBuf,
    /// Held, and released by being closed.
    _lock: File,
    kept: Kept,
}

/// What stands in the file.
#[derive(Clone, Debug)]
struct Kept {
    cmid: Cmid,
    channel: Option<Channel>,
    fixed_host: Option<Fixed>,
    cached_host: Option<Host>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    format: u32,
    cmid: String,
    product: Option<String>,
    key: Option<String>,
    direct_certificate: Option<String>,
    fixed_host: Option<String>,
    // A table, so it stands last.
    cached_host: Option<Host>,
}

#[derive(Deserialize)]
struct StoredFormat {
    format: u32,
}

impl StateFolder {
    /// Opens the folder. At first use it is made, with a random CMID, which stays.
    pub fn open(folder: &Path) -> Result<Self, StateError> {
        let io_error = |path: &Path| {
            let path = path.to_owned();
            move |source| StateError::Io { path, source }
        };
        DirBuilder::new().mode(0o700).recursive(true).create(folder).map_err(io_error(folder))?;
        let lock_path = folder.join(LOCK);
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock_path);
        let lock = lock.map_err(io_error(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => StateError::InUse { folder: folder.to_owned() },
            TryLockError::Error(source) => StateError::Io { path: lock_path, source },
        })?;
        let path = folder.join(FILE);
        let state = match read(&path).map_err(io_error(&path))? {
            Some(text) => Self { folder: folder.to_owned(), _lock: lock, kept: parse(&path, &text)? },
            None => {
                let kept = Kept { cmid: random_cmid()?, channel: None, fixed_host: None, cached_host: None };
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

    /// Absent until a key was installed.
    #[must_use]
    pub fn channel(&self) -> Option<&Channel> {
        self.kept.channel.as_ref()
    }

    /// Keeps a channel; it is on the disk when this returns.
    pub fn set_channel(&mut self, channel: Channel) -> Result<(), StateError> {
        self.change(|kept| kept.channel = Some(channel))
    }

    /// The hosts to ask, as they were kept (R16, R18).
    #[must_use]
    pub fn hosts(&self) -> Hosts {
        Hosts::new(self.kept.fixed_host.clone(), self.kept.cached_host.clone())
    }

    /// The host that was set (R18).
    #[must_use]
    pub fn fixed_host(&self) -> Option<&Fixed> {
        self.kept.fixed_host.as_ref()
    }

    /// The host that answered last (R16).
    #[must_use]
    pub fn cached_host(&self) -> Option<&Host> {
        self.kept.cached_host.as_ref()
    }

    /// Turns discovery off: only this host is asked (R18).
    pub fn set_host(&mut self, host: Fixed) -> Result<(), StateError> {
        self.change(|kept| kept.fixed_host = Some(host))
    }

    /// Turns discovery on again, and forgets the host that answered last (R18).
    pub fn clear_host(&mut self) -> Result<(), StateError> {
        self.change(|kept| (kept.fixed_host, kept.cached_host) = (None, None))
    }

    /// Keeps the host that answered last. Nothing is written where it is the same.
    pub fn keep_hosts(&mut self, hosts: &Hosts) -> Result<(), StateError> {
        if hosts.cached() == self.kept.cached_host.as_ref() {
            return Ok(());
        }
        self.change(|kept| kept.cached_host = hosts.cached().cloned())
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
        let (key, certificate) = match &kept.channel {
            None => (None, None),
            Some(Channel::Volume { setup_key, .. }) => (Some(setup_key), None),
            Some(Channel::Direct { key, certificate, .. }) => (Some(key), certificate.as_ref()),
        };
        let stored = Stored {
            format: STATE_FORMAT,
            cmid: kept.cmid.to_string(),
            product: kept.channel.as_ref().map(|channel| channel.product().to_string()),
            key: key.map(ToString::to_string),
            direct_certificate: certificate.map(|certificate| HEXLOWER_PERMISSIVE.encode(&certificate.encode())),
            fixed_host: kept.fixed_host.as_ref().map(ToString::to_string),
            cached_host: kept.cached_host.clone(),
        };
        let written = toml::to_string(&stored).map_err(io::Error::other).and_then(|text| {
            // Its owner's alone from the first byte.
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(
                b"# The state of a client machine. Changing it gains nothing: answers are verified again.\n",
            )?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.folder)?.sync_all()
        });
        written.map_err(|source| StateError::Io { path, source })
    }
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
    let fixed_host = stored.fixed_host.map(|text| text.parse().map_err(|_| damaged("fixed_host"))).transpose()?;
    let cached_host = stored.cached_host.filter(is_host_to_ask);
    let kept = |channel| Kept { cmid, channel, fixed_host, cached_host };
    let (product, key) = match (stored.product, stored.key) {
        (None, None) => return Ok(kept(None)),
        (Some(product), Some(key)) => (product, key),
        _ => return Err(damaged("product and key")),
    };
    let product: Name = product.parse().map_err(|_| damaged("product"))?;
    let key: TypedKey = key.parse().map_err(|_| damaged("key"))?;
    let channel = match (key.kind(), stored.direct_certificate) {
        (KeyKind::Setup, None) => Channel::Volume { product, setup_key: key },
        (KeyKind::Direct, certificate) => {
            let decode = |text: String| {
                let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?;
                DirectCertificate::decode(&bytes).ok()
            };
            let certificate = certificate.map(|text| decode(text).ok_or_else(|| damaged("direct_certificate")));
            Channel::Direct { product, key, certificate: certificate.transpose()? }
        }
        _ => return Err(damaged("kind of key")),
    };
    Ok(kept(Some(channel)))
}

/// Anything else is forgotten: DNS will say where hosts are.
fn is_host_to_ask(host: &Host) -> bool {
    host.target.parse::<Fixed>().is_ok() && host.port > 0 && (1..=ADDRESSES_MAX).contains(&host.addresses.len())
}
