//! Nodes that are found by name: with a DNS server that does not answer, and with addresses that change.

use std::net::{Ipv4Addr, SocketAddr};

use quorate_tests::{Cluster, Named, Network, Plan, Quorate, ZONE, eventually, words};
use serde_json::Value;
use tokio::net::UdpSocket;

use super::QUORATE;

const PEERS: &str =
    "addresses::peers_by_name_meet_although_the_first_dns_server_is_dead_follow_an_address_and_outlive_the_last_server";

fn peers_by_name(cluster: &mut Cluster) {
    let port = |node| cluster.node(node).peers.port();
    let members: Vec<_> = (1..=3).map(|node| format!("{node}=node{node}.{ZONE}:{}", port(node))).collect();
    for node in 1..=3 {
        cluster.set_variable(node, "QUORATE_PEERS_MEMBERS", members.join(","));
    }
}

async fn all_reached(cluster: &Cluster, what: &str) {
    eventually(what, async || {
        let standing = cluster.standing(1).await?;
        (standing.members.len() == 3 && standing.members.values().all(|member| member.reachable)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn peers_by_name_meet_although_the_first_dns_server_is_dead_follow_an_address_and_outlive_the_last_server() {
    let Some(network) = Network::of(PEERS).await else { return };
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    network.own_etc(&cluster.path("etc")).await;
    // A DNS server that reads queries and sends no answers: each lookup takes a second, five times as long as a
    // connection may take.
    let _dead = UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), 53)).await.unwrap();
    let resolver = "nameserver 127.0.0.9\nnameserver 127.0.0.1\noptions timeout:1 attempts:1\n";
    std::fs::write("/etc/resolv.conf", resolver).unwrap();
    let records: Vec<_> = (1..=3).map(|node| format!("node{node} 1 IN A {}", cluster.node(node).peers.ip())).collect();
    let named = Named::configured_at(SocketAddr::from(([127, 0, 0, 1], 53)), 3, &records.join("\n"));
    let mut named = named.running().await;
    peers_by_name(&mut cluster);
    cluster.form().await;
    all_reached(&cluster, "all three are members and answer").await;

    assert_eq!(cluster.stop(3).await, Some(0));
    let moved = SocketAddr::from((cluster.loopback().address(9), cluster.node(3).peers.port()));
    cluster.set_variable(3, "QUORATE_PEERS_LISTEN", moved.to_string());
    named.update(3, &format!("delete node3.{ZONE} A")).await;
    named.update(3, &format!("add node3.{ZONE} 1 A {}", moved.ip())).await;
    cluster.start(3);
    all_reached(&cluster, "the node is reached at its new address").await;

    named.stop().await;
    cluster.kill(2).await;
    cluster.start(2);
    all_reached(&cluster, "the addresses that were known last are used while no name is resolved").await;
}

#[tokio::test]
async fn a_client_follows_its_host_to_another_address_in_the_attempt_in_which_the_old_one_fails() {
    let named = Named::start(1, "").await;
    let quorate = Quorate::at(QUORATE);
    let mut cluster = Cluster::configured(&quorate, Plan::of(1)).await;
    named.publishes(&mut cluster);
    cluster.form().await;
    cluster.activate().await;
    eventually("the record stands", async || (named.hosts().await.len() == 1).then_some(())).await;
    let state = cluster.path("machine");
    let client = async |cluster: &Cluster, more: &[&str]| -> Value {
        let mut command = words!["client"].to_vec();
        command.extend(more.iter().map(Into::into));
        command.extend(words!["--state", &state, "--trust", cluster.path("publisher").join("trust.toml"), "--json"]);
        quorate.run(command).await.json()
    };
    client(&cluster, &["install-key", "P257E-J9HE2-3ADQ7-CQCZK-Y8M5G"]).await;
    let server = named.address.to_string();
    let activate = ["activate", "--domain", ZONE, "--server", &server];
    assert_eq!(client(&cluster, &activate).await["found_by"], "srv");
    assert_eq!(client(&cluster, &activate).await["found_by"], "cache");

    assert_eq!(cluster.stop(1).await, Some(0));
    let moved = SocketAddr::from((cluster.loopback().address(9), cluster.node(1).clients.port()));
    cluster.set_variable(1, "QUORATE_CLIENTS_LISTEN", moved.to_string());
    cluster.start(1);
    let address = moved.ip().to_string();
    eventually("the new address stands", async || {
        (named.dig("A", &format!("node1.{ZONE}")).await == [address.clone()]).then_some(())
    })
    .await;
    let answer = client(&cluster, &activate).await;
    assert_eq!((&answer["found_by"], &answer["host"]), (&"srv".into(), &moved.to_string().into()), "{answer}");
}

#[tokio::test]
async fn the_search_goes_on_past_a_domain_whose_host_has_no_address_and_discover_prints_every_name_with_its_answer() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let records = format!(
        "_vlmcs._tcp.old IN SRV 0 0 1688 gone\n_vlmcs._tcp.alias IN CNAME _vlmcs._tcp\n\
         _vlmcs._tcp IN SRV 0 0 {port} host\nhost IN A 127.0.0.1"
    );
    let named = Named::start(1, &records).await;
    let discover = async |domains: &[&str], more: &[&str]| {
        let mut command = words!["client", "discover", "--server", named.address.to_string()].to_vec();
        command.extend(domains.iter().flat_map(|domain| words!["--domain", format!("{domain}{ZONE}")]));
        command.extend(more.iter().map(Into::into));
        Quorate::at(QUORATE).run(command).await
    };
    let found = discover(&["absent.", "old.", "alias.", ""], &["--json"]).await;
    assert_eq!((found.code, &found.json()["hosts"][0]["target"]), (Some(0), &format!("host.{ZONE}.").into()));
    let asked = found.json()["asked"].as_array().unwrap().clone();
    let answers: Vec<_> = asked.iter().map(|asked| asked["answer"].as_str().unwrap()).collect();
    assert_eq!(answers, ["no record", "DNS has no address record of gone.example.test.", "1 host"], "{asked:?}");
    assert_eq!(asked[2]["name"], format!("_vlmcs._tcp.alias.{ZONE}."));

    let none = discover(&["absent.", "old."], &[]).await;
    assert_eq!(none.code, Some(3), "{}", none.stdout);
    for line in ["_vlmcs._tcp.absent.example.test.: no record", "_vlmcs._tcp.old.example.test.: DNS has no address"] {
        assert!(none.stdout.contains(line), "{}", none.stdout);
    }
}
