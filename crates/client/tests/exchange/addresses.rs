//! Addresses of hosts, as administrators type them.

use client::{HostAddress, InvalidAddress};

#[test]
fn an_address_is_a_name_or_ip_address_with_a_port_or_1688() {
    for (text, host, port, shown) in [
        ("host", "host", 1688, "host:1688"),
        ("host.example.test", "host.example.test", 1688, "host.example.test:1688"),
        ("host.example.test.:1700", "host.example.test.", 1700, "host.example.test.:1700"),
        ("HOST_1-a:1", "HOST_1-a", 1, "HOST_1-a:1"),
        ("4host.4test", "4host.4test", 1688, "4host.4test:1688"),
        ("192.0.2.1", "192.0.2.1", 1688, "192.0.2.1:1688"),
        ("192.0.2.1:65535", "192.0.2.1", 65_535, "192.0.2.1:65535"),
        ("2001:db8::1", "2001:db8::1", 1688, "[2001:db8::1]:1688"),
        ("::1", "::1", 1688, "[::1]:1688"),
        ("[2001:db8::1]", "2001:db8::1", 1688, "[2001:db8::1]:1688"),
        ("[::1]:1700", "::1", 1700, "[::1]:1700"),
    ] {
        let address: HostAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!((address.host().as_str(), address.port()), (host, port), "{text}");
        assert_eq!(address.to_string(), shown);
        assert_eq!(shown.parse(), Ok(address), "{text}: what is shown parses back");
    }
}

#[test]
fn what_is_no_address_is_refused_with_the_part_that_is_wrong() {
    use InvalidAddress::{Ipv4, Ipv6, Name, Port};
    let long_label = "a".repeat(64);
    let long_name = ["a"; 128].join(".");
    for (text, error) in [
        ("", Name),
        (".", Name),
        (":1688", Name),
        ("a..b", Name),
        ("a b", Name),
        ("höst", Name),
        ("host\n", Name),
        ("host/path", Name),
        (long_label.as_str(), Name),
        (long_name.as_str(), Name),
        ("host:", Port),
        ("host:0", Port),
        ("host:65536", Port),
        ("host:+80", Port),
        ("host:80a", Port),
        ("[::1]1700", Port),
        ("[::1]:", Port),
        ("[::1", Ipv6),
        ("[192.0.2.1]:1688", Ipv6),
        ("[]", Ipv6),
        ("1:2:3", Ipv6),
        ("host:1688:1688", Ipv6),
        ("1.2.3", Ipv4),
        ("192.0.2.256", Ipv4),
        ("3232235777", Ipv4),
        ("0x7f000001", Ipv4),
        ("127.0x1", Ipv4),
    ] {
        assert_eq!(text.parse::<HostAddress>(), Err(error), "{text:?}");
    }
}

#[test]
fn a_socket_address_is_a_host_address() {
    for text in ["192.0.2.1:1700", "[2001:db8::1]:1700"] {
        let address: HostAddress = text.parse::<std::net::SocketAddr>().unwrap().into();
        assert_eq!(text.parse(), Ok(address));
    }
}
