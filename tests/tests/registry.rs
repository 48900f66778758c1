//! The registry of keys: registered keys are accepted, and keys that were removed, revoked or never registered are
//! refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{ffi::OsString, sync::Arc};

use api::{
    admin::v1::{
        ChangeSettingsRequest, CountRequest, EventsFilter, EventsRequest, SettingValue, admin_client::AdminClient,
    },
    peer::v1::{IdentifyRequest, peer_client::PeerClient},
};
use quorate_tests::{Cluster, Finished, Plan, Quorate, TIMEOUT, eventually, join, now_ms, words};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use transport::{Authority, Folder, Identity, PresentedIdentity, Role, Subject, connector};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const NOT_REGISTERED: &str = "is not registered in the cluster";

async fn registry(cluster: &Cluster, via: u64) -> Value {
    cluster.administrate(via, &words!["cluster", "revoke", "--list"]).await
}

/// Waits until the keys of all members are registered and the registry is in force.
async fn in_force(cluster: &Cluster, via: u64) {
    eventually("keys must be registered", async || (registry(cluster, via).await["in_force"] == true).then_some(()))
        .await;
}

async fn cluster(nodes: u8) -> Cluster {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(nodes)).await;
    cluster.form().await;
    in_force(&cluster, 1).await;
    cluster
}

/// Runs a command as a person would, with saved contexts that belong to the test.
async fn command(cluster: &Cluster, words: &[OsString]) -> Finished {
    let mut command = Quorate::at(QUORATE).command(words);
    command.env("XDG_CONFIG_HOME", cluster.path("config"));
    let output = timeout(TIMEOUT, command.output()).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Finished { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

async fn login(cluster: &Cluster, via: u64, name: &str, role: &str) {
    let made = cluster.administrate(via, &words!["cluster", "token", "--role", role]).await;
    let address = cluster.node(via).admin.to_string();
    let words = words![
        "cluster",
        "login",
        &address,
        "--token",
        made["token"].as_str().unwrap(),
        "--as",
        name,
        "--context",
        name,
        "--force"
    ];
    let logged_in = command(cluster, &words).await;
    assert_eq!(logged_in.code, Some(0), "{}", logged_in.stderr);
}

async fn status_as(cluster: &Cluster, name: &str) -> Finished {
    command(cluster, &words!["cluster", "status", "--admin", name]).await
}

fn context_file(cluster: &Cluster, name: &str, kind: &str) -> std::path::PathBuf {
    cluster.path("config").join("quorate/contexts").join(format!("{name}.{kind}"))
}

fn identity_of_context(cluster: &Cluster, name: &str) -> Identity {
    let [chain, key, authority] = ["pem", "key", "authority.pem"].map(|kind| context_file(cluster, name, kind));
    Identity::from_files(&chain, &key, &authority).unwrap()
}

async fn channel(identity: Identity, address: impl std::fmt::Display) -> Result<Channel, tonic::transport::Error> {
    let connector = connector(Arc::new(PresentedIdentity::new(identity)), TIMEOUT);
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_with_connector(connector).await
}

async fn identify(identity: Identity, address: impl std::fmt::Display) -> Result<u64, Code> {
    let mut peer = PeerClient::new(channel(identity, address).await.map_err(|_| Code::Unavailable)?);
    peer.identify(IdentifyRequest {}).await.map(|reply| reply.into_inner().node).map_err(|status| status.code())
}

/// An identity with a certificate that was made with a stolen key of the authority.
fn forged(authority: &Authority, subject: &Subject) -> Identity {
    let (certificate, key) = authority.issue_with_key(subject, now_ms(), TIMEOUT * 100).unwrap();
    Identity::from_pem(certificate.as_bytes(), key.as_bytes(), authority.certificate_pem().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_removed_node_is_let_in_no_more_whatever_its_folder_holds() {
    let mut cluster = cluster(3).await;
    let stolen = Folder::at(&cluster.node(3).data.join("tls"));
    let (peers, admin) = (cluster.node(1).peers, cluster.node(1).admin);
    assert_eq!(identify(stolen.identity().unwrap(), peers).await, Ok(1), "a member");
    cluster.kill(3).await;
    let removed = cluster.administrate(1, &words!["cluster", "remove", "3", "--dead"]).await;
    let may_hold = removed["may_hold"].as_array().unwrap();
    assert!(may_hold.contains(&"the key of the cluster's authority".into()), "{removed}");

    assert_eq!(identify(stolen.identity().unwrap(), peers).await, Err(Code::PermissionDenied));
    let authority = stolen.authority().unwrap();
    for number in [1, 3, 4] {
        let forged = forged(&authority, &Subject::Node(number));
        assert_eq!(identify(forged, peers).await, Err(Code::PermissionDenied), "as node {number}");
    }
    let person = Subject::person("ada", Role::Administrator).unwrap();
    let mut forged = AdminClient::new(channel(forged(&authority, &person), admin).await.unwrap());
    let changes = vec![SettingValue { name: "dns.ttl_s".into(), value: "60".into() }];
    let refused = forged.change_settings(ChangeSettingsRequest { changes, node: 0 }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains(NOT_REGISTERED), "{refused}");
    let held = registry(&cluster, 1).await;
    let holders: Vec<_> = held["keys"].as_array().unwrap().iter().map(|key| key["holder"].clone()).collect();
    assert!(!holders.contains(&"node 3".into()), "{held}");
}

#[tokio::test]
async fn a_node_that_leaves_destroys_its_keys() {
    let mut cluster = cluster(3).await;
    cluster.administrate(1, &words!["cluster", "remove", "3"]).await;
    assert_eq!(cluster.ended(3).await, Some(0));
    let tls = cluster.node(3).data.join("tls");
    for name in ["authority.key", "node.key", "node.key.next"] {
        assert!(!tls.join(name).exists(), "{name}");
    }
    eventually("its key is registered no more", async || {
        let held = registry(&cluster, 1).await;
        (!held["keys"].to_string().contains("node 3")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn who_is_revoked_is_out_at_once_on_open_streams_too_and_comes_back_with_a_token() {
    let cluster = cluster(3).await;
    for name in ["ada", "bob"] {
        login(&cluster, 1, name, "operator").await;
    }
    // The streams are open on another node than the one that receives the revocation.
    let mut streams = Vec::new();
    for name in ["ada", "bob"] {
        let channel = channel(identity_of_context(&cluster, name), cluster.node(2).admin).await.unwrap();
        let mut admin = AdminClient::new(channel);
        let filter = Some(EventsFilter::default());
        let stream = admin.events(EventsRequest { filter, follow: true }).await.unwrap().into_inner();
        streams.push((admin, stream));
    }
    let (mut bobs, _bobs_stream) = streams.pop().unwrap();
    let (mut adas, mut adas_stream) = streams.pop().unwrap();

    let revoked = cluster.administrate(1, &words!["cluster", "revoke", "ada"]).await;
    assert_eq!(revoked["revoked"][0]["holder"], "ada", "{revoked}");
    assert_eq!(revoked["revoked"][0]["role"], "operator", "{revoked}");
    let ended = timeout(TIMEOUT, async { while let Ok(Some(_)) = adas_stream.message().await {} }).await;
    assert!(ended.is_ok(), "the open stream ends");
    assert!(adas.count(CountRequest::default()).await.is_err());
    bobs.count(CountRequest::default()).await.unwrap();

    let refused = status_as(&cluster, "ada").await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains(NOT_REGISTERED), "{}", refused.stderr);
    assert_eq!(status_as(&cluster, "bob").await.code, Some(0));
    login(&cluster, 3, "ada", "reader").await;
    assert_eq!(status_as(&cluster, "ada").await.code, Some(0));

    // Revokes a key by its serial number, as the list shows it.
    let held = registry(&cluster, 2).await;
    assert_eq!(held["revoked"][0]["whom"], "ada", "{held}");
    let keys = held["keys"].as_array().unwrap();
    let serial = keys.iter().find(|key| key["holder"] == "bob").unwrap()["serial"].as_str().unwrap();
    cluster.administrate(2, &words!["cluster", "revoke", format!("serial:{serial}")]).await;
    eventually("he is out", async || (status_as(&cluster, "bob").await.code == Some(1)).then_some(())).await;

    for (whom, why) in
        [("eve", "no key is registered for eve"), ("node:x", "not a node number"), ("serial:0", "not a serial number")]
    {
        let refused = cluster.admin(1, &words!["cluster", "revoke", whom]).await;
        assert_eq!(refused.code, Some(1), "{whom}");
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    let audit = cluster.administrate(1, &words!["cluster", "audit", "--all"]).await;
    let acts: Vec<_> = audit["entries"].as_array().unwrap().iter().map(|entry| entry["act"].clone()).collect();
    for act in ["revoke ada", "enrol ada as reader", &format!("revoke serial:{serial}")] {
        assert!(acts.contains(&act.into()), "{act}: {acts:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_taken_back_lets_nobody_in() {
    let cluster = cluster(1).await;
    let made = cluster.administrate(1, &words!["cluster", "token", "--role", "reader"]).await;
    cluster.administrate(1, &words!["cluster", "token"]).await;
    let listed = cluster.administrate(1, &words!["cluster", "token", "list"]).await;
    let tokens = listed["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), 2, "{listed}");
    let reader = tokens.iter().find(|token| token["role"] == "reader").unwrap();
    assert!(reader["expires_at"].as_str().unwrap().ends_with('Z'), "{reader}");
    cluster.administrate(1, &words!["cluster", "token", "revoke", reader["id"].as_str().unwrap()]).await;
    let address = cluster.node(1).admin.to_string();
    let token = made["token"].as_str().unwrap();
    let refused = command(&cluster, &words!["cluster", "login", &address, "--token", token, "--as", "Eve"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("the cluster knows no such token"), "{}", refused.stderr);
    let again = cluster.admin(1, &words!["cluster", "token", "revoke", reader["id"].as_str().unwrap()]).await;
    assert!(again.code == Some(1) && again.stderr.contains("quorate cluster token list"), "{}", again.stderr);
}

#[tokio::test]
async fn a_persons_certificate_is_renewed_when_it_is_used_near_its_end() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    // Certificates begin a day before they are made, for clocks that are behind; so less than a third of this one's
    // lifetime is left.
    cluster.set_variable(1, "QUORATE_TEST_PERSON_CERTIFICATE_LIFETIME_S", "3600");
    cluster.form().await;
    in_force(&cluster, 1).await;
    login(&cluster, 1, "ada", "reader").await;
    let before = identity_of_context(&cluster, "ada").certificate().clone();
    assert_eq!(status_as(&cluster, "ada").await.code, Some(0));
    let after = identity_of_context(&cluster, "ada").certificate().clone();
    assert_eq!(after.key, before.key);
    assert_ne!(after.serial, before.serial);
    let held = registry(&cluster, 1).await;
    let keys = held["keys"].as_array().unwrap();
    let ada: Vec<_> = keys.iter().filter(|key| key["holder"] == "ada").collect();
    assert_eq!(ada.len(), 1, "{held}");
    assert_ne!(ada[0]["serial"], Value::Null);
    // A revoked certificate is not renewed.
    cluster.administrate(1, &words!["cluster", "revoke", "ada"]).await;
    assert_eq!(status_as(&cluster, "ada").await.code, Some(1));
    assert_eq!(identity_of_context(&cluster, "ada").certificate().serial, after.serial);
}

#[tokio::test]
async fn a_cluster_of_an_older_format_takes_its_members_and_the_administrator_over() {
    let cluster = cluster(3).await;
    for name in ["ada", "bob"] {
        login(&cluster, 2, name, "administrator").await;
    }
    let older = command(&cluster, &words!["cluster", "format", "set", "2", "--admin", "ada"]).await;
    assert_eq!(older.code, Some(0), "{}", older.stderr);
    assert_eq!(registry(&cluster, 1).await["in_force"], false);
    assert_eq!(status_as(&cluster, "bob").await.code, Some(0), "by the authority alone");
    let newer = command(&cluster, &words!["cluster", "format", "set", "3", "--admin", "ada"]).await;
    assert_eq!(newer.code, Some(0), "{}", newer.stderr);
    let held = registry(&cluster, 3).await;
    let mut holders: Vec<_> =
        held["keys"].as_array().unwrap().iter().map(|key| key["holder"].as_str().unwrap().to_owned()).collect();
    holders.sort();
    assert_eq!(
        (held["in_force"].as_bool(), holders.as_slice()),
        (Some(true), ["ada", "node 1", "node 2", "node 3"].map(str::to_owned).as_slice())
    );
    assert_eq!(status_as(&cluster, "ada").await.code, Some(0));
    let refused = status_as(&cluster, "bob").await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("quorate cluster login"), "{}", refused.stderr);
}

/// While the node was off, another node joined and became the leader; the other members confirm that node's key.
#[tokio::test]
async fn a_node_that_was_off_follows_a_leader_that_came_in_meanwhile() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::first_of(4)).await;
    in_force(&cluster, 1).await;
    for node in [2, 3] {
        cluster.start(node);
        eventually("it can be asked", async || cluster.status(node).await).await;
        cluster.add(1, node).await;
    }
    cluster.activate_members(1).await;
    cluster.settled(1).await;
    assert_eq!(cluster.stop(3).await, Some(0));
    cluster.start(4);
    eventually("it can be asked", async || cluster.status(4).await).await;
    cluster.add(1, 4).await;
    cluster.administrate(1, &words!["cluster", "promote", "4", "--instead-of", "3"]).await;
    cluster.administrate(1, &words!["cluster", "transfer", "--to", "4"]).await;
    cluster.start(3);
    eventually("it has caught up", async || {
        let status = cluster.status(3).await?;
        let node = status["nodes"].as_array()?.iter().find(|node| node["id"] == 3)?.clone();
        (node["ready"] == true).then_some(())
    })
    .await;
    let said = cluster.said(3);
    assert!(said.contains("the other members have registered it"), "{said}");
}

/// Sends a request to the port of the console; returns what arrives until the connection ends.
async fn console_page(at: std::net::SocketAddr, path: &str, cookie: &str) -> String {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\nHost: {at}\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_session_and_a_stream_of_the_console_end_with_the_certificate_that_asked_for_them() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.set_variable(1, "QUORATE_CONSOLE_AUTH", "true");
    cluster.form().await;
    in_force(&cluster, 1).await;
    let at = cluster.node(1).metrics;
    for name in ["ada", "bob"] {
        login(&cluster, 1, name, "reader").await;
    }
    let mut cookies = Vec::new();
    for name in ["ada", "bob"] {
        let told = command(&cluster, &words!["console", "--json", "--admin", name]).await;
        let url = told.json()["url"].as_str().unwrap().to_owned();
        let path = url.split_once(&at.to_string()).unwrap().1.to_owned();
        let entered = console_page(at, &path, "").await;
        let cookie = entered.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        cookies.push(cookie.split(';').next().unwrap().to_owned());
    }
    let [adas, bobs] = cookies.try_into().unwrap();
    let stream = tokio::spawn({
        let adas = adas.clone();
        async move { console_page(at, "/console/stream", &adas).await }
    });
    assert!(console_page(at, "/", &adas).await.starts_with("HTTP/1.1 200"));
    cluster.administrate(1, &words!["cluster", "revoke", "ada"]).await;
    let streamed = timeout(TIMEOUT, stream).await.unwrap().unwrap();
    assert!(streamed.starts_with("HTTP/1.1 200"), "{streamed}");
    assert!(console_page(at, "/", &adas).await.starts_with("HTTP/1.1 401"));
    assert!(console_page(at, "/", &bobs).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_authoritys_key_is_on_voters_only_and_a_node_without_it_lets_persons_in_and_renews_its_certificate() {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::first_of(3)).await;
    in_force(&cluster, 1).await;
    let tls = |cluster: &Cluster, node: u64| Folder::at(&cluster.node(node).data.join("tls"));
    join(&cluster, 1, 2).await;
    // With this lifetime the certificate is due for renewal at once.
    cluster.set_variable(2, "QUORATE_TEST_CERTIFICATE_LIFETIME_S", (1000 * 86_400).to_string());
    let before = tls(&cluster, 2).identity().unwrap().certificate().clone();
    cluster.start(2);
    eventually("it can be asked", async || cluster.status(2).await).await;
    assert_eq!(cluster.add(1, 2).await["learners"], serde_json::json!([2]));
    eventually("another node has renewed its certificate", async || {
        let now = tls(&cluster, 2).identity().ok()?.certificate().clone();
        (now.serial != before.serial && now.key == before.key).then_some(())
    })
    .await;
    assert!(!tls(&cluster, 2).holds_authority_key(), "a learner does not hold it");
    login(&cluster, 2, "ada", "reader").await;
    assert_eq!(status_as(&cluster, "ada").await.code, Some(0));

    join(&cluster, 2, 3).await;
    cluster.start(3);
    eventually("it can be asked", async || cluster.status(3).await).await;
    cluster.add(2, 3).await;
    eventually("all three vote, and hold the key", async || {
        let status = cluster.status(1).await?;
        let nodes = status["nodes"].as_array()?;
        nodes.iter().all(|node| node["holds_authority"] == true).then_some(())
    })
    .await;
    assert_eq!(
        tls(&cluster, 3).authority().unwrap().fingerprint(),
        tls(&cluster, 1).authority().unwrap().fingerprint()
    );
}
