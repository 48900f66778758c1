//! Join tokens: with one, a caller without a certificate enrols.

use std::{fmt, str::FromStr};

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{authority::random, error::TransportError};

const PREFIX: &str = "quorate-join-1";

/// A token, valid once and for a limited time. It holds a secret, of which the cluster keeps the digest, and the
/// fingerprint by which the token's bearer verifies the cluster. Written `quorate-join-1.SECRET.FINGERPRINT`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    secret: Zeroizing<[u8; 16]>,
    authority: [u8; 32],
}

/// The text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a join token: give the one that `quorate cluster token` printed, quorate-join-1.…")]
pub struct MalformedToken;

impl Token {
    /// A new token for the cluster whose authority has this fingerprint.
    pub fn create(authority: [u8; 32]) -> Result<Self, TransportError> {
        Ok(Self { secret: Zeroizing::new(random()?), authority })
    }

    /// A token with a secret that was generated elsewhere.
    pub fn with_secret(secret: [u8; 16], authority: [u8; 32]) -> Self {
        Self { secret: Zeroizing::new(secret), authority }
    }

    /// The secret that the bearer presents.
    pub fn secret(&self) -> &[u8; 16] {
        &self.secret
    }

    /// SHA-256 of the secret, which the cluster keeps.
    pub fn digest(&self) -> [u8; 32] {
        Self::digest_of(self.secret())
    }

    /// SHA-256 of a secret that was presented.
    pub fn digest_of(secret: &[u8]) -> [u8; 32] {
        Sha256::digest(secret).into()
    }

    /// SHA-256 of the certificate of the cluster's authority.
    pub fn authority(&self) -> [u8; 32] {
        self.authority
    }

    /// The token's text, which is given to its bearer.
    pub fn text(&self) -> Zeroizing<String> {
        let (secret, authority) = (BASE64URL_NOPAD.encode(self.secret()), BASE64URL_NOPAD.encode(&self.authority));
        Zeroizing::new(format!("{PREFIX}.{secret}.{authority}"))
    }
}

impl FromStr for Token {
    type Err = MalformedToken;

    fn from_str(text: &str) -> Result<Self, MalformedToken> {
        let mut parts = text.trim().split('.');
        let (Some(PREFIX), Some(secret), Some(authority), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(MalformedToken);
        };
        let bytes = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| MalformedToken);
        let secret = bytes(secret)?.try_into().map_err(|_| MalformedToken)?;
        let authority = bytes(authority)?.try_into().map_err(|_| MalformedToken)?;
        Ok(Self { secret: Zeroizing::new(secret), authority })
    }
}

/// Never shows the secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
