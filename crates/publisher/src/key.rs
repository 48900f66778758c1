//! Host keys issued, listed, blocked, extended, and their activation slots freed (R31).

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
    /// Groups and products are named by the catalog.
    #[error("no catalog was signed yet: sign one first, it names groups and products")]
    NoCatalog,
    /// Not in the catalog.
    #[error("the catalog has no group {group:?}; it has {known}")]
    UnknownGroup {
        /// What was asked for.
        group: String,
        /// The names of all groups.
        known: String,
    },
    /// Not in the catalog.
    #[error("the catalog has no product {product:?}: `quorate publisher catalog show` lists all")]
    UnknownProduct {
        /// What was asked for.
        product: String,
    },
    /// More than a record holds.
    #[error("a key is issued for 1 to {HOSTS_MAX} hosts and up to {REACTIVATIONS_MAX} re-activations of each")]
    Limits,
    /// None at all, or more than a record holds.
    #[error("a direct key is issued for 1 to {} activations", crate::limits::DIRECT_ACTIVATIONS_MAX)]
    DirectLimit,
    /// The operating system has none.
    #[error("no random numbers: {0}")]
    Entropy(#[from] getrandom::Error),
    /// The key was not recorded; it does not exist.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// Why a key was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Never issued here.
    #[error("no key {id} was issued here: list the keys")]
    UnknownKey {
        /// What was asked for.
        id: KeyId,
    },
    /// Not on this key.
    #[error("no machine {machine} has a place on key {id}: show the key")]
    UnknownHost {
        /// The key.
        id: KeyId,
        /// What was asked for.
        machine: MachineDigest,
    },
    /// R31: a key is extended, and not cut.
    #[error(
        "the key is good for {} hosts and {} re-activations of each, and is not cut below that", current.hosts,
        current.reactivations
    )]
    Cut {
        /// What it gives now.
        current: KeyLimits,
    },
    /// More than a record holds.
    #[error("a key can be good for 1 to {HOSTS_MAX} hosts and up to {REACTIVATIONS_MAX} re-activations of each")]
    Limits,
    /// The change was not recorded.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl Publisher {
    /// Issues a host key for a group of the catalog that was signed last. It is on record before it is returned.
    pub async fn issue_key(&self, group: &str, limits: KeyLimits) -> Result<IssuedKey, IssueError> {
        self.issue_key_for(group, limits, RequiredIdentity::Any).await
    }

    /// The same for hosts that are told from others in this way.
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

    /// Refuses every later activation with the key; its certificates stand until a catalog that blocks it is installed,
    /// and every catalog signed from now on does.
    pub async fn block(&self, id: KeyId) -> Result<IssuedKey, ChangeError> {
        self.change_key(id, |key| {
            key.blocked = true;
            Ok(())
        })
        .await
    }

    /// R31, the exception: the key is good for so many hosts, or re-activations of each, from now on. Limits that are
    /// not given stay; none is cut.
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

    /// Frees the place of a host that cannot give it back itself any more (R31).
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
