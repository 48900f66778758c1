//! A drained node leaves service while clients go on getting answers (R38).

use quorate_tests::{Load, ZONE, eventually, words};
use serde_json::json;

use super::{World, own_key, serving::Served};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r38_each_node_is_drained_and_started_again_under_load_and_no_answer_is_lost() {
    let mut world = World::new("", &[("QUORATE_TEST_KEEP_LOG", "1")], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    let load = Load::start(&world.cluster, &world.cluster.product("workstation-professional-2"), 3);
    for node in [1, 2, 3] {
        load.more(20).await;
        let others: Vec<u8> = [1, 2, 3].into_iter().filter(|other| u64::from(*other) != node).collect();
        let drained = world.cluster.administrate(node, &words!["host", "drain", "--wait", "1"]).await;
        let expected = json!({ "node": node, "withdrawn": [ZONE], "waited_s": 1, "stopped": true });
        assert_eq!((drained, world.named.hosts().await), (expected, world.lines(&others)));
        assert_eq!(world.cluster.ended(node).await, Some(0), "it stops as told");
        load.more(20).await;
        world.cluster.start(node);
        world.stands("the node is in service again", world.lines(&[1, 2, 3])).await;
    }
    let answered = load.end().await;
    world.cluster.settled(1).await;
    println!("three drains: {answered}");
    answered.is_kept_by(&mut world.cluster).await;
}

#[tokio::test]
async fn r38_a_drain_is_refused_where_it_would_cost_the_majority_and_the_node_stays_in_service() {
    let mut world = World::new("", &[], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    world.cluster.kill(3).await;
    let refused = world.cluster.admin(1, &words!["host", "drain"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("1 of 3 voters are left, and a majority needs 2"), "{}", refused.stderr);
    eventually("the node is ready, as before", async || {
        world.cluster.standing(1).await?.members.get(&1)?.ready.then_some(())
    })
    .await;
    world.stands("nothing was withdrawn", world.lines(&[1, 2, 3])).await;

    let forced = world.cluster.administrate(1, &words!["host", "drain", "--force", "--wait", "0"]).await;
    assert_eq!(forced["stopped"], json!(true));
    assert_eq!(world.cluster.ended(1).await, Some(0));
    world.stands("it is withdrawn", world.lines(&[2, 3])).await;
}

#[tokio::test]
async fn r38_a_drain_is_refused_where_dns_keeps_the_record_and_the_node_stays_in_service() {
    let mut world = World::new("", &[], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    world.named.stop().await;
    let refused = world.cluster.admin(1, &words!["host", "drain"]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("this node's DNS record was not withdrawn"), "{}", refused.stderr);
    assert!(world.cluster.standing(1).await.unwrap().members[&1].ready);
    assert_eq!(world.cluster.product("server-standard-2").count(world.cluster.node(1).clients, 1).await, 1);

    let forced = world.cluster.administrate(1, &words!["host", "drain", "--force", "--wait", "0"]).await;
    assert_eq!(forced["stopped"], json!(true));
    assert_eq!(world.cluster.ended(1).await, Some(0));
}

#[tokio::test]
async fn r38_a_drained_node_leaves_the_zone_that_the_nodes_serve_and_answers_on_meanwhile() {
    let mut served = Served::new().await;
    served.all_say(&[1, 2, 3], &[1, 2, 3]).await;
    let socket = format!("unix:{}", served.cluster.node(2).data.join("admin.sock").display());
    let drain = words!["host", "drain", "--wait", "600", "--admin", socket, "--json"];
    // The node continues to drain after the command that asked for it is killed.
    let mut asking = quorate_tests::Quorate::at(super::QUORATE).command(drain).kill_on_drop(true).spawn().unwrap();
    served.all_say(&[1, 2, 3], &[1, 3]).await;
    asking.kill().await.unwrap();
    let standing = served.cluster.standing(1).await.unwrap();
    assert!(!standing.members[&2].ready && standing.members[&2].reachable, "{standing:?}");
    let product = served.cluster.product("server-standard-2");
    assert_eq!(product.count(served.cluster.node(2).clients, 1).await, 1, "who still finds it is answered");
    // No second node of three may be drained now.
    let refused = served.cluster.admin(1, &words!["host", "drain"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("1 of 3 voters"), "{}", refused.stderr);
    served.all_say(&[1, 3], &[1, 3]).await;
    assert_eq!(served.cluster.stop(2).await, Some(0), "SIGTERM does not wait for it");
}
