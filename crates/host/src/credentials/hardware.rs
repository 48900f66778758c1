//! The machine of a node: what it is to the publisher, and what it is made of.

use std::path::{Path, PathBuf};

use activation::id::MachineDigest;
use machine::Identity;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Where Linux keeps the identity that an installation made for itself.
const MACHINE_ID: &str = "etc/machine-id";

/// The machine that a node runs on, as far as its files say.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    root: PathBuf,
}

impl Hardware {
    /// The one whose file system is mounted at `root`.
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// A digest of the machine and of the store on it: two nodes on one machine are two hosts.
    pub(crate) fn digest(&self, store: Uuid) -> MachineDigest {
        let mut digest = Sha256::new();
        digest.update(b"quorate/host-machine/1");
        // A machine without one (a container, say) is told apart by its store alone.
        digest.update(std::fs::read(self.root.join(MACHINE_ID)).unwrap_or_default().trim_ascii());
        digest.update(store.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest.finalize());
        MachineDigest([a, b, c, d, e, f, g, h])
    }

    /// What it is made of, now.
    pub(crate) fn identity(&self) -> Identity {
        Identity::read(&self.root)
    }
}
