//! The node's private keys as files.
//!
//! ```text
//! DATA/keys/<key id>        made for one host key; the node's certificate is for it, or will be
//! DATA/keys/<key id>.next   made after the machine changed or the other key lost its slot; replaces it once certified
//! ```
//! Each file is readable by the daemon's account alone, is written completely or not at all, and records the machine
//! on which its key was made.
//!
//! Invariant: never leaves a released or replaced key on disk.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use activation::{SigningKey, id::KeyId};
use data_encoding::HEXLOWER_PERMISSIVE;
use machine::Identity;
use serde::{Deserialize, Serialize};

/// The format that this version writes, and the newest that it reads.
const FORMAT: u32 = 1;
const NEXT: &str = ".next";
const TEMPORARY: &str = ".new";

/// A private key with the data that is stored with it.
#[derive(Clone, Debug)]
pub(crate) struct PrivateKey {
    pub(crate) key: SigningKey,
    /// The machine on which the key was made. The key signs on this machine only.
    pub(crate) machine: Identity,
    /// The applied index at which the node signed the release of its activation slot; `None` if it did not.
    pub(crate) release_signed_at: Option<u64>,
}

/// The private keys for one host key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys {
    pub(crate) current: Option<PrivateKey>,
    pub(crate) next: Option<PrivateKey>,
}

/// Which of the private keys of a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyFile {
    Current,
    Next,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    private_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    release_signed_at: Option<u64>,
    machine: Identity,
}

/// The folder of the private keys.
#[derive(Debug)]
pub(crate) struct KeyFolder(PathBuf);

impl KeyFolder {
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Loads all keys in the folder. Does not change the folder.
    pub(crate) fn load(&self) -> io::Result<BTreeMap<KeyId, Keys>> {
        let mut keys: BTreeMap<KeyId, Keys> = BTreeMap::new();
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        for entry in entries.into_iter().flatten() {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let (id, file) = match name.strip_suffix(NEXT) {
                Some(id) => (id, KeyFile::Next),
                None => (name, KeyFile::Current),
            };
            // A name that is not a key id is ignored: it is a temporary file of a write that a crash interrupted.
            if let Ok(id) = id.parse() {
                *keys.entry(id).or_default().slot(file) = Some(read(&path)?);
            }
        }
        Ok(keys)
    }

    /// Writes a key to its file, with mode 0600 from its creation. The file is durable when this returns.
    pub(crate) fn write(&self, id: KeyId, file: KeyFile, key: &PrivateKey) -> io::Result<()> {
        storage::durable::create_folder(&self.0)?;
        let path = self.path(id, file);
        let mut temporary = path.clone().into_os_string();
        temporary.push(TEMPORARY);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let written = Written {
            format: FORMAT,
            private_key: HEXLOWER_PERMISSIVE.encode(&key.key.to_bytes()),
            release_signed_at: key.release_signed_at,
            machine: key.machine.clone(),
        };
        let text = toml::to_string(&written).map_err(io::Error::other)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        storage::durable::sync_folder(&self.0)
    }

    /// Renames the next key to the current one, and destroys the key that it replaces.
    pub(crate) fn promote(&self, id: KeyId) -> io::Result<()> {
        let (current, next) = (self.path(id, KeyFile::Current), self.path(id, KeyFile::Next));
        let replaced = OpenOptions::new().write(true).open(&current);
        fs::rename(next, current)?;
        storage::durable::sync_folder(&self.0)?;
        match replaced {
            Ok(replaced) => blank(replaced),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Destroys one of the keys, if its file exists.
    pub(crate) fn destroy(&self, id: KeyId, file: KeyFile) -> io::Result<()> {
        let path = self.path(id, file);
        let file = match OpenOptions::new().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        fs::remove_file(&path)?;
        storage::durable::sync_folder(&self.0)?;
        blank(file)
    }

    fn path(&self, id: KeyId, file: KeyFile) -> PathBuf {
        self.0.join(match file {
            KeyFile::Current => id.to_string(),
            KeyFile::Next => format!("{id}{NEXT}"),
        })
    }
}

impl Keys {
    pub(crate) fn slot(&mut self, file: KeyFile) -> &mut Option<PrivateKey> {
        match file {
            KeyFile::Current => &mut self.current,
            KeyFile::Next => &mut self.next,
        }
    }
}

/// Overwrites a file that has no name any more. Where the disk or the file system keeps old blocks, this is the most
/// that can be done.
fn blank(mut file: File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

fn read(path: &Path) -> io::Result<PrivateKey> {
    let damaged = |why: String| {
        let what =
            format!("{} is not a private key ({why}): restore it, or delete it and activate again", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    let text = fs::read_to_string(path).map_err(|error| damaged(error.to_string()))?;
    let text = text.trim_ascii_end();
    // Files from before machines were recorded hold only the key: such a key is not bound to a machine.
    let first_form = || Written {
        format: FORMAT,
        private_key: text.to_owned(),
        release_signed_at: None,
        machine: Identity::default(),
    };
    let is_first_form = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    // The parser's complete message would show the line, and with it the key.
    let parsed = || toml::from_str(text).map_err(|error: toml::de::Error| damaged(error.message().to_owned()));
    let written = if is_first_form { first_form() } else { parsed()? };
    if written.format > FORMAT {
        return Err(damaged(format!("format {}, of a newer version", written.format)));
    }
    let bytes = HEXLOWER_PERMISSIVE.decode(written.private_key.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    let bytes = bytes.ok_or_else(|| damaged("64 hexadecimal digits are expected".into()))?;
    Ok(PrivateKey {
        key: SigningKey::from_bytes(&bytes),
        machine: written.machine,
        release_signed_at: written.release_signed_at,
    })
}
