//! The system's resolver configuration: missing when a node starts, and changed while the node runs.

use std::{fs, net::SocketAddr, os::unix::fs::symlink};

use quorate_tests::{Cluster, Named, Network, Plan, Quorate, ZONE, eventually, words};

use super::QUORATE;

const FILE: &str = "/etc/resolv.conf";
const TEST: &str = "resolver::a_node_without_a_resolver_configuration_serves_clients_and_follows_the_file_when_it_is_written_or_linked";

/// Resolver configuration with the address of the name server.
const GOOD: &str = "nameserver 127.0.0.1\n";
/// Resolver configuration with an address where no server listens.
const DEAD: &str = "nameserver 127.0.0.9\n";

#[tokio::test]
async fn a_node_without_a_resolver_configuration_serves_clients_and_follows_the_file_when_it_is_written_or_linked() {
    let Some(network) = Network::of(TEST).await else { return };
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    network.own_etc(&cluster.path("etc")).await;
    fs::remove_file(FILE).unwrap();
    let named = Named::configured_at(SocketAddr::from(([127, 0, 0, 1], 53)), 1, "").running().await;
    // Neither a primary nor resolvers are configured: the primary comes from the SOA record, the resolvers from the
    // system.
    cluster.set_variable(1, "QUORATE_DNS_TARGET", format!("node1.{ZONE}"));
    cluster.set_variable(1, "QUORATE_DNS_KEY_FILE", named.key_file(1));
    cluster.form().await;
    cluster.activate().await;
    let product = cluster.product("server-standard-2");
    assert_eq!(product.count(cluster.node(1).clients, 1).await, 1, "clients are served meanwhile");
    eventually("the cause is in the log", async || cluster.said(1).contains(FILE).then_some(())).await;
    fs::write(FILE, "").unwrap();
    assert_eq!(product.count(cluster.node(1).clients, 2).await, 2);

    // The file becomes a link that later changes its target, as on systems with addresses from DHCP.
    let [good, dead] = ["good", "dead"].map(|name| cluster.path(name));
    fs::write(&good, GOOD).unwrap();
    fs::write(&dead, DEAD).unwrap();
    let link = |to| {
        symlink(to, "/etc/next").unwrap();
        fs::rename("/etc/next", FILE).unwrap();
    };
    link(&good);
    eventually("the record stands", async || (named.hosts().await.len() == 1).then_some(())).await;
    let publish = async || {
        let published = cluster.admin(1, &words!["dns", "publish"]).await;
        (published.code, published.stdout)
    };
    link(&dead);
    let (code, said) = publish().await;
    assert!(code == Some(1) && said.contains("no DNS server answered"), "{said}");
    link(&good);
    assert_eq!(publish().await.0, Some(0));
}
