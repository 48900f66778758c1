//! A host that is configured instead of discovered (R18): `FQDN`, short name, IPv4 or IPv6 address, with or without
//! a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A fixed host. Setting it turns discovery off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedHost {
    /// A short or full name, or an IP address without brackets.
    pub host: String,
    /// The port; `None`: the default port.
    pub port: Option<u16>,
}

/// The text does not name a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a valid host: {cause}; write it like `node1.example.com:1688`, `192.0.2.1:1688` or \
     `[2001:db8::1]:1688`"
)]
pub struct FixedHostError {
    pub text: String,
    cause: &'static str,
}

impl FixedHost {
    /// The IP address, where `host` is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

impl FromStr for FixedHost {
    type Err = FixedHostError;

    fn from_str(text: &str) -> Result<Self, FixedHostError> {
        let fail = |cause| FixedHostError { text: text.chars().take(255).collect(), cause };
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self { host: text.to_owned(), port: None });
        }
        let (host, port) = if let Some(inside) = text.strip_prefix('[') {
            let (address, rest) = inside.split_once(']').ok_or_else(|| fail("the bracket is not closed"))?;
            address.parse::<Ipv6Addr>().map_err(|_| fail("the text between the brackets is not an IPv6 address"))?;
            let port = match rest {
                "" => None,
                rest => Some(rest.strip_prefix(':').ok_or_else(|| fail("the text after the bracket is not a port"))?),
            };
            (address, port)
        } else {
            text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
        };
        let port = match port.map(u16::from_str) {
            None => None,
            Some(Ok(port)) if port > 0 => Some(port),
            Some(_) => return Err(fail("the port is not a number from 1 to 65535")),
        };
        if host.parse::<IpAddr>().is_err() {
            host.parse::<crate::name::DnsName>().map_err(|_| fail("it is neither a name nor an address"))?;
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for FixedHost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => formatter.write_str(&self.host),
            Some(port) if self.host.contains(':') => write!(formatter, "[{}]:{port}", self.host),
            Some(port) => write!(formatter, "{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_with_and_without_a_port_are_hosts() {
        for (text, host, port) in [
            ("node1.example.test:1688", "node1.example.test", Some(1688)),
            ("node1.example.test", "node1.example.test", None),
            ("node1:1700", "node1", Some(1700)),
            ("192.0.2.1:1688", "192.0.2.1", Some(1688)),
            ("[2001:db8::1]:1688", "2001:db8::1", Some(1688)),
            ("[::1]", "::1", None),
            ("2001:db8::1", "2001:db8::1", None),
        ] {
            let fixed: FixedHost = text.parse().unwrap();
            assert_eq!((fixed.host.as_str(), fixed.port), (host, port), "{text}");
            assert_eq!(fixed.to_string().parse::<FixedHost>().unwrap(), fixed);
        }
    }

    #[test]
    fn anything_else_is_refused_with_its_cause() {
        for (text, cause) in [
            ("", "neither"),
            (":1688", "neither"),
            ("node1:", "port"),
            ("node1:0", "port"),
            ("node1:65536", "port"),
            ("node1:1688:1", "port"),
            ("[::1", "bracket"),
            ("[node1]:1688", "IPv6"),
            ("[::1]1688", "port"),
            ("no de", "neither"),
        ] {
            let error = text.parse::<FixedHost>().unwrap_err().to_string();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
