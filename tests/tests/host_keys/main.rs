//! Host keys on clusters of real processes: installed, exchanged online and by files, bound to the machine, released.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod machine;
mod publisher;

use std::{ffi::OsString, fs, net::SocketAddr};

use activation::{
    phone_text::{self, PhoneTextKind},
    status::Status,
};
use client::ActivateError;
use quorate_tests::{CATALOG, Cluster, Plan, Process, cmid, eventually, free_port, terminal_code, words};
use tokio::net::TcpStream;

use self::publisher::{Publisher, becomes, formed, listed, quorate, text};

const WORKSTATION: &str = "workstation-professional-2";
const DATACENTER: &str = "server-datacenter-2";

#[tokio::test]
async fn a_mistyped_key_is_refused_before_anything_is_sent_with_the_doubtful_group() {
    let cluster = Cluster::configured(&quorate(), Plan::of(1)).await;
    let sign =
        words!["publisher", "catalog", "sign", "--dir", cluster.path("publisher"), CATALOG, "--out", cluster.path("c")];
    quorate().json(sign).await;
    let key = Publisher { cluster: &cluster, folder: "publisher" }.issue(&[]).await;
    let at = 12 + key[12..].find(|c: char| c != '2' && c != '-').unwrap();
    let mut typed = key.clone();
    typed.replace_range(at..=at, "2");
    // There is no node, because the command fails before it connects.
    let finished = cluster.admin(1, &words!["key", "install", &typed, "--yes"]).await;
    assert_eq!(finished.code, Some(2), "{}", finished.stderr);
    let group = at / 6 + 1;
    for part in ["0xC004F050", &format!("group {group}")] {
        assert!(finished.stderr.contains(part), "{part} is not in {}", finished.stderr);
    }
    let said = finished.json();
    assert_eq!((&said["status"], &said["doubtful_groups"][0]), (&"0xC004F050".into(), &group.into()), "{said}");
}

#[tokio::test]
async fn a_key_needs_the_catalog_of_its_publisher_and_of_several_the_one_that_is_meant() {
    let cluster = formed(1).await;
    let sign =
        words!["publisher", "catalog", "sign", "--dir", cluster.path("publisher"), CATALOG, "--out", cluster.path("c")];
    quorate().json(sign).await;
    let key = Publisher { cluster: &cluster, folder: "publisher" }.issue(&[]).await;
    let early = cluster.admin(1, &words!["key", "install", &key, "--yes"]).await;
    assert_eq!(early.code, Some(1), "{}", early.stderr);
    assert!(early.stderr.contains("quorate catalog install"), "{}", early.stderr);

    let source = cluster.path("successor.toml");
    let successor = fs::read_to_string(CATALOG).unwrap().replacen("serial = 1", "serial = 2", 1);
    fs::write(&source, successor).unwrap();
    let first = Publisher { cluster: &cluster, folder: "publisher" };
    first.install_catalog(&source).await;
    let second = Publisher::another(&cluster, "second", "Southwind Tools").await;
    let unnamed = cluster.admin(1, &words!["key", "install", &key, "--yes"]).await;
    assert_eq!(unnamed.code, Some(1), "{}", unnamed.stderr);
    assert!(unnamed.stderr.contains("Southwind Tools ("), "{}", unnamed.stderr);
    let unknown = cluster.admin(1, &words!["key", "install", &key, "--publisher", "Nobody", "--yes"]).await;
    assert!(
        unknown.stderr.contains("\"Nobody\"") && unknown.stderr.contains("Southwind Tools ("),
        "{}",
        unknown.stderr
    );

    // Keys of two publishers on one node: each publisher's machines are counted separately.
    first.install_key(&[]).await;
    let by_name = words!["key", "install", second.issue(&[]).await, "--publisher", "southwind tools", "--yes"];
    let installed = cluster.administrate(1, &by_name).await;
    assert_eq!((&installed["publisher"], &installed["group"]), (&"Southwind Tools".into(), &"server-b".into()));
    let of_both = cluster.admin(1, &words!["key", "activate", "--offline", cluster.path("r")]).await;
    assert_eq!(of_both.code, Some(1), "{}", of_both.stderr);
    assert!(of_both.stderr.contains("several publishers"), "{}", of_both.stderr);
    first.activate(&["--publisher-name", "Northlight Software"]).await;
    second.activate(&[]).await;
    let address = cluster.node(1).clients;
    let [one, other] = ["publisher", "second"].map(|folder| cluster.product_of(folder, WORKSTATION));
    for machine in 1..=3 {
        assert_eq!(one.count(address, machine).await, machine);
    }
    assert_eq!(other.count(address, 1).await, 1, "the same machine, for the other publisher");
    assert_eq!(one.count(address, 4).await, 4);
}

#[tokio::test]
async fn a_product_above_the_key_is_refused_with_the_group_needed_and_the_group_held() {
    let cluster = formed(1).await;
    let publisher = Publisher::of(&cluster).await;
    publisher.install_key(&[]).await;
    publisher.activate(&[]).await;
    let trust = publisher.path().join("trust.toml");
    let host = cluster.node(1).clients.to_string();
    let ask = words!["client", "activate", "--host", &host, "--trust", &trust, "--product", DATACENTER, "--json"];
    let refused = quorate().run(ask).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let said = refused.json();
    assert_eq!(said["status"], "0xC004F042");
    assert_eq!((&said["group_needed"], &said["groups_held"][0]), (&"server-c".into(), &"server-b".into()), "{said}");
    let words = text(&said, "/error");
    assert!(
        words.contains("this product needs a host key of group server-c or higher; the host has keys of server-b"),
        "{words}"
    );
}

/// Starts the service of the publisher in this folder; returns its process and its address.
async fn serve(publisher: &Publisher<'_>, number: u8) -> (Process, SocketAddr) {
    let address = free_port(publisher.cluster.loopback().address(number));
    let listen = address.to_string();
    let mut command = quorate().command(words!["publisher", "serve", "--dir", publisher.path(), "--listen", &listen]);
    let service = Process::start(&mut command, &publisher.path().with_extension("log"));
    eventually("the publisher listens", async || TcpStream::connect(address).await.ok()).await;
    (service, address)
}

#[tokio::test]
async fn r30_nodes_are_activated_online_by_their_publisher_and_by_no_other() {
    let cluster = formed(3).await;
    let publisher = Publisher::of(&cluster).await;
    let other = Publisher::another(&cluster, "other", "Southwind Tools").await;
    let key = publisher.install_key(&["--hosts", "2"]).await;
    let ((_service, address), (_other, wrong)) = (serve(&publisher, 12).await, serve(&other, 13).await);
    let activate = |address: SocketAddr, more: &[&str]| {
        let mut words = words!["key", "activate", "--publisher", address.to_string()].to_vec();
        words.extend(more.iter().map(OsString::from));
        words
    };
    let by_another = cluster.admin(1, &activate(wrong, &["--node", "1"])).await;
    assert_eq!(by_another.code, Some(1), "{}", by_another.stderr);
    assert!(by_another.stderr.contains("is not this publisher"), "{}", by_another.stderr);
    let nobody = cluster.admin(1, &activate(free_port(cluster.loopback().address(14)), &[])).await;
    assert_eq!(nobody.code, Some(1), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("cannot connect to a publisher"), "{}", nobody.stderr);

    let too_many = cluster.admin(2, &activate(address, &[])).await;
    assert_eq!(too_many.code, Some(1), "{}", too_many.stderr);
    let said = too_many.json();
    assert_eq!(said["refused"].as_array().unwrap().len(), 1, "{said}");
    assert_eq!(
        (&said["refused"][0]["status"], &said["status"]),
        (&"0xC004C008".into(), &"0xC004C008".into()),
        "{said}"
    );
    assert!(text(&said, "/refused/0/reason").contains("2 hosts"), "{said}");
    assert!(listed(&cluster, &key).await.iter().all(|(_, state, _)| state == "unactivated"), "all or none");

    for node in ["1", "3"] {
        let activated = cluster.administrate(2, &activate(address, &["--node", node])).await;
        let expected =
            serde_json::json!([{ "node": node.parse::<u64>().unwrap(), "key_id": key, "reactivations_left": 9 }]);
        assert_eq!(activated["activated"], expected, "{activated}");
        assert_eq!(
            (&activated["released"], &activated["publisher"]),
            (&serde_json::json!([]), &"Northlight Software".into())
        );
    }
    let again = cluster.administrate(2, &activate(address, &["--node", "3"])).await;
    assert_eq!(again["activated"][0]["reactivations_left"], 8, "{again}");
    let release = words!["key", "release", "--node", "1", "--publisher", address.to_string(), "--yes"];
    let released = cluster.administrate(2, &release).await;
    assert_eq!(released["released"], serde_json::json!([{ "node": 1, "key_id": key }]), "{released}");
    cluster.administrate(1, &activate(address, &["--node", "2"])).await;
    let expected =
        [(1, "unactivated".into(), None), (2, "activated".into(), Some(9)), (3, "activated".into(), Some(8))];
    assert_eq!(listed(&cluster, &key).await, expected);
    let product = cluster.product(WORKSTATION);
    for (machine, node) in [(1, 2), (2, 3)] {
        assert_eq!(product.count(cluster.node(node).clients, machine).await, machine);
    }
}

#[tokio::test]
async fn r31_a_place_that_was_given_back_is_taken_by_another_node() {
    let cluster = formed(3).await;
    let publisher = Publisher::of(&cluster).await;
    let key = publisher.install_key(&["--hosts", "2"]).await;
    publisher.activate(&["--node", "1"]).await;
    publisher.activate(&["--node", "2"]).await;
    let [request, answer] = ["full.bin", "full-answer.bin"].map(|name| cluster.path(name));
    cluster.administrate(2, &words!["key", "activate", "--offline", &request]).await;
    let full = publisher.answer(&request, &answer).await;
    assert_eq!(full.code, Some(1), "{}", full.stderr);
    assert!(full.stderr.contains("0xC004C008"), "{}", full.stderr);

    let file = cluster.node(1).data.join("keys").join(&key);
    assert!(file.exists());
    let [release, confirmed] = ["release.bin", "released.bin"].map(|name| cluster.path(name));
    let unconfirmed = cluster.admin(2, &words!["key", "release", "--node", "1", "--offline", &release]).await;
    assert_eq!(unconfirmed.code, Some(2), "there is no terminal to ask at: {}", unconfirmed.stderr);
    let told = cluster.administrate(2, &words!["key", "release", "--node", "1", "--offline", &release, "--yes"]).await;
    assert_eq!((&told["released"][0]["node"], &told["nodes"]), (&1.into(), &serde_json::json!([])));
    eventually("the node has destroyed its key", async || (!file.exists()).then_some(())).await;
    let refused = cluster.product(WORKSTATION).activate(cluster.node(1).clients, cmid(1)).await;
    assert!(matches!(refused, Err(ActivateError::Refused { status: Status::HOST_NOT_ACTIVATED, .. })), "{refused:?}");
    let pending = cluster.administrate(3, &words!["key", "list"]).await;
    assert_eq!(pending["pending_releases"][0]["node"], 1, "{pending}");
    // The file was lost on the way to the publisher, so the command is repeated.
    let again = words!["key", "release", "--node", "1", "--offline", &release, "--yes", "--force"];
    cluster.administrate(3, &again).await;
    assert_eq!(publisher.answer(&release, &confirmed).await.code, Some(0));
    let installed = cluster.administrate(1, &words!["key", "activate", "--answer", &confirmed]).await;
    assert_eq!(installed["released"][0]["node"], 1, "{installed}");
    let settled = cluster.administrate(3, &words!["key", "list"]).await;
    assert_eq!(settled["pending_releases"], serde_json::json!([]));
    assert_eq!((&settled["keys"][0]["hosts_used"], &settled["keys"][0]["hosts_limit"]), (&1.into(), &2.into()));

    publisher.activate(&["--node", "3"]).await;
    assert_eq!(cluster.product(WORKSTATION).count(cluster.node(3).clients, 1).await, 1);
}

/// How many activation slots of a key are used, according to its publisher.
async fn used(publisher: &Publisher<'_>, key: &str) -> u64 {
    let shown = quorate().json(words!["publisher", "key", "show", "--dir", publisher.path(), key]).await;
    shown["hosts_used"].as_u64().unwrap()
}

#[tokio::test]
async fn r31_neither_the_old_request_nor_a_kept_copy_of_the_key_file_brings_a_released_slot_back() {
    let mut cluster = formed(3).await;
    let publisher = Publisher::of(&cluster).await;
    let key = publisher.install_key(&[]).await;
    let [request, early, copy] = ["first.request", "first.answer", "kept"].map(|name| cluster.path(name));
    cluster.administrate(1, &words!["key", "activate", "--node", "1", "--offline", &request]).await;
    assert_eq!(publisher.answer(&request, &early).await.code, Some(0));
    cluster.administrate(1, &words!["key", "activate", "--answer", &early]).await;
    publisher.activate(&[]).await;
    let file = cluster.node(1).data.join("keys").join(&key);
    fs::copy(&file, &copy).unwrap();
    let [release, confirmed] = ["release.bin", "released.bin"].map(|name| cluster.path(name));
    cluster.administrate(2, &words!["key", "release", "--node", "1", "--offline", &release, "--yes"]).await;
    assert_eq!(publisher.answer(&release, &confirmed).await.code, Some(0));
    cluster.administrate(2, &words!["key", "activate", "--answer", &confirmed]).await;
    eventually("the node has destroyed its key", async || (!file.exists()).then_some(())).await;

    // The request that the publisher answered before, unchanged.
    let replayed = publisher.answer(&request, &confirmed).await;
    assert_eq!(replayed.code, Some(1), "{}", replayed.stdout);
    assert!(replayed.stderr.contains("0xC004F041") && replayed.stderr.contains("--new-key"), "{}", replayed.stderr);

    // The private key is restored from a copy, and the node signs a new request with it.
    assert_eq!(cluster.stop(1).await, Some(0));
    fs::copy(&copy, &file).unwrap();
    cluster.start(1);
    let publisher = Publisher { cluster: &cluster, folder: "publisher" };
    let again = words!["key", "activate", "--node", "1", "--offline", &request, "--force"];
    eventually("node 1 signs", async || (cluster.admin(2, &again).await.code == Some(0)).then_some(())).await;
    let with_copy = publisher.answer(&request, &confirmed).await;
    assert_eq!(with_copy.code, Some(1), "{}", with_copy.stdout);
    assert_eq!(used(&publisher, &key).await, 2, "2 of 6 slots are used");

    // The earlier certificate is installed again. The next catalog blocks it, although the publisher got no command
    // to do so.
    cluster.administrate(2, &words!["key", "activate", "--answer", &early]).await;
    let source = cluster.path("successor.toml");
    fs::write(&source, fs::read_to_string(CATALOG).unwrap().replacen("serial = 1", "serial = 2", 1)).unwrap();
    publisher.install_catalog(&source).await;
    let states = listed(&cluster, &key).await.into_iter().map(|(_, state, _)| state).collect::<Vec<_>>();
    assert_eq!(states, ["blocked", "activated", "activated"], "2 are active");
    let product = cluster.product(WORKSTATION);
    let refused = eventually("node 1 knows the catalog", async || {
        match product.activate(cluster.node(1).clients, cmid(1)).await {
            Err(ActivateError::Refused { status: Status::KEY_BLOCKED, .. }) => Some(()),
            _ => None,
        }
    });
    refused.await;

    // With a new key the node counts as the same host, and takes another activation slot.
    publisher.activate(&["--node", "1", "--new-key"]).await;
    assert_eq!(used(&publisher, &key).await, 3);
    becomes(&cluster, &key, 1, "activated", 8).await;
    eventually("node 1 answers", async || product.activate(cluster.node(1).clients, cmid(1)).await.ok()).await;
    let replaced = publisher.answer(&request, &confirmed).await;
    assert_eq!(replaced.code, Some(1), "{}", replaced.stdout);
}

#[tokio::test]
async fn r31_a_node_whose_slot_was_freed_goes_on_with_a_new_key() {
    let cluster = formed(1).await;
    let publisher = Publisher::of(&cluster).await;
    let key = publisher.install_key(&[]).await;
    publisher.activate(&[]).await;
    let shown = quorate().json(words!["publisher", "key", "show", "--dir", publisher.path(), &key]).await;
    let machine = text(&shown, "/activations/0/machine");
    quorate().json(words!["publisher", "key", "free", "--dir", publisher.path(), &key, "--machine", machine]).await;
    let [request, answer] = ["request.bin", "answer.bin"].map(|name| cluster.path(name));
    cluster.administrate(1, &words!["key", "activate", "--node", "1", "--offline", &request, "--force"]).await;
    assert_eq!(publisher.answer(&request, &answer).await.code, Some(1));
    let nameless = cluster.admin(1, &words!["key", "activate", "--new-key", "--offline", &request, "--force"]).await;
    assert_eq!(nameless.code, Some(2), "{}", nameless.stderr);

    cluster
        .administrate(1, &words!["key", "activate", "--node", "1", "--new-key", "--offline", &request, "--force"])
        .await;
    let product = cluster.product(WORKSTATION);
    assert_eq!(product.count(cluster.node(1).clients, 1).await, 1, "until then it signs with the key that it has");
    assert_eq!(publisher.answer(&request, &answer).await.code, Some(0));
    // The answer is treated as lost: the node makes the same request again, without `--new-key`.
    let first = fs::read(&request).unwrap();
    cluster.administrate(1, &words!["key", "activate", "--node", "1", "--offline", &request, "--force"]).await;
    assert_eq!(fs::read(&request).unwrap(), first);
    assert_eq!(publisher.answer(&request, &answer).await.code, Some(0));
    cluster.administrate(1, &words!["key", "activate", "--answer", &answer]).await;
    becomes(&cluster, &key, 1, "activated", 8).await;
    assert_eq!(product.count(cluster.node(1).clients, 2).await, 2);
}

#[tokio::test]
async fn r30_an_answer_that_is_installed_again_later_takes_nothing_back() {
    let cluster = formed(1).await;
    let publisher = Publisher::of(&cluster).await;
    let key = publisher.install_key(&[]).await;
    publisher.activate(&[]).await;
    let (early, release) = (cluster.path("early.bin"), cluster.path("release.bin"));
    fs::rename(cluster.path("answer.bin"), &early).unwrap();
    cluster.administrate(1, &words!["key", "release", "--node", "1", "--offline", &release, "--yes"]).await;
    let late = cluster.administrate(1, &words!["key", "activate", "--answer", &early]).await;
    assert_eq!((&late["activated"], &late["passed_over"][0]["node"]), (&serde_json::json!([]), &1.into()), "{late}");
    assert_eq!(listed(&cluster, &key).await, [(1, "unactivated".into(), None)]);
}

#[tokio::test]
async fn r30_an_answer_for_another_cluster_is_refused_and_says_why() {
    let (cluster, another) = (formed(1).await, formed(1).await);
    let publisher = Publisher::of(&cluster).await;
    let key = publisher.issue(&[]).await;
    let (signed, request, answer) = (publisher.path().with_extension("signed"), another.path("r"), another.path("a"));
    let trust = fs::read_to_string(publisher.path().join("trust.toml")).unwrap();
    let id = activation::trust::Trust::from_toml(&trust).unwrap().publisher;
    let fingerprint = activation::id::Fingerprint(id).to_string();
    another.administrate(1, &words!["catalog", "install", &signed, "--trust", &fingerprint]).await;
    another.administrate(1, &words!["key", "install", &key, "--yes"]).await;
    another.administrate(1, &words!["key", "activate", "--offline", &request]).await;
    assert_eq!(publisher.answer(&request, &answer).await.code, Some(0));
    let install = words!["key", "activate", "--answer", &answer];
    // The error does not advise to install the key, because that would not help.
    let unknown = cluster.admin(1, &install).await;
    assert_eq!(unknown.code, Some(1), "{}", unknown.stdout);
    assert!(unknown.stderr.contains("is for another cluster"), "{}", unknown.stderr);
    assert!(!unknown.stderr.contains("key install"), "{}", unknown.stderr);
    let mixed_up = another.admin(1, &words!["key", "activate", "--answer", &request]).await;
    assert!(mixed_up.stderr.contains("this is a request"), "{}", mixed_up.stderr);
    cluster.administrate(1, &words!["key", "install", &key, "--yes"]).await;
    let refused = cluster.admin(1, &install).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    for words in ["is for another cluster", "it is for a private key that is not on node 1 of this cluster"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    let states = async |cluster: &Cluster| {
        let list = cluster.administrate(1, &words!["key", "list"]).await;
        text(&list, "/keys/0/activations/0/state")
    };
    assert_eq!(states(&cluster).await, "unactivated");
    another.administrate(1, &install).await;
    assert_eq!(states(&another).await, "activated", "it is good where it belongs");
}

#[tokio::test]
async fn r30_a_removed_node_is_listed_no_more_and_an_answer_for_it_is_refused() {
    let mut cluster = formed(3).await;
    let publisher = Publisher::of(&cluster).await;
    let key = publisher.install_key(&[]).await;
    publisher.activate(&[]).await;
    assert_eq!(listed(&cluster, &key).await.len(), 3);
    let [request, answer] = ["third.request", "third.answer"].map(|name| cluster.path(name));
    cluster.administrate(1, &words!["key", "activate", "--node", "3", "--offline", &request]).await;
    assert_eq!(publisher.answer(&request, &answer).await.code, Some(0));
    cluster.kill(3).await;
    eventually("it can be taken out", async || {
        let removed = cluster.admin(1, &words!["cluster", "remove", "3", "--dead"]).await;
        (removed.code == Some(0)).then_some(())
    })
    .await;
    let states = listed(&cluster, &key).await.into_iter().map(|(node, state, _)| (node, state));
    let expected = [(1, "activated".to_owned()), (2, "activated".to_owned())];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    let refused = cluster.admin(1, &words!["key", "activate", "--answer", &answer]).await;
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    let why = "it is for node 3, not for a member of this cluster; its members: nodes 1, 2";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    assert_eq!(listed(&cluster, &key).await.len(), 2);
}

#[tokio::test]
async fn a_blocked_key_is_refused_from_the_next_catalog_on_and_an_older_catalog_is_not_taken() {
    let cluster = formed(1).await;
    let publisher = Publisher::of(&cluster).await;
    let key = publisher.install_key(&[]).await;
    publisher.activate(&[]).await;
    let (product, address) = (cluster.product(WORKSTATION), cluster.node(1).clients);
    assert_eq!(product.count(address, 1).await, 1);
    let before = cluster.path("before.signed");
    fs::copy(publisher.path().with_extension("signed"), &before).unwrap();
    quorate().json(words!["publisher", "key", "block", "--dir", publisher.path(), &key]).await;
    let source = cluster.path("successor.toml");
    fs::write(&source, fs::read_to_string(CATALOG).unwrap().replacen("serial = 1", "serial = 2", 1)).unwrap();
    publisher.install_catalog(&source).await;
    let refused = product.activate(address, cmid(2)).await;
    assert!(matches!(refused, Err(ActivateError::Refused { status: Status::KEY_BLOCKED, .. })), "{refused:?}");
    assert_eq!(listed(&cluster, &key).await, [(1, "blocked".into(), Some(9))]);
    let shown = cluster.administrate(1, &words!["catalog", "show"]).await;
    assert_eq!(
        (&shown["catalogs"][0]["serial"], &shown["catalogs"][0]["blocked_keys"]),
        (&2.into(), &serde_json::json!([key]))
    );
    let trust = fs::read_to_string(publisher.path().join("trust.toml")).unwrap();
    let fingerprint = activation::trust::Trust::from_toml(&trust).unwrap().fingerprint().to_string();
    let older = cluster.admin(1, &words!["catalog", "install", &before, "--trust", &fingerprint]).await;
    assert_eq!(older.code, Some(1), "{}", older.stderr);
    assert!(older.stderr.contains("not newer"), "{}", older.stderr);
}

#[tokio::test]
async fn r30_requests_and_answers_go_by_file_by_text_and_by_code() {
    let cluster = formed(1).await;
    let publisher = Publisher::of(&cluster).await;
    let (request, answer) = (cluster.path("request.bin"), cluster.path("answer.bin"));
    let ask = words!["key", "activate", "--offline", "-"];
    for (round, way) in ["--text", "--qr"].into_iter().enumerate() {
        let key = publisher.install_key(&[]).await;
        let socket = format!("unix:{}", cluster.node(1).data.join("admin.sock").display());
        let mut shown = ask.to_vec();
        shown.extend(words![way, "--admin", &socket]);
        let printed = quorate().run(shown).await;
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        let lines = match way {
            "--text" => printed
                .stdout
                .lines()
                .filter(|line| line.contains(": ") && line.len() < 40)
                .collect::<Vec<_>>()
                .join("\n"),
            _ => terminal_code::read_all(&printed.stdout).join("\n"),
        };
        let (of, bytes) = phone_text::read(&lines).unwrap();
        assert_eq!(of, PhoneTextKind::Requests);
        fs::write(&request, &bytes).unwrap();
        let by_file = cluster.path("by-file.bin");
        cluster.administrate(1, &words!["key", "activate", "--offline", &by_file, "--force"]).await;
        assert_eq!(fs::read(by_file).unwrap(), bytes, "a repeated request is identical, by whatever way");

        assert_eq!(publisher.answer(&request, &answer).await.code, Some(0));
        let typed = cluster.path("answer.txt");
        let lines = phone_text::write(PhoneTextKind::Answers, &fs::read(&answer).unwrap()).unwrap();
        let mistyped = lines.replacen(": ", ": 2", 1);
        fs::write(&typed, mistyped).unwrap();
        let refused = cluster.admin(1, &words!["key", "activate", "--answer", &typed]).await;
        assert_eq!(refused.code, Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("line 1"), "{}", refused.stderr);
        fs::write(&typed, lines).unwrap();
        let installed = cluster.administrate(1, &words!["key", "activate", "--answer", &typed]).await;
        assert_eq!(installed["activated"][0]["key_id"], key, "{installed}");
        assert_eq!(listed(&cluster, &key).await, [(1, "activated".into(), Some(9))], "round {round}");
    }
}
