//! A publisher, a node that it certified, and a client machine that sends it requests.

use activation::SigningKey;
use activation::catalog::{Catalog, SignedCatalog};
use activation::certificate::NodeCertificate;
use activation::id::{KeyId, MachineDigest, ProductId, PublisherId};
use activation::message::{AnswerBody, Request, ValidRequest, sign_answer};
use activation::trust::Trust;
use client::Machine;

const EXAMPLE: &str = include_str!("../../../../deploy/catalogs/example.toml");
pub(crate) const PRODUCT: &str = "workstation-professional-2";
pub(crate) const THRESHOLD: u32 = 25;
pub(crate) const GROUP_CLIENT: u8 = 1;
const PLATFORM_WORKSTATION: u8 = 1;
const ISSUED_MINUTES: u32 = 29_453_760;

pub(crate) struct Publisher {
    root: SigningKey,
    activation: [SigningKey; 2],
}

impl Publisher {
    pub(crate) fn new(seed: u8) -> Self {
        let key = |offset| SigningKey::from_bytes(&[seed + offset; 32]);
        Self { root: key(0), activation: [key(1), key(2)] }
    }

    pub(crate) fn id(&self) -> PublisherId {
        PublisherId::derive(&self.root.verifying_key())
    }

    /// The trust file that its clients have.
    pub(crate) fn trust(&self) -> Trust {
        let keys = self.activation.each_ref().map(SigningKey::verifying_key);
        let catalog = Catalog::from_toml(EXAMPLE).unwrap();
        Trust::issue(&self.root, keys, Some(&SignedCatalog::sign(&catalog, keys, &self.root))).unwrap()
    }

    pub(crate) fn request(&self) -> Request {
        let cmid = client::random_cmid().unwrap();
        client::request(self.id(), ProductId::derive(self.id(), PRODUCT), cmid, &machine()).unwrap()
    }

    /// A node with a host key of `group`.
    pub(crate) fn node(&self, group: u8) -> Node {
        let key = SigningKey::from_bytes(&[200; 32]);
        let certificate = NodeCertificate::issue(
            self.id(),
            KeyId([5; 8]),
            group,
            PLATFORM_WORKSTATION,
            ISSUED_MINUTES,
            &key.verifying_key(),
            &self.activation[0],
        );
        Node { key, certificate }
    }
}

pub(crate) fn machine() -> Machine {
    Machine { name: "PC-0123456789AB".parse().unwrap(), digest: MachineDigest([7; 8]), is_virtual: true }
}

/// A node that can answer: its key and its certificate.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) key: SigningKey,
    pub(crate) certificate: NodeCertificate,
}

impl Node {
    /// The signed answer to the bytes of a request.
    pub(crate) fn answer(&self, request: &[u8], count: u32) -> Vec<u8> {
        let request = ValidRequest::decode(request).unwrap();
        sign_answer(&body(count), &self.certificate, &self.key, request.digest())
    }
}

pub(crate) fn body(count: u32) -> AnswerBody {
    AnswerBody {
        count,
        threshold: THRESHOLD,
        activation_interval_minutes: 120,
        renewal_interval_minutes: 10_080,
        cluster_time_ms: 1_767_225_600_000,
        log_index: 41,
        offset: 3,
    }
}
