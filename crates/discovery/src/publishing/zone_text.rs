//! The records and the policy as text, for administrators who publish by hand or set up BIND.

use std::fmt::Write as _;
use std::net::IpAddr;

use super::desired::Desired;
use super::difference::kind;
use crate::name::{DnsName, NameError};

/// Lines for a zone file, one record each, with absolute names: the SRV record of each node, and then its addresses
/// once.
///
/// # Errors
/// [`NameError`] where a service and domain are not a domain name.
pub fn zone_lines(all: &[Desired]) -> Result<String, NameError> {
    let mut lines: Vec<String> = Vec::new();
    for desired in all {
        let (owner, ttl) = (desired.service_name()?, desired.ttl_seconds);
        lines.push(format!("{owner} {ttl} IN SRV {}", desired.srv()));
        let addresses = desired.addresses.iter();
        lines.extend(addresses.map(|address| format!("{} {ttl} IN {} {address}", desired.target, kind(*address))));
    }
    let mut text = String::new();
    for (position, line) in lines.iter().enumerate() {
        if !lines.iter().take(position).any(|earlier| earlier == line) {
            let _ = writeln!(text, "{line}");
        }
    }
    Ok(text)
}

/// Lines of the parent zone that delegate `zone` to its servers: an NS record for each, and the addresses of servers
/// whose name is in the zone itself (RFC 1034 section 4.2.1).
pub fn delegation_lines(zone: &DnsName, ttl_seconds: u32, servers: &[(DnsName, Vec<IpAddr>)]) -> String {
    let mut text = String::new();
    for (server, addresses) in servers {
        let _ = writeln!(text, "{zone} {ttl_seconds} IN NS {server}");
        for address in addresses.iter().filter(|_| server.is_in(zone)) {
            let _ = writeln!(text, "{server} {ttl_seconds} IN {} {address}", kind(*address));
        }
    }
    text
}

/// The `update-policy` of a BIND zone. It allows each node to change SRV records at the service's name, and
/// addresses at its own name only. A wildcard would let one node's key take the address of any host.
///
/// `nodes` holds the names of each node's key and target.
///
/// # Errors
/// [`NameError`] where service and domain are not a domain name.
pub fn update_policy(service: &str, domain: &DnsName, nodes: &[(DnsName, DnsName)]) -> Result<String, NameError> {
    let service_name = domain.below(service)?;
    let mut text = String::from("update-policy {\n");
    for (key, target) in nodes {
        let _ = writeln!(text, "    grant {key} name {service_name} SRV;");
        if target.is_in(domain) {
            let _ = writeln!(text, "    grant {key} name {target} A AAAA;");
        }
    }
    text.push_str("};\n");
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::desired::Domain;
    use super::*;

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    #[test]
    fn each_record_is_one_line_and_stands_once() {
        let one = Desired {
            service: Desired::SERVICE.to_owned(),
            domain: Domain { name: name("example.test"), priority: 1, weight: 60 },
            target: name("node1.example.test"),
            port: 1688,
            ttl_seconds: 300,
            addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        };
        let other = Desired { domain: Domain { name: name("sub.example.test"), ..one.domain.clone() }, ..one.clone() };
        let lines = zone_lines(&[one, other]).unwrap();
        assert_eq!(
            lines.lines().collect::<Vec<_>>(),
            [
                "_vlmcs._tcp.example.test. 300 IN SRV 1 60 1688 node1.example.test.",
                "node1.example.test. 300 IN A 192.0.2.1",
                "node1.example.test. 300 IN AAAA 2001:db8::1",
                "_vlmcs._tcp.sub.example.test. 300 IN SRV 1 60 1688 node1.example.test.",
            ]
        );
    }

    #[test]
    fn a_delegation_names_every_server_and_gives_glue_addresses_where_needed() {
        let address = vec!["192.0.2.1".parse().unwrap()];
        let servers = [(name("node1.hosts.test"), address.clone()), (name("node2.example.test"), address)];
        assert_eq!(
            delegation_lines(&name("hosts.test"), 300, &servers).lines().collect::<Vec<_>>(),
            [
                "hosts.test. 300 IN NS node1.hosts.test.",
                "node1.hosts.test. 300 IN A 192.0.2.1",
                "hosts.test. 300 IN NS node2.example.test.",
            ]
        );
    }

    #[test]
    fn the_policy_gives_a_key_no_more_than_its_own_name() {
        let nodes = [(name("node1"), name("node1.example.test")), (name("node2"), name("node2.elsewhere.test"))];
        let policy = update_policy("_vlmcs._tcp", &name("example.test"), &nodes).unwrap();
        assert_eq!(
            policy.lines().map(str::trim).collect::<Vec<_>>(),
            [
                "update-policy {",
                "grant node1. name _vlmcs._tcp.example.test. SRV;",
                "grant node1. name node1.example.test. A AAAA;",
                "grant node2. name _vlmcs._tcp.example.test. SRV;",
                "};",
            ]
        );
    }
}
