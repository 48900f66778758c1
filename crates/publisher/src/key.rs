//! Issues, lists, blocks and extends host keys, and frees their activation slots (R31).

use activation::{
    id::{KeyId, MachineDigest},
    key::{KeyKind, TypedKey},
};

use crate::{
    clock,
    entropy::random,
    issued::{IssuedKey, KeyLimits, RequiredIdentity},
    limits::{HOSTS_MAX, REACTIVATIONS_MAX},
    publisher::Publisher,
    records::{Change, RecordsError},
};

/// Why no key was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// No catalog was signed yet, so groups and products are not defined.
    #[error(
        "no catalog was signed yet, so groups and products are unknown: sign one with `quorate publisher catalog sign`"
    )]
    NoCatalog,
    /// The catalog has no such group.
    #[error("the catalog has no group {group:?}; it has {known}")]
    UnknownGroup {
        /// The requested group.
        group: String,
        /// The names of all groups.
        known: String,
    },
    /// The catalog has no such product.
    #[error("the catalog has no product {product:?}: `quorate publisher catalog show` lists the products")]
    UnknownProduct {
        /// The requested product.
        product: String,
    },
    /// The limits are above what a key can have.
    #[error("cannot issue the key: give 1 to {HOSTS_MAX} hosts and up to {REACTIVATIONS_MAX} reactivations of each")]
    Limits,
    /// The number is 0, or above what a direct key can have.
    #[error("cannot issue the direct key: give 1 to {} activations", crate::limits::DIRECT_ACTIVATIONS_MAX)]
    DirectLimit,
    /// The operating system returned no random numbers.
    #[error("no random numbers: {0}")]
    Entropy(#[from] getrandom::Error),
    /// The key was not recorded, so it does not exist.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// This publisher did not issue the key.
    #[error("this publisher issued no key with the id {id}: list the keys with `quorate publisher key list`")]
    UnknownKey {
        /// The requested id.
        id: KeyId,
    },
    /// The machine has no activation slot of this key.
    #[error("machine {machine} has no activation slot of key {id}: see `quorate publisher key show`")]
    UnknownHost {
        /// The id of the key.
        id: KeyId,
        /// The requested machine.
        machine: MachineDigest,
    },
    /// R31: the limits of a key can be raised and never lowered.
    #[error(
        "the key allows {} hosts and {} reactivations of each: these limits cannot be lowered", current.hosts,
        current.reactivations
    )]
    Cut {
        /// The present limits of the key.
        current: KeyLimits,
    },
    /// The limits are above what a key can have.
    #[error("a key allows 1 to {HOSTS_MAX} hosts and up to {REACTIVATIONS_MAX} reactivations of each")]
    Limits,
    /// The change was not recorded.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl Publisher {
    /// Issues a host key for a group of the last signed catalog. The key is on record before it is returned.
    pub async fn issue_key(&self, group: &str, limits: KeyLimits) -> Result<IssuedKey, IssueError> {
        self.issue_key_for(group, limits, RequiredIdentity::Any).await
    }

    /// Issues a host key as [`Self::issue_key`], for hosts with this kind of identity.
    pub async fn issue_key_for(
        &self,
        group: &str,
        limits: KeyLimits,
        identity: RequiredIdentity,
    ) -> Result<IssuedKey, IssueError> {
        let trust = self.trust();
        let catalog = &trust.catalog.as_ref().ok_or(IssueError::NoCatalog)?.catalog;
        let group = catalog.group_named(group).ok_or_else(|| {
            let known: Vec<_> = catalog.groups().map(|group| group.name.as_str()).collect();
            IssueError::UnknownGroup { group: group.to_owned(), known: known.join(", ") }
        })?;
        if !limits.are_sound() {
            return Err(IssueError::Limits);
        }
        let issued = IssuedKey {
            key: TypedKey::generate(KeyKind::Host, group.code, random()?),
            group: group.name.clone(),
            limits,
            identity,
            issued_ms: clock::now_ms(),
            hosts: Vec::new(),
            former_hosts: Vec::new(),
            blocked: false,
        };
        let turn = self.records.turn().await?;
        let mut change = Change::default();
        change.key(&issued)?;
        self.records.commit(turn, change).await?;
        Ok(issued)
    }

    /// Every issued key, by id.
    pub fn keys(&self) -> Result<Vec<IssuedKey>, RecordsError> {
        self.records.keys()
    }

    /// The key with this id.
    pub fn key(&self, id: KeyId) -> Result<IssuedKey, ChangeError> {
        self.records.key(id)?.ok_or(ChangeError::UnknownKey { id })
    }

    /// Blocks the key: later activations are refused. Its certificates stay valid until a cluster installs a catalog
    /// that blocks the key; every catalog signed from now on does.
    pub async fn block(&self, id: KeyId) -> Result<IssuedKey, ChangeError> {
        self.change_key(id, |key| {
            key.blocked = true;
            Ok(())
        })
        .await
    }

    /// R31, the exception: raises the number of hosts, or of reactivations of each host. A limit that is `None`
    /// stays as it is; no limit can be lowered.
    pub async fn extend(
        &self,
        id: KeyId,
        hosts: Option<u32>,
        reactivations: Option<u32>,
    ) -> Result<IssuedKey, ChangeError> {
        self.change_key(id, |key| {
            let current = key.limits;
            let limits = KeyLimits {
                hosts: hosts.unwrap_or(current.hosts),
                reactivations: reactivations.unwrap_or(current.reactivations),
            };
            if limits.hosts < current.hosts || limits.reactivations < current.reactivations {
                return Err(ChangeError::Cut { current });
            }
            if !limits.are_sound() {
                return Err(ChangeError::Limits);
            }
            key.limits = limits;
            Ok(())
        })
        .await
    }

    /// Frees the activation slot of a host that can no longer give it back itself (R31).
    pub async fn free(&self, id: KeyId, machine: MachineDigest) -> Result<IssuedKey, ChangeError> {
        self.change_key(id, |key| {
            let place = key.hosts.iter().position(|host| host.machine == machine);
            key.vacate(place.ok_or(ChangeError::UnknownHost { id, machine })?);
            Ok(())
        })
        .await
    }

    async fn change_key(
        &self,
        id: KeyId,
        decide: impl FnOnce(&mut IssuedKey) -> Result<(), ChangeError>,
    ) -> Result<IssuedKey, ChangeError> {
        let turn = self.records.turn().await?;
        let mut key = self.key(id)?;
        decide(&mut key)?;
        let mut change = Change::default();
        change.key(&key)?;
        self.records.commit(turn, change).await?;
        Ok(key)
    }
}
