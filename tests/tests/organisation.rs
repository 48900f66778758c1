//! A cluster whose certificates are signed by an organisation's own authority.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, sync::Arc, time::Duration};

use quorate_tests::{Cluster, Plan, Quorate, TIMEOUT, certify, certify_all, eventually, now_ms, words};
use tonic::transport::Endpoint;
use transport::{Authority, Identity, PresentedIdentity, Subject, connector};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn an_organisations_authority_takes_the_place_of_the_clusters_own() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(3)).await;
    let organisation = Authority::create(now_ms()).unwrap();
    certify_all(&organisation, &mut cluster, DAY);
    cluster.form().await;
    let refused = cluster.admin(1, &words!["cluster", "token"]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("authority of the organisation"), "{}", refused.stderr);

    // Another authority is trusted as soon as it is in the files.
    let successor = Authority::create(now_ms()).unwrap();
    let subject = Subject::person("Ada", transport::Role::Reader).unwrap();
    let (certificate, key) = successor.issue_with_key(&subject, now_ms(), DAY).unwrap();
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), successor.certificate_pem().as_bytes());
    let connector = connector(Arc::new(PresentedIdentity::new(identity.unwrap())), TIMEOUT);
    let endpoint = Endpoint::from_shared(format!("http://{}", cluster.node(1).admin)).unwrap();
    assert!(endpoint.connect_with_connector(connector.clone()).await.is_err(), "not yet");
    certify(&successor, &cluster, 1, DAY);
    eventually("the node shows its new certificate", async || {
        endpoint.connect_with_connector(connector.clone()).await.ok()
    })
    .await;

    // An unreadable certificate causes an event, and the node still presents its previous certificate.
    let [_, broken, _] = certify(&successor, &cluster, 1, DAY);
    fs::write(broken, "no certificate").unwrap();
    let line = eventually("event 12292 is in the log", async || {
        cluster.said(1).lines().find(|line| line.contains("event=12292")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("status=0x") && line.contains("was not renewed"), "{line}");
    endpoint.connect_with_connector(connector).await.unwrap();
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
