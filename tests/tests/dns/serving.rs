//! The nodes serve DNS themselves, for a zone that was delegated to them.

use std::net::SocketAddr;

use quorate_tests::{Cluster, Plan, Quorate, ZONE, dig, eventually, free_port, words};
use serde_json::json;
use tokio::process::Command;

use super::{QUORATE, WEIGHTS, state};

pub(crate) struct Served {
    pub(crate) cluster: Cluster,
    servers: Vec<SocketAddr>,
}

impl Served {
    pub(crate) async fn new() -> Self {
        let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
        let mut servers = Vec::new();
        for (node, weight) in (1_u8..).zip(WEIGHTS) {
            let (number, server) = (u64::from(node), free_port(cluster.loopback().address(node)));
            servers.push(server);
            for (name, value) in [
                ("QUORATE_DNS_TARGET", format!("node{node}.{ZONE}")),
                ("QUORATE_DNS_WEIGHT", weight.to_string()),
                ("QUORATE_DNS_PUBLISH", "false".to_owned()),
                ("QUORATE_DNS_SERVE", server.to_string()),
                ("QUORATE_DNS_ZONE", ZONE.to_owned()),
            ] {
                cluster.set_variable(number, name, value);
            }
        }
        cluster.form().await;
        cluster.activate().await;
        Self { cluster, servers }
    }

    /// Waits until each of these nodes answers with exactly these hosts.
    pub(crate) async fn all_say(&self, asked: &[usize], hosts: &[u8]) {
        let line = |node: &u8| {
            let (weight, port) = (WEIGHTS[usize::from(*node) - 1], self.cluster.node((*node).into()).clients.port());
            format!("0 {weight} {port} node{node}.{ZONE}.")
        };
        let mut expected: Vec<_> = hosts.iter().map(line).collect();
        expected.sort();
        for server in asked {
            let server = self.servers[server - 1];
            eventually(&format!("{server} names the nodes {hosts:?}"), async || {
                (dig(server, "SRV", &format!("_vlmcs._tcp.{ZONE}")).await == expected).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_zone_that_the_nodes_serve_names_those_that_are_ready_at_that_moment() {
    let mut served = Served::new().await;
    served.all_say(&[1, 2, 3], &[1, 2, 3]).await;
    let server = served.servers[0];
    assert_eq!(dig(server, "NS", ZONE).await, [1, 2, 3].map(|node| format!("node{node}.{ZONE}.")));
    let address = served.cluster.node(2).clients.ip().to_string();
    assert_eq!(dig(server, "A", &format!("node2.{ZONE}")).await, [address]);

    let status = served.cluster.administrate(1, &words!["dns", "status"]).await;
    assert_eq!((&status["domains"][0]["domain"], &status["domains"][0]["served"]), (&json!(ZONE), &json!(true)));
    let records = status["domains"][0]["records"].as_array().unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let states: Vec<_> = records.iter().map(|record| (text(&record["target"]), text(&record["state"]))).collect();
    assert_eq!(states, [state(1, "own"), state(2, "member"), state(3, "member")]);

    served.cluster.kill(3).await;
    served.all_say(&[1, 2], &[1, 2]).await;
    served.cluster.start(3);
    served.all_say(&[1, 2, 3], &[1, 2, 3]).await;
    served.cluster.process(2).freeze();
    served.all_say(&[1, 3], &[1, 3]).await;
    served.cluster.process(2).thaw();
    served.all_say(&[1, 2, 3], &[1, 2, 3]).await;
}

#[tokio::test]
async fn clients_find_the_nodes_there_and_a_node_without_a_leader_says_that_it_does_not_know() {
    let mut served = Served::new().await;
    served.all_say(&[1, 2, 3], &[1, 2, 3]).await;
    let mut words = words!["client", "discover", "--domain", ZONE, "--json"].to_vec();
    for server in &served.servers {
        words.extend(words!["--server", server.to_string()]);
    }
    let found = Quorate::at(QUORATE).run(words).await;
    assert_eq!(found.code, Some(0), "{}", found.stderr);
    let hosts = found.json()["hosts"].as_array().unwrap().clone();
    assert_eq!((hosts.len(), hosts.iter().all(|host| host["reachable"] == json!(true))), (3, true), "{hosts:?}");

    served.cluster.kill(2).await;
    served.cluster.kill(3).await;
    eventually("the node that is left answers SERVFAIL, not an empty list", async || {
        let server = served.servers[0];
        let (ip, port) = (format!("@{}", server.ip()), server.port().to_string());
        let asked = Command::new("dig").args([&ip, "-p", &port, &format!("_vlmcs._tcp.{ZONE}"), "SRV"]).output().await;
        String::from_utf8_lossy(&asked.unwrap().stdout).contains("status: SERVFAIL").then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_lines_for_the_parent_zone_are_what_a_zone_file_takes() {
    let served = Served::new().await;
    served.all_say(&[1], &[1, 2, 3]).await;
    let admin = format!("unix:{}", served.cluster.node(1).data.join("admin.sock").display());
    let printed = Quorate::at(QUORATE).run(words!["dns", "zone", "--admin", admin]).await;
    let zone = format!(
        "$TTL 300\n@ IN SOA ns1.test. hostmaster.test. 1 3600 600 86400 300\n@ IN NS ns1.test.\nns1.test. IN A 127.0.0.1\n{}",
        printed.stdout
    );
    let path = served.cluster.path("parent");
    std::fs::write(&path, zone).unwrap();
    let checked = Command::new("named-checkzone").arg("test").arg(&path).output().await;
    let checked = checked.expect("there is named-checkzone (Debian: bind9-utils)");
    assert!(checked.status.success(), "{}{}", printed.stdout, String::from_utf8_lossy(&checked.stdout));
    let lines = printed.stdout.lines().filter(|line| line.starts_with(&format!("{ZONE}. 300 IN NS node"))).count();
    assert_eq!(lines, 3, "{}", printed.stdout);
}
