//! Encryption of a private key with a password (PKCS #8, PBES2 with scrypt and AES-256).

use std::{
    io::{self, IsTerminal},
    sync::OnceLock,
};

use anyhow::{Context, anyhow};
use pkcs8::{
    EncryptedPrivateKeyInfoOwned, EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument,
    der::{asn1::OctetString, pem::PemLabel},
    pkcs5::{pbes2, scrypt},
};
use zeroize::Zeroizing;

/// Environment variable with the password; where it is set, the terminal is not used.
const VARIABLE: &str = "QUORATE_CONTEXT_PASSWORD";

/// Password for a new key: from the command line or the variable, or typed twice at the terminal.
pub(crate) fn new_password() -> anyhow::Result<Zeroizing<String>> {
    if let Some(given) = given() {
        return Ok(given);
    }
    let first = typed("Password for the private key: ")?;
    if first.is_empty() || typed("Repeat the password: ")? != first {
        return Err(anyhow!("the two passwords differ or are empty: nothing was changed"));
    }
    Ok(first)
}

/// Encrypts the key with a password; the result is in PEM.
pub(crate) fn encrypt(plain_pem: &str, password: &str) -> anyhow::Result<Zeroizing<String>> {
    let failed = |error: pkcs8::Error| anyhow!("cannot encrypt the private key: {error}");
    let (_, plain) = SecretDocument::from_pem(plain_pem).map_err(|error| failed(error.into()))?;
    let mut random = [[0; 16]; 2];
    random.iter_mut().try_for_each(|bytes| getrandom::fill(bytes)).context("no randomness")?;
    let [salt, iv] = random;
    let cost = scrypt::Params::new(15, 8, 1).context("scrypt has such parameters")?;
    let parameters =
        pbes2::Parameters::generate_scrypt_aes256cbc(cost, &salt, iv).context("the key is not encrypted")?;
    let encrypted = parameters.encrypt(password.as_bytes(), plain.as_bytes()).context("the key is not encrypted")?;
    let whole = EncryptedPrivateKeyInfoOwned {
        encryption_algorithm: parameters.into(),
        encrypted_data: OctetString::new(encrypted).context("the key is not encrypted")?,
    };
    let document = SecretDocument::try_from(whole).context("the key is not encrypted")?;
    document.to_pem(EncryptedPrivateKeyInfoOwned::PEM_LABEL, LineEnding::LF).context("the key is not encrypted")
}

/// The decrypted key in PEM; the password comes from the command line, the variable or the terminal.
pub(crate) fn decrypt(pem: &[u8], whose: &str) -> anyhow::Result<Zeroizing<String>> {
    let text = std::str::from_utf8(pem).context("cannot decrypt the private key: it is not in PEM format")?;
    let (_, document) = SecretDocument::from_pem(text)
        .map_err(|error| anyhow!("cannot decrypt the private key: it is not in PEM format: {error}"))?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes());
    let encrypted = encrypted.map_err(|error| anyhow!("cannot decrypt the private key: it is malformed: {error}"))?;
    let password = match given() {
        Some(given) => given,
        None => typed(&format!("Password of {whose}: "))?,
    };
    let plain = encrypted.decrypt(password.as_bytes());
    let plain = plain.map_err(|_| anyhow!("wrong password for {whose}"))?;
    plain.to_pem(PrivateKeyInfoRef::PEM_LABEL, LineEnding::LF).context("the key is malformed")
}

/// Password from the command line; it takes precedence over the variable and the terminal.
static ON_COMMAND_LINE: OnceLock<Zeroizing<String>> = OnceLock::new();

/// Sets the password from the command line for the rest of this process.
pub(crate) fn take(password: &str) {
    ON_COMMAND_LINE.get_or_init(|| Zeroizing::new(password.to_owned()));
}

fn given() -> Option<Zeroizing<String>> {
    if let Some(given) = ON_COMMAND_LINE.get() {
        return Some(given.clone());
    }
    std::env::var(VARIABLE).ok().filter(|given| !given.is_empty()).map(Zeroizing::new)
}

fn typed(question: &str) -> anyhow::Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        return Err(anyhow!(
            "the private key is encrypted and stdin is not a terminal: set {VARIABLE} to its password"
        ));
    }
    rpassword::prompt_password(question).map(Zeroizing::new).context("cannot read the password from the terminal")
}
