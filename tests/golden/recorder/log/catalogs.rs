//! Records the installation, replacement and refusal of catalogs, with every defect that a signed catalog can have.

use activation::state::Command;
use activation::{catalog::Catalog, key::KeyKind};
use bytes::Bytes;
use ed25519_dalek::Signer;
use prost::Message;

use crate::pass::Pass;
use crate::proto;
use crate::recording::Recording;
use crate::world::*;

pub(crate) fn record(to: &mut Recording, pass: &Pass) {
    to.section("catalogs");
    let publisher = &pass.publisher;
    let good = publisher.install(&publisher.catalog(2));
    to.done(good.clone());
    to.done(good);
    let changed = |serial: u64, from: &str, with: &str| {
        let text = publisher.text(serial);
        assert!(text.contains(from), "{from}");
        publisher.install(&Catalog::from_toml(&text.replacen(from, with, 1)).unwrap())
    };
    to.act("refused catalog/not-newer/2/2", changed(2, "Suite", "Another"));
    to.act("refused catalog/not-newer/2/1", publisher.install(&publisher.catalog(1)));
    to.act("refused catalog/product-gone/suite-1", changed(3, "suite-1", "suite-2"));
    let moved = changed(3, "application = \"suite\"", "application = \"platform\"");
    to.act("refused catalog/product-moved/suite-1/suite/platform", moved);
    to.act("refused catalog/code-reused/suite", changed(3, "code = 10", "code = 11"));
    to.act("refused catalog/code-reused/workstation", changed(3, "code = 1\nmay", "code = 5\nmay"));
    to.done(publisher.install(&publisher.catalog(3)));

    let signed = proto::SignedCatalog::decode(publisher.sign(&publisher.catalog(4)).bytes().clone()).unwrap();
    let malformed = |to: &mut Recording, expected: &str, change: &dyn Fn(&mut proto::SignedCatalog)| {
        let mut signed = signed.clone();
        change(&mut signed);
        install(to, &format!("refused catalog/{expected}"), signed.encode_to_vec());
    };
    install(to, "refused catalog/malformed/encoding", vec![0xff]);
    malformed(to, "malformed/root key", &|signed| signed.root = Bytes::from_static(&[0; 32]));
    malformed(to, "malformed/signature", &|signed| signed.signature = Bytes::from_static(&[1]));
    malformed(to, "signature", &|signed| signed.signature = Bytes::from_static(&[1; 64]));
    install(to, "refused catalog/malformed/body", sign(pass, vec![0xff]));
    let draft = proto::Catalog::decode(signed.body.clone()).unwrap();
    let weak = proto::Catalog { activation_key_2: Bytes::from_static(&[0; 32]), ..draft.clone() };
    install(to, "refused catalog/malformed/activation key", sign(pass, weak.encode_to_vec()));
    to.section("catalogs that are not sound");
    for change in unsound() {
        let mut draft = draft.clone();
        change(&mut draft);
        install(to, "refused catalog/unsound", sign(pass, draft.encode_to_vec()));
    }
}

fn install(to: &mut Recording, expected: &str, signed: Vec<u8>) {
    to.act(expected, Command::InstallCatalog { signed: signed.into() });
}

/// Signs a catalog as a publisher does, whatever its content.
fn sign(pass: &Pass, body: Vec<u8>) -> Vec<u8> {
    let root = &pass.publisher.root;
    let signature = root.sign(&[b"quorate/catalog/1", body.as_slice()].concat());
    proto::SignedCatalog {
        body: body.into(),
        root: Bytes::copy_from_slice(root.verifying_key().as_bytes()),
        signature: Bytes::copy_from_slice(&signature.to_bytes()),
    }
    .encode_to_vec()
}

type Change = fn(&mut proto::Catalog);

/// Catalogs with every defect that the check of a catalog detects.
fn unsound() -> Vec<Change> {
    vec![
        |draft| draft.publisher_name.clear(),
        |draft| draft.publisher_name = "a\u{7}".into(),
        |draft| draft.serial = 0,
        |draft| draft.applications = vec![String::new(); 65],
        |draft| draft.applications[0] = "Not A Name".into(),
        |draft| draft.applications[1] = "platform".into(),
        |draft| draft.groups = vec![proto::Group::default(); 65],
        |draft| draft.groups[0].name = "-".into(),
        |draft| draft.groups[1].name = "client".into(),
        |draft| draft.groups[1].code = 1,
        |draft| draft.groups[0].code = 256,
        |draft| draft.groups[0].generation = 0,
        |draft| draft.groups[0].above = vec!["nothing".into()],
        |draft| draft.groups[0].above = vec!["server".into()],
        |draft| draft.platforms = vec![proto::Platform::default(); 256],
        |draft| draft.platforms[1].name = "workstation".into(),
        |draft| draft.platforms[1].code = 1,
        |draft| draft.platforms[0].may_hold = vec!["nothing".into()],
        |draft| draft.products = vec![proto::Product::default(); 1001],
        |draft| draft.products[0].title = " ".into(),
        |draft| draft.products[0].application = "nothing".into(),
        |draft| draft.products[0].group = "nothing".into(),
        |draft| draft.products[0].generation = 300,
        |draft| draft.products[0].threshold = 0,
        |draft| draft.products[0].threshold = 10_001,
        |draft| draft.products[0].editions = vec![proto::Edition::default(); 33],
        |draft| draft.products[2].name = draft.products[1].name.clone(),
        |draft| edition(draft).name.clear(),
        |draft| edition(draft).setup_key = "P2345".into(),
        |draft| edition(draft).setup_key = "0".repeat(25),
        |draft| edition(draft).setup_key = key(KeyKind::Setup, 1).to_string().replace('P', "H"),
        |draft| edition(draft).setup_key = key(KeyKind::Host, 1).to_string(),
        |draft| {
            let twice = edition(draft).clone();
            draft.products[0].editions.push(twice.clone());
            draft.products[1].editions.push(twice.clone());
            draft.products[2].editions.push(twice);
        },
        |draft| draft.products[1].generation = 2,
        |draft| draft.blocked_keys = vec![Bytes::new(); 2001],
        |draft| draft.blocked_keys = vec![Bytes::from_static(&[1])],
        |draft| draft.blocked_certificates = vec![Bytes::from_static(&[1])],
    ]
}

/// The only edition of the catalog.
fn edition(draft: &mut proto::Catalog) -> &mut proto::Edition {
    draft.products.iter_mut().find_map(|product| product.editions.first_mut()).unwrap()
}
