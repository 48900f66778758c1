//! The publisher of the simulated products, and the parts of its catalog that the oracle needs.

use activation::{
    SigningKey,
    catalog::{Catalog, SignedCatalog},
    certificate::NodeCertificate,
    host_activation::{ActivationAnswer, ActivationAnswers},
    id::{KeyId, NodeId, ProductId, PublisherId},
    key::{KeyKind, TypedKey},
    state::Command,
    trust::Trust,
};

const EXAMPLE: &str = include_str!("../../../deploy/catalogs/example.toml");

/// Where virtual time begins: 2026-01-01T00:00:00Z, in milliseconds since the Unix epoch.
pub(crate) const START_MS: u64 = 1_767_225_600_000;

/// Code of the product group server-b in the example catalog.
const GROUP_SERVER_B: u8 = 3;
const PLATFORM_STANDARD: u8 = 4;

/// A product for which machines ask, with its rights under an installed key of group server-b.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) name: &'static str,
    /// The threshold (R9); `None` where the key does not cover the product.
    pub(crate) threshold: Option<u32>,
}

/// All products belong to the application `platform`: they share one count (R11).
pub(crate) const PRODUCTS: [Product; 4] = [
    Product { name: "workstation-professional-2", threshold: Some(25) },
    Product { name: "workstation-enterprise-1", threshold: Some(25) },
    Product { name: "server-web-2", threshold: Some(5) },
    Product { name: "server-datacenter-2", threshold: None },
];

/// The application of the products.
pub(crate) const APPLICATION: &str = "platform";

/// The publisher with its keys.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) id: PublisherId,
    activation_key: SigningKey,
    signed: SignedCatalog,
    host_key: TypedKey,
    pub(crate) trust: Trust,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let root = SigningKey::from_bytes(&[1; 32]);
        let activation_keys = [2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let public = activation_keys.each_ref().map(SigningKey::verifying_key);
        let catalog = Catalog::from_toml(EXAMPLE).expect("the example catalog is valid");
        let signed = SignedCatalog::sign(&catalog, public, &root);
        let trust = Trust::issue(&root, public, Some(&signed)).expect("the catalog is signed by the same root");
        let id = PublisherId::derive(&root.verifying_key());
        let host_key = TypedKey::generate(KeyKind::Host, GROUP_SERVER_B, [7; 16]);
        let [activation_key, _] = activation_keys;
        Self { id, activation_key, signed, host_key, trust }
    }

    /// Id of the host key.
    pub(crate) fn key(&self) -> KeyId {
        self.host_key.key_id()
    }

    /// The product's id in requests.
    pub(crate) fn product_id(&self, product: &Product) -> ProductId {
        ProductId::derive(self.id, product.name)
    }

    /// The product with this id.
    pub(crate) fn product(&self, id: ProductId) -> Option<&'static Product> {
        PRODUCTS.iter().find(|product| self.product_id(product) == id)
    }

    /// The commands that install the publisher's catalog and host key on a cluster.
    pub(crate) fn installation(&self) -> [Command; 2] {
        let key = self.host_key;
        [
            Command::InstallCatalog { signed: self.signed.bytes().clone() },
            Command::InstallKey { publisher: self.id, key },
        ]
    }

    /// The command that activates `node`, whose private key belongs to `node_key`.
    pub(crate) fn activation(&self, node: NodeId, node_key: &[u8; 32]) -> Command {
        let node_key = activation::VerifyingKey::from_bytes(node_key).expect("a node's key is a public key");
        let certificate = NodeCertificate::issue(
            self.id,
            self.key(),
            GROUP_SERVER_B,
            PLATFORM_STANDARD,
            0,
            &node_key,
            &self.activation_key,
        );
        let answer = ActivationAnswer { request_id: [0; 16], node, certificate, reactivations_left: 9 };
        let answers = ActivationAnswers {
            publisher: self.id,
            answered_ms: 0,
            answers: vec![answer],
            released: Vec::new(),
            standings: Vec::new(),
        };
        Command::InstallActivation { signed: answers.sign(&self.activation_key).encode().into() }
    }
}
