//! Where a node cannot publish its records, event 12293 and `dns status` give the cause and the remedy. The node
//! tries again, and serves clients all the time (R28).

use std::path::Path;

use quorate_tests::{Named, ZONE, eventually, words};

use super::{World, own_key};

/// Path of libfaketime in Debian.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The errors of a node with event 12293, from its log.
fn reported(world: &World, node: u64) -> Vec<String> {
    let said = world.cluster.process(node).said();
    said.lines().filter(|line| line.contains("12293")).map(str::to_owned).collect()
}

#[tokio::test]
async fn r28_an_unknown_key_a_refused_update_and_a_wrong_clock_are_each_an_error_of_its_own() {
    assert!(Path::new(FAKETIME).exists(), "there is no {FAKETIME} (Debian: libfaketime)");
    let keys = |named: &Named, node: u8| match node {
        1 => named.unknown_key_file(),
        // The key of node 3 may not change the addresses of node 2.
        _ => named.key_file(3),
    };
    let mut world = World::new("", &[], keys).await;
    // The update policy allows node 2's SRV record and refuses its address; the error is checked below.
    world.stands("the second and the third node stand", world.lines(&[2, 3])).await;
    assert_eq!(world.cluster.stop(3).await, Some(0));
    for (variable, value) in [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+2h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")] {
        world.cluster.set_variable(3, variable, value);
    }
    world.cluster.start(3);
    for (node, code, words) in
        [(1, "0x80072339", "BADKEY"), (2, "0x8007232D", "REFUSED"), (3, "0x8007233A", "clocks differ")]
    {
        let line =
            eventually(words, async || reported(&world, node).into_iter().find(|line| line.contains(words))).await;
        assert!(line.contains(code) && line.contains(ZONE), "{line}");
        assert_eq!(line.contains("node2.example.test.: add 300 A "), node == 2, "the refused record is named: {line}");
    }
    assert_eq!(world.named.dig("A", &format!("node2.{ZONE}")).await, Vec::<String>::new());
    let published = world.cluster.admin(2, &words!["dns", "publish"]).await.json();
    let second = &published["nodes"][1]["domains"][0];
    assert_eq!((&second["status"], &second["error"]), (&"0x00000000".into(), &serde_json::Value::Null), "{second}");
    assert!(second["warning"].as_str().unwrap().contains("node2.example.test.: add 300 A "), "{second}");
    let settled = world.cluster.admin(1, &words!["dns", "publish"]).await;
    assert_eq!(settled.code, Some(1), "{}", settled.stdout);
    for node in [1_u64, 2, 3] {
        let product = world.cluster.product("server-standard-2");
        let count = product.count(world.cluster.node(node).clients, node).await;
        assert_eq!(count, node, "node {node} serves clients all the same");
    }
}

#[tokio::test]
async fn r28_a_primary_that_is_dead_is_reported_and_tried_again_until_it_lives() {
    let named = Named::configured(3, "");
    let mut world = World::beside(named, &[], own_key).await;
    for node in 1..=3 {
        eventually("the node says that the primary is dead", async || {
            reported(&world, node).iter().any(|line| line.contains("cannot be reached")).then_some(())
        })
        .await;
    }
    world.named = world.named.running().await;
    // The nodes try again by themselves, without any command.
    world.stands("all three are published", world.lines(&[1, 2, 3])).await;
    for node in 1..=3 {
        eventually("the success follows the failure in the log, as event 12294", async || {
            let said = world.cluster.process(node).said();
            let line = |event: &str| said.lines().position(|line| line.contains(event) && line.contains(ZONE));
            (line("event=12293")? < line("event=12294")?).then_some(())
        })
        .await;
    }
}
