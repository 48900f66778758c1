//! Tests of one replica with the parts of a host that decide on requests, without sockets: from its first request to
//! its stop.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use activation::{
    SigningKey, VerifyingKey,
    catalog::{Catalog, SignedCatalog},
    certificate::NodeCertificate,
    host_activation::{ActivationAnswer, ActivationAnswers},
    id::{Cmid, MachineDigest, ProductId, PublisherId},
    key::{KeyKind, TypedKey},
    message::{LicenseStatus, Record, RefusalDetail, Request, ValidRequest, VerifiedAnswer, verify_answer},
    state::{Command, RecordOutcome, Refusal},
    status::Status,
    trust::Trust,
};
use futures::future::join_all;
use host::{SystemClock, simulated::AnsweringHost};
use replication::{Environment, Failure, Health, RaftSettings, Replica};
use storage::{Kind, Owner, SledDisk, Store};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

const CATALOG: &str = include_str!("../../../deploy/catalogs/example.toml");
const PRODUCT: &str = "workstation-professional-2";
const GROUP_SERVER_B: u8 = 3;
const PLATFORM_STANDARD: u8 = 4;
const NODE: u64 = 1;
const TIMEOUT: Duration = Duration::from_secs(20);

struct World {
    folder: TempDir,
    replica: Replica,
    root: SigningKey,
    activation: SigningKey,
    key: TypedKey,
}

impl World {
    /// A cluster of one node, with no catalog installed.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner = Owner { kind: Kind::Node, number: NODE, store_if_new: Uuid::from_bytes([5; 16]) };
        let store = Arc::new(Store::open(&folder.path().join("store"), owner).unwrap());
        let disk = Arc::new(SledDisk::start(store, folder.path(), |_| {}).unwrap());
        let connect = Arc::new(|_: &str| unreachable!("there is no other node"));
        let environment = Environment::new(Arc::new(SystemClock::default()), connect, (NODE, 1), Arc::new(()));
        let replica = Replica::start(disk, &RaftSettings::default(), environment).await.unwrap();
        replica.bootstrap(&BTreeMap::from([(NODE, "127.0.0.1:1689".to_owned())]), TIMEOUT).await.unwrap();
        let [root, activation] = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let key = TypedKey::generate(KeyKind::Host, GROUP_SERVER_B, [7; 16]);
        let world = Self { folder, replica, root, activation, key };
        world.move_to("one disk");
        world
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn machine(&self) -> PathBuf {
        self.folder.path().join("machine")
    }

    /// Moves the node to a machine with this disk.
    fn move_to(&self, disk: &str) {
        for (file, text) in [
            ("proc/self/mountinfo", "28 1 8:1 / / rw - ext4 /dev/sda1 rw"),
            ("sys/dev/block/8:1/serial", disk),
            ("etc/machine-id", disk),
        ] {
            let path = self.machine().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn host(&self) -> AnsweringHost {
        self.host_with(&self.keys())
    }

    fn host_with(&self, keys: &Path) -> AnsweringHost {
        AnsweringHost::new(self.replica.clone(), keys, &self.machine()).unwrap()
    }

    fn publisher(&self) -> PublisherId {
        PublisherId::derive(&self.root.verifying_key())
    }

    fn signed_catalog(&self) -> SignedCatalog {
        let keys = [self.activation.verifying_key(), SigningKey::from_bytes(&[3; 32]).verifying_key()];
        SignedCatalog::sign(&Catalog::from_toml(CATALOG).unwrap(), keys, &self.root)
    }

    async fn install_key(&self) {
        let signed = self.signed_catalog().bytes().clone();
        self.replica.propose(&Command::InstallCatalog { signed }).await.unwrap();
        let install = Command::InstallKey { publisher: self.publisher(), key: self.key };
        self.replica.propose(&install).await.unwrap();
    }

    /// The publisher certifies `node_key` for the node, `minutes` after 1970.
    async fn certify(&self, node_key: [u8; 32], minutes: u32) {
        let node_key = VerifyingKey::from_bytes(&node_key).unwrap();
        let (publisher, key) = (self.publisher(), self.key.key_id());
        let (group, platform) = (GROUP_SERVER_B, PLATFORM_STANDARD);
        let certificate = NodeCertificate::issue(publisher, key, group, platform, minutes, &node_key, &self.activation);
        let answer = ActivationAnswer { request_id: [0; 16], node: NODE, certificate, reactivations_left: 9 };
        let answers = ActivationAnswers {
            publisher,
            answered_ms: 0,
            answers: vec![answer],
            released: Vec::new(),
            standings: Vec::new(),
        };
        let signed = answers.sign(&self.activation).encode().into();
        self.replica.propose(&Command::InstallActivation { signed }).await.unwrap();
    }

    fn request(&self) -> Vec<u8> {
        self.request_for(self.publisher(), self.product())
    }

    fn request_for(&self, publisher: PublisherId, product: ProductId) -> Vec<u8> {
        let request = Request {
            nonce: [4; 16],
            publisher,
            product,
            cmid: Cmid([6; 16]),
            machine: MachineDigest([8; 8]),
            machine_name: "PC-1".parse().unwrap(),
            virtual_machine: false,
            license_status: LicenseStatus::Unlicensed,
            minutes_to_expiry: 0,
            client_time_ms: self.replica.wall_ms(),
        };
        request.encode()
    }

    fn product(&self) -> ProductId {
        ProductId::derive(self.publisher(), PRODUCT)
    }

    /// A verified answer: it activates the client, or would with more machines in the count.
    async fn verified(&self, host: &AnsweringHost) -> VerifiedAnswer {
        let request = self.request();
        let (answer, status) = host.answer(&request).await.unwrap();
        assert_eq!(status, Status::OK);
        self.verify(&answer, &request)
    }

    fn verify(&self, answer: &[u8], request: &[u8]) -> VerifiedAnswer {
        let catalog = self.signed_catalog();
        let keys = [self.activation.verifying_key(), SigningKey::from_bytes(&[3; 32]).verifying_key()];
        let trust = Trust::issue(&self.root, keys, Some(&catalog)).unwrap();
        verify_answer(answer, request, &trust, self.product()).unwrap()
    }
}

async fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !happened() {
        assert!(Instant::now() < deadline, "timed out waiting: {what}");
        let _pause = timeout(Duration::from_millis(10), std::future::pending::<()>()).await;
    }
}

#[tokio::test]
async fn a_host_answers_once_it_has_a_certificate_continues_while_it_is_drained_and_then_stops() {
    let world = World::new().await;
    let host = world.host();
    let following = tokio::spawn(host.clone().follow());
    let why = host.unready_because().unwrap();
    assert!(why.contains("not activated"), "{why}");
    assert_eq!(host.answer(&world.request()).await, Ok((Vec::new(), Status::HOST_NOT_ACTIVATED)));
    assert_eq!(Status::HOST_NOT_ACTIVATED.0, 0xC004_F041);

    world.install_key().await;
    world.certify(host.node_key(world.key.key_id()).unwrap(), 1).await;
    assert_eq!(host.unready_because(), None);
    assert_eq!(world.verified(&host).await.body.count, 1);

    host.drain(Duration::from_millis(50));
    let why = host.unready_because().unwrap();
    assert!(why.contains("drained"), "{why}");
    assert_eq!(world.verified(&host).await.body.count, 1);

    timeout(TIMEOUT, host.stop_when_drained()).await.unwrap();
    assert_eq!(world.replica.health(), Health::Failed(Failure::Stopped));
    assert_eq!(host.answer(&world.request()).await, Ok((Vec::new(), Status::HOST_UNAVAILABLE)));
    timeout(TIMEOUT, following).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_that_is_open_when_the_node_stops_is_answered_and_a_later_one_is_not() {
    let world = World::new().await;
    let host = world.host();
    world.install_key().await;
    world.certify(host.node_key(world.key.key_id()).unwrap(), 1).await;
    host.drain(Duration::ZERO);
    let request = world.request();
    // The futures are polled in this order.
    let (open, (), later) = futures::join!(host.answer(&request), host.stop_when_drained(), async {
        eventually("the node stops", || world.replica.health() != Health::Running).await;
        host.answer(&request).await
    });
    let (answer, status) = open.unwrap();
    assert_eq!(status, Status::OK);
    world.verify(&answer, &request);
    assert_eq!(later, Ok((Vec::new(), Status::HOST_UNAVAILABLE)));
}

#[tokio::test]
async fn certificates_are_followed_and_a_node_without_the_private_key_counts_nothing() {
    let world = World::new().await;
    let host = world.host();
    tokio::spawn(host.clone().follow());
    world.install_key().await;
    world.certify(SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes(), 1).await;
    eventually("the node is not ready", || host.unready_because().is_some_and(|why| why.contains("missing"))).await;
    assert_eq!(host.answer(&world.request()).await, Ok((Vec::new(), Status::HOST_NOT_ACTIVATED)));
    let now_ms = world.replica.wall_ms();
    let counted: u32 = world.replica.view(|state| state.counts(now_ms).iter().map(|of| of.count).sum());
    assert_eq!(counted, 0);

    world.certify(host.node_key(world.key.key_id()).unwrap(), 2).await;
    eventually("the node is ready", || host.unready_because().is_none()).await;
    assert_eq!(world.verified(&host).await.body.count, 1);
}

#[tokio::test]
async fn keys_are_the_same_in_every_run_and_another_one_on_a_changed_machine() {
    let world = World::new().await;
    let key = world.key.key_id();
    let other_key = TypedKey::generate(KeyKind::Host, GROUP_SERVER_B, [8; 16]).key_id();
    let first = world.host().node_key(key).unwrap();
    assert_eq!(world.host_with(&world.folder.path().join("other run")).node_key(key).unwrap(), first);
    assert_ne!(world.host().node_key(other_key).unwrap(), first);
    world.move_to("another disk");
    assert_ne!(world.host().node_key(key).unwrap(), first);
}

#[tokio::test]
async fn a_malformed_request_is_a_fault_and_is_not_recorded() {
    let world = World::new().await;
    let host = world.host();
    let before = world.replica.cluster().last_index;
    assert_eq!(host.answer(b"no request").await, Err(dcerpc::fault::BAD_STUB_DATA));
    assert_eq!(world.replica.cluster().last_index, before);
}

#[tokio::test]
async fn a_request_that_the_count_would_refuse_is_answered_with_that_refusal_and_adds_no_log_entry() {
    let world = World::new().await;
    let host = world.host();
    let unknown = PublisherId::derive(&SigningKey::from_bytes(&[9; 32]).verifying_key());
    let missing = ProductId::derive(world.publisher(), "no-such-product");
    let [no_publisher, no_product, known] =
        [world.request_for(unknown, world.product()), world.request_for(world.publisher(), missing), world.request()];
    // Without a record in the log: the same status and bytes as for a request that was recorded.
    let refused = async |request: &[u8], detail: Vec<u8>| {
        let before = world.replica.cluster().last_index;
        let answers = join_all((0..20).map(|_| host.answer(request))).await;
        assert_eq!(world.replica.cluster().last_index, before, "nothing is written");
        let record = Record::new(NODE, &ValidRequest::decode(request).unwrap());
        let recorded = world.replica.submit(&record).await.unwrap();
        let RecordOutcome::Refused(refusal) = recorded.outcome else { panic!("{recorded:?}") };
        assert!(world.replica.cluster().last_index > before, "what is recorded does grow the log");
        for answer in answers {
            assert_eq!(answer, Ok((detail.clone(), refusal.status())));
        }
        refusal
    };
    assert_eq!(refused(&known, Vec::new()).await, Refusal::NotActivated, "no catalog");
    world.install_key().await;
    assert_eq!(refused(&known, Vec::new()).await, Refusal::NotActivated, "no certificate");
    world.certify(host.node_key(world.key.key_id()).unwrap(), 1).await;
    assert_eq!(refused(&no_publisher, Vec::new()).await, Refusal::NotActivated);
    let held = Catalog::from_toml(CATALOG).unwrap().group(GROUP_SERVER_B).unwrap().name.clone();
    let detail = RefusalDetail { held: vec![held], ..RefusalDetail::default() };
    assert_eq!(refused(&no_product, detail.encode()).await, Refusal::NotCovered);
    assert_eq!(world.verified(&host).await.body.count, 1);
}
