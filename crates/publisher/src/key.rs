//! Host keys as they were issued, and the hosts that hold their places (R31).

use activation::{
    catalog::Name,
    id::{KeyId, MachineDigest, NodeId},
    key::{KeyKind, TypedKey},
};

use crate::{
    Publisher, Reason, RecordsError, clock,
    entropy::random,
    limits::{FORMER_HOSTS_MAX, HOSTS_DEFAULT, HOSTS_MAX, REACTIVATIONS_DEFAULT, REACTIVATIONS_MAX},
    records::Change,
};

/// How much a key gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Hosts at once: 1 to [`HOSTS_MAX`].
    pub hosts: u32,
    /// More activations of each of them: up to [`REACTIVATIONS_MAX`].
    pub reactivations: u32,
}

impl KeyLimits {
    fn are_sound(self) -> bool {
        (1..=HOSTS_MAX).contains(&self.hosts) && self.reactivations <= REACTIVATIONS_MAX
    }
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
    /// Hosts that have no place any more, the latest one last: one that comes back goes on with the re-activations that
    /// it had spent. At most [`FORMER_HOSTS_MAX`].
    pub former_hosts: Vec<Host>,
    /// Gives nothing any more.
    pub blocked: bool,
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

impl IssuedKey {
    /// Re-activations that a host of this key has left.
    pub fn reactivations_left(&self, host: &Host) -> u32 {
        self.limits.reactivations.saturating_sub(host.reactivations)
    }

    /// Gives `host` a place, or activates it again on the one that it has. Re-activations that it has left then.
    ///
    /// A host is known by its node key, or by the `previous` one where it proved that it has that too, or else by its
    /// machine: new hardware and a new node key on the same machine are both the same host again. One that gave its
    /// place back and returns is no new host either.
    pub(crate) fn admit(&mut self, host: Host, previous: Option<[u8; 32]>) -> Result<u32, Reason> {
        let place = find(&self.hosts, &host, previous);
        let former = if place.is_none() { find(&self.former_hosts, &host, previous) } else { None };
        if place.is_none() && self.hosts.len() >= self.limits.hosts as usize {
            return Err(Reason::HostsUsedUp { limit: self.limits.hosts });
        }
        let known = match (place, former) {
            (Some(place), _) => self.hosts.get(place),
            (None, Some(former)) => self.former_hosts.get(former),
            (None, None) => None,
        };
        let reactivations = match known {
            Some(known) if known.reactivations >= self.limits.reactivations => {
                return Err(Reason::ReactivationsUsedUp { limit: self.limits.reactivations });
            }
            Some(known) => known.reactivations + 1,
            None => 0,
        };
        let host = Host { reactivations, ..host };
        let left = self.reactivations_left(&host);
        if let Some(former) = former {
            self.former_hosts.remove(former);
        }
        match place.and_then(|place| self.hosts.get_mut(place)) {
            Some(known) => *known = host,
            None => self.hosts.push(host),
        }
        Ok(left)
    }

    /// Takes the place from its host.
    pub(crate) fn vacate(&mut self, place: usize) {
        let host = self.hosts.remove(place);
        if self.former_hosts.len() >= FORMER_HOSTS_MAX as usize {
            self.former_hosts.remove(0);
        }
        self.former_hosts.push(host);
    }
}

/// Where `hosts` has this host, the latest entry first.
fn find(hosts: &[Host], host: &Host, previous: Option<[u8; 32]>) -> Option<usize> {
    let by_key = hosts.iter().rposition(|known| known.node_key == host.node_key);
    let by_previous = || hosts.iter().rposition(|known| previous == Some(known.node_key));
    let by_machine = || hosts.iter().rposition(|known| known.machine == host.machine);
    by_key.or_else(by_previous).or_else(by_machine)
}
