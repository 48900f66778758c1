//! Clients find hosts in DNS, keep the host that answers, and go on to the next one where it does not (R16 to R19).

use std::{ffi::OsString, path::PathBuf};

use quorate_tests::{Cluster, Finished, Named, Plan, Quorate, ZONE, eventually, words};
use serde_json::{Value, json};

use super::{QUORATE, World, own_key};

/// Runs a command of a client machine that uses the test's name server.
async fn client(world: &World, words: &[OsString]) -> Finished {
    let mut command = words!["client"].to_vec();
    command.extend(words.iter().cloned());
    command.extend(words!["--domain", ZONE, "--server", world.named.address.to_string(), "--json"]);
    Quorate::at(QUORATE).run(command).await
}

async fn discovered(world: &World) -> (Option<i32>, Vec<(String, bool)>) {
    let found = client(world, &words!["discover"]).await;
    let hosts = found.json()["hosts"].as_array().unwrap().clone();
    let host = |host: &Value| (host["target"].as_str().unwrap().to_owned(), host["reachable"].as_bool().unwrap());
    let mut hosts: Vec<_> = hosts.iter().map(host).collect();
    hosts.sort();
    (found.code, hosts)
}

#[tokio::test]
async fn r16_a_client_finds_the_nodes_by_dns_and_goes_on_to_the_next_when_one_is_dead() {
    // A server that is no activation host. The records below make clients try it first.
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = mute.local_addr().unwrap().port();
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = mute.accept().await {
            let _gone = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 this is mail\r\n").await;
        }
    });
    let stranger = format!("_vlmcs._tcp IN SRV 0 0 {port} stranger\nstranger IN A 127.0.0.1");
    let first = [("QUORATE_DNS_SHARE_NAME", "true"), ("QUORATE_DNS_PRIORITY", "1")];
    let mut world = World::new(&stranger, &first, own_key).await;
    eventually("all stand", async || (world.named.hosts().await.len() == 4).then_some(())).await;
    let node = |node: u8, reachable| (format!("node{node}.{ZONE}."), reachable);
    let stranger = (format!("stranger.{ZONE}."), true);
    let all = vec![node(1, true), node(2, true), node(3, true), stranger.clone()];
    assert_eq!(discovered(&world).await, (Some(0), all));

    let trust = world.cluster.path("publisher").join("trust.toml");
    let ask = |cmid: u64| {
        let cmid = quorate_tests::cmid(cmid).to_string();
        words!["activate", "--trust", &trust, "--product", "server-standard-2", "--cmid", cmid]
    };
    for machine in 1..=4 {
        let asked = client(&world, &ask(machine)).await;
        let found = (asked.code, asked.json()["count"].as_u64());
        assert_eq!(found, (Some(1), Some(machine)), "{}{}", asked.stdout, asked.stderr);
    }
    world.cluster.kill(1).await;
    let after = vec![node(1, false), node(2, true), node(3, true), stranger];
    eventually("the others go on", async || (discovered(&world).await == (Some(0), after.clone())).then_some(())).await;
    eventually("another node leads", async || world.cluster.standing(2).await?.leader.filter(|leader| *leader != 1))
        .await;
    let asked = client(&world, &ask(5)).await;
    let found = (asked.code, asked.json()["count"].as_u64());
    assert_eq!(found, (Some(0), Some(5)), "{}{}", asked.stdout, asked.stderr);
    answering.abort();
}

#[tokio::test]
async fn r19_without_a_record_a_client_says_so_with_the_code_that_administrators_know() {
    let named = Named::start(1, "").await;
    let quorate = Quorate::at(QUORATE);
    let server = named.address.to_string();
    let found = quorate.run(words!["client", "discover", "--domain", ZONE, "--server", server, "--json"]).await;
    assert_eq!((found.code, &found.json()["status"]), (Some(3), &json!("0x8007232B")), "{}", found.stdout);
    assert_eq!(found.json()["hosts"], json!([]));
}

/// A setup key of server-standard-2, in the example catalog.
const SETUP_KEY: &str = "P257E-J9HE2-3ADQ7-CQCZK-Y8M5G";

/// A client machine with its own state folder.
struct ClientMachine<'a> {
    world: &'a World,
    state: PathBuf,
}

impl<'a> ClientMachine<'a> {
    async fn new(world: &'a World, name: &str) -> Self {
        let machine = Self { world, state: world.cluster.path(name) };
        let trust = machine.trust();
        machine.succeeds(&words!["install-key", SETUP_KEY, "--trust", trust]).await;
        machine
    }

    fn trust(&self) -> PathBuf {
        self.world.cluster.path("publisher").join("trust.toml")
    }

    async fn run(&self, words: &[OsString]) -> Finished {
        let mut command = words!["client"].to_vec();
        command.extend(words.iter().cloned());
        command.extend(words!["--state", &self.state, "--json"]);
        Quorate::at(QUORATE).run(command).await
    }

    async fn succeeds(&self, words: &[OsString]) -> Value {
        let finished = self.run(words).await;
        assert_eq!(finished.code, Some(0), "{words:?}: {}{}", finished.stdout, finished.stderr);
        finished.json()
    }

    /// One attempt: the exit code, and the result with the host and how it was found.
    async fn activate(&self) -> (Option<i32>, Value) {
        let server = self.world.named.address.to_string();
        let asked = self.run(&words!["activate", "--trust", self.trust(), "--domain", ZONE, "--server", server]).await;
        (asked.code, asked.json())
    }

    /// One attempt that a node must answer: the node's number, and how the node was found.
    async fn answered_by(&self) -> (u64, String) {
        let (_, answer) = self.activate().await;
        let nodes = &self.world.cluster;
        let is_host = |node: &u64| answer["host"] == nodes.node(*node).clients.to_string();
        let node = nodes.numbers().into_iter().find(is_host).unwrap_or_else(|| panic!("no node answered: {answer}"));
        (node, answer["found_by"].as_str().unwrap().to_owned())
    }
}

#[tokio::test]
async fn r16_the_host_that_answered_is_asked_first_and_dns_only_when_it_fails() {
    let mut world = World::new("", &[], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    let path = world.cluster.path("machine");
    let first = ClientMachine::new(&world, "machine").await.answered_by().await;
    let asked = world.named.questions_for_hosts();
    assert_eq!((first.1.as_str(), asked), ("srv", 1));
    let machine = ClientMachine { world: &world, state: path.clone() };
    for _ in 0..3 {
        assert_eq!(machine.answered_by().await, (first.0, "cache".to_owned()));
    }
    assert_eq!(world.named.questions_for_hosts(), asked, "nobody asked DNS while the host answered");

    world.cluster.kill(first.0).await;
    let left = world.cluster.numbers().into_iter().find(|node| *node != first.0).unwrap();
    eventually("another node leads", async || {
        world.cluster.standing(left).await?.leader.filter(|leader| *leader != first.0)
    })
    .await;
    let machine = ClientMachine { world: &world, state: path };
    let (second, found_by) = machine.answered_by().await;
    assert!(second != first.0 && found_by == "srv", "{second} by {found_by}");
    assert_eq!(world.named.questions_for_hosts(), asked + 1, "DNS was asked once more, and only then");
    assert_eq!(machine.answered_by().await, (second, "cache".to_owned()));
    assert_eq!(world.named.questions_for_hosts(), asked + 1);
}

#[tokio::test]
async fn r18_a_fixed_host_turns_discovery_off_and_clearing_it_turns_it_on() {
    let mut world = World::new("", &[], own_key).await;
    world.stands("three records stand", world.lines(&[1, 2, 3])).await;
    let address = |world: &World, node| world.cluster.node(node).clients;
    let path = world.cluster.path("machine");
    let machine = ClientMachine::new(&world, "machine").await;
    machine.succeeds(&words!["set-host", address(&world, 2).to_string()]).await;
    for _ in 0..4 {
        assert_eq!(machine.answered_by().await, (2, "fixed".to_owned()));
    }
    // A fixed host is looked up by its name, without SRV records.
    machine.succeeds(&words!["set-host", format!("node3.{ZONE}:{}", address(&world, 3).port())]).await;
    assert_eq!(machine.answered_by().await, (3, "fixed".to_owned()));
    world.cluster.kill(3).await;
    let machine = ClientMachine { world: &world, state: path };
    let (code, answer) = machine.activate().await;
    assert_eq!((code, &answer["found_by"], world.named.questions_for_hosts()), (Some(3), &Value::Null, 0), "{answer}");
    machine.succeeds(&words!["clear-host"]).await;
    let (node, found_by) = machine.answered_by().await;
    assert!(node != 3 && found_by == "srv", "{node} by {found_by}");
}

#[tokio::test]
async fn a_fleet_whose_name_is_shared_with_hosts_of_other_kinds_is_activated() {
    // An activated host of another publisher, and a server that is no activation host.
    let other = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (other_host, mute_port) = (other.node(1).clients, mute.local_addr().unwrap().port());
    let answering = tokio::spawn(async move {
        while let Ok((mut stream, _)) = mute.accept().await {
            let _gone = tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 this is mail\r\n").await;
        }
    });
    let records = format!(
        "_vlmcs._tcp IN SRV 0 0 {} other\nother IN A {}\n_vlmcs._tcp IN SRV 0 0 {mute_port} mail\nmail IN A 127.0.0.1",
        other_host.port(),
        other_host.ip()
    );
    let named = Named::start(3, &records).await;
    // The nodes have a lower priority, so that the two other servers are tried first.
    let more = [("QUORATE_DNS_SHARE_NAME", "true"), ("QUORATE_DNS_PRIORITY", "1")];
    let world = World::beside(named, &more, own_key).await;
    eventually("all stand", async || (world.named.hosts().await.len() == 5).then_some(())).await;
    for machine in 1..=6 {
        let (code, answer) = ClientMachine::new(&world, &format!("machine{machine}")).await.activate().await;
        let activated = machine >= 5;
        assert_eq!((&answer["count"], code), (&json!(machine), Some(i32::from(!activated))), "{answer}");
    }
    answering.abort();
}
