//! A host's address: `HOST[:PORT]`, as administrators type it and SRV records hold it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use crate::limits::{LABEL_BYTES_MAX, NAME_BYTES_MAX, PORT_DEFAULT};

/// A host's name or IP address, and its port (R18).
///
/// Parsed from `host.example.test`, `host:1700`, `192.0.2.1`, `[2001:db8::1]:1700`, `2001:db8::1`; without a port it
/// is [`PORT_DEFAULT`]. Safe to print: a name has only letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostAddress {
    part: HostPart,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum HostPart {
    Name(String),
    Address(IpAddr),
}

/// The text is not a [`HostAddress`]. The error never repeats the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidAddress {
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("not an IPv6 address; with a port it is written [ADDRESS]:PORT")]
    Ipv6,
    #[error("not an IPv4 address, although it looks like one")]
    Ipv4,
    #[error("not a host name: letters, digits, - and _ in parts of 1 to 63, separated by dots")]
    Name,
}

impl HostAddress {
    /// The name, or the IP address without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.part {
            HostPart::Name(name) => name.clone(),
            HostPart::Address(address) => address.to_string(),
        }
    }

    /// Builds an address from a target of an SRV record, or from an IP address without brackets; `None` where
    /// `target` is neither.
    #[must_use]
    pub fn of_target(target: &str, port: u16) -> Option<Self> {
        let part = match target.parse::<IpAddr>() {
            Ok(address) => HostPart::Address(address),
            Err(_) => part(target.trim_end_matches('.')).ok()?,
        };
        Some(Self { part, port })
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn part(&self) -> &HostPart {
        &self.part
    }
}

impl FromStr for HostAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(bracketed) = text.strip_prefix('[') {
            let (address, rest) = bracketed.split_once(']').ok_or(InvalidAddress::Ipv6)?;
            let address: Ipv6Addr = address.parse().map_err(|_| InvalidAddress::Ipv6)?;
            let port = match rest {
                "" => PORT_DEFAULT,
                _ => port(rest.strip_prefix(':').ok_or(InvalidAddress::Port)?)?,
            };
            return Ok(Self { part: HostPart::Address(address.into()), port });
        }
        match text.split_once(':') {
            None => Ok(Self { part: part(text)?, port: PORT_DEFAULT }),
            Some((_, rest)) if rest.contains(':') => {
                let address: Ipv6Addr = text.parse().map_err(|_| InvalidAddress::Ipv6)?;
                Ok(Self { part: HostPart::Address(address.into()), port: PORT_DEFAULT })
            }
            Some((host, digits)) => Ok(Self { part: part(host)?, port: port(digits)? }),
        }
    }
}

fn port(digits: &str) -> Result<u16, InvalidAddress> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let port = if plain { digits.parse().ok() } else { None };
    port.filter(|port| *port != 0).ok_or(InvalidAddress::Port)
}

fn part(text: &str) -> Result<HostPart, InvalidAddress> {
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(HostPart::Address(address.into()));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > NAME_BYTES_MAX || !name.split('.').all(label) {
        return Err(InvalidAddress::Name);
    }
    // Resolvers read "1.2.3" and "0x7f.1" as IPv4 addresses, which the administrator did not intend.
    let last = name.rsplit('.').next().unwrap_or_default();
    if is_number(last) {
        return Err(InvalidAddress::Ipv4);
    }
    Ok(HostPart::Name(text.to_owned()))
}

fn is_number(label: &str) -> bool {
    match label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")) {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

impl From<SocketAddr> for HostAddress {
    fn from(address: SocketAddr) -> Self {
        Self { part: HostPart::Address(address.ip()), port: address.port() }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.part {
            HostPart::Name(name) => write!(f, "{name}:{}", self.port),
            HostPart::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
        }
    }
}
