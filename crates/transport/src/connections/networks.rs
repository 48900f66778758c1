//! Sources of connections, and networks for lists.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;

/// A network in CIDR form (`10.0.0.0/8`, `2001:db8::/32`), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// The text is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a network; write ADDRESS/BITS, 10.0.0.0/8 or 2001:db8::/32 for example, or one address")]
pub struct MalformedNetwork(String);

impl Network {
    /// Whether `address` is in the network. An IPv4 address in its IPv6 form (`::ffff:192.0.2.1`) counts as the
    /// IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = MalformedNetwork;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = || text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
        let network = text.parse::<IpNet>().ok().or_else(address);
        network.map(|network| Self(network.trunc())).ok_or_else(|| MalformedNetwork(text.to_owned()))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The source of `address`: an IPv4 address itself, or the /64 of an IPv6 address, because one subscriber has all
/// addresses of a /64.
pub fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_64() {
        let cases = [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
        ];
        for (of, expected) in cases {
            assert_eq!(source(address(of)), address(expected), "{of}");
        }
    }

    #[test]
    fn a_parsed_network_contains_its_addresses_in_both_their_forms() {
        let cases = [
            ("10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "10.0.0.0/8", "::ffff:10.9.9.9", "::ffff:11.0.0.1"),
            ("192.0.2.7", "192.0.2.7/32", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("0.0.0.0/0", "0.0.0.0/0", "192.0.2.7", "2001:db8::1"),
        ];
        for (text, shown, inside, outside) in cases {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), shown);
            assert!(network.contains(address(inside)) && !network.contains(address(outside)), "{text}");
        }
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "example.com", "10.0.0.0/8 "] {
            assert_eq!(wrong.parse::<Network>(), Err(MalformedNetwork(wrong.to_owned())));
        }
    }
}
