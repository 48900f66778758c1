//! Nodes publish their records on a real BIND, and remove the records of dead nodes (R25 to R29).

use quorate_tests::{Cluster, Named, Plan, Quorate, ZONE, eventually, words};
use serde_json::{Value, json};
use tokio::process::Command;

use super::{QUORATE, World, own_key, state};

#[tokio::test]
async fn r25_three_nodes_publish_themselves_with_their_weights_and_addresses_and_are_withdrawn_and_back() {
    let world = World::new("", &[], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    for node in 1..=3 {
        let addresses = world.named.dig("A", &format!("node{node}.{ZONE}")).await;
        assert_eq!(addresses, [world.cluster.node(node).clients.ip().to_string()]);
    }
    assert_eq!(world.states().await, [state(1, "own"), state(2, "member"), state(3, "member")]);
    let status = world.dns(&["status"]).await;
    let (first, port) = (&status["domains"][0]["records"][0], world.cluster.node(1).clients.port());
    assert_eq!((&first["port"], &first["weight"], &first["priority"]), (&json!(port), &json!(60), &json!(0)));
    assert_eq!(status["domains"][0]["last_error"], Value::Null);
    assert!(first["age_s"].is_u64(), "{status}");

    // R28: publishing is turned off and on for the whole cluster.
    world.dns(&["withdraw"]).await;
    assert_eq!(world.named.hosts().await, Vec::<String>::new());
    world.dns(&["publish"]).await;
    assert_eq!(world.named.hosts().await, world.lines(&[1, 2, 3]));

    // R26: priority and weight of the publish list apply to every node.
    let ranked = format!("{ZONE}:5:7");
    world.dns(&["publish", "--domain", &ranked]).await;
    let port = |node| world.cluster.node(node).clients.port();
    let mut expected: Vec<_> = (1..=3).map(|node| format!("5 7 {} node{node}.{ZONE}.", port(node))).collect();
    expected.sort();
    assert_eq!(world.named.hosts().await, expected, "old and new never stand together");
}

#[tokio::test]
async fn r36_a_port_that_is_changed_stands_in_dns_at_once_and_the_old_one_no_more() {
    let world = World::new("", &[], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    let port = quorate_tests::free_port(world.cluster.loopback().address(1)).port();
    let set = words!["settings", "set", "clients.port", port.to_string(), "--node", "1"];
    world.cluster.administrate(2, &set).await;
    let mut expected = world.lines(&[2, 3]);
    expected.push(format!("0 60 {port} node1.{ZONE}."));
    expected.sort();
    world.stands("the new port stands, and the old one does not", expected).await;
}

#[tokio::test]
async fn a_dead_members_record_is_withdrawn_for_it_and_a_strangers_is_left_alone() {
    let times = [("QUORATE_TEST_DNS_WATCH_MS", "300"), ("QUORATE_TEST_DNS_TIMEOUT_MS", "600")];
    let stranger = "_vlmcs._tcp IN SRV 9 0 1688 stranger\nstranger IN A 127.0.0.9";
    let shared = [times[0], times[1], ("QUORATE_DNS_SHARE_NAME", "true")];
    let mut world = World::new(stranger, &shared, own_key).await;
    let foreign = format!("9 0 1688 stranger.{ZONE}.");
    let with_stranger = |world: &World, nodes: &[u8]| {
        let mut lines = world.lines(nodes);
        lines.push(foreign.clone());
        lines.sort();
        lines
    };
    world.stands("three records beside the stranger's", with_stranger(&world, &[1, 2, 3])).await;
    let stranger = (format!("stranger.{ZONE}."), "foreign".to_owned());
    assert_eq!(world.states().await, [state(1, "own"), state(2, "member"), state(3, "member"), stranger]);
    world.cluster.kill(3).await;
    world.stands("the dead node's record is gone", with_stranger(&world, &[1, 2])).await;
    assert_eq!(world.named.dig("A", &format!("node3.{ZONE}")).await.len(), 1, "its address is its own");
    world.cluster.start(3);
    world.stands("it is back, and publishes itself", with_stranger(&world, &[1, 2, 3])).await;
}

#[tokio::test]
async fn a_member_that_was_only_cut_off_stands_again_without_a_restart() {
    let times = [("QUORATE_TEST_DNS_WATCH_MS", "300"), ("QUORATE_TEST_DNS_TIMEOUT_MS", "600")];
    let world = World::new("", &times, own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    world.cluster.process(3).freeze();
    world.stands("the silent node's record is gone", world.lines(&[1, 2])).await;
    world.cluster.process(3).thaw();
    world.stands("it answers again, and stands again", world.lines(&[1, 2, 3])).await;
}

#[tokio::test]
async fn r28_a_node_whose_key_is_wrong_says_so_and_goes_on_serving() {
    let wrong = |named: &Named, node: u8| if node == 1 { named.wrong_key_file(1) } else { named.key_file(node) };
    let world = World::new("", &[], wrong).await;
    world.stands("the two others stand", world.lines(&[2, 3])).await;
    let settled = world.cluster.admin(1, &words!["dns", "publish"]).await;
    assert_eq!(settled.code, Some(1), "{}", settled.stdout);
    let error = settled.json()["nodes"][0]["domains"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("BADSIG"), "{error}");
    // Existing records are listed in spite of the error, and another node reports the error too.
    assert_eq!(world.states().await, [state(1, "missing"), state(2, "member"), state(3, "member")]);
    for node in [1, 2] {
        let status = world.cluster.administrate(node, &words!["dns", "status"]).await;
        let error = status["domains"][0]["last_error"].as_str().unwrap();
        assert!(error.contains("BADSIG") && error.starts_with("node 1: ") == (node != 1), "{status}");
    }
    assert!(world.cluster.process(1).said().contains("12293"), "{}", world.cluster.process(1).said());
    let product = world.cluster.product("server-standard-2");
    assert_eq!(product.count(world.cluster.node(1).clients, 1).await, 1, "clients are served all the same");
}

#[tokio::test]
async fn a_name_that_others_use_is_not_taken_unless_it_is_to_be_shared() {
    let stranger = "_vlmcs._tcp IN SRV 9 0 1688 stranger\nstranger IN A 127.0.0.9";
    let world = World::new(stranger, &[], own_key).await;
    let settled = world.cluster.admin(1, &words!["dns", "publish"]).await;
    assert_eq!(settled.code, Some(1), "{}", settled.stdout);
    assert!(settled.stdout.contains("stranger.example.test"), "{}", settled.stdout);
    assert_eq!(world.named.hosts().await, [format!("9 0 1688 stranger.{ZONE}.")]);
}

#[tokio::test]
async fn zone_lines_are_what_a_zone_file_takes() {
    let world = World::new("", &[], own_key).await;
    world.stands("every node announced itself", world.lines(&[1, 2, 3])).await;
    let admin = format!("unix:{}", world.cluster.node(1).data.join("admin.sock").display());
    let printed = Quorate::at(QUORATE).run(words!["dns", "zone", "--admin", admin]).await;
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let zone = format!(
        "$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 86400 300\n@ IN NS ns1\nns1 IN A 127.0.0.1\n{}",
        printed.stdout
    );
    let path = world.cluster.path("zone");
    std::fs::write(&path, zone).unwrap();
    let checked = Command::new("named-checkzone").arg(ZONE).arg(&path).output().await;
    let checked = checked.expect("there is named-checkzone (Debian: bind9-utils)");
    assert!(checked.status.success(), "{}{}", printed.stdout, String::from_utf8_lossy(&checked.stdout));
    assert!(
        printed.stdout.contains("grant node1.example.test. name _vlmcs._tcp.example.test. SRV"),
        "{}",
        printed.stdout
    );
}

#[tokio::test]
async fn settings_are_the_same_on_every_node_and_a_wrong_one_is_refused_with_what_is_expected() {
    let quorate = Quorate::at(QUORATE);
    let mut cluster = Cluster::configured(&quorate, Plan::of(3)).await;
    cluster.form().await;
    cluster.administrate(1, &words!["settings", "set", "renewal.interval_minutes", "1440"]).await;
    for node in 1..=3 {
        let shown = cluster.administrate(node, &words!["settings", "get", "renewal.interval_minutes"]).await;
        assert_eq!(shown, json!({ "settings": { "renewal.interval_minutes": "1440" } }), "node {node}");
    }
    for (name, value, words) in
        [("renewal.interval_minutes", "14", "15 to 43200"), ("renewal", "20", "unknown setting")]
    {
        let refused = cluster.admin(1, &words!["settings", "set", name, value]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    let without_name = cluster.admin(1, &words!["dns", "status"]).await;
    assert_eq!(without_name.code, Some(1));
    assert!(without_name.stderr.contains("dns.target"), "{}", without_name.stderr);
}

#[tokio::test]
async fn a_domain_that_left_the_list_while_a_node_was_down_loses_that_nodes_record_when_it_is_back() {
    let mut world = World::new("", &[], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    assert_eq!(world.cluster.stop(3).await, Some(0));
    let settled = world.cluster.admin(1, &words!["dns", "withdraw"]).await;
    assert!(settled.json()["nodes"][2]["passed_over"].is_string(), "{}", settled.stdout);
    assert_eq!(world.named.hosts().await, world.lines(&[3]), "a stopped node keeps its record");
    world.cluster.start(3);
    world.stands("it follows what was set while it was down", Vec::new()).await;
}

#[tokio::test]
async fn a_node_that_may_not_answer_clients_any_more_withdraws_itself() {
    let world = World::new("", &[("QUORATE_TEST_DNS_TIMEOUT_MS", "600")], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    let file = world.cluster.path("release.bin");
    world.cluster.administrate(1, &words!["key", "release", "--node", "3", "--yes", "--offline", file]).await;
    world.stands("the node that gave its place back is gone", world.lines(&[1, 2])).await;
}

#[tokio::test]
async fn of_two_nodes_with_one_name_only_one_publishes_it() {
    let same = format!("node1.{ZONE}");
    let world = World::new("", &[("QUORATE_DNS_TARGET", &same)], |named, _| named.key_file(1)).await;
    eventually("one record stands", async || (world.named.hosts().await.len() == 1).then_some(())).await;
    let settled = world.cluster.admin(1, &words!["dns", "publish"]).await.json();
    let said = |node: &Value| {
        node["passed_over"].as_str().is_some_and(|why| why.contains("did not record this node's DNS name"))
    };
    let passed_over = settled["nodes"].as_array().unwrap().iter().filter(|node| said(node)).count();
    assert_eq!((passed_over, world.named.hosts().await.len()), (2, 1), "{settled}");
}
