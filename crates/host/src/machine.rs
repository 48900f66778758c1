//! What identifies the machine of a node to the publisher.

use activation::id::MachineDigest;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Where Linux keeps the identity that an installation made for itself.
const MACHINE_ID: &str = "/etc/machine-id";

/// A digest of the machine and of the store on it: two nodes on one machine are two hosts.
pub(crate) fn digest(store: Uuid) -> MachineDigest {
    let mut digest = Sha256::new();
    digest.update(b"quorate/host-machine/1");
    // A machine without one (a container, say) is told apart by its store alone.
    digest.update(std::fs::read(MACHINE_ID).unwrap_or_default().trim_ascii());
    digest.update(store.as_bytes());
    let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest.finalize());
    MachineDigest([a, b, c, d, e, f, g, h])
}
