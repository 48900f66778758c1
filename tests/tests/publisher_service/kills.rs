//! The service is killed with SIGKILL while two hundred nodes ask for a hundred and twenty activation slots.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use activation::{key::TypedKey, status::Status, trust::Trust};
use client::PublishingError;
use quorate_tests::{TIMEOUT, words};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::house::{House, certificate, is_unknown, request};

const NODES: u16 = 200;
const PLACES: u32 = 120;
/// Number of connections; each one carries the concurrent requests of its share of the nodes.
const CONNECTIONS: u16 = 20;
/// Total numbers of answers after each of which the service is killed.
const KILLS: [usize; 3] = [10, 50, 90];

/// The answer to each node: the bytes of its certificate, or `None` for a refusal. A channel, so that a kill happens
/// at the very moment of an answer.
type Told = Arc<watch::Sender<BTreeMap<u16, Option<Vec<u8>>>>>;

/// The nodes of one connection; each repeats the same request until it gets an answer.
async fn ask(house: Arc<House>, key: TypedKey, trust: Arc<Trust>, mut nodes: BTreeSet<u16>, told: Told) {
    while !nodes.is_empty() {
        let Ok(publishing) = house.connect().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let mut asking = JoinSet::new();
        for &node in &nodes {
            let publishing = publishing.clone();
            asking.spawn(async move { (node, publishing.activate(request(&key, node)).await) });
        }
        while let Some(asked) = asking.join_next().await {
            let outcome = match asked.unwrap() {
                (node, Ok(answer)) => (node, Some(certificate(&answer, &trust).encode())),
                (node, Err(error @ PublishingError::Refused(_))) => {
                    assert_eq!(error.status(), Status::KEY_LIMIT_REACHED, "{error}");
                    (node, None)
                }
                // The outcome is unknown, so the node asks again.
                (_, Err(error)) if is_unknown(&error) => continue,
                (node, Err(error)) => panic!("node {node}: {error:?}"),
            };
            nodes.remove(&outcome.0);
            told.send_modify(|told| drop(told.insert(outcome.0, outcome.1)));
        }
    }
}

/// Makes all nodes ask concurrently.
fn ask_all(house: &Arc<House>, key: TypedKey, told: &Told) -> JoinSet<()> {
    let trust = Arc::new(house.trust());
    let mut asking = JoinSet::new();
    for connection in 0..CONNECTIONS {
        let nodes = (1..=NODES).filter(|node| node % CONNECTIONS == connection).collect();
        asking.spawn(ask(Arc::clone(house), key, Arc::clone(&trust), nodes, Arc::clone(told)));
    }
    asking
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_take_no_place_and_give_none_twice() {
    let mut serving = House::new().await;
    let key = serving.key(PLACES).await;
    serving.serve(&[]).await;
    // The tasks of the nodes need the address and the publisher; the process stays with this task, which kills it.
    let (house, mut process) = serving.shared();
    let told: Told = Arc::new(watch::Sender::default());
    let asking = ask_all(&house, key, &told);
    for answers in KILLS {
        let mut noticing = told.subscribe();
        let enough = timeout(TIMEOUT, noticing.wait_for(|told| told.len() >= answers)).await;
        drop(enough.expect("nodes are told something").unwrap());
        process.kill().await;
        let open = usize::from(NODES) - told.borrow().len();
        assert!(open > 0, "the service was killed when all was done");
        process.serve(&house);
    }
    asking.join_all().await;
    let first = told.send_replace(BTreeMap::new());
    let given = first.values().flatten().collect::<BTreeSet<_>>().len();
    assert_eq!((first.len(), given), (NODES.into(), PLACES as usize), "every place is given, and none twice");

    process.kill().await;
    process.serve(&house);
    ask_all(&house, key, &told).join_all().await;
    assert_eq!(*told.borrow(), first, "asked again, every node is told the same, byte for byte");
    let keys = house.json(&words!["key", "list"]).await;
    assert_eq!(keys["keys"][0]["hosts_used"], PLACES);
    assert_eq!(keys["keys"][0]["activations"].as_array().unwrap().len(), PLACES as usize);
    let panicked = process.said().contains("panicked");
    assert!(!panicked, "{}", process.said());
}

#[tokio::test]
async fn a_service_whose_disk_refuses_a_write_gives_nothing_more_and_stops() {
    let mut house = House::new().await;
    let key = house.key(5).await;
    house.serve_on_a_disk_that_may_fail().await;
    let publishing = house.connect().await.unwrap();
    let given = publishing.activate(request(&key, 1)).await.unwrap();
    house.refuse_writes();
    let refused = publishing.activate(request(&key, 2)).await.unwrap_err();
    assert!(is_unknown(&refused), "{refused:?}");
    assert_eq!(house.ended().await, Some(1));

    house.serve(&[]).await;
    let publishing = house.connect().await.unwrap();
    let trust = house.trust();
    let again = publishing.activate(request(&key, 1)).await.unwrap();
    assert_eq!(certificate(&again, &trust), certificate(&given, &trust));
    publishing.activate(request(&key, 2)).await.unwrap();
    let keys = house.json(&words!["key", "list"]).await;
    assert_eq!(keys["keys"][0]["hosts_used"], 2);
}
