//! The doctor finds planted problems, and carrying out its advice corrects them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf, time::Duration};

use quorate_tests::{
    CATALOG, Cluster, Named, Network, Plan, Prometheus, Quorate, ZONE, certify, certify_all, eventually, words,
};
use serde_json::Value;
use transport::{Authority, Folder, Subject};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
/// The library that replaces the C library's clock.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The doctor's exit code, and its results of one check: state, finding, fix.
async fn doctor(cluster: &Cluster, via: u64, name: &str) -> (Option<i32>, Vec<(String, String, String)>) {
    let finished = cluster.admin(via, &words!["doctor"]).await;
    let reply = finished.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let checks = reply["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name);
    let told = checks.map(|check| (text(&check["state"]), text(&check["finding"]), text(&check["fix"])));
    (finished.code, told.collect())
}

async fn is_well(cluster: &Cluster, via: u64, name: &str) {
    eventually(&format!("{name} is well"), async || {
        let (_, told) = doctor(cluster, via, name).await;
        (told.len() == 1 && told[0].0 == "ok").then_some(())
    })
    .await;
}

/// Waits until a check has a finding with these words in this state; returns its fix.
async fn found(cluster: &Cluster, name: &str, state: &str, words: &str) -> String {
    eventually(&format!("{name} says `{words}`"), async || {
        let (_, told) = doctor(cluster, 1, name).await;
        told.into_iter().find(|check| check.0 == state && check.1.contains(words)).map(|check| check.2)
    })
    .await
}

#[tokio::test]
async fn a_dead_node_is_found_and_starting_it_is_the_cure() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(3)).await;
    for name in
        ["leader", "nodes", "quorum", "activation", "keys", "clocks", "ports", "certificates", "count", "settings"]
    {
        let (_, told) = doctor(&cluster, 1, name).await;
        assert_eq!(told.iter().map(|check| check.0.as_str()).collect::<Vec<_>>(), ["ok"], "{name}: {told:?}");
    }
    cluster.kill(3).await;
    let (code, told) = doctor(&cluster, 1, "nodes").await;
    assert_eq!((code, told.len()), (Some(1), 1));
    assert_eq!(told[0].0, "failure");
    assert!(told[0].1.starts_with("node 3 does not answer") && told[0].2.contains("start it"), "{told:?}");
    let (_, quorum) = doctor(&cluster, 1, "quorum").await;
    assert_eq!(quorum[0].0, "failure", "{quorum:?}");
    cluster.start(3);
    for name in ["nodes", "quorum", "activation"] {
        is_well(&cluster, 1, name).await;
    }
}

#[tokio::test]
async fn a_wrong_clock_and_a_missing_activation_are_found_and_mended() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    for (name, value) in [("LD_PRELOAD", FAKETIME), ("FAKETIME", "+2h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")] {
        cluster.set_variable(3, name, value);
    }
    cluster.form().await;
    let (code, told) = doctor(&cluster, 1, "activation").await;
    assert_eq!(code, Some(1));
    assert!(told[0].1.contains("no host key is installed") && told[0].2.contains("quorate key install"), "{told:?}");
    cluster.activate().await;
    is_well(&cluster, 2, "activation").await;

    let (_, told) = doctor(&cluster, 1, "clocks").await;
    assert_eq!((told.len(), told[0].0.as_str()), (1, "warning"), "{told:?}");
    assert!(told[0].1.starts_with("the clock of node 3 differs by 7"), "{told:?}");
    assert_eq!(cluster.stop(3).await, Some(0));
    for name in ["LD_PRELOAD", "FAKETIME"] {
        cluster.unset_variable(3, name);
    }
    cluster.start(3);
    is_well(&cluster, 1, "clocks").await;
}

/// A name in the zone that belongs to no member.
const STRANGER: &str = "stranger IN A 127.0.0.9";

#[tokio::test]
async fn faults_in_dns_and_closed_ports_are_found_and_raise_alerts_and_the_advice_mends_them() {
    let test = "faults_in_dns_and_closed_ports_are_found_and_raise_alerts_and_the_advice_mends_them";
    let Some(network) = Network::of(test).await else { return };
    let named = Named::start(3, STRANGER).await;
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    named.publishes(&mut cluster);
    for (node, (name, value)) in (1..=3).flat_map(|node| {
        [("QUORATE_TEST_DNS_WATCH_MS", "300"), ("QUORATE_DNS_SHARE_NAME", "true")].map(|variable| (node, variable))
    }) {
        cluster.set_variable(node, name, value);
    }
    // The doctor looks names up with the system's resolver, so the names are in the hosts file.
    let places: Vec<_> =
        (1..=3_u8).map(|node| (format!("node{node}.{ZONE}"), cluster.loopback().address(node))).collect();
    let names: Vec<_> = places.iter().map(|(name, address)| (name.as_str(), *address)).collect();
    network.name(&names, &cluster.path("hosts")).await;
    cluster.form().await;
    cluster.activate().await;
    let prometheus = Prometheus::of(&cluster).await;
    eventually("all nodes are published", async || (named.hosts().await.len() == 3).then_some(())).await;
    for name in ["dns", "ports", "certificates"] {
        is_well(&cluster, 1, name).await;
    }

    // A record of no member.
    named.update(1, &format!("add _vlmcs._tcp.{ZONE}. 300 SRV 9 0 1688 stranger.{ZONE}.")).await;
    let fix = found(&cluster, "dns", "warning", "is not the record of a member").await;
    prometheus.alert("QuorateForeignRecord", true).await;
    let (_, command) = fix.split_once("(nsupdate: update ").unwrap();
    named.update(1, command.split_once(')').unwrap().0).await;
    is_well(&cluster, 1, "dns").await;
    prometheus.alert("QuorateForeignRecord", false).await;

    // A record that differs from what its node announces.
    let port = cluster.node(2).clients.port();
    named.update(1, &format!("delete _vlmcs._tcp.{ZONE}. SRV 0 0 {port} node2.{ZONE}.")).await;
    named.update(1, &format!("add _vlmcs._tcp.{ZONE}. 300 SRV 7 7 {port} node2.{ZONE}.")).await;
    let fix = found(&cluster, "dns", "warning", "differs from what its node announces").await;
    assert_eq!(fix, "quorate dns publish");
    cluster.administrate(1, &words!["dns", "publish"]).await;
    is_well(&cluster, 1, "dns").await;

    // A name server that does not answer.
    let mut named = named;
    named.stop().await;
    assert_eq!(cluster.admin(1, &words!["dns", "publish"]).await.code, Some(1));
    let fix = found(&cluster, "dns", "failure", "cannot be reached").await;
    assert!(fix.ends_with("then run quorate dns publish"), "{fix}");
    prometheus.alert("QuorateDnsUnpublished", true).await;
    let named = named.running().await;
    cluster.administrate(1, &words!["dns", "publish"]).await;
    is_well(&cluster, 1, "dns").await;
    prometheus.alert("QuorateDnsUnpublished", false).await;

    let machine = ClientMachine { cluster: &cluster, server: named.address.to_string() };
    machine.looks_at_its_way_to_the_hosts(&network, port).await;

    // R39: the only port for clients is closed by a firewall.
    network.close_port(port).await;
    let fix = found(&cluster, "ports", "failure", &format!(":{port} from here: no answer")).await;
    assert!(fix.starts_with("open the port in the firewalls"), "{fix}");
    network.open_ports().await;
    is_well(&cluster, 1, "ports").await;

    // A certificate of the cluster's authority that was not renewed.
    assert_eq!(cluster.stop(3).await, Some(0));
    let folder = Folder::at(&cluster.node(3).data.join("tls"));
    let key = folder.node_key().unwrap();
    let renewed = folder.authority().unwrap().renew(&Subject::Node(3), &key, quorate_tests::now_ms(), 10 * DAY);
    folder.renew_node(&renewed.unwrap()).unwrap();
    let lifetime = "QUORATE_TEST_CERTIFICATE_LIFETIME_S";
    cluster.set_variable(3, lifetime, (10 * DAY).as_secs().to_string());
    cluster.start(3);
    let fix = found(&cluster, "certificates", "warning", "the certificate of node 3 expires").await;
    assert!(fix.contains("start it again"), "{fix}");
    assert_eq!(cluster.stop(3).await, Some(0));
    cluster.unset_variable(3, lifetime);
    cluster.start(3);
    is_well(&cluster, 1, "certificates").await;
}

/// A client machine, from which the doctor checks the hosts.
struct ClientMachine<'a> {
    cluster: &'a Cluster,
    server: String,
}

/// A setup key of server-standard-2, in the example catalog.
const SETUP_KEY: &str = "P257E-J9HE2-3ADQ7-CQCZK-Y8M5G";

impl ClientMachine<'_> {
    fn state(&self) -> PathBuf {
        self.cluster.path("machine")
    }

    /// The doctor's exit code, and name, state and fix of every check that is not ok.
    async fn doctor(&self, more: &[&str]) -> (Option<i32>, Vec<(String, String, String)>) {
        let mut words = words!["doctor", "--client", "--server", &self.server, "--json"].to_vec();
        words.extend(more.iter().map(Into::into));
        let finished = Quorate::at(QUORATE).run(words).await;
        let reply = finished.json();
        let text = |check: &Value, name: &str| check[name].as_str().unwrap_or_default().to_owned();
        let checks = reply["checks"].as_array().unwrap().iter().filter(|check| check["state"] != "ok");
        (finished.code, checks.map(|check| ["name", "state", "fix"].map(|name| text(check, name)).into()).collect())
    }

    async fn client(&self, words: &[&str]) -> Option<i32> {
        let mut command = words!["client"].to_vec();
        command.extend(words.iter().map(Into::into));
        command.extend(words!["--state", self.state()]);
        Quorate::at(QUORATE).run(command).await.code
    }

    async fn looks_at_its_way_to_the_hosts(&self, network: &Network, port: u16) {
        let state = self.state().display().to_string();
        let domain = ["--domain", ZONE];
        let well = (Some(0), Vec::new());
        assert_eq!(self.doctor(&domain).await, well);

        // The state of the machine: nothing installed, not activated, activated.
        let with_state = [&domain[..], &["--state", &state]].concat();
        let (code, told) = self.doctor(&with_state).await;
        assert_eq!((code, told.len(), told[0].0.as_str()), (Some(1), 1, "licence"), "{told:?}");
        assert!(told[0].2.starts_with("quorate client install-key KEY --state "), "{told:?}");
        assert!(!self.state().exists(), "who looks makes nothing");
        let trust = self.cluster.path("publisher").join("trust.toml").display().to_string();
        assert_eq!(self.client(&["install-key", SETUP_KEY, "--trust", &trust]).await, Some(0));
        let (code, told) = self.doctor(&with_state).await;
        let said: Vec<_> = told.iter().map(|check| (check.0.as_str(), check.1.as_str())).collect();
        assert_eq!((code, said), (Some(4), vec![("clock", "unknown"), ("licence", "warning")]), "{told:?}");
        assert_eq!(told[1].2, format!("quorate client activate --state {state}"));
        let activate = ["activate", "--domain", ZONE, "--server", &self.server];
        assert_eq!(self.client(&activate).await, Some(1), "the count is below the threshold");
        let (code, told) = self.doctor(&with_state).await;
        let names: Vec<_> = told.iter().map(|check| check.0.as_str()).collect();
        assert_eq!((code, names), (Some(4), vec!["clock", "licence", "attempt"]), "{told:?}");
        assert!(told[2].2.starts_with("Activate more machines"), "{told:?}");
        let product = self.cluster.product("server-standard-2");
        for number in 1..=4 {
            product.count(self.cluster.node(1).clients, number).await;
        }
        assert_eq!(self.client(&activate).await, Some(0));
        assert_eq!(self.doctor(&with_state).await, well);

        // There is no record, and the fix says how to publish one.
        self.cluster.administrate(1, &words!["dns", "withdraw"]).await;
        let (code, told) = self.doctor(&domain).await;
        assert_eq!((code, told.len(), told[0].0.as_str()), (Some(1), 1, "discovery"), "{told:?}");
        assert!(told[0].2.starts_with("publish the hosts on the cluster (quorate dns publish)"), "{told:?}");
        self.cluster.administrate(1, &words!["dns", "publish"]).await;
        assert_eq!(self.doctor(&domain).await, well);

        // The port is closed: without a fixed host, machines go on to the next host; with one they cannot.
        network.close_port(port).await;
        let (code, told) = self.doctor(&domain).await;
        assert_eq!((code, told.len(), told[0].1.as_str()), (Some(4), 1, "warning"), "{told:?}");
        let open = format!("open port {port} in the firewalls");
        assert!(told[0].0 == "hosts" && told[0].2.contains(&open), "{told:?}");
        let host = self.cluster.node(2).clients.to_string();
        let (code, told) = self.doctor(&["--host", &host]).await;
        assert_eq!((code, told.len(), told[0].0.as_str()), (Some(1), 1, "hosts"), "{told:?}");
        network.open_ports().await;
        assert_eq!(self.doctor(&["--host", &host]).await, well);
        assert_eq!(self.doctor(&domain).await, well);
    }
}

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_full_disk_an_ending_certificate_and_a_blocked_key_are_found_and_the_advice_mends_them() {
    let test = "a_full_disk_an_ending_certificate_and_a_blocked_key_are_found_and_the_advice_mends_them";
    let Some(network) = Network::of(test).await else { return };
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    let organisation = Authority::create(quorate_tests::now_ms()).unwrap();
    certify_all(&organisation, &mut cluster, 60 * DAY);
    // All nodes get small disks of their own, so that the free space of this machine's disk does not matter.
    for node in 1..=3 {
        network.small_disk(&cluster.node(node).data, 256).await;
    }
    cluster.form().await;
    cluster.activate().await;
    cluster.settled(1).await;
    let prometheus = Prometheus::of(&cluster).await;
    for name in ["certificates", "keys", "activation"] {
        is_well(&cluster, 1, name).await;
    }

    no_disk_is_full(&cluster).await;
    let ballast = cluster.node(3).data.join("ballast");
    let free = |cluster: &Cluster| {
        let disk = rustix::fs::statvfs(&cluster.node(3).data).unwrap();
        disk.f_bavail * disk.f_frsize
    };
    let room: usize = (free(&cluster) - (4 << 20)).try_into().unwrap();
    fs::write(&ballast, vec![0x5A; room]).unwrap();
    let fix = found(&cluster, "disk", "warning", "node 3 has ").await;
    assert!(fix.starts_with("make room"), "{fix}");
    prometheus.alert("QuorateDiskNearlyFull", true).await;
    fs::remove_file(&ballast).unwrap();
    no_disk_is_full(&cluster).await;
    prometheus.alert("QuorateDiskNearlyFull", false).await;

    certify(&organisation, &cluster, 2, 10 * DAY);
    let fix = found(&cluster, "certificates", "warning", "the certificate of node 2 expires").await;
    assert!(fix.ends_with("replace the file tls.certificate"), "{fix}");
    prometheus.alert("QuorateCertificateEnds", true).await;
    certify(&organisation, &cluster, 2, 60 * DAY);
    is_well(&cluster, 1, "certificates").await;
    prometheus.alert("QuorateCertificateEnds", false).await;

    let publisher = Publisher { cluster: &cluster };
    let listed = cluster.administrate(1, &words!["key", "list"]).await;
    let key =
        listed["keys"].as_array().unwrap().iter().find(|key| key["group"] == "server-b").unwrap()["key_id"].clone();
    publisher.blocks(key.as_str().unwrap()).await;
    let fix = found(&cluster, "keys", "failure", &format!("key {} is blocked", key.as_str().unwrap())).await;
    // Follows the advice exactly: another key, its activation, and the release of the blocked key on each node that
    // the advice names.
    publisher.installs_another("server-b").await;
    assert!(fix.contains("quorate key install KEY and quorate key activate, then"), "{fix}");
    let (_, release) = fix.split_once("then quorate key release ").unwrap();
    let (which, nodes) = release.split_once(" --node NODE for nodes ").unwrap();
    for node in nodes.split(", ") {
        publisher.takes_back(which, node).await;
    }
    is_well(&cluster, 1, "keys").await;
    is_well(&cluster, 1, "activation").await;
}

async fn no_disk_is_full(cluster: &Cluster) {
    eventually("no disk is full", async || {
        let (_, told) = doctor(cluster, 1, "disk").await;
        // The finding about a disk in memory stays, because that is no full disk.
        told.iter().all(|check| !check.1.contains("MiB of free disk space")).then_some(())
    })
    .await;
}

/// The publisher of a cluster, to whom requests go by file.
struct Publisher<'a> {
    cluster: &'a Cluster,
}

impl Publisher<'_> {
    fn folder(&self) -> PathBuf {
        self.cluster.path("publisher")
    }

    async fn json(&self, words: &[std::ffi::OsString]) -> Value {
        Quorate::at(QUORATE).json(words).await
    }

    /// Blocks a key, and installs the next catalog on the cluster, which contains the block.
    async fn blocks(&self, key: &str) {
        let (folder, source) = (self.folder(), self.cluster.path("successor.toml"));
        self.json(&words!["publisher", "key", "block", "--dir", &folder, key]).await;
        fs::write(&source, fs::read_to_string(CATALOG).unwrap().replacen("serial = 1", "serial = 2", 1)).unwrap();
        let signed = self.cluster.path("successor.signed");
        let sign = words!["publisher", "catalog", "sign", "--dir", &folder, &source, "--out", &signed];
        let fingerprint = self.json(&sign).await["fingerprint"].as_str().unwrap().to_owned();
        self.cluster.administrate(1, &words!["catalog", "install", &signed, "--trust", fingerprint]).await;
    }

    async fn installs_another(&self, group: &str) {
        let issued = self.json(&words!["publisher", "key", "issue", "--dir", self.folder(), "--group", group]).await;
        self.cluster.administrate(1, &words!["key", "install", issued["key"].as_str().unwrap(), "--yes"]).await;
        self.cluster.activate_members(1).await;
    }

    /// Releases the activation slot of a node; `which` holds the arguments that name the key.
    async fn takes_back(&self, which: &str, node: &str) {
        let [file, answer] = ["release.bin", "released.bin"].map(|name| self.cluster.path(name));
        let mut release = words!["key", "release", "--node", node, "--offline", &file, "--yes", "--force"].to_vec();
        release.extend(which.split(' ').map(Into::into));
        self.cluster.administrate(1, &release).await;
        let mut told = words!["publisher", "activate", "--dir", self.folder(), "--request", &file].to_vec();
        told.extend(words!["--out", &answer, "--force"]);
        self.json(&told).await;
        self.cluster.administrate(1, &words!["key", "activate", "--answer", &answer]).await;
    }
}
