//! Private keys in files: one key each, in PKCS#8 and PEM, readable only by the owner from the moment the file
//! exists.
//!
//! With a passphrase a key is encrypted (PBES2: scrypt and AES-256-CBC) so that other programs can read it, too:
//! `openssl pkey -in root.key`. All keys of a folder are encrypted with the same passphrase.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
};

use activation::{SigningKey, VerifyingKey, trust::Trust};
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use pkcs8::{
    EncryptedPrivateKeyInfoOwned, LineEnding, PrivateKeyInfoRef, SecretDocument,
    der::{asn1::OctetString, pem::PemLabel},
    pkcs5::{pbes2, scrypt},
};
use zeroize::Zeroizing;

use crate::{
    entropy::random,
    limits::{PASSPHRASE_BYTES_MAX, SCRYPT_LANES, SCRYPT_LOG_ROUNDS, SMALL_FILE_BYTES_MAX},
};

pub(crate) const ROOT: &str = "root.key";
pub(crate) const ACTIVATION: [&str; 2] = ["activation-1.key", "activation-2.key"];

/// The passphrase that encrypts a publisher's private keys. Wiped from memory when dropped, and never written to
/// logs.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// The text is not a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passphrase is not one line of 1 to {PASSPHRASE_BYTES_MAX} bytes of text")]
pub struct NotAPassphrase;

impl Passphrase {
    /// Takes a text of one line unchanged, with blanks at its ends.
    pub fn new(text: impl Into<Zeroizing<String>>) -> Result<Self, NotAPassphrase> {
        let text = text.into();
        let is_one = (1..=PASSPHRASE_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
        if is_one { Ok(Self(text)) } else { Err(NotAPassphrase) }
    }
}

impl Passphrase {
    pub(crate) fn text(&self) -> &Zeroizing<String> {
        &self.0
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// Why a private key is not available for signing.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file does not exist: the key is kept elsewhere.
    #[error("{} is missing: copy it here from its offline storage, and remove it after use", path.display())]
    Missing {
        /// The path of the key file.
        path: PathBuf,
    },
    /// The operating system failed to read the key file.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The path of the key file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The key is encrypted, and no passphrase was given.
    #[error("cannot decrypt {}: no passphrase was given", path.display())]
    NoPassphrase {
        /// The path of the key file.
        path: PathBuf,
    },
    /// The key was encrypted with another passphrase.
    #[error(
        "cannot decrypt {}: wrong passphrase; give the passphrase that was given to `publisher init`",
        path.display()
    )]
    WrongPassphrase {
        /// The path of the key file.
        path: PathBuf,
    },
    /// The file is not a private key in the expected encoding.
    #[error("{} is not a private key as `publisher init` writes it: restore it from a backup", path.display())]
    Malformed {
        /// The path of the key file.
        path: PathBuf,
    },
    /// The key is of another publisher or for another purpose.
    #[error("{} does not match the public keys in the trust file of the same folder", path.display())]
    Foreign {
        /// The path of the key file.
        path: PathBuf,
    },
}

/// Generates a private key and writes it to a new file.
pub(crate) fn create(path: &Path, passphrase: Option<&Passphrase>) -> io::Result<SigningKey> {
    let secret = Zeroizing::new(random::<32>().map_err(io::Error::other)?);
    let key = SigningKey::from_bytes(&secret);
    let text = write_pem(&key, passphrase)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    Ok(key)
}

fn write_pem(key: &SigningKey, passphrase: Option<&Passphrase>) -> io::Result<Zeroizing<String>> {
    // Without the public key, which older versions of openssl do not accept at this position.
    let plain = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    let plain = plain.to_pkcs8_der().map_err(io::Error::other)?;
    let Some(Passphrase(passphrase)) = passphrase else {
        return plain.to_pem(PrivateKeyInfoRef::PEM_LABEL, LineEnding::LF).map_err(io::Error::other);
    };
    let [salt, iv] = [(); 2].map(|()| random::<16>());
    let (salt, iv) = (salt.map_err(io::Error::other)?, iv.map_err(io::Error::other)?);
    let cost = scrypt::Params::new(SCRYPT_LOG_ROUNDS, 8, SCRYPT_LANES).map_err(io::Error::other)?;
    let parameters = pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).map_err(io::Error::other)?;
    let encrypted = parameters.encrypt(passphrase.as_bytes(), plain.as_bytes()).map_err(io::Error::other)?;
    let whole = EncryptedPrivateKeyInfoOwned {
        encryption_algorithm: parameters.into(),
        encrypted_data: OctetString::new(encrypted).map_err(io::Error::other)?,
    };
    let document = SecretDocument::try_from(whole).map_err(io::Error::other)?;
    document.to_pem(EncryptedPrivateKeyInfoOwned::PEM_LABEL, LineEnding::LF).map_err(io::Error::other)
}

/// The private keys of a folder. Each is read when it is first needed for a signature.
pub(crate) struct Credentials {
    folder: PathBuf,
    passphrase: Mutex<Option<Passphrase>>,
    /// Kept in memory, because a service signs with it all the time. The root key is not kept.
    activation: OnceLock<SigningKey>,
}

impl Credentials {
    pub(crate) fn new(folder: &Path, passphrase: Option<Passphrase>) -> Self {
        Self { folder: folder.to_owned(), passphrase: Mutex::new(passphrase), activation: OnceLock::new() }
    }

    /// Sets the passphrase that decrypts keys from now on.
    pub(crate) fn set_passphrase(&self, passphrase: Passphrase) {
        *self.passphrase.lock().unwrap_or_else(PoisonError::into_inner) = Some(passphrase);
    }

    /// Removes the passphrase from memory, once every key that is needed was read.
    pub(crate) fn forget_passphrase(&self) {
        *self.passphrase.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn passphrase(&self) -> Option<Passphrase> {
        self.passphrase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The root key, which signs catalogs.
    pub(crate) fn root(&self, trust: &Trust, given: Option<&Passphrase>) -> Result<SigningKey, CredentialError> {
        let set = self.passphrase();
        read(&self.folder.join(ROOT), &trust.root, given.or(set.as_ref()))
    }

    /// The first activation key that is available.
    pub(crate) fn activation(&self, trust: &Trust) -> Result<&SigningKey, CredentialError> {
        self.activation_with(trust, self.passphrase().as_ref())
    }

    /// The first activation key that is available, decrypted with `passphrase` instead of the passphrase that was
    /// set.
    pub(crate) fn activation_with(
        &self,
        trust: &Trust,
        passphrase: Option<&Passphrase>,
    ) -> Result<&SigningKey, CredentialError> {
        if let Some(key) = self.activation.get() {
            return Ok(key);
        }
        let [first, second] = ACTIVATION.map(|name| self.folder.join(name));
        let [first_public, second_public] = &trust.activation_keys;
        let key = match read(&first, first_public, passphrase) {
            Err(missing @ CredentialError::Missing { .. }) => match read(&second, second_public, passphrase) {
                Err(CredentialError::Missing { .. }) => Err(missing),
                other => other,
            },
            other => other,
        }?;
        Ok(self.activation.get_or_init(|| key))
    }
}

/// Whether the first of these files that exists needs a passphrase.
pub(crate) fn needs_passphrase(folder: &Path, names: &[&str]) -> Result<bool, CredentialError> {
    for name in names {
        match read_text(&folder.join(name)) {
            Ok(text) => return Ok(is_encrypted(&text)),
            Err(CredentialError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn is_encrypted(text: &str) -> bool {
    text.lines().next().is_some_and(|line| line.contains(EncryptedPrivateKeyInfoOwned::PEM_LABEL))
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, CredentialError> {
    let io_error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CredentialError::Missing { path: path.to_owned() },
        _ => CredentialError::Io { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(io_error)?;
    let mut text = Zeroizing::new(String::new());
    file.take(SMALL_FILE_BYTES_MAX).read_to_string(&mut text).map_err(io_error)?;
    Ok(text)
}

fn read(path: &Path, public: &VerifyingKey, passphrase: Option<&Passphrase>) -> Result<SigningKey, CredentialError> {
    let text = read_text(path)?;
    let path = || path.to_owned();
    let key = if is_encrypted(&text) {
        let Passphrase(passphrase) = passphrase.ok_or_else(|| CredentialError::NoPassphrase { path: path() })?;
        let (_, document) = SecretDocument::from_pem(&text).map_err(|_| CredentialError::Malformed { path: path() })?;
        let encrypted = pkcs8::EncryptedPrivateKeyInfoRef::try_from(document.as_bytes());
        let encrypted = encrypted.map_err(|_| CredentialError::Malformed { path: path() })?;
        let plain = encrypted.decrypt(passphrase.as_bytes());
        let plain = plain.map_err(|_| CredentialError::WrongPassphrase { path: path() })?;
        // Once in a few hundred times a wrong passphrase yields valid padding; the result is then not a key.
        SigningKey::from_pkcs8_der(plain.as_bytes()).map_err(|_| CredentialError::WrongPassphrase { path: path() })?
    } else {
        SigningKey::from_pkcs8_pem(&text).map_err(|_| CredentialError::Malformed { path: path() })?
    };
    if key.verifying_key() == *public { Ok(key) } else { Err(CredentialError::Foreign { path: path() }) }
}
