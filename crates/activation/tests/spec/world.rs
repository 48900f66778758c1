//! A publisher, a cluster of three activated nodes, and client machines that send them requests.

use activation::catalog::{Catalog, SignedCatalog};
use activation::certificate::NodeCertificate;
use activation::clock::{SkewReference, Stamp};
use activation::host_activation::{ActivationAnswer, ActivationAnswers, SignedAnswers};
use activation::id::{Cmid, MachineDigest, NodeId, ProductId, PublisherId};
use activation::key::{KeyKind, TypedKey};
use activation::message::{LicenseStatus, Record, Request};
use activation::settings::{Announcement, Rank};
use activation::state::{Applied, Batch, Command, Counted, Format, RecordOutcome, Refusal, State};
use activation::trust::Trust;
use activation::{SigningKey, VerifyingKey};

pub(crate) const EXAMPLE: &str = include_str!("../../../../deploy/catalogs/example.toml");

/// 2026-01-01, the time at which every test begins.
pub(crate) const START_MS: u64 = 1_767_225_600_000;
pub(crate) const HOUR_MS: u64 = 60 * 60 * 1000;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

pub(crate) const CLIENT: &str = "workstation-professional-2";
pub(crate) const SERVER: &str = "server-standard-2";

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The private key of a node.
pub(crate) fn node_key(node: NodeId) -> SigningKey {
    signing_key(100 + u8::try_from(node).unwrap())
}

pub(crate) fn host_key(number: u8) -> TypedKey {
    TypedKey::generate(KeyKind::Host, 3, [number; 16])
}

pub(crate) fn cmid(machine: u32) -> Cmid {
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&machine.to_be_bytes());
    Cmid(bytes)
}

pub(crate) struct Publisher {
    pub(crate) root: SigningKey,
    pub(crate) activation: [SigningKey; 2],
}

impl Publisher {
    pub(crate) fn new(seed: u8) -> Self {
        Self { root: signing_key(seed), activation: [signing_key(seed + 1), signing_key(seed + 2)] }
    }

    pub(crate) fn id(&self) -> PublisherId {
        PublisherId::derive(&self.root.verifying_key())
    }

    pub(crate) fn activation_keys(&self) -> [VerifyingKey; 2] {
        [self.activation[0].verifying_key(), self.activation[1].verifying_key()]
    }

    pub(crate) fn sign(&self, catalog: &Catalog) -> SignedCatalog {
        SignedCatalog::sign(catalog, self.activation_keys(), &self.root)
    }

    pub(crate) fn trust(&self, catalog: Option<&Catalog>) -> Trust {
        Trust::issue(&self.root, self.activation_keys(), catalog.map(|catalog| self.sign(catalog)).as_ref()).unwrap()
    }

    /// A certificate as the publisher issues it in exchange for a host key.
    pub(crate) fn certify(&self, node: NodeId, key: &TypedKey, group: u8, platform: u8) -> NodeCertificate {
        let node_key = node_key(node).verifying_key();
        let issued_minutes = u32::try_from(START_MS / 60_000).unwrap();
        NodeCertificate::issue(self.id(), key.key_id(), group, platform, issued_minutes, &node_key, &self.activation[0])
    }
}

impl Publisher {
    /// Signed certificates as the publisher sends them: each host may be activated nine more times.
    pub(crate) fn answer(&self, certificates: Vec<(NodeId, NodeCertificate)>) -> SignedAnswers {
        self.answers(certificates).sign(&self.activation[0])
    }

    pub(crate) fn answers(&self, certificates: Vec<(NodeId, NodeCertificate)>) -> ActivationAnswers {
        let answers = certificates.into_iter().map(|(node, certificate)| ActivationAnswer {
            request_id: [0; 16],
            node,
            certificate,
            reactivations_left: 9,
        });
        ActivationAnswers {
            publisher: self.id(),
            answered_ms: START_MS,
            answers: answers.collect(),
            released: Vec::new(),
            standings: Vec::new(),
        }
    }
}

pub(crate) fn example() -> Catalog {
    Catalog::from_toml(EXAMPLE).unwrap()
}

/// The example catalog with a change to its text, which must apply.
pub(crate) fn example_with(from: &str, to: &str) -> Catalog {
    Catalog::from_toml(&edited(from, to)).unwrap()
}

pub(crate) fn edited(from: &str, to: &str) -> String {
    assert!(EXAMPLE.contains(from), "the example catalog has no {from:?}");
    EXAMPLE.replacen(from, to, 1)
}

/// Codes of the example catalog.
pub(crate) const GROUP_CLIENT: u8 = 1;
pub(crate) const GROUP_B: u8 = 3;
pub(crate) const PLATFORM_STANDARD: u8 = 4;

/// One replica of a cluster, its log and its clock.
pub(crate) struct Cluster {
    pub(crate) publisher: Publisher,
    pub(crate) state: State,
    pub(crate) index: u64,
    pub(crate) now_ms: u64,
}

impl Cluster {
    /// A cluster with nothing installed.
    pub(crate) fn empty() -> Self {
        Self { publisher: Publisher::new(1), state: State::new(), index: 0, now_ms: START_MS }
    }

    /// A cluster with the example catalog and one host key installed; nodes 1, 2 and 3 are activated for group
    /// server-b.
    pub(crate) fn activated() -> Self {
        let mut cluster = Self::empty();
        cluster.install_catalog(&example());
        cluster.install_key(&host_key(1));
        for node in 1..=3 {
            cluster.certify(node, &host_key(1), GROUP_B, PLATFORM_STANDARD);
        }
        cluster
    }

    /// A cluster as [`Self::activated`], set to this format.
    pub(crate) fn activated_in(format: Format) -> Self {
        let mut cluster = Self::activated();
        cluster.must(&Command::SetFormat { format });
        cluster
    }

    /// Applies a command and checks what must hold after every command: the invariants, and that a snapshot holds
    /// the whole state.
    pub(crate) fn apply(&mut self, command: &Command) -> Applied {
        self.index += 1;
        let applied = self.state.apply(self.index, &command.encode());
        self.state.check_invariants();
        let restored = State::decode_snapshot(&self.state.encode_snapshot()).unwrap();
        restored.check_invariants();
        assert_eq!(restored.hash(), self.state.hash(), "a snapshot does not carry the whole state");
        applied
    }

    fn must(&mut self, command: &Command) {
        assert_eq!(self.apply(command), Applied::Done);
    }

    pub(crate) fn install_catalog(&mut self, catalog: &Catalog) {
        let signed = self.publisher.sign(catalog).bytes().clone();
        self.must(&Command::InstallCatalog { signed });
    }

    pub(crate) fn install_key(&mut self, key: &TypedKey) {
        let publisher = self.publisher.id();
        self.must(&Command::InstallKey { publisher, key: *key });
    }

    pub(crate) fn certify(&mut self, node: NodeId, key: &TypedKey, group: u8, platform: u8) {
        let certificate = self.publisher.certify(node, key, group, platform);
        let signed = self.publisher.answer(vec![(node, certificate)]).encode().into();
        self.must(&Command::InstallActivation { signed });
    }

    /// A record of a request of machine number `machine` to node 1, with a correct clock.
    pub(crate) fn record(&self, product: &str, machine: u32) -> Record {
        Record {
            node: 1,
            publisher: self.publisher.id(),
            product: ProductId::derive(self.publisher.id(), product),
            cmid: cmid(machine),
            machine: MachineDigest([7; 8]),
            machine_name: format!("machine-{machine}").parse().unwrap(),
            virtual_machine: false,
            client_time_ms: self.now_ms,
        }
    }

    /// Applies one request in a separate batch.
    pub(crate) fn outcome(&mut self, record: Record) -> RecordOutcome {
        let foretold = self.state.refusal(record.node, record.publisher, record.product);
        let outcome = self.batch(SkewReference::ClusterTime, vec![record])[0];
        let refused = match outcome {
            RecordOutcome::Counted(_) | RecordOutcome::Refused(Refusal::ClockSkew) => None,
            RecordOutcome::Refused(refusal) => Some(refusal),
        };
        assert_eq!(foretold, refused, "what the state says before a request, and what becomes of it");
        outcome
    }

    pub(crate) fn batch(&mut self, skew: SkewReference, records: Vec<Record>) -> Vec<RecordOutcome> {
        let expiry_ms = self.state.format().has_expiry_clock().then_some(self.now_ms);
        let stamp = Stamp { time_ms: self.now_ms, skew, expiry_ms };
        match self.apply(&Command::Batch(Batch { stamp, records })) {
            Applied::Batch { outcomes, .. } => outcomes,
            other => panic!("a batch gave {other:?}"),
        }
    }

    /// Applies a machine's request, which must be counted.
    pub(crate) fn ask(&mut self, product: &str, machine: u32) -> Counted {
        let record = self.record(product, machine);
        match self.outcome(record) {
            RecordOutcome::Counted(counted) => counted,
            RecordOutcome::Refused(refusal) => panic!("{product} of machine {machine} was refused: {refusal:?}"),
        }
    }

    /// Applies the requests of several machines in turn; returns their counts.
    pub(crate) fn ask_all(&mut self, product: &str, machines: impl IntoIterator<Item = u32>) -> Vec<u32> {
        machines.into_iter().map(|machine| self.ask(product, machine).count).collect()
    }

    /// The application's count now, as a reader of the state gets it.
    pub(crate) fn count(&self, application: &str) -> u32 {
        let counts = self.state.counts(self.now_ms);
        counts.iter().find(|count| count.application.as_str() == application).unwrap().count
    }

    pub(crate) fn cache_limit(&self, application: &str) -> u32 {
        let counts = self.state.counts(self.now_ms);
        counts.iter().find(|count| count.application.as_str() == application).unwrap().cache_limit
    }
}

/// A request with ordinary values.
pub(crate) fn request(publisher: PublisherId, product: &str) -> Request {
    Request {
        nonce: [9; 16],
        publisher,
        product: ProductId::derive(publisher, product),
        cmid: cmid(1),
        machine: MachineDigest([7; 8]),
        machine_name: "PC-0123456789AB".parse().unwrap(),
        virtual_machine: true,
        license_status: LicenseStatus::OutOfBoxGrace,
        minutes_to_expiry: 43_200,
        client_time_ms: START_MS,
    }
}

/// The announcement of a node with this name.
pub(crate) fn announcement(target: &str) -> Announcement {
    Announcement {
        target: target.parse().unwrap(),
        port: 1688,
        rank: Rank { priority: 1, weight: 60 },
        addresses: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
    }
}

/// The id of a product of this publisher.
pub(crate) fn product(publisher: &Publisher, name: &str) -> ProductId {
    ProductId::derive(publisher.id(), name)
}
