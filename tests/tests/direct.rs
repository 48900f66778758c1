//! R24: a direct key turns a volume client into a directly activated one, and its setup key turns it back into a
//! volume client.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{ffi::OsString, path::PathBuf};

use quorate_tests::{Cluster, Finished, Plan, Process, Quorate, eventually, free_port, words};
use serde_json::Value;

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "server-standard-2";
/// A setup key of that product, in the example catalog.
const SETUP_KEY: &str = "P257E-J9HE2-3ADQ7-CQCZK-Y8M5G";

/// A host, the publisher's service beside it, and machines with a state folder each.
struct World {
    quorate: Quorate,
    service: String,
    _process: Process,
    cluster: Cluster,
}

impl World {
    async fn new() -> Self {
        let quorate = Quorate::at(QUORATE);
        let cluster = Cluster::activated(&quorate, Plan::of(1)).await;
        let address = free_port(cluster.loopback().address(14));
        let service = address.to_string();
        let serve = words!["publisher", "serve", "--dir", cluster.path("publisher"), "--listen", &service];
        let process = Process::start(&mut quorate.command(serve), &cluster.path("serve.log"));
        eventually("the service listens", async || tokio::net::TcpStream::connect(address).await.ok()).await;
        Self { quorate, service, _process: process, cluster }
    }

    fn trust(&self) -> PathBuf {
        self.cluster.path("publisher").join("trust.toml")
    }

    async fn direct_key(&self, activations: u32) -> String {
        let (folder, activations) = (self.cluster.path("publisher"), activations.to_string());
        let issue = words!["publisher", "direct-key", "issue", "--dir", &folder, "--product", PRODUCT];
        let issue = issue.into_iter().chain(words!["--activations", activations]);
        self.quorate.json(issue).await["key"].as_str().unwrap().to_owned()
    }

    /// Runs a client command on the machine with this state folder.
    async fn client(&self, machine: &str, words: &[OsString]) -> Finished {
        let mut command = words!["client"].to_vec();
        command.extend(words.iter().cloned());
        command.extend(words!["--state", self.cluster.path(machine), "--trust", self.trust(), "--json"]);
        self.quorate.run(command).await
    }

    async fn install(&self, machine: &str, key: &str) -> Value {
        let finished = self.client(machine, &words!["install-key", key, "--product", PRODUCT]).await;
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        finished.json()
    }

    async fn ask_publisher(&self, machine: &str) -> Finished {
        self.client(machine, &words!["activate", "--publisher", &self.service]).await
    }

    async fn ask_host(&self, machine: &str) -> Finished {
        let host = self.cluster.node(1).clients.to_string();
        self.client(machine, &words!["activate", "--host", host]).await
    }
}

#[tokio::test]
async fn r24_a_volume_client_is_turned_into_a_directly_activated_one_and_back() {
    let world = World::new().await;
    let volume = world.install("machine", SETUP_KEY).await;
    assert_eq!((&volume["channel"], &volume["product"]), (&"volume".into(), &PRODUCT.into()));
    let below = world.ask_host("machine").await;
    assert_eq!((below.code, &below.json()["count"]), (Some(1), &1.into()), "one machine, and five are needed");

    let key = world.direct_key(1).await;
    let direct = world.install("machine", &key).await;
    assert_eq!((&direct["channel"], &direct["cmid"]), (&"direct".into(), &volume["cmid"]));
    let host = world.ask_host("machine").await;
    assert_eq!(host.code, Some(2), "hosts know nothing of direct keys: {}", host.stderr);
    let activated = world.ask_publisher("machine").await;
    assert_eq!((activated.code, &activated.json()["activated"]), (Some(0), &true.into()), "{}", activated.stderr);
    let alone = world.client("machine", &words!["activate"]).await;
    assert_eq!(alone.code, Some(0), "an activated machine needs nobody: {}", alone.stderr);

    assert_eq!(world.install("machine", SETUP_KEY).await["channel"], "volume");
    let again = world.ask_host("machine").await;
    assert_eq!((again.code, &again.json()["count"]), (Some(1), &1.into()), "it is counted as the machine it was");
    let publisher = world.ask_publisher("machine").await;
    assert_eq!(publisher.code, Some(2), "a volume client asks hosts: {}", publisher.stderr);
}

#[tokio::test]
async fn r24_a_direct_key_activates_as_many_machines_as_it_was_issued_for() {
    let world = World::new().await;
    let key = world.direct_key(2).await;
    for (machine, code, status) in [
        ("first", 0, "0x00000000"),
        ("second", 0, "0x00000000"),
        ("third", 1, "0xC004C008"),
        ("first", 0, "0x00000000"),
    ] {
        world.install(machine, &key).await;
        let asked = world.ask_publisher(machine).await;
        let found = (asked.code, asked.json()["status"].as_str().map(str::to_owned));
        assert_eq!(found, (Some(code), Some(status.to_owned())), "{machine}: {}", asked.stdout);
    }
}

#[tokio::test]
async fn a_direct_certificate_that_was_copied_or_changed_activates_nothing() {
    let world = World::new().await;
    let key = world.direct_key(1).await;
    world.install("machine", &key).await;
    assert_eq!(world.ask_publisher("machine").await.code, Some(0));
    let read = |machine: &str| std::fs::read_to_string(world.cluster.path(machine).join("client.toml")).unwrap();
    // The certificate of one machine is copied to another machine with another CMID.
    world.install("copy", &key).await;
    let (original, copy) = (read("machine"), read("copy"));
    let certificate = original.lines().find(|line| line.starts_with("direct_certificate")).unwrap();
    let key_line = copy.lines().find(|line| line.starts_with("key")).unwrap();
    let stolen = copy.replace(key_line, &format!("{key_line}\n{certificate}"));
    std::fs::write(world.cluster.path("copy").join("client.toml"), stolen).unwrap();
    let asked = world.client("copy", &words!["activate"]).await;
    assert_eq!(asked.code, Some(1), "{}", asked.stdout);
    assert!(asked.stderr.contains("for another key, product or CMID"), "{}", asked.stderr);
}

#[tokio::test]
async fn nobody_at_the_publishers_address_is_exit_3() {
    let world = World::new().await;
    let key = world.direct_key(1).await;
    world.install("machine", &key).await;
    let nobody = free_port(world.cluster.loopback().address(15)).to_string();
    let asked = world.client("machine", &words!["activate", "--publisher", nobody]).await;
    assert_eq!((asked.code, &asked.json()["activated"]), (Some(3), &false.into()), "{}", asked.stdout);
    let host = world.client("machine", &words!["install-key", "H2222-22222-22222-22222-22222"]).await;
    assert_eq!(host.code, Some(2));
    assert!(host.stderr.contains("0xC004F050"), "{}", host.stderr);
}
