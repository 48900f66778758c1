//! The network link between two nodes, as they measured it.

use std::fmt;

use api::admin::v1::NodeStatus;

/// A link between two nodes that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The nodes, the smaller number first.
    pub nodes: [u64; 2],
    /// The time of a round trip, in microseconds; `None` where neither end has measured it yet.
    pub took: Option<RoundTripTime>,
}

/// The time of a round trip, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoundTripTime {
    /// The median of the last round trips, in microseconds.
    pub took_us: u64,
    /// The longest round trip that the settings of the measuring node allow, in microseconds.
    pub limit_us: u64,
}

impl RoundTripTime {
    fn is_slow(self) -> bool {
        self.took_us > self.limit_us
    }
}

impl Link {
    /// The links between those of `nodes` that answer. Where both ends measured, the measurement that exceeds its
    /// limit, or the slower one, is used.
    #[must_use]
    pub fn between(nodes: &[NodeStatus]) -> Vec<Self> {
        let nodes: Vec<_> = nodes.iter().filter(|node| node.reachable).collect();
        let pairs =
            nodes.iter().enumerate().flat_map(|(at, one)| nodes.iter().skip(at + 1).map(move |other| [*one, *other]));
        let link = |[one, other]: [&NodeStatus; 2]| Self {
            nodes: [one.node.min(other.node), one.node.max(other.node)],
            took: [measured(one, other), measured(other, one)]
                .into_iter()
                .flatten()
                .max_by_key(|took| (took.is_slow(), *took)),
        };
        pairs.map(link).collect()
    }

    /// Whether the link is known to be too slow for the election timeouts of one of its ends.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.took.is_some_and(RoundTripTime::is_slow)
    }
}

/// The measurement of one node to another one; nodes of earlier versions measure nothing.
fn measured(from: &NodeStatus, to: &NodeStatus) -> Option<RoundTripTime> {
    let trip = from.round_trips.iter().find(|trip| trip.node == to.node)?;
    let limit_us = Some(from.round_trip_max_us).filter(|limit_us| *limit_us > 0)?;
    Some(RoundTripTime { took_us: trip.microseconds, limit_us })
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, other] = self.nodes;
        match self.took {
            Some(RoundTripTime { took_us, limit_us }) => write!(
                f,
                "the round-trip time between nodes {one} and {other} is {} ms; the limit is {} ms",
                took_us / 1000,
                limit_us / 1000
            ),
            None => write!(f, "the round-trip time between nodes {one} and {other} is unknown"),
        }
    }
}
