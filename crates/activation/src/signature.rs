//! Ed25519 and SHA-256 as this crate uses them: every signed or hashed text begins with its purpose, so bytes that
//! were signed for one purpose never verify for another.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

/// SHA-256 over a purpose and the parts that follow it.
pub(crate) fn hash(purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new_with_prefix(purpose.as_bytes());
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// The first `N` bytes of [`hash`]; `N` is at most 32.
pub(crate) fn short_hash<const N: usize>(purpose: &str, parts: &[&[u8]]) -> [u8; N] {
    const { assert!(N <= 32) };
    let whole = hash(purpose, parts);
    let mut short = [0; N];
    short.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    short
}

fn with_purpose(purpose: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut text = purpose.as_bytes().to_vec();
    for part in parts {
        text.extend_from_slice(part);
    }
    text
}

pub(crate) fn sign(key: &SigningKey, purpose: &str, parts: &[&[u8]]) -> [u8; 64] {
    key.sign(&with_purpose(purpose, parts)).to_bytes()
}

/// Strict verification: refuses malleable signatures and weak keys.
#[must_use]
pub(crate) fn verifies(key: &VerifyingKey, purpose: &str, parts: &[&[u8]], signature: &[u8; 64]) -> bool {
    key.verify_strict(&with_purpose(purpose, parts), &Signature::from_bytes(signature)).is_ok()
}

/// A public key that is a point on the curve and is not weak; for a weak key an attacker can produce valid
/// signatures.
pub(crate) fn public_key(bytes: &[u8]) -> Option<VerifyingKey> {
    let bytes: &[u8; 32] = bytes.try_into().ok()?;
    VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())
}
