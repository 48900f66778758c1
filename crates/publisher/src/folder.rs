//! The publisher's folder: made once, opened by one process at a time.
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

/// Why no publisher was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something in it, perhaps a publisher.
    #[error("{} is not empty: a publisher is made once, in a folder of its own", folder.display())]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
    },
    /// Not a name.
    #[error("the publisher's name is not 1 to {TITLE_BYTES_MAX} bytes of text in one line")]
    Name,
    /// The operating system said no.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// What was to be written.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The keys just made do not verify.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The records could not be made.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Why a folder was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a publisher's.
    #[error("{} holds no publisher: make one with `quorate publisher init --dir {}`", folder.display(), folder.display())]
    NoPublisher {
        /// The folder.
        folder: PathBuf,
    },
    /// Without them, places that were given would be given again.
    #[error("the records are missing in {}: restore them from a backup", folder.display())]
    NoRecords {
        /// Where they should be.
        folder: PathBuf,
    },
    /// The operating system said no.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The trust file is damaged.
    #[error("{}: {source}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TrustError,
    },
    /// The file with the publisher's name is damaged.
    #[error("{}: {problem}", path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The records could not be opened.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// What `publisher` must say in every catalog that is signed here.
    name: String,
}

impl Publisher {
    /// Makes the keys, the trust file and empty records of a new publisher in `folder`, which is missing or empty and
    /// which nobody but its owner can enter afterwards. A `name` binds its catalogs: see [`Self::sign_catalog`].
    /// With a `passphrase` the private keys are encrypted.
    pub fn init(folder: &Path, name: Option<&str>, passphrase: Option<Passphrase>) -> Result<Self, InitError> {
        init(folder, name, passphrase)
    }

    /// Opens the folder of [`Self::init`].
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

/// A folder that only its owner can enter, made here or found empty.
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

/// The trust file of a folder, which need not have anything else.
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

/// The first bytes of a file; none where there is no such file.
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
