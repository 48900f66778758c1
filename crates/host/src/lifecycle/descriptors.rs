//! Open files, sockets and pipes of this process: their limit, and how it is divided.
//!
//! Client connections never use the descriptors that the node needs for its store, its peers, its administration and
//! its metrics. Where the configured numbers do not fit below the limit, each port gets a share, and clients get the
//! rest.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use transport::{
    Limits,
    limits::{CLOSING_MAX, CLOSING_SHARE, STRANGERS_PER_SOURCE_MAX},
};

use crate::limits::{DESCRIPTORS_OWN, HTTP_CONNECTIONS_MAX, HTTP_CONNECTIONS_PER_SOURCE_MAX};

/// Raises the limit of open files to the highest that the system allows this process (`ulimit -Hn`), and returns the
/// limit that then applies. Nothing in this process uses select(2), which is unsafe with many descriptors.
pub fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // The system may refuse this where it has a lower limit; then the present limit stays.
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
    descriptor_limit()
}

/// The number of descriptors that this process may have open.
pub(crate) fn descriptor_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The number of descriptors that this process has open; 0 where the system does not report it.
pub(crate) fn descriptors_open() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// The number of connections that each port may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) clients: usize,
    pub(crate) peers: Limits,
    pub(crate) admin: Limits,
    pub(crate) metrics: usize,
}

impl Shares {
    /// Divides `limit` descriptors, where `clients_max` client connections are configured.
    pub(crate) fn of(limit: u64, clients_max: usize) -> Self {
        let whole =
            Self { clients: clients_max, peers: Limits::TLS, admin: Limits::TLS, metrics: HTTP_CONNECTIONS_MAX };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let room = limit.saturating_sub(DESCRIPTORS_OWN);
        if whole.descriptors() <= room {
            return whole;
        }
        let share = |part: usize, most: usize| (room / part).clamp(1, most);
        let tls = |known_part: usize| {
            let strangers = share(16, Limits::TLS.strangers);
            let known = share(known_part, Limits::TLS.known);
            Limits {
                strangers,
                strangers_per_source: strangers.min(STRANGERS_PER_SOURCE_MAX),
                known,
                known_per_source: known.min(Limits::TLS.known_per_source),
            }
        };
        let others = Self { clients: 0, peers: tls(4), admin: tls(16), metrics: share(16, HTTP_CONNECTIONS_MAX) };
        let left = room.saturating_sub(others.descriptors());
        let clients = (left * CLOSING_SHARE / (CLOSING_SHARE + 1)).max(left.saturating_sub(CLOSING_MAX));
        Self { clients: clients.clamp(1, clients_max), ..others }
    }

    /// The maximum number of connections of one source to port 9688.
    pub(crate) fn metrics_per_source(&self) -> usize {
        self.metrics.min(HTTP_CONNECTIONS_PER_SOURCE_MAX)
    }

    /// The number of descriptors that all these connections need, including those that are being closed in favour of
    /// others.
    fn descriptors(&self) -> usize {
        let port = |strangers: usize| strangers + (strangers / CLOSING_SHARE).min(CLOSING_MAX);
        let tls = |limits: Limits| port(limits.strangers) + limits.known;
        port(self.clients) + tls(self.peers) + tls(self.admin) + port(self.metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DESCRIPTORS_MIN;

    #[test]
    fn the_ports_never_use_more_descriptors_than_the_limit_and_each_has_some() {
        for limit in [DESCRIPTORS_MIN, 200, 256, 512, 1024, 4096, 6000, 7000, 20_000, 65_536, u64::MAX] {
            for clients_max in [1, 16, 4096, 60_000] {
                let shares = Shares::of(limit, clients_max);
                let taken = shares.descriptors() + DESCRIPTORS_OWN;
                assert!(taken as u64 <= limit, "{limit}: {shares:?} takes {taken}");
                let least = [shares.peers.known, shares.peers.strangers, shares.admin.known, shares.metrics];
                assert!(least.iter().all(|connections| *connections >= 3), "{limit}: {shares:?}");
                assert!((1..=clients_max).contains(&shares.clients), "{limit}: {shares:?}");
            }
        }
        assert_eq!(Shares::of(65_536, 4096).clients, 4096, "the unit's limit is enough for all ports");
        assert!(Shares::of(DESCRIPTORS_MIN, 4096).clients >= 16);
    }
}
