//! Open connections by source, and the choice of the one that is closed for a new one.
//!
//! Invariant: never more connections than the limits say, apart from those that are being closed; never closes one
//! with a call that waits for its answer, nor one whose certificate is known.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use tokio::sync::oneshot;

use super::{
    activity::{Activity, Idleness},
    networks::{Network, source},
};
use crate::limits::{
    CLOSING_MAX, CLOSING_SHARE, KNOWN_MAX, KNOWN_PER_SOURCE_MAX, PRESSURE_SHARE, STRANGERS_MAX,
    STRANGERS_PER_SOURCE_MAX,
};

/// The limits of a port's concurrent connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections without a known certificate ("strangers"), including those in their handshake.
    pub strangers: usize,
    /// Connections without a known certificate from one source.
    pub strangers_per_source: usize,
    /// Connections with a known certificate.
    pub known: usize,
    /// Connections with a known certificate from one source.
    pub known_per_source: usize,
}

impl Limits {
    /// The limits of a port with TLS, where members and administrators have separate capacity.
    pub const TLS: Self = Self {
        strangers: STRANGERS_MAX,
        strangers_per_source: STRANGERS_PER_SOURCE_MAX,
        known: KNOWN_MAX,
        known_per_source: KNOWN_PER_SOURCE_MAX,
    };

    /// The limits of a port without client certificates.
    pub const fn without_certificates(connections: usize, per_source: usize) -> Self {
        Self { strangers: connections, strangers_per_source: per_source, known: 0, known_per_source: 0 }
    }
}

/// The networks that may connect, and those without a limit per source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Networks that may connect; if empty, all may.
    pub allow: Vec<Network>,
    /// Networks whose addresses have no limit per source.
    pub exempt: Vec<Network>,
}

impl Rules {
    fn allows(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|network| network.contains(address))
    }

    fn exempts(&self, address: IpAddr) -> bool {
        self.exempt.iter().any(|network| network.contains(address))
    }
}

/// Why a connection was closed as soon as it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address is not in the port's list of networks.
    #[error("its address is in none of the networks that may connect")]
    Network,
    /// The source has reached its limit, and a call waits for its answer on each of its connections.
    #[error("its source has reached its limit of connections, and each has a call under way")]
    Source,
    /// The port has reached its limit, and a call waits for its answer on each connection.
    #[error("the port has reached its limit of connections, and each has a call under way")]
    Port,
}

/// A source. Its connections that are exempt from the limit are counted separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Source {
    is_limited: bool,
    address: IpAddr,
}

/// Rank of a source; the source with the highest rank loses a connection first. Limited sources rank above exempt
/// ones, then the number of connections decides.
type Rank = (bool, usize, Source);

struct Open {
    activity: Activity,
    /// Dropped to notify the connection that it must close.
    evict: oneshot::Sender<()>,
}

/// A new connection.
pub(super) struct Admitted {
    pub(super) source: Source,
    pub(super) id: u64,
    /// Ready when the connection must close.
    pub(super) evicted: oneshot::Receiver<()>,
    /// Whether another connection was closed for this one.
    pub(super) has_evicted: bool,
}

/// All connections of one port.
pub(super) struct Registry {
    pub(super) limits: Limits,
    pub(super) rules: Rules,
    next_id: u64,
    sources: BTreeMap<Source, BTreeMap<u64, Open>>,
    ranks: BTreeSet<Rank>,
    strangers: usize,
    known: BTreeMap<IpAddr, usize>,
    known_in_all: usize,
    /// Number of connections that were notified to close and are still open.
    closing: usize,
}

impl Registry {
    pub(super) fn new(limits: Limits, rules: Rules) -> Self {
        Self {
            limits,
            rules,
            next_id: 0,
            sources: BTreeMap::new(),
            ranks: BTreeSet::new(),
            strangers: 0,
            known: BTreeMap::new(),
            known_in_all: 0,
            closing: 0,
        }
    }

    /// Whether the next connection can be accepted, from any source.
    pub(super) fn has_room(&self) -> bool {
        let can_evict = || self.next_to_lose().is_some();
        self.closing < self.closing_max() && (self.strangers < self.limits.strangers || can_evict())
    }

    /// A port with few connections also has few that are being closed: each uses a descriptor.
    fn closing_max(&self) -> usize {
        (self.limits.strangers / CLOSING_SHARE).clamp(1, CLOSING_MAX)
    }

    /// Whether connections without a known certificate use so much of their limit that their deadlines are short.
    pub(super) fn is_pressed(&self) -> bool {
        self.strangers > self.limits.strangers / PRESSURE_SHARE
    }

    /// Admits a connection from `address`, and closes another one if a limit is reached.
    pub(super) fn admit(&mut self, address: IpAddr, activity: Activity) -> Result<Admitted, Refusal> {
        if !self.rules.allows(address) {
            return Err(Refusal::Network);
        }
        let source = Source { is_limited: !self.rules.exempts(address), address: source(address) };
        let open = self.sources.get(&source).map_or(0, BTreeMap::len);
        let mut has_evicted = false;
        if source.is_limited && open >= self.limits.strangers_per_source {
            has_evicted = self.evict_of(source);
            if !has_evicted {
                return Err(Refusal::Source);
            }
        }
        if self.strangers >= self.limits.strangers {
            has_evicted = self.evict();
            if !has_evicted {
                return Err(Refusal::Port);
            }
        }
        let (evict, evicted) = oneshot::channel();
        let id = self.next_id;
        self.next_id += 1;
        self.change(source, |open| open.insert(id, Open { activity, evict }));
        self.strangers += 1;
        Ok(Admitted { source, id, evicted, has_evicted })
    }

    /// Closes the idlest connection of the sources with the most connections. If a call waits for its answer on
    /// each of these, continues with the sources with fewer.
    fn evict(&mut self) -> bool {
        while let Some(source) = self.next_to_lose() {
            // A call may have begun since then.
            if self.evict_of(source) {
                return true;
            }
        }
        false
    }

    /// Of the sources with the most connections, the one whose idlest connection is the idlest of all: with equal
    /// numbers, a source that sends nothing loses a connection before one that does.
    fn next_to_lose(&self) -> Option<Source> {
        let mut ranks = self.ranks.iter().rev().peekable();
        while let Some((is_limited, count, _)) = ranks.peek().copied() {
            let mut idlest = None;
            while let Some((_, _, source)) = ranks.next_if(|rank| (rank.0, rank.1) == (*is_limited, *count)) {
                let idle = self.idlest(*source).map(|idlest| (idlest, *source));
                idlest = [idlest, idle].into_iter().flatten().min();
            }
            if let Some((_, source)) = idlest {
                return Some(source);
            }
        }
        None
    }

    /// The idlest connection of `source`; `None` if a call waits for its answer on each.
    fn idlest(&self, source: Source) -> Option<(Idleness, u64)> {
        let open = self.sources.get(&source)?.iter();
        open.filter_map(|(id, open)| Some((open.activity.idleness()?, *id))).min()
    }

    /// Closes the idlest connection of `source`; returns false if a call waits for its answer on each.
    fn evict_of(&mut self, source: Source) -> bool {
        while let Some((_, id)) = self.idlest(source) {
            // A call may have begun since then.
            let closes = self.sources.get(&source).and_then(|open| open.get(&id)).is_some_and(|o| o.activity.close());
            if closes {
                self.take(source, id);
                self.closing += 1;
                return true;
            }
        }
        false
    }

    /// Moves the connection to those with a known certificate. Returns the sender whose drop would notify it to
    /// close; `None` if it is being closed already, or if a limit of known connections is reached.
    pub(super) fn know(&mut self, source: Source, id: u64) -> Option<oneshot::Sender<()>> {
        let of_source = self.known.get(&source.address).copied().unwrap_or_default();
        let is_full = source.is_limited && of_source >= self.limits.known_per_source;
        if is_full || self.known_in_all >= self.limits.known {
            return None;
        }
        let open = self.take(source, id)?;
        *self.known.entry(source.address).or_default() += 1;
        self.known_in_all += 1;
        Some(open.evict)
    }

    /// Removes a closed connection.
    pub(super) fn closed(&mut self, source: Source, id: u64, is_known: bool) {
        if is_known {
            self.known_in_all -= 1;
            if let Some(known) = self.known.get_mut(&source.address) {
                *known -= 1;
                if *known == 0 {
                    self.known.remove(&source.address);
                }
            }
        } else if self.take(source, id).is_none() {
            self.closing -= 1;
        }
    }

    fn take(&mut self, source: Source, id: u64) -> Option<Open> {
        let open = self.change(source, |open| open.remove(&id))?;
        self.strangers -= 1;
        Some(open)
    }

    /// Changes the connections of a source, and updates its rank.
    fn change<T>(&mut self, source: Source, change: impl FnOnce(&mut BTreeMap<u64, Open>) -> T) -> T {
        let open = self.sources.entry(source).or_default();
        if let Some(rank) = rank(source, open) {
            self.ranks.remove(&rank);
        }
        let changed = change(open);
        match rank(source, open) {
            Some(rank) => {
                self.ranks.insert(rank);
            }
            None => {
                self.sources.remove(&source);
            }
        }
        changed
    }

    /// Number of connections without a known certificate.
    pub(super) fn strangers(&self) -> usize {
        self.strangers
    }

    /// Whether the registry holds no connection and no source.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.sources.is_empty()
            && self.ranks.is_empty()
            && self.known.is_empty()
            && (self.strangers, self.known_in_all, self.closing) == (0, 0, 0)
    }
}

fn rank(source: Source, open: &BTreeMap<u64, Open>) -> Option<Rank> {
    (!open.is_empty()).then_some((source.is_limited, open.len(), source))
}
