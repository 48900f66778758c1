//! The destination of updates.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::error::PublishError;
use crate::finding::{Finder, FixedHost};
use crate::name::DnsName;

/// The server that accepts updates of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Primary {
    /// A server by address and port.
    Address(SocketAddr),
    /// A server by name, which is looked up when it is needed, and port.
    Name(DnsName, u16),
    /// The server that the zone's SOA record names (MNAME), on this port.
    FromSoa { port: u16 },
}

/// The text does not name a primary.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid DNS server; write it like `ns1.example.com`, `192.0.2.53:53` or `[2001:db8::53]:53`")]
pub struct PrimaryError {
    pub text: String,
}

impl Primary {
    /// The default port of DNS.
    pub const PORT: u16 = 53;

    /// Looks up the server that accepts updates of the zone of `name`.
    pub(super) async fn located(&self, name: &DnsName, finder: &Finder) -> Result<LocatedPrimary, PublishError> {
        let not_found = |cause| PublishError::NoPrimary { name: name.clone(), cause };
        let (server, port, shown) = match self {
            Self::Address(address) => {
                return Ok(LocatedPrimary { addresses: vec![*address], server: None, shown: self.to_string() });
            }
            Self::Name(server, port) => (server.clone(), *port, self.to_string()),
            Self::FromSoa { port } => {
                let (zone, server) = finder.zone_primary(name).await.map_err(not_found)?;
                let shown = format!("{server} (named by the SOA of {zone})");
                (server, *port, shown)
            }
        };
        let addresses = finder.addresses(&server).await;
        let addresses = addresses.map_err(|cause| match self {
            Self::FromSoa { .. } => PublishError::PrimaryNotFound { primary: shown.clone(), cause },
            _ => not_found(cause),
        })?;
        let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect();
        Ok(LocatedPrimary { addresses, server: Some(server), shown })
    }
}

/// A primary after its lookup.
pub(super) struct LocatedPrimary {
    /// Its addresses, in the order in which to try them.
    pub(super) addresses: Vec<SocketAddr>,
    /// Its name; `None` where only its address is known.
    pub(super) server: Option<DnsName>,
    /// Its name in errors, with how it was found.
    pub(super) shown: String,
}

impl Default for Primary {
    fn default() -> Self {
        Self::FromSoa { port: Self::PORT }
    }
}

impl FromStr for Primary {
    type Err = PrimaryError;

    /// Accepts a name or an address, with or without a port.
    fn from_str(text: &str) -> Result<Self, PrimaryError> {
        let fail = || PrimaryError { text: text.chars().take(255).collect() };
        let FixedHost { host, port } = text.parse().map_err(|_| fail())?;
        let port = port.unwrap_or(Self::PORT);
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(Self::Address(SocketAddr::new(address, port))),
            Err(_) => host.parse().map(|name| Self::Name(name, port)).map_err(|_| fail()),
        }
    }
}

impl fmt::Display for Primary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Name(name, port) => write!(formatter, "{name}:{port}"),
            Self::FromSoa { .. } => formatter.write_str("named by the zone's SOA"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_is_a_name_or_an_address_on_port_53_where_no_other_is_named() {
        for (text, shown) in [
            ("ns1.example.test", "ns1.example.test.:53"),
            ("192.0.2.53", "192.0.2.53:53"),
            ("[2001:db8::53]:5353", "[2001:db8::53]:5353"),
            ("::1", "[::1]:53"),
        ] {
            assert_eq!(text.parse::<Primary>().unwrap().to_string(), shown);
        }
        assert!("ns1:x".parse::<Primary>().unwrap_err().to_string().contains("ns1:x"));
    }
}
