//! Keys as they were issued, and the hosts that hold the activation slots of a host key (R24, R31).

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

/// How much a key gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyLimits {
    /// Hosts at once: 1 to [`HOSTS_MAX`].
    pub hosts: u32,
    /// More activations of each of them: up to [`REACTIVATIONS_MAX`].
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

/// By what a host must be told from others so that a key activates it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequiredIdentity {
    /// By whatever the host chooses.
    #[default]
    Any,
    /// By its whole machine: not by some factors of it, and not by its data folder.
    Machine,
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
    /// Which hosts it activates.
    pub identity: RequiredIdentity,
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

/// A direct key on record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectKey {
    /// Its id is [`TypedKey::key_id`].
    pub key: TypedKey,
    /// The product that it activates.
    pub product: Name,
    /// Machines that it activates: 1 to [`crate::limits::DIRECT_ACTIVATIONS_MAX`].
    pub activations: u32,
    /// Machines that it has activated.
    pub used: u32,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Gives nothing any more.
    pub blocked: bool,
}

impl IssuedKey {
    /// Re-activations that a host of this key has left.
    pub fn reactivations_left(&self, host: &Host) -> u32 {
        self.limits.reactivations.saturating_sub(host.reactivations)
    }

    /// The host whose certified node key this is.
    pub(crate) fn holder(&self, node_key: [u8; 32]) -> Option<&Host> {
        self.hosts.iter().find(|host| host.node_key == node_key)
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
