//! Where an upstream is: host and port, or the name of SRV records.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
    sync::Arc,
};

use discovery::DnsName;

/// A host, by name or address, with its port. Names are compared without regard to case and final dot.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    host: Arc<str>,
    port: u16,
}

/// The text is no upstream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no upstream: {cause}; write HOST:PORT (a.example.com:1688, [2001:db8::1]:1688) or srv:NAME")]
pub struct MalformedAddress {
    /// The first 255 characters of the text.
    pub text: String,
    cause: &'static str,
}

fn malformed(text: &str, cause: &'static str) -> MalformedAddress {
    MalformedAddress { text: text.chars().take(255).collect(), cause }
}

impl HostPort {
    /// The host `host`, a DNS name or an IP address without brackets, at `port`.
    ///
    /// # Errors
    /// [`MalformedAddress`]: `host` is neither, or `port` is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, MalformedAddress> {
        if port == 0 {
            return Err(malformed(host, "its port is 0"));
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Self::from(SocketAddr::new(address, port)));
        }
        let name: DnsName = host.parse().map_err(|_| malformed(host, "the host is no name and no address"))?;
        if name.is_root() {
            return Err(malformed(host, "the host is no name and no address"));
        }
        let host = name.to_string().trim_end_matches('.').to_ascii_lowercase();
        // An address with a mistake (10.0.0.999) is no name.
        if host.rsplit('.').next().is_some_and(|last| last.bytes().all(|digit| digit.is_ascii_digit())) {
            return Err(malformed(&host, "the host is no name and no address"));
        }
        Ok(Self { host: host.into(), port })
    }

    /// Name, or address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address, where the host is not a name.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, self.port))
    }
}

impl From<SocketAddr> for HostPort {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_canonical().to_string().into(), port: address.port() }
    }
}

impl FromStr for HostPort {
    type Err = MalformedAddress;

    fn from_str(text: &str) -> Result<Self, MalformedAddress> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(malformed(text, "its port is 0")) } else { Ok(Self::from(address)) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(|| malformed(text, "it has no port"))?;
        if host.contains(':') {
            return Err(malformed(text, "an IPv6 address stands in brackets"));
        }
        let port = port.parse().map_err(|_| malformed(text, "the port is no number from 1 to 65535"))?;
        Self::new(host, port).map_err(|error| malformed(text, error.cause))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostPort({self})")
    }
}

/// An upstream as it is configured.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpstreamAddress {
    /// One host.
    Host(HostPort),
    /// The targets of the SRV records at this name, as they change.
    Srv(DnsName),
}

impl FromStr for UpstreamAddress {
    type Err = MalformedAddress;

    fn from_str(text: &str) -> Result<Self, MalformedAddress> {
        let Some(name) = text.strip_prefix("srv:") else { return text.parse().map(Self::Host) };
        let lower = name.to_ascii_lowercase();
        let name: DnsName = lower.parse().map_err(|_| malformed(text, "what follows `srv:` is no domain name"))?;
        if name.is_root() { Err(malformed(text, "what follows `srv:` is no domain name")) } else { Ok(Self::Srv(name)) }
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Srv(name) => write!(f, "srv:{}", name.to_string().trim_end_matches('.')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g11_an_upstream_is_host_and_port_or_the_name_of_srv_records() {
        let table = [
            ("A.example.test:1688", "a.example.test:1688"),
            ("a.example.test.:1688", "a.example.test:1688"),
            ("192.0.2.1:1", "192.0.2.1:1"),
            ("[2001:DB8::1]:1688", "[2001:db8::1]:1688"),
            ("[::ffff:192.0.2.1]:1688", "192.0.2.1:1688"),
            ("localhost:1688", "localhost:1688"),
            ("srv:_Svc._tcp.example.test", "srv:_svc._tcp.example.test"),
        ];
        for (text, shown) in table {
            let address: UpstreamAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse::<UpstreamAddress>().unwrap(), address);
        }
    }

    #[test]
    fn what_is_no_upstream_is_refused_with_its_cause() {
        for (text, cause) in [
            ("", "no port"),
            ("a.example.test", "no port"),
            ("a.example.test:0", "port is 0"),
            ("a.example.test:65536", "65535"),
            ("2001:db8::1:1688", "brackets"),
            ("10.0.0.999:1688", "no name"),
            (":1688", "no name"),
            ("srv:", "no domain name"),
            ("srv:a b", "no domain name"),
        ] {
            let error = text.parse::<UpstreamAddress>().unwrap_err().to_string();
            assert!(error.contains(cause), "{text}: {error}");
        }
    }
}
