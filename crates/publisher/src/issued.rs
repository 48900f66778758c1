//! Issued keys, and the hosts that hold the activation slots of a host key (R24, R31).

use activation::{
    catalog::Name,
    id::{MachineDigest, NodeId},
    key::TypedKey,
};

use serde::{Deserialize, Serialize};

use crate::{
    limits::{FORMER_HOSTS_MAX, HOSTS_DEFAULT, HOSTS_MAX, REACTIVATIONS_DEFAULT, REACTIVATIONS_MAX},
    refusal::Reason,
};

/// The limits of a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Hosts that may hold an activation slot at the same time: 1 to [`HOSTS_MAX`].
    pub hosts: u32,
    /// Reactivations of each host: up to [`REACTIVATIONS_MAX`].
    pub reactivations: u32,
}

impl KeyLimits {
    pub(crate) fn are_sound(self) -> bool {
        (1..=HOSTS_MAX).contains(&self.hosts) && self.reactivations <= REACTIVATIONS_MAX
    }
}

impl Default for KeyLimits {
    fn default() -> Self {
        Self { hosts: HOSTS_DEFAULT, reactivations: REACTIVATIONS_DEFAULT }
    }
}

/// The kind of identity that a host must have so that a key activates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequiredIdentity {
    /// Any kind of identity.
    #[default]
    Any,
    /// The whole machine: not some of its factors, and not the data folder.
    Machine,
}

/// A host key on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedKey {
    /// The typed key; its id is [`TypedKey::key_id`].
    pub key: TypedKey,
    /// The group of the key. It covers this group's products and those of the groups below.
    pub group: Name,
    /// The limits of the key.
    pub limits: KeyLimits,
    /// The kind of identity that a host must have.
    pub identity: RequiredIdentity,
    /// Time of issue, in milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Hosts with an activation slot, in the order of their first activation.
    pub hosts: Vec<Host>,
    /// Hosts without an activation slot, the latest one last. A host that returns keeps the number of reactivations
    /// it had used. At most [`FORMER_HOSTS_MAX`].
    pub former_hosts: Vec<Host>,
    /// Whether the key is blocked: a blocked key activates no host.
    pub blocked: bool,
}

/// A host with an activation slot of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The digest of the machine's identity in the latest activation.
    pub machine: MachineDigest,
    /// The node's number in its cluster at the latest activation.
    pub node: NodeId,
    /// The public key that the latest activation certified.
    pub node_key: [u8; 32],
    /// The number of activations after the first.
    pub reactivations: u32,
    /// Time of the latest activation, in milliseconds since the Unix epoch.
    pub activated_ms: u64,
}

/// A direct key on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectKey {
    /// The typed key; its id is [`TypedKey::key_id`].
    pub key: TypedKey,
    /// The product that it activates.
    pub product: Name,
    /// The number of machines that it may activate: 1 to [`crate::limits::DIRECT_ACTIVATIONS_MAX`].
    pub activations: u32,
    /// The number of machines that it has activated.
    pub used: u32,
    /// Time of issue, in milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Whether the key is blocked: a blocked key activates no machine.
    pub blocked: bool,
}

impl IssuedKey {
    /// The number of reactivations that the host has left on this key.
    pub fn reactivations_left(&self, host: &Host) -> u32 {
        self.limits.reactivations.saturating_sub(host.reactivations)
    }

    /// The host whose certified node key is `node_key`.
    pub(crate) fn holder(&self, node_key: [u8; 32]) -> Option<&Host> {
        self.hosts.iter().find(|host| host.node_key == node_key)
    }

    /// Grants `host` an activation slot, or activates it again on its present slot. Returns the number of
    /// reactivations that it then has left.
    ///
    /// A host is recognised by its node key, or by the `previous` node key where it proved that it holds that too,
    /// or else by its machine: new hardware, and a new node key on the same machine, are both the same host. A host
    /// that gave its slot back and returns is also the same host.
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

    /// Renews the certificate of the host whose certified node key is that of `host`: it keeps its activation slot and
    /// spends no reactivation. Returns the number that it has left; `None` where no host has this node key.
    pub(crate) fn renew(&mut self, host: Host) -> Option<u32> {
        let known = self.hosts.iter_mut().find(|known| known.node_key == host.node_key)?;
        *known = Host { reactivations: known.reactivations, ..host };
        Some(self.limits.reactivations.saturating_sub(known.reactivations))
    }

    /// Removes the host from its activation slot.
    pub(crate) fn vacate(&mut self, place: usize) {
        let host = self.hosts.remove(place);
        if self.former_hosts.len() >= FORMER_HOSTS_MAX as usize {
            self.former_hosts.remove(0);
        }
        self.former_hosts.push(host);
    }
}

/// The position of this host in `hosts`, searched from the latest entry.
fn find(hosts: &[Host], host: &Host, previous: Option<[u8; 32]>) -> Option<usize> {
    let by_key = hosts.iter().rposition(|known| known.node_key == host.node_key);
    let by_previous = || hosts.iter().rposition(|known| previous == Some(known.node_key));
    let by_machine = || hosts.iter().rposition(|known| known.machine == host.machine);
    by_key.or_else(by_previous).or_else(by_machine)
}
