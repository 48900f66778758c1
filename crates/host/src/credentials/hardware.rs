//! The machine of a node: the digest that the publisher sees, and the factors that identify it.

use std::{
    io,
    path::{Path, PathBuf},
};

use activation::{host_activation::IdentityKind, id::MachineDigest};
use machine::{Choice, Identity};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Where Linux keeps the id that an installation generated for itself.
const MACHINE_ID: &str = "etc/machine-id";

/// The machine that a node runs on, as described by its system files.
#[derive(Clone, Debug)]
pub(crate) struct Hardware {
    root: PathBuf,
    choice: Choice,
}

impl Hardware {
    /// The machine whose file system is mounted at `root`, and the choice of factors to which new keys are bound.
    pub(crate) fn at(root: &Path, choice: Choice) -> Self {
        Self { root: root.to_owned(), choice }
    }

    /// A digest of the machine and of the store on it. Two nodes on one machine are two hosts.
    pub(crate) fn digest(&self, store: Uuid) -> MachineDigest {
        let mut digest = Sha256::new();
        digest.update(b"quorate/host-machine/1");
        // A machine without an id, and one that is identified by its data folder, are distinguished by their stores
        // alone.
        let id = if self.choice == Choice::File { None } else { std::fs::read(self.root.join(MACHINE_ID)).ok() };
        digest.update(id.unwrap_or_default().trim_ascii());
        digest.update(store.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(digest.finalize());
        MachineDigest([a, b, c, d, e, f, g, h])
    }

    /// The factors of the machine as they are now.
    pub(crate) fn identity(&self) -> Identity {
        Identity::of_host(&self.root)
    }

    /// The factors to which a key is bound that is made now.
    ///
    /// # Errors
    /// The machine has none of the chosen factors.
    pub(crate) fn recorded(&self, now: &Identity) -> io::Result<Identity> {
        let recorded = now.restricted_to(&self.choice);
        let is_bound = recorded.is_of_machine() || self.choice == Choice::File;
        is_bound.then_some(recorded).ok_or_else(|| {
            io::Error::other(
                "none of the factors that `identity` in the configuration names can be read on this machine: name \
                 other factors, or `file`, with which a copied data folder is a copied host",
            )
        })
    }
}

/// The kind of identity to which a key with these recorded factors is bound.
pub(crate) fn kind_of(recorded: &Identity) -> IdentityKind {
    match (recorded.is_of_machine(), recorded.is_chosen()) {
        (false, _) => IdentityKind::File,
        (true, true) => IdentityKind::Factors,
        (true, false) => IdentityKind::Machine,
    }
}
