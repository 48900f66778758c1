//! The slmgr verbs that administrators know do the same as the equivalent commands (R36).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::ffi::OsString;

use quorate_tests::{Cluster, Finished, Plan, Quorate, free_port, words};
use serde_json::{Value, json};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
/// A setup key of server-standard-2, in the example catalog; its threshold is 5.
const SETUP_KEY: &str = "P257E-J9HE2-3ADQ7-CQCZK-Y8M5G";

struct World {
    cluster: Cluster,
    admin: String,
}

impl World {
    async fn new() -> Self {
        let cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
        let admin = format!("unix:{}", cluster.node(1).data.join("admin.sock").display());
        Self { cluster, admin }
    }

    async fn slmgr(&self, words: &[&str]) -> Finished {
        let mut all = words!["slmgr", "--state", self.cluster.path("machine"), "--json"].to_vec();
        all.extend(words.iter().map(OsString::from));
        Quorate::at(QUORATE).run(all).await
    }

    /// Runs a verb on the host; returns its JSON result.
    async fn host(&self, words: &[&str]) -> Value {
        let done = self.slmgr(&[&[self.admin.as_str()], words].concat()).await;
        assert_eq!(done.code, Some(0), "{words:?}: {}{}", done.stdout, done.stderr);
        done.json()
    }

    /// Runs a verb on this machine as a client; returns its JSON result.
    async fn client(&self, words: &[&str]) -> Value {
        let done = self.slmgr(words).await;
        assert_eq!(done.code, Some(0), "{words:?}: {}{}", done.stdout, done.stderr);
        done.json()
    }
}

#[tokio::test]
async fn r36_the_verbs_of_a_host_do_what_they_say() {
    let world = World::new().await;
    world.cluster.product("server-standard-2").count(world.cluster.node(1).clients, 1).await;
    let before = world.host(&["/dli"]).await;
    assert_eq!((&before["node"], &before["leader"], &before["ready"]), (&json!(1), &json!(1), &json!(true)));
    assert_eq!(before["port"], json!(world.cluster.node(1).clients.port()));
    assert_eq!(before["keys"][0]["state"], "activated", "{before}");
    assert_eq!(before["counts"][0]["count"], json!(1), "{before}");

    let port = free_port(world.cluster.loopback().address(1)).port().to_string();
    for words in [&["/sri", "20160"][..], &["/SAI", "15"], &["/sprt", port.as_str()], &["/cpri"]] {
        world.host(words).await;
    }
    // Here the nodes have no names in DNS, so there is no record to withdraw.
    world.slmgr(&[&world.admin, "/cdns"]).await;
    let after = world.host(&["/dlv"]).await;
    assert_eq!(after["port"].to_string(), port);
    assert_eq!(after["node_settings"], json!({ "clients.port": port, "process.low_priority": "true" }));
    let settings = &after["settings"];
    assert_eq!(
        (&settings["renewal.interval_minutes"], &settings["activation.interval_minutes"]),
        (&json!("20160"), &json!("15"))
    );
    assert_eq!(settings["dns.publish"], "false");
    world.host(&["/spri"]).await;
    world.slmgr(&[&world.admin, "/sdns"]).await;
    let back = world.host(&["/dli"]).await;
    assert_eq!(
        (&back["node_settings"]["process.low_priority"], &back["settings"]["dns.publish"]),
        (&json!("false"), &json!("true"))
    );
    assert_eq!(world.host(&["/xpr"]).await["keys"][0]["activations"][0]["state"], "activated");

    let page = Quorate::at(QUORATE).run(words!["slmgr", &world.admin, "/dlv"]).await;
    for line in [
        "License status         activated",
        "Renewal interval       20160 minutes",
        "Node 1 is the leader; failures tolerated: 0.",
    ] {
        assert!(page.stdout.lines().any(|printed| printed.starts_with(line)), "{line}\n{}", page.stdout);
    }
    let dti = world.slmgr(&[&world.admin, "/dti", "request.bin"]).await;
    assert!(dti.code == Some(1) && dti.stderr.contains("no node to activate"), "{}{}", dti.stdout, dti.stderr);
}

#[tokio::test]
async fn r36_the_verbs_of_a_client_machine_do_what_they_say() {
    let world = World::new().await;
    let product = world.cluster.product("server-standard-2");
    for machine in 1..=4 {
        product.count(world.cluster.node(1).clients, machine).await;
    }
    let trust = world.cluster.path("publisher").join("trust.toml");
    world.client(&["--trust", trust.to_str().unwrap(), "/ipk", SETUP_KEY]).await;
    assert_eq!(world.client(&["/dli"]).await["state"], "oob_grace");
    world.client(&["/skms", &world.cluster.node(1).clients.to_string()]).await;
    world.client(&["/ato"]).await;
    let licensed = world.client(&["/xpr"]).await;
    assert_eq!((&licensed["state"], &licensed["found_by"]), (&json!("licensed"), &json!("fixed")));
    world.client(&["/cpky"]).await;
    world.client(&["/ckms"]).await;
    assert_eq!(world.client(&["/dlv"]).await["found_by"], "srv");
    assert_eq!(world.client(&["/rearm"]).await["rearms_left"], json!(2));
    assert_eq!(world.client(&["/upk"]).await["state"], "unlicensed");
    assert_eq!(world.client(&["/dli"]).await["product"], Value::Null);
}

/// R37: over the network a certificate identifies the caller, and its role decides what the caller may do.
#[tokio::test]
async fn r37_from_afar_a_certificate_is_shown_and_decides() {
    let world = World::new().await;
    let home = world.cluster.path("home");
    let address = world.cluster.node(1).admin.to_string();
    let run = async |words: &[&str], password: Option<&str>| {
        let mut command = Quorate::at(QUORATE).command(words.iter().map(OsString::from));
        command.env("XDG_CONFIG_HOME", &home).env_remove("QUORATE_CONTEXT_PASSWORD");
        command.envs(password.map(|password| ("QUORATE_CONTEXT_PASSWORD", password)));
        quorate_tests::finished(&mut command).await
    };
    for (role, password) in [("administrator", Some("open sesame")), ("reader", None)] {
        let token = world.cluster.administrate(1, &words!["cluster", "token", "--role", role]).await;
        let token = token["token"].as_str().unwrap().to_owned();
        let mut words = vec!["cluster", "login", &address, "--token", &token, "--as", role, "--context", role];
        words.extend(password.map(|_| "--password"));
        let saved = run(&words, password).await;
        assert_eq!(saved.code, Some(0), "{}", saved.stderr);
    }
    let slmgr = async |words: &[&str]| run(&[&["slmgr"], words].concat(), None).await;

    let done = slmgr(&[&address, "administrator", "open sesame", "/sri", "20160"]).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let shown = slmgr(&[&address, "reader", "/dli"]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("Renewal interval       20160 minutes"), "{}", shown.stdout);
    // A saved context can be the target.
    assert_eq!(slmgr(&["reader", "/dli"]).await.code, Some(0));

    for words in [&["reader", "/sri", "15"][..], &[&address, "reader", "/cpri"], &[&address, "reader", "/cdns"]] {
        let refused = slmgr(words).await;
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{words:?}");
        assert!(refused.stderr.contains("0x80070005: access denied"), "{words:?}: {}", refused.stderr);
    }
    for (words, reason) in [
        (&[&address, "administrator", "wrong", "/dli"][..], "wrong password for context administrator"),
        (&[&address, "administrator", "/dli"], "set QUORATE_CONTEXT_PASSWORD"),
        (&[&address, "bob", "/dli"], "there is no saved context \"bob\""),
        (&[&address, "../bob", "/dli"], "there is no saved context"),
        // The target is no saved context, so it is the name of a host, and no node answers there.
        (&["host.invalid", "reader", "/dli"], "cannot connect to host.invalid:1690"),
    ] {
        let refused = slmgr(words).await;
        assert_eq!(refused.code, Some(1), "{words:?}: {}", refused.stdout);
        assert!(refused.stderr.contains(reason), "{words:?}: {}", refused.stderr);
    }
    let audit = world.cluster.administrate(1, &words!["cluster", "audit"]).await;
    let last = audit["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["who"], &last["act"]),
        (&json!("administrator (administrator)"), &json!("set renewal.interval_minutes=20160"))
    );
}

#[tokio::test]
async fn r36_what_cannot_be_meant_is_refused_with_the_reason() {
    let world = World::new().await;
    for (words, reason) in [
        (&[world.admin.as_str(), "/skms", "node1.example.test"][..], "run it there, without TARGET"),
        (&[world.admin.as_str(), "/sri", "14"], "15 to 43200"),
        (&[world.admin.as_str(), "/sri"], "needs the argument MINUTES"),
        (&[world.admin.as_str(), "/dli", "more"], "unexpected argument more"),
        (&[world.admin.as_str(), "/format"], "unknown verb /format"),
        (&[world.admin.as_str(), "bob", "/dli"], "no user can be given for a Unix socket"),
        (&[world.admin.as_str(), "/cpky"], "run it there, without TARGET"),
        (&["host1", "ada", "secret", "more", "/dli"], "more than the three arguments TARGET, USER and PASSWORD"),
        (&[world.admin.as_str()], "the verb is missing"),
        (&[world.admin.as_str(), "/ato"], "--publisher"),
        (&["no/place", "/dli"], "unix:PATH"),
        (&["/dti", "request.bin"], "this machine is not a host"),
    ] {
        let refused = world.slmgr(words).await;
        assert_eq!(refused.code, Some(2), "{words:?}: {}{}", refused.stdout, refused.stderr);
        assert!(refused.stderr.contains(reason), "{words:?}: {}", refused.stderr);
    }
    let help = Quorate::at(QUORATE).run(words!["slmgr", "--help"]).await;
    assert!(help.stdout.contains("quorate settings set renewal.interval_minutes MINUTES"), "{}", help.stdout);
}
