//! Machines without IPv6, machines whose IPv6 sockets refuse IPv4 by default, and the display of addresses.

use std::{fs, net::SocketAddr};

use quorate_tests::{Cluster, Network, Plan, Quorate, page, words};
use tokio::net::TcpStream;

use crate::{PRODUCT, QUORATE};

/// A node that listens on all addresses of the machine; returns also its ports for clients and metrics.
async fn everywhere() -> (Cluster, [u16; 2]) {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    let ports = [cluster.node(1).clients.port(), cluster.node(1).metrics.port()];
    for (variable, port) in ["QUORATE_CLIENTS_LISTEN", "QUORATE_METRICS_LISTEN"].into_iter().zip(ports) {
        cluster.set_variable(1, variable, format!("[::]:{port}"));
    }
    cluster.form().await;
    (cluster, ports)
}

fn at(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}

#[tokio::test]
async fn every_address_is_ipv4_and_ipv6_whatever_the_system_s_default_for_sockets_is() {
    let test = "addresses::every_address_is_ipv4_and_ipv6_whatever_the_system_s_default_for_sockets_is";
    let Some(_network) = Network::of(test).await else { return };
    fs::write("/proc/sys/net/ipv6/bindv6only", "1").unwrap();
    let (cluster, [clients, metrics]) = everywhere().await;
    for host in ["127.0.0.1", "::1"] {
        assert_eq!(page(at(host, metrics), "/livez").await, Some((200, "ok\n".into())), "{host}");
        TcpStream::connect(at(host, clients)).await.unwrap();
    }
    let said = cluster.said(1);
    let lines: Vec<_> = said.lines().filter(|line| line.contains("listening")).collect();
    assert_eq!(lines.len(), 1, "{said}");
    let expected = [
        format!("clients [::]:{clients} (IPv4 and IPv6), peers {}", cluster.node(1).peers),
        format!("admin {}, metrics [::]:{metrics} (IPv4 and IPv6)", cluster.node(1).admin),
    ];
    assert!(expected.iter().all(|part| lines[0].contains(part)), "{}", lines[0]);
}

#[tokio::test]
async fn a_machine_without_ipv6_is_served_on_ipv4() {
    let test = "addresses::a_machine_without_ipv6_is_served_on_ipv4";
    let Some(_network) = Network::of(test).await else { return };
    fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    let (_cluster, [clients, metrics]) = everywhere().await;
    assert_eq!(page(at("127.0.0.1", metrics), "/livez").await, Some((200, "ok\n".into())));
    TcpStream::connect(at("127.0.0.1", clients)).await.unwrap();
}

#[tokio::test]
async fn an_ipv6_address_is_shown_in_brackets_with_its_port() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let quorate = Quorate::at(QUORATE);
    let trust = cluster.path("publisher").join("trust.toml");
    let ask = words!["client", "activate", "--host", "::1", "--trust", &trust, "--product", PRODUCT, "--json"];
    let asked = quorate.run(ask).await;
    let said = [asked.stdout, asked.stderr].concat();
    assert!(said.contains("[::1]:1688") && !said.contains("::1:1688"), "{said}");
    let found = quorate.run(words!["client", "discover", "--host", "::1", "--json"]).await;
    assert!(!found.stdout.contains("::1."), "an address has no last dot: {}{}", found.stdout, found.stderr);
}
