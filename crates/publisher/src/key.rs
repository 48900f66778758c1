//! Host keys as they were issued, and the hosts that hold their places (R31).

use activation::{
    catalog::Name,
    id::{MachineDigest, NodeId},
    key::{KeyKind, TypedKey},
};

use crate::{
    Publisher, Reason, RecordsError, clock,
    entropy::random,
    limits::{HOSTS_DEFAULT, HOSTS_MAX, REACTIVATIONS_DEFAULT, REACTIVATIONS_MAX},
};

/// How much a key gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Hosts at once: 1 to [`HOSTS_MAX`].
    pub hosts: u32,
    /// More activations of each of them: up to [`REACTIVATIONS_MAX`].
    pub reactivations: u32,
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self { hosts: HOSTS_DEFAULT, reactivations: REACTIVATIONS_DEFAULT }
    }
}

/// A host key on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedKey {
    /// Its id is [`TypedKey::key_id`].
    pub key: TypedKey,
    /// The group whose products, and those below, it covers.
    pub group: Name,
    /// What it gives.
    pub limits: KeyLimits,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// In the order of their first activation.
    pub hosts: Vec<Host>,
}

/// One place of a key, taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// What the latest activation gave as the machine's identity.
    pub machine: MachineDigest,
    /// The node's number in its cluster at that time.
    pub node: NodeId,
    /// The public key that was certified then.
    pub node_key: [u8; 32],
    /// Activations after the first.
    pub reactivations: u32,
    /// The latest activation, in milliseconds since the Unix epoch.
    pub activated_ms: u64,
}

/// Why no key was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Groups are named by the catalog.
    #[error("no catalog was signed yet: sign one first, it names the groups")]
    NoCatalog,
    /// Not in the catalog.
    #[error("the catalog has no group {group:?}; it has {known}")]
    UnknownGroup {
        /// What was asked for.
        group: String,
        /// The names of all groups.
        known: String,
    },
    /// More than a record holds.
    #[error("a key is issued for 1 to {HOSTS_MAX} hosts and up to {REACTIVATIONS_MAX} re-activations of each")]
    Limits,
    /// The operating system has none.
    #[error("no random numbers: {0}")]
    Entropy(#[from] getrandom::Error),
    /// The key was not recorded; it does not exist.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl Publisher {
    /// Issues a host key for a group of the catalog that was signed last. It is on record before it is returned.
    pub async fn issue_key(&self, group: &str, limits: KeyLimits) -> Result<IssuedKey, IssueError> {
        let trust = self.trust();
        let catalog = &trust.catalog.as_ref().ok_or(IssueError::NoCatalog)?.catalog;
        let group = catalog.group_named(group).ok_or_else(|| {
            let known: Vec<_> = catalog.groups().map(|group| group.name.as_str()).collect();
            IssueError::UnknownGroup { group: group.to_owned(), known: known.join(", ") }
        })?;
        if !(1..=HOSTS_MAX).contains(&limits.hosts) || limits.reactivations > REACTIVATIONS_MAX {
            return Err(IssueError::Limits);
        }
        let key = TypedKey::generate(KeyKind::Host, group.code, random()?);
        let issued =
            IssuedKey { key, group: group.name.clone(), limits, issued_ms: clock::now_ms(), hosts: Vec::new() };
        let turn = self.records.turn().await?;
        self.records.commit(turn, [&issued], []).await?;
        Ok(issued)
    }

    /// Every issued key, by id.
    pub fn keys(&self) -> Result<Vec<IssuedKey>, RecordsError> {
        self.records.keys()
    }
}

impl IssuedKey {
    /// Gives `host` a place, or activates it again on the one that it has.
    ///
    /// A host is known by its node key, or else by its machine: new hardware under the same node key, and a new node
    /// key on the same machine, are both the same host again.
    pub(crate) fn admit(&mut self, host: Host) -> Result<(), Reason> {
        let place = self.hosts.iter().position(|known| known.node_key == host.node_key);
        let place = place.or_else(|| self.hosts.iter().position(|known| known.machine == host.machine));
        let taken = self.hosts.len();
        match place.and_then(|place| self.hosts.get_mut(place)) {
            Some(known) if known.reactivations >= self.limits.reactivations => {
                Err(Reason::ReactivationsUsedUp { limit: self.limits.reactivations })
            }
            Some(known) => {
                *known = Host { reactivations: known.reactivations + 1, ..host };
                Ok(())
            }
            None if taken >= self.limits.hosts as usize => Err(Reason::HostsUsedUp { limit: self.limits.hosts }),
            None => {
                self.hosts.push(host);
                Ok(())
            }
        }
    }
}
