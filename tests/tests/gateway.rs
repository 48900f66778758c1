//! The gateway in front of two hosts that count alone (G1 to G12). The hosts are clusters of one node each, with one
//! publisher; the gateway forwards all associations.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::net::SocketAddr;

use quorate_tests::{Cluster, Plan, Product, Quorate, cmid, eventually, page, words};
use serde_json::{Value, json};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "server-standard-2";

struct World {
    a: Cluster,
    b: Cluster,
    gateway: Cluster,
    product: Product,
}

impl World {
    /// Hosts A and B, and a gateway of `nodes` nodes that knows no publisher and prefers A.
    async fn new(nodes: u8) -> Self {
        let quorate = Quorate::at(QUORATE);
        let a = Cluster::activated(&quorate, Plan::of(1)).await;
        let mut b = Cluster::configured(&quorate, Plan::of(1)).await;
        b.form().await;
        b.activate_by(&a.path("publisher")).await;
        let mut gateway = Cluster::configured(&quorate, Plan::of(nodes)).await;
        gateway.form().await;
        let product = a.product(PRODUCT);
        let world = Self { a, b, gateway, product };
        world.gateway.administrate(1, &words!["settings", "set", "gateway.forward", "all"]).await;
        let [a, b] = world.hosts();
        world.gateway.administrate(1, &words!["gateway", "set", &a, &b]).await;
        world.prefers(&a).await;
        world
    }

    fn hosts(&self) -> [String; 2] {
        [&self.a, &self.b].map(|host| host.node(1).clients.to_string())
    }

    fn at(&self, node: u64) -> SocketAddr {
        self.gateway.node(node).clients
    }

    async fn status(&self, node: u64) -> Value {
        self.gateway.administrate(node, &words!["gateway", "status"]).await
    }

    /// Waits until every node prefers `address` and sees all upstreams that answer as healthy.
    async fn prefers(&self, address: &str) {
        for node in self.gateway.running() {
            eventually("the group prefers the upstream", async || {
                let status = self.status(node).await;
                (status["groups"][0]["preferred"] == address).then_some(())
            })
            .await;
            eventually("the gateway is ready", async || {
                let (status, _) = page(self.gateway.node(node).metrics, "/readyz").await?;
                (status == 200).then_some(())
            })
            .await;
        }
    }

    /// The counts of both hosts for the product's application.
    async fn counts(&self) -> [u64; 2] {
        let [a, b] = [counted(&self.a).await, counted(&self.b).await];
        [a, b]
    }

    /// One request of this machine through a node of the gateway; repeated as clients do where a connection breaks.
    async fn ask(&self, node: u64, machine: u64) -> u64 {
        self.product.count(self.at(node), machine).await
    }
}

async fn counted(host: &Cluster) -> u64 {
    let counts = host.administrate(1, &words!["count"]).await;
    let applications = counts["applications"].as_array().unwrap();
    applications.iter().filter_map(|counted| counted["count"].as_u64()).max().unwrap_or(0)
}

#[tokio::test]
async fn g3_g5_machines_are_counted_by_the_preferred_host_and_with_mirroring_by_both() {
    let world = World::new(1).await;
    for machine in 1..=8 {
        world.ask(1, machine).await;
    }
    assert_eq!(world.counts().await, [8, 0], "the preferred host sees all machines");

    world.gateway.administrate(1, &words!["gateway", "mirror", "on"]).await;
    eventually("the node mirrors", async || (world.status(1).await["groups"][0]["mirror"] == true).then_some(())).await;
    for machine in 1..=8 {
        world.ask(1, machine).await;
    }
    eventually("both hosts count all machines", async || (world.counts().await == [8, 8]).then_some(())).await;
    let mirrored = world.gateway.administrate(1, &words!["gateway", "mirror", "status"]).await;
    assert_eq!((&mirrored["mirror"], &mirrored["upstreams"][1]["mirrored"]), (&json!(true), &json!(8)), "{mirrored}");
    let status = world.status(1).await;
    assert_eq!(status["clients_30d"], json!(1.0), "all machines ask from one address: {status}");
    assert!(status["last_request"].is_string(), "{status}");
    let upstream = &status["upstreams"][0];
    assert_eq!((&upstream["state"], &upstream["associations"]), (&json!("healthy"), &json!(16)), "{status}");
}

#[tokio::test]
async fn g2_g3_a_host_that_dies_is_replaced_on_all_nodes_and_the_hosts_of_a_dead_group_make_the_node_not_ready() {
    let mut world = World::new(3).await;
    let [_, b] = world.hosts();
    world.ask(2, 1).await;
    world.a.kill(1).await;
    // The next request already goes to the other host: an association is tried there before its bind is answered.
    world.ask(3, 2).await;
    assert_eq!(counted(&world.b).await, 1);
    world.prefers(&b).await;

    world.b.kill(1).await;
    for node in 1..=3 {
        let metrics = world.gateway.node(node).metrics;
        let text = eventually("the node is not ready", async || {
            let (status, text) = page(metrics, "/readyz").await?;
            (status == 503).then_some(text)
        })
        .await;
        assert!(text.contains("no upstream is healthy"), "{text}");
        let (status, _) = page(metrics, "/readyz?for=gateway").await.unwrap();
        let (host, _) = page(metrics, "/readyz?for=host").await.unwrap();
        assert_eq!((status, host), (503, 200));
    }
}

#[tokio::test]
async fn g3_without_a_leader_the_gateway_forwards_on() {
    let mut world = World::new(3).await;
    world.gateway.kill(1).await;
    world.gateway.kill(2).await;
    eventually("the leader is lost", async || (world.gateway.status(3).await?["leader"].is_null()).then_some(())).await;
    world.ask(3, 1).await;
    assert_eq!(world.counts().await, [1, 0]);
    world.a.kill(1).await;
    world.ask(3, 2).await;
    assert_eq!(counted(&world.b).await, 1, "a node skips what it does not reach itself");
}

#[tokio::test]
async fn g9_a_drained_host_gets_nothing_more_and_what_cannot_be_is_refused() {
    let world = World::new(1).await;
    let [a, b] = world.hosts();
    world.gateway.administrate(1, &words!["gateway", "drain", &a]).await;
    world.prefers(&b).await;
    world.ask(1, 1).await;
    assert_eq!(world.counts().await, [0, 1]);
    world.gateway.administrate(1, &words!["gateway", "drain", &a, "--cancel"]).await;
    world.gateway.administrate(1, &words!["gateway", "prefer", &a]).await;
    world.prefers(&a).await;

    let refused = world.gateway.admin(1, &words!["gateway", "drain", "c.example.test"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("is not an upstream"), "{}", refused.stderr);
    let refused = world.gateway.admin(1, &words!["settings", "set", "gateway.choice", "default=a.test:1688"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("written by the leader"), "{}", refused.stderr);
    let refused = world.gateway.admin(1, &words!["gateway", "set", "a.example.test:0"]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);

    world.gateway.administrate(1, &words!["gateway", "set", "--none"]).await;
    eventually("nothing is forwarded", async || {
        let (status, _) = page(world.gateway.node(1).metrics, "/readyz?for=gateway").await?;
        (status == 503).then_some(())
    })
    .await;
    let refused = world.product.activate(world.at(1), cmid(9)).await.unwrap_err().to_string();
    assert!(refused.contains("0xC004F041"), "the node itself knows no publisher: {refused}");
}
