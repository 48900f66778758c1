//! An upstream host of a group, after `srv:` names are resolved.

use std::cmp::Reverse;

use crate::address::HostPort;

/// Order of the upstreams of one group; the smallest is the best. An administrator's choice is before all others, then
/// priority and weight as configured, then those of the SRV record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    is_manual: Reverse<bool>,
    priority: u16,
    weight: Reverse<u16>,
    srv_priority: u16,
    srv_weight: Reverse<u16>,
}

impl Rank {
    /// The rank of a configured upstream.
    pub fn new(priority: u16, weight: u16, is_manual: bool) -> Self {
        Self {
            is_manual: Reverse(is_manual),
            priority,
            weight: Reverse(weight),
            srv_priority: 0,
            srv_weight: Reverse(0),
        }
    }

    /// The rank of a target of a configured SRV name.
    #[must_use]
    pub fn of_srv(self, priority: u16, weight: u16) -> Self {
        Self { srv_priority: priority, srv_weight: Reverse(weight), ..self }
    }

    /// The configured priority.
    pub fn priority(self) -> u16 {
        self.priority
    }

    /// The configured weight.
    pub fn weight(self) -> u16 {
        self.weight.0
    }

    /// Whether an administrator prefers this upstream.
    pub fn is_manual(self) -> bool {
        self.is_manual.0
    }
}

/// An upstream host of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub address: HostPort,
    pub rank: Rank,
    /// Whether it gets no new associations.
    pub is_drained: bool,
}
