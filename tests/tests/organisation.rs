//! A cluster whose certificates are signed by an organisation's own authority.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, path::Path, sync::Arc, time::Duration};

use api::admin::v1::{CountRequest, EventsFilter, EventsRequest, admin_client::AdminClient};
use quorate_tests::{Cluster, Plan, Quorate, TIMEOUT, certify, certify_all, eventually, now_ms, words};
use rcgen::{
    CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use transport::{Authority, Identity, PresentedIdentity, Role, Subject, connector};

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
    let subject = Subject::person("Ada", Role::Reader).unwrap();
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

/// A revocation list of the authority with these serial numbers, which expires at the beginning of the year `until`.
fn revocation_list(organisation: &Authority, revoked: &[Vec<u8>], until: i32) -> String {
    let key = KeyPair::from_pem(&organisation.key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_der(&organisation.certificate_der().into(), key).unwrap();
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&issuer).unwrap().pem().unwrap()
}

/// A person with a certificate of the organisation.
struct Person {
    connector: transport::Connector,
    serial: Vec<u8>,
    address: String,
}

impl Person {
    fn new(organisation: &Authority, name: &str, cluster: &Cluster) -> Self {
        let subject = Subject::person(name, Role::Reader).unwrap();
        let (certificate, key) = organisation.issue_with_key(&subject, now_ms(), DAY).unwrap();
        let authority = organisation.certificate_pem().as_bytes();
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes(), authority).unwrap();
        let serial = identity.certificate().serial.clone();
        let connector = connector(Arc::new(PresentedIdentity::new(identity)), TIMEOUT);
        Self { connector, serial, address: format!("http://{}", cluster.node(1).admin) }
    }

    async fn channel(&self) -> Result<Channel, tonic::transport::Error> {
        Endpoint::from_shared(self.address.clone()).unwrap().connect_with_connector(self.connector.clone()).await
    }

    /// Whether a new connection and a call on it succeed.
    async fn is_let_in(&self) -> bool {
        let Ok(channel) = self.channel().await else { return false };
        AdminClient::new(channel).count(CountRequest::default()).await.is_ok()
    }
}

#[tokio::test]
async fn whom_the_organisation_revokes_is_refused_on_open_connections_too() {
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    let organisation = Authority::create(now_ms()).unwrap();
    certify_all(&organisation, &mut cluster, DAY);
    let file = cluster.path("organisation.crl");
    cluster.set_variable(1, "QUORATE_TLS_CRL", &file);
    let write = |text: &str| fs::write(&file, text).unwrap();
    let (ada, bob) = (Person::new(&organisation, "Ada", &cluster), Person::new(&organisation, "Bob", &cluster));

    write(&revocation_list(&organisation, &[], 2200));
    cluster.form().await;
    assert!(ada.is_let_in().await && bob.is_let_in().await);
    let mut admin = AdminClient::new(ada.channel().await.unwrap());
    let filter = Some(EventsFilter::default());
    let mut stream = admin.events(EventsRequest { filter, follow: true }).await.unwrap().into_inner();
    write(&revocation_list(&organisation, std::slice::from_ref(&ada.serial), 2200));
    cluster.process(1).hang_up();
    let ended = timeout(TIMEOUT, async { while let Ok(Some(_)) = stream.message().await {} }).await;
    assert!(ended.is_ok(), "the open stream ends");
    assert!(admin.count(CountRequest::default()).await.is_err());
    assert!(!ada.is_let_in().await && bob.is_let_in().await);

    // A file that cannot be used changes nothing.
    write("no list");
    cluster.process(1).hang_up();
    let line = eventually("event 12292 is in the log", async || {
        cluster.said(1).lines().find(|line| line.contains("event=12292")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("contains no revocation list"), "{line}");
    assert!(!ada.is_let_in().await && bob.is_let_in().await);
    // A list of another authority is accepted, and does not apply to these certificates.
    write(&revocation_list(&Authority::create(now_ms()).unwrap(), &[], 2200));
    cluster.process(1).hang_up();
    let words = "tls.crl has no list of the authority";
    eventually(words, async || cluster.said(1).contains(words).then_some(())).await;
    // A file that replaces it is read without a signal.
    write(&revocation_list(&organisation, &[ada.serial.clone(), bob.serial.clone()], 2021));
    eventually("both are refused", async || (!ada.is_let_in().await && !bob.is_let_in().await).then_some(())).await;
    // The list has expired: its certificates are refused, and the doctor reports it.
    let examined = cluster.admin(1, &words!["doctor"]).await;
    assert!(examined.stdout.contains("the revocation list of node 1 expired 2021-01-01"), "{}", examined.stdout);
}

#[tokio::test]
async fn a_node_does_not_start_with_a_revocation_list_that_it_cannot_use() {
    let cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    let organisation = Authority::create(now_ms()).unwrap();
    let config = cluster.node(1).config.clone();
    let [authority, certificate, key] = certify(&organisation, &cluster, 1, DAY);
    let file = cluster.path("organisation.crl");
    let flag = |name: &str, path: &Path| format!("--tls-{name}={}", path.display());
    let alone = cluster.run_host(&config, &[&flag("crl", &file)]).await;
    assert!(alone.code == Some(2) && alone.stderr.contains("tls.crl"), "{}", alone.stderr);
    let flags =
        [flag("authority", &authority), flag("certificate", &certificate), flag("key", &key), flag("crl", &file)];
    let flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let cases = [(None, "organisation.crl"), (Some("no list"), "contains no revocation list")];
    for (content, said) in cases {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let refused = cluster.run_host(&config, &flags).await;
        assert_eq!(refused.code, Some(2), "{content:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(said), "{content:?}: {}", refused.stderr);
    }
}
