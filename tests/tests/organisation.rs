//! A cluster whose certificates an organisation's own authority signs.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use quorate_tests::{Cluster, PATIENCE, Plan, Quorate, eventually, words};
use tonic::transport::Endpoint;
use transport::{Authority, Identity, Own, Subject, connector};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const DAY: Duration = Duration::from_secs(86_400);

#[expect(clippy::disallowed_methods, reason = "certificates are verified by the clock of this machine")]
fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// What the organisation's own programs would do for a node.
fn certify(organisation: &Authority, cluster: &Cluster, node: u64) -> [PathBuf; 3] {
    let [authority, certificate, key] =
        ["authority", "certificate", "key"].map(|kind| cluster.path(&format!("{node}-{kind}.pem")));
    let (certificate_pem, key_pem) = organisation.issue_with_key(&Subject::Node(node), now_ms(), DAY).unwrap();
    fs::write(&key, key_pem.as_bytes()).unwrap();
    fs::write(&certificate, certificate_pem).unwrap();
    fs::write(&authority, organisation.certificate_pem()).unwrap();
    [authority, certificate, key]
}

#[tokio::test]
async fn an_organisations_authority_takes_the_place_of_the_clusters_own() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    let organisation = Authority::create(now_ms()).unwrap();
    for node in cluster.numbers() {
        fs::remove_dir_all(cluster.node(node).data.join("tls")).unwrap();
        let files = certify(&organisation, &cluster, node);
        let keys = ["AUTHORITY", "CERTIFICATE", "KEY"].map(|key| format!("QUORATE_TLS_{key}"));
        for (key, file) in keys.iter().zip(files) {
            cluster.set_variable(node, key, file);
        }
    }
    cluster.form().await;
    let refused = cluster.admin(1, &words!["cluster", "token"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("organisation's own authority"), "{}", refused.stderr);

    // Another authority is believed as soon as the files say so.
    let successor = Authority::create(now_ms()).unwrap();
    let subject = Subject::person("Ada", transport::Role::Reader).unwrap();
    let (certificate, key) = successor.issue_with_key(&subject, now_ms(), DAY).unwrap();
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), successor.certificate_pem().as_bytes());
    let connector = connector(Arc::new(Own::new(identity.unwrap())), PATIENCE);
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.node(1).admin)).unwrap();
    assert!(endpoint.connect_with_connector(connector.clone()).await.is_err(), "not yet");
    certify(&successor, &cluster, 1);
    eventually("the node shows its new certificate", async || {
        endpoint.connect_with_connector(connector.clone()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn two_of_three_files_are_a_mistake() {
    let cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    let config = &cluster.node(1).config;
    let finished = cluster.run_host(config, &["--tls-authority=a.pem", "--tls-key=k.pem"]).await;
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("tls.authority") && finished.stderr.contains("three files"),
        "{}",
        finished.stderr
    );
}
