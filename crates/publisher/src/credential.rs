//! Private keys in files: one key each, readable by their owner alone from the moment they exist.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use activation::{SigningKey, VerifyingKey, trust::Trust};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{entropy::random, limits::SMALL_FILE_BYTES_MAX};

pub(crate) const ROOT: &str = "root.key";
pub(crate) const ACTIVATION: [&str; 2] = ["activation-1.key", "activation-2.key"];

/// Why a private key is not there to sign with.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// It is kept elsewhere.
    #[error("{} is not here: bring it from where it is kept, for as long as it is needed", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The operating system said no.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// Not as it was written.
    #[error("{} is not a private key as `publisher init` writes it: restore it from a backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another publisher, or to another purpose.
    #[error("{} does not belong to the public keys in the trust file beside it", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    secret: Zeroizing<String>,
}

/// Makes a private key and writes it to a file that did not exist. `purpose` explains the file to people.
pub(crate) fn create(path: &Path, purpose: &str) -> io::Result<SigningKey> {
    let secret = Zeroizing::new(random::<32>().map_err(io::Error::other)?);
    let hex = Zeroizing::new(HEXLOWER.encode(&*secret));
    let text = Zeroizing::new(format!("# {purpose}\nsecret = \"{}\"\n", *hex));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(SigningKey::from_bytes(&secret))
}

/// The root key, which signs catalogs.
pub(crate) fn root(folder: &Path, trust: &Trust) -> Result<SigningKey, CredentialError> {
    read(&folder.join(ROOT), &trust.root)
}

/// An activation key, whichever is here.
pub(crate) fn activation(folder: &Path, trust: &Trust) -> Result<SigningKey, CredentialError> {
    let [first, second] = ACTIVATION.map(|name| folder.join(name));
    let [first_public, second_public] = &trust.activation_keys;
    match read(&first, first_public) {
        Err(missing @ CredentialError::Missing { .. }) => match read(&second, second_public) {
            Err(CredentialError::Missing { .. }) => Err(missing),
            other => other,
        },
        other => other,
    }
}

fn read(path: &Path, public: &VerifyingKey) -> Result<SigningKey, CredentialError> {
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => CredentialError::Missing { path: path.to_owned() },
        _ => CredentialError::Io { path: path.to_owned(), source },
    })?;
    let mut text = Zeroizing::new(String::new());
    file.take(SMALL_FILE_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(|source| CredentialError::Io { path: path.to_owned(), source })?;
    let malformed = || CredentialError::Malformed { path: path.to_owned() };
    // The parser's error would quote the file.
    let source: Source = toml::from_str(&text).map_err(|_| malformed())?;
    let secret = HEXLOWER_PERMISSIVE.decode(source.secret.as_bytes()).map(Zeroizing::new).map_err(|_| malformed())?;
    let key = SigningKey::from_bytes(secret.as_slice().try_into().map_err(|_| malformed())?);
    if key.verifying_key() == *public { Ok(key) } else { Err(CredentialError::Foreign { path: path.to_owned() }) }
}
