//! The publisher's folder: created once, and opened by one process at a time.
//!
//! `trust.toml` is written last: a folder that has it is complete.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

use activation::{
    limits::{TITLE_BYTES_MAX, TRUST_TEXT_BYTES_MAX},
    trust::{Trust, TrustError},
};
use serde::{Deserialize, Serialize};
use storage::{durable, durable::replace_file};

use crate::{
    credential::{self, Credentials, Passphrase},
    limits::SMALL_FILE_BYTES_MAX,
    publisher::Publisher,
    records::{Records, RecordsError},
};

const SETTINGS_FILE: &str = "publisher.toml";
pub(crate) const RECORDS: &str = "records";

/// Why no publisher was created.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder is not empty; it may hold a publisher.
    #[error("cannot create a publisher in {}: the folder is not empty", folder.display())]
    NotEmpty {
        /// The path of the folder.
        folder: PathBuf,
    },
    /// The text is not a valid name.
    #[error("the publisher's name is not 1 to {TITLE_BYTES_MAX} bytes of text in one line")]
    Name,
    /// The operating system refused a write.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The path that was to be written.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The new keys do not verify.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The records could not be created.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Why a folder was not opened. The folder is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder is not a publisher's folder.
    #[error(
        "{} is not a publisher's folder: create a publisher with `quorate publisher init --dir {}`",
        folder.display(), folder.display()
    )]
    NoPublisher {
        /// The path of the folder.
        folder: PathBuf,
    },
    /// The records are missing. Without them the publisher would grant activation slots again that are in use.
    #[error("the records are missing in {}: restore them from a backup", folder.display())]
    NoRecords {
        /// The path where the records should be.
        folder: PathBuf,
    },
    /// The operating system refused a read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The path that was to be read.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The trust file is damaged.
    #[error("{}: {source}", path.display())]
    Trust {
        /// The path of the trust file.
        path: PathBuf,
        /// The flaw in the trust file.
        source: TrustError,
    },
    /// The file with the publisher's name is damaged.
    #[error("{}: {problem}", path.display())]
    Settings {
        /// The path of the file with the publisher's name.
        path: PathBuf,
        /// The flaw in that file.
        problem: String,
    },
    /// The records could not be opened.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The name that every catalog signed here must have in `publisher`.
    name: String,
}

impl Publisher {
    /// Creates the keys, the trust file and empty records of a new publisher in `folder`, which must be missing or
    /// empty; afterwards only its owner can enter it. A `name` binds the catalogs: see [`Self::sign_catalog`]. With
    /// a `passphrase` the private keys are encrypted.
    pub fn init(folder: &Path, name: Option<&str>, passphrase: Option<Passphrase>) -> Result<Self, InitError> {
        init(folder, name, passphrase)
    }

    /// Opens a folder that [`Self::init`] created.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        open(folder)
    }
}

fn init(folder: &Path, name: Option<&str>, passphrase: Option<Passphrase>) -> Result<Publisher, InitError> {
    let is_name = |name: &str| (1..=TITLE_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if name.is_some_and(|name| !is_name(name)) {
        return Err(InitError::Name);
    }
    create_private(folder)?;
    let create = |name: &str| {
        let path = folder.join(name);
        credential::create(&path, passphrase.as_ref()).map_err(|source| InitError::Io { path, source })
    };
    let root = create(credential::ROOT)?;
    let [first, second] = credential::ACTIVATION;
    let (first, second) = (create(first)?, create(second)?);
    let records = Records::create(&folder.join(RECORDS))?;
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        replace_file(&path, text.as_bytes()).map_err(|source| InitError::Io { path, source })
    };
    if let Some(name) = name {
        let settings = Settings { name: name.to_owned() };
        let text = toml::to_string(&settings).map_err(|_| InitError::Name)?;
        write(SETTINGS_FILE, format!("# Only catalogs with this name as their `publisher` are signed here.\n{text}"))?;
    }
    let trust = Trust::issue(&root, [first.verifying_key(), second.verifying_key()], None)?;
    write(Publisher::TRUST_FILE, trust.to_toml())?;
    let credentials = Credentials::new(folder, passphrase);
    Ok(Publisher::new(folder, name.map(str::to_owned), trust, credentials, records))
}

/// Creates a folder that only its owner can enter, or restricts an empty one.
fn create_private(folder: &Path) -> Result<(), InitError> {
    let io_error = |source| InitError::Io { path: folder.to_owned(), source };
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.map_or(Ok(()), durable::create_folder).map_err(io_error)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::read_dir(folder).map_err(io_error)?.next().is_some() {
                return Err(InitError::NotEmpty { folder: folder.to_owned() });
            }
            fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(io_error)
        }
        other => other.and_then(|()| durable::create_folder(folder)).map_err(io_error),
    }
}

/// Reads the trust file of a folder; other files need not exist.
pub(crate) fn read_trust(folder: &Path) -> Result<Trust, OpenError> {
    let path = folder.join(Publisher::TRUST_FILE);
    let text = read(&path, TRUST_TEXT_BYTES_MAX as u64 + 1)?;
    let text = text.ok_or_else(|| OpenError::NoPublisher { folder: folder.to_owned() })?;
    Trust::from_toml(&text).map_err(|source| OpenError::Trust { path, source })
}

fn open(folder: &Path) -> Result<Publisher, OpenError> {
    let trust = read_trust(folder)?;
    let name = read_name(&folder.join(SETTINGS_FILE))?;
    let records = folder.join(RECORDS);
    if !records.join("identity").is_file() {
        return Err(OpenError::NoRecords { folder: records });
    }
    let records = Records::open(&records)?;
    Ok(Publisher::new(folder, name, trust, Credentials::new(folder, None), records))
}

fn read_name(path: &Path) -> Result<Option<String>, OpenError> {
    let Some(text) = read(path, SMALL_FILE_BYTES_MAX)? else { return Ok(None) };
    let settings: Settings = toml::from_str(&text)
        .map_err(|error| OpenError::Settings { path: path.to_owned(), problem: error.message().to_owned() })?;
    Ok(Some(settings.name))
}

/// The first `bytes_max` bytes of a file; `None` where the file does not exist.
fn read(path: &Path, bytes_max: u64) -> Result<Option<String>, OpenError> {
    let io_error = |source| OpenError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(io_error)?,
    };
    let mut text = String::new();
    file.take(bytes_max).read_to_string(&mut text).map_err(io_error)?;
    Ok(Some(text))
}
