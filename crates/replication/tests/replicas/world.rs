//! A publisher, the nodes that it has activated, and the requests of client machines.

use std::sync::LazyLock;

use activation::host_activation::{ActivationAnswer, ActivationAnswers};
use activation::{
    SigningKey,
    catalog::{Catalog, SignedCatalog},
    certificate::NodeCertificate,
    id::{Cmid, MachineDigest, NodeId, ProductId, PublisherId},
    key::{KeyKind, TypedKey},
    message::Record,
    state::Command,
};

const EXAMPLE: &str = include_str!("../../../../deploy/catalogs/example.toml");

/// 2026-01-01 in milliseconds since the Unix epoch: the wall clocks of all tests start at this time.
pub(crate) const START_MS: u64 = 1_767_225_600_000;

/// The product that all machines request.
const PRODUCT: &str = "workstation-professional-2";

/// Codes in the example catalog.
const GROUP_SERVER_B: u8 = 3;
const PLATFORM_STANDARD: u8 = 4;

/// The largest number of CMIDs that the application keeps: twice the product's threshold (R12).
pub(crate) const CACHE_LIMIT: u32 = 50;

fn root() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn activation_keys() -> [SigningKey; 2] {
    [2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]))
}

/// Derived once: a key pair for every request would take most of a load generator's time.
static PUBLISHER: LazyLock<PublisherId> = LazyLock::new(|| PublisherId::derive(&root().verifying_key()));

pub(crate) fn publisher() -> PublisherId {
    *PUBLISHER
}

/// A host key that is different for every `number`.
pub(crate) fn host_key(number: u64) -> TypedKey {
    TypedKey::generate(KeyKind::Host, GROUP_SERVER_B, u128::from(number).to_be_bytes())
}

/// The commands that let `nodes` answer requests: catalog, host key, and certificates for all of them.
pub(crate) fn activation(nodes: impl IntoIterator<Item = NodeId>) -> [Command; 3] {
    let catalog = Catalog::from_toml(EXAMPLE).expect("the example catalog is valid");
    let public = activation_keys().map(|key| key.verifying_key());
    let signed = SignedCatalog::sign(&catalog, public, &root());
    let key = host_key(0);
    let answers = nodes.into_iter().map(|node| ActivationAnswer {
        request_id: [0; 16],
        node,
        certificate: certificate(node, &key),
        reactivations_left: 9,
    });
    let answers = ActivationAnswers {
        publisher: publisher(),
        answered_ms: 0,
        answers: answers.collect(),
        released: Vec::new(),
        standings: Vec::new(),
    };
    let [signer, _] = activation_keys();
    [
        Command::InstallCatalog { signed: signed.bytes().clone() },
        install_key(key),
        Command::InstallActivation { signed: answers.sign(&signer).encode().into() },
    ]
}

pub(crate) fn install_key(key: TypedKey) -> Command {
    Command::InstallKey { publisher: publisher(), key }
}

fn certificate(node: NodeId, key: &TypedKey) -> NodeCertificate {
    let mut seed = [9; 32];
    seed[..8].copy_from_slice(&node.to_be_bytes());
    let node_key = SigningKey::from_bytes(&seed).verifying_key();
    let [signer, _] = activation_keys();
    NodeCertificate::issue(publisher(), key.key_id(), GROUP_SERVER_B, PLATFORM_STANDARD, 0, &node_key, &signer)
}

pub(crate) fn cmid(machine: u64) -> Cmid {
    Cmid(u128::from(machine).to_be_bytes())
}

/// A request of `machine`, whose clock shows `client_time_ms`, as `node` records it.
pub(crate) fn record(node: NodeId, machine: u64, client_time_ms: u64) -> Record {
    Record {
        node,
        publisher: publisher(),
        product: ProductId::derive(publisher(), PRODUCT),
        cmid: cmid(machine),
        machine: MachineDigest(machine.to_be_bytes()),
        machine_name: format!("PC-{machine}").parse().expect("a machine name"),
        virtual_machine: false,
        client_time_ms,
    }
}
