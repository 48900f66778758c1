//! Publishers, keys, nodes and machines with fixed keys and ids.

use activation::SigningKey;
use activation::catalog::{Catalog, SignedCatalog};
use activation::certificate::NodeCertificate;
use activation::host_activation::{ActivationAnswer, ActivationAnswers, KeyStanding};
use activation::id::{Cmid, KeyId, MachineDigest, NodeId, ProductId, PublisherId};
use activation::key::{KeyKind, TypedKey};
use activation::message::Record;
use activation::state::Command;

/// 2026-01-01T00:00:00Z, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_767_225_600_000;
pub(crate) const HOUR_MS: u64 = 3_600_000;
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;

pub(crate) const CLIENT: &str = "workstation-2";
pub(crate) const SERVER: &str = "server-2";
pub(crate) const SUITE: &str = "suite-1";

/// Code of the client group in the catalog.
pub(crate) const GROUP_CLIENT: u8 = 1;
pub(crate) const GROUP_SERVER: u8 = 2;
pub(crate) const PLATFORM_WORKSTATION: u8 = 1;
pub(crate) const PLATFORM_SERVER: u8 = 4;

/// A key pair for each purpose and number.
pub(crate) fn signing_key(purpose: u8, number: u64) -> SigningKey {
    let mut seed = [purpose; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

pub(crate) fn node_key(node: NodeId) -> SigningKey {
    signing_key(3, node)
}

pub(crate) fn key(kind: KeyKind, number: u64) -> TypedKey {
    TypedKey::generate(kind, GROUP_SERVER, (u128::from(number) + 1_000_003).to_be_bytes())
}

pub(crate) fn host_key(number: u64) -> TypedKey {
    key(KeyKind::Host, number)
}

pub(crate) fn cmid(machine: u64) -> Cmid {
    Cmid(u128::from(machine).to_be_bytes())
}

pub(crate) struct Publisher {
    pub(crate) number: u64,
    pub(crate) root: SigningKey,
    pub(crate) activation: [SigningKey; 2],
}

impl Publisher {
    pub(crate) fn new(number: u64) -> Self {
        let activation = [signing_key(1, number), signing_key(2, number)];
        Self { number, root: signing_key(0, number), activation }
    }

    pub(crate) fn id(&self) -> PublisherId {
        PublisherId::derive(&self.root.verifying_key())
    }

    pub(crate) fn sign(&self, catalog: &Catalog) -> SignedCatalog {
        let public = [self.activation[0].verifying_key(), self.activation[1].verifying_key()];
        SignedCatalog::sign(catalog, public, &self.root)
    }

    /// The catalog's text in TOML.
    pub(crate) fn text(&self, serial: u64) -> String {
        let setup_key = key(KeyKind::Setup, self.number);
        format!(
            r#"publisher = 'Nordlicht "Büro" {}'
serial = {serial}
[[application]]
name = "platform"
[[application]]
name = "suite"
[[group]]
name = "client"
code = 1
generation = 2
[[group]]
name = "server"
code = 2
generation = 2
above = ["client"]
[[group]]
name = "suite"
code = 10
generation = 1
[[platform]]
name = "workstation"
code = 1
may_hold = ["client", "suite"]
[[platform]]
name = "server"
code = 4
may_hold = ["client", "server", "suite"]
[[product]]
name = "workstation-2"
title = "Workstation"
application = "platform"
group = "client"
generation = 2
threshold = 3
editions = [{{ name = "Professional", setup_key = "{setup_key}" }}]
[[product]]
name = "server-2"
title = "Server"
application = "platform"
group = "server"
generation = 2
threshold = 2
[[product]]
name = "suite-1"
title = "Suite"
application = "suite"
group = "suite"
generation = 1
threshold = 1
"#,
            self.number
        )
    }

    pub(crate) fn catalog(&self, serial: u64) -> Catalog {
        Catalog::from_toml(&self.text(serial)).unwrap()
    }

    pub(crate) fn install(&self, catalog: &Catalog) -> Command {
        Command::InstallCatalog { signed: self.sign(catalog).bytes().clone() }
    }

    pub(crate) fn certify(&self, node: NodeId, key: KeyId, group: u8, platform: u8) -> NodeCertificate {
        let issued_minutes = u32::try_from(START_MS / 60_000).unwrap();
        let node_key = node_key(node).verifying_key();
        NodeCertificate::issue(self.id(), key, group, platform, issued_minutes, &node_key, &self.activation[0])
    }

    pub(crate) fn answers(
        &self,
        certificates: impl IntoIterator<Item = (NodeId, NodeCertificate)>,
    ) -> ActivationAnswers {
        let answers = certificates.into_iter().map(|(node, certificate)| ActivationAnswer {
            request_id: [7; 16],
            node,
            certificate,
            reactivations_left: 9,
        });
        let (answers, released, standings) = (answers.collect(), Vec::new(), Vec::new());
        ActivationAnswers { publisher: self.id(), answered_ms: START_MS, answers, released, standings }
    }

    pub(crate) fn activate(&self, answers: ActivationAnswers) -> Command {
        Command::InstallActivation { signed: answers.sign(&self.activation[0]).encode().into() }
    }

    /// The command that installs certificates of one group for some nodes, with the standing of the key.
    pub(crate) fn activation(&self, nodes: &[NodeId], key: &TypedKey, group: u8, platform: u8) -> Command {
        let id = key.key_id();
        let mut answers = self.answers(nodes.iter().map(|node| (*node, self.certify(*node, id, group, platform))));
        let hosts_used = u32::try_from(nodes.len()).unwrap();
        answers.standings.push(KeyStanding { key: id, hosts_limit: 6, hosts_used });
        self.activate(answers)
    }

    pub(crate) fn record(&self, node: NodeId, product: &str, machine: u64, client_time_ms: u64) -> Record {
        Record {
            node,
            publisher: self.id(),
            product: ProductId::derive(self.id(), product),
            cmid: cmid(machine),
            machine: MachineDigest(machine.to_be_bytes()),
            machine_name: format!("PC-{machine}").parse().unwrap(),
            virtual_machine: machine % 2 == 0,
            client_time_ms,
        }
    }
}

/// The digest of a token's secret.
pub(crate) fn digest(number: u8) -> [u8; 32] {
    [number; 32]
}
