//! Activation events: the logs of all nodes merged, and the explanation for one machine.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use activation::id::MachineDigest;
use quorate_tests::{Cluster, Finished, Plan, Quorate, cmid, eventually, page, value, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "server-standard-2";

async fn events(cluster: &Cluster, via: u64, more: &[&str]) -> Vec<Value> {
    let mut words = words!["events"].to_vec();
    words.extend(more.iter().map(Into::into));
    cluster.administrate(via, &words).await["events"].as_array().unwrap().clone()
}

#[tokio::test]
async fn r8_every_request_is_an_event_of_the_node_that_answered_and_any_node_shows_all() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let product = cluster.product(PRODUCT);
    for machine in 1..=6 {
        product.count(cluster.node(machine % 3 + 1).clients, machine).await;
    }
    // The activation log is written shortly after the answers.
    let all =
        eventually("all are noted", async || Some(events(&cluster, 2, &[]).await).filter(|events| events.len() == 6))
            .await;
    for (event, machine) in all.iter().zip(1_u64..) {
        assert_eq!(
            (&event["event"], &event["count"], &event["required_count"]),
            (&12290.into(), &machine.into(), &5.into())
        );
        assert_eq!((&event["node"], &event["product"]), (&(machine % 3 + 1).into(), &PRODUCT.into()));
        assert_eq!(
            (&event["cmid"], &event["client_address"]),
            (&cmid(machine).to_string().into(), &"127.0.0.1".into())
        );
    }
    let one = events(&cluster, 3, &["--cmid", &cmid(4).to_string(), "--since", "1h"]).await;
    assert_eq!(one.as_slice(), &all[3..4]);
    let name = all[0]["machine_name"].as_str().unwrap();
    assert_eq!(events(&cluster, 1, &["--machine", &name.to_uppercase()]).await.len(), 6, "one machine plays all");

    // A stopped node is listed as passed over, and after its restart it has its earlier events.
    cluster.kill(2).await;
    let told = cluster.administrate(1, &words!["events"]).await;
    assert_eq!(told["events"].as_array().unwrap().len(), 4);
    assert!(told["passed_over"][0].as_str().unwrap().starts_with("node 2:"), "{told}");
    cluster.start(2);
    cluster.settled(2).await;
    assert_eq!(events(&cluster, 2, &[]).await, all);
}

#[tokio::test]
async fn a_machines_story_says_what_it_was_answered_and_what_to_do() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let product = cluster.product(PRODUCT);
    let explain = async |who: &str| cluster.admin(1, &words!["explain", who]).await;
    // The count changes at once, the activation log shortly afterwards.
    let is_noted = |told: &Finished| told.code == Some(0) && told.json()["requests"] != Value::Array(Vec::new());
    let unknown = explain(&cmid(9).to_string()).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("has not reached the cluster"), "{}", unknown.stderr);
    product.count(cluster.node(1).clients, 1).await;
    let below = eventually("it is noted", async || Some(explain(&cmid(1).to_string()).await).filter(is_noted));
    let below = below.await.json();
    assert!(below["meaning"].as_str().unwrap().contains("1 of 5 machines"), "{below}");
    assert!(below["fix"].as_str().unwrap().contains("quorate count"), "{below}");
    for machine in 2..=5 {
        product.count(cluster.node(1).clients, machine).await;
    }
    let met = eventually("it is noted", async || Some(explain(&cmid(5).to_string()).await).filter(is_noted));
    let met = met.await.json();
    assert!(met["meaning"].as_str().unwrap().contains("activated for 180 days") && met["fix"].is_null(), "{met}");
    let other = cluster.product("suite-no-such-thing");
    assert!(other.activate(cluster.node(1).clients, cmid(7)).await.is_err());
    let refused = eventually("it is noted", async || Some(explain(&cmid(7).to_string()).await).filter(is_noted));
    let refused = refused.await.json();
    assert!(refused["meaning"].as_str().unwrap().starts_with("No key of node 1 covers"), "{refused}");
    assert_eq!((&refused["counted"], &refused["client_address"]), (&false.into(), &"127.0.0.1".into()));
    assert_eq!(refused["requests"][0]["log_index"], 0, "it is in no log entry");
}

#[tokio::test]
async fn r12_a_machine_that_newer_ones_displaced_is_not_counted_and_its_story_says_so() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let product = cluster.product(PRODUCT);
    let who = cmid(1).to_string();
    let explain = async |counted: bool| {
        let told = eventually("the count is so, and it is noted", async || {
            let told = cluster.admin(1, &words!["explain", &who]).await;
            let told = (told.code == Some(0)).then(|| told.json())?;
            (told["counted"] == counted && told["requests"][0].is_object()).then_some(told)
        });
        told.await
    };
    // The threshold is 5, so the cache limit is 10.
    for machine in 1..=10 {
        product.count(cluster.node(1).clients, machine).await;
    }
    let told = explain(true).await;
    assert_eq!(
        (&told["counted_in"][0]["counted"], &told["counted_in"][0]["node"]),
        (&true.into(), &1.into()),
        "{told}"
    );
    product.count(cluster.node(1).clients, 11).await;
    let told = explain(false).await;
    assert_eq!(told["counted_in"], Value::Array(Vec::new()), "{told}");
    assert!(told["meaning"].as_str().unwrap().contains("is no longer counted"), "{told}");
    let socket = format!("unix:{}", cluster.node(1).data.join("admin.sock").display());
    let text = cluster.run(&words!["explain", &who, "--admin", socket]).await;
    assert!(
        text.stdout.contains("displaced it") && text.stdout.contains("Last client address: 127.0.0.1."),
        "{}",
        text.stdout
    );
    product.count(cluster.node(1).clients, 1).await;
    explain(true).await;
}

#[tokio::test]
async fn r8_the_log_has_each_request_with_its_fields_in_the_documented_order() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let product = cluster.product(PRODUCT);
    product.count(cluster.node(1).clients, 1).await;
    let line = eventually("it is in the log", async || {
        let said = cluster.said(1);
        said.lines().find(|line| line.contains("event=12290")).map(str::to_owned)
    })
    .await;
    let documented = [
        "status=0x00000000",
        "required_count=5",
        "machine=",
        &format!("cmid={}", cmid(1)),
        "client_time_ms=",
        "virtual_machine=",
        "license_status=",
        "minutes_to_expiry=",
        "product=",
        "count=1",
        "client_address=127.0.0.1",
    ];
    let places = documented.iter().map(|field| line.find(field).unwrap_or_else(|| panic!("{field}: {line}")));
    assert!(places.is_sorted(), "{line}");
}

#[tokio::test]
async fn a_flood_of_refusals_is_cut_in_both_logs_and_what_is_left_out_is_counted() {
    const REFUSED: u32 = 2000;
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let unknown = cluster.product("no-such-thing");
    let mut session = unknown.session(cluster.node(1).clients).await.unwrap();
    for machine in 0..u64::from(REFUSED) {
        assert!(unknown.ask(&mut session, cmid(machine)).await.is_err());
    }
    // Another machine than those before, so that its event can be recognised as the last one.
    let last = cmid(u64::from(REFUSED));
    let answered = cluster.product(PRODUCT).activate(cluster.node(1).clients, last).await;
    assert_eq!(answered.unwrap().answer.body.count, 1);
    let said = eventually("an honest machine's line is there", async || {
        Some(cluster.said(1)).filter(|said| said.contains("a request was processed"))
    })
    .await;
    let lines = said.lines().filter(|line| line.contains("a request was refused")).count();
    let lines = u32::try_from(lines).unwrap();
    let metrics = page(cluster.node(1).metrics, "/metrics").await.unwrap().1;
    let left_out = value(&metrics, "quorate_log_lines_left_out_total").unwrap();
    assert!(left_out > 0.0 && lines < REFUSED, "{lines} lines, {left_out} left out");
    assert_eq!(f64::from(lines) + left_out, f64::from(REFUSED));
    // The activation log is written in the order of the answers, and shortly after them.
    let all = eventually("the last request is in the activation log", async || {
        let all = events(&cluster, 1, &["--last", "2000"]).await;
        all.last().is_some_and(|event| event["cmid"] == last.to_string()).then_some(all)
    })
    .await;
    assert_eq!(all[0]["cmid"], cmid(0).to_string(), "the first of the flood are kept");
    let left_out = value(&metrics, "quorate_activation_log_left_out_total").unwrap();
    let kept = u32::try_from(all.len() - 1).unwrap();
    assert_eq!(f64::from(kept) + left_out, f64::from(REFUSED));
    assert!((10..REFUSED / 2).contains(&kept), "10 in a minute, and {kept} are kept");
}

#[tokio::test]
async fn a_cmid_of_two_machines_is_named_with_both_and_counts_once() {
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    let product = cluster.product(PRODUCT);
    let asks = async |node: u64, name: &str, digest: u8| {
        let mut request = product.request(cmid(7));
        (request.machine, request.machine_name) = (MachineDigest([digest; 8]), name.parse().unwrap());
        let mut session = product.session(cluster.node(node).clients).await.unwrap();
        let answered = session.exchange(&request, product.trust()).await.unwrap();
        answered.answer.body.count
    };
    let duplicates = async || cluster.administrate(2, &words!["duplicates"]).await["duplicates"].clone();
    assert_eq!(asks(1, "desk-1", 1).await, 1);
    assert_eq!(duplicates().await, Value::Array(Vec::new()));
    // The two machines ask different nodes, so no node has seen both.
    assert_eq!(asks(2, "desk-2", 2).await, 1, "never counted twice");
    eventually("all nodes together know of one machine", async || {
        let text = page(cluster.node(3).metrics, "/metrics").await?.1;
        let days = |days: u32| value(&text, &format!("quorate_distinct_machines{{days=\"{days}\"}}"));
        (days(1) == Some(1.0) && days(180) == Some(1.0)).then_some(())
    })
    .await;
    let named = duplicates().await;
    let machines = named[0]["machines"].as_array().unwrap();
    let machines: Vec<_> = machines.iter().map(|machine| (&machine["name"], &machine["node"])).collect();
    assert_eq!(machines, [(&"desk-1".into(), &1.into()), (&"desk-2".into(), &2.into())]);
    assert_eq!(named[0]["cmid"], cmid(7).to_string());
    assert!(named[0]["fix"].as_str().unwrap().contains("quorate client generalize"), "{named}");
    assert!(cluster.said(2).contains("two machines use one CMID"));
    let doctor = cluster.admin(1, &words!["doctor"]).await.json();
    let check = doctor["checks"].as_array().unwrap().iter().find(|check| check["name"] == "duplicates").unwrap();
    assert_eq!(check["state"], "warning", "{check}");
    assert!(check["fix"].as_str().unwrap().contains("quorate duplicates"));
}

#[tokio::test]
async fn a_source_brings_no_more_new_machines_than_the_limit_and_known_ones_renew_all_the_same() {
    const MAX: u64 = 3;
    let variables = [("QUORATE_CLIENTS_NEW_CMIDS_PER_MINUTE", "3")];
    let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan { variables: &variables, ..Plan::of(1) }).await;
    let product = cluster.product(PRODUCT);
    let clients = cluster.node(1).clients;
    let metrics = async || page(cluster.node(1).metrics, "/metrics").await.unwrap().1;
    let last_index = async || value(&metrics().await, "quorate_raft_last_index").unwrap();
    product.count(clients, 1).await;
    // A new minute may begin meanwhile; then further machines are accepted.
    let mut machine = 1;
    let (refused, before) = loop {
        machine += 1;
        assert!(machine < 100, "there is no limit");
        let before = last_index().await;
        if let Err(refused) = product.activate(clients, cmid(machine)).await {
            break (refused, before);
        }
    };
    assert!(machine > MAX, "{machine}");
    let says = refused.to_string();
    assert!(
        says.contains("0xC004F039") && says.contains("it accepts 3 new machines per minute from one client address"),
        "{says}"
    );
    assert_eq!(last_index().await, before, "it is not recorded");
    for known in 1..machine {
        product.count(clients, known).await;
    }
    let metrics = metrics().await;
    let counted = machine - 1;
    let (new, refused) = ("quorate_new_cmids_total", "quorate_new_cmids_refused_total");
    assert_eq!(
        (value(&metrics, new), value(&metrics, refused)),
        (Some(f64::from(u32::try_from(counted).unwrap())), Some(1.0))
    );
    assert_eq!(value(&metrics, "quorate_raft_proposals_failed_total"), Some(0.0), "a leader was there");
}
