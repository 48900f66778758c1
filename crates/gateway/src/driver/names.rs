//! Names of upstreams, resolved.

use std::{fmt, net::IpAddr, time::Duration};

use discovery::{DnsName, Finder, Srv};
use futures::future::{BoxFuture, FutureExt as _};

/// An answer of DNS, with how long it may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<T> {
    pub values: Vec<T>,
    /// Shortest time to live of the records; [`crate::limits::TTL_MIN`] and [`crate::limits::TTL_MAX`] bound it.
    pub ttl: Duration,
}

/// A name was not resolved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotFound(pub String);

/// Looks up names. A test has names of its own.
pub trait Names: Send + Sync {
    /// The addresses of a host, in the order in which to try them.
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Found<IpAddr>, NotFound>>;

    /// The SRV records at a name.
    fn targets<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Found<Srv>, NotFound>>;
}

/// Names of DNS, by the system's resolver configuration or by given servers.
pub struct DnsNames(Finder);

impl DnsNames {
    /// Asks as `finder` does.
    pub fn new(finder: Finder) -> Self {
        Self(finder)
    }
}

impl fmt::Debug for DnsNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DnsNames")
    }
}

impl Names for DnsNames {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Found<IpAddr>, NotFound>> {
        async move {
            let name: DnsName = host.parse().map_err(|error| NotFound(format!("{error}")))?;
            let found = self.0.addresses_with_ttl(&name).await.map_err(|error| NotFound(error.to_string()))?;
            Ok(Found { values: found.0, ttl: Duration::from_secs(found.1.into()) })
        }
        .boxed()
    }

    fn targets<'a>(&'a self, name: &'a DnsName) -> BoxFuture<'a, Result<Found<Srv>, NotFound>> {
        async move {
            let records = self.0.srv(name).await.map_err(|error| NotFound(error.to_string()))?;
            let ttl = records.iter().map(|record| record.ttl_seconds).min().unwrap_or_default();
            let values = records.into_iter().map(|record| record.srv).collect();
            Ok(Found { values, ttl: Duration::from_secs(ttl.into()) })
        }
        .boxed()
    }
}
