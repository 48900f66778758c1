//! Catalogs: text with mistakes, signatures, successors, and trust files.

use activation::catalog::{Catalog, CatalogError, SignedCatalog};
use activation::id::{KeyId, ProductId};
use activation::limits::CATALOG_BYTES_MAX;
use activation::trust::{Trust, TrustError};

use super::world::*;

#[test]
fn the_example_is_a_valid_catalog() {
    let catalog = example();
    assert_eq!(catalog.publisher_name(), "Northlight Software");
    assert_eq!(catalog.applications().map(|name| name.as_str()).collect::<Vec<_>>(), ["platform", "suite"]);
    for (product, group, threshold) in [(CLIENT, "client", 25), (SERVER, "server-b", 5)] {
        let product = catalog.product(product).unwrap();
        assert_eq!(catalog.group(product.group).unwrap().name.as_str(), group);
        assert_eq!((product.threshold, product.application.as_str()), (threshold, "platform"));
    }
    let covering: Vec<_> = catalog.groups_covering(catalog.product(SERVER).unwrap()).collect();
    assert_eq!(covering.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["server-b", "server-c"]);
}

/// Each row: an edit of the example, the text that the error must point at, and what it must say.
#[test]
fn an_error_is_named_with_its_position_and_the_fix() {
    let table = [
        ("serial = 1", "serial = 0", "0", "begin with serial 1"),
        ("serial = 1", "serial = -1", "-1", "correct it"),
        ("serial = 1", "serial = 1\ncolour = 3", "colour", "unknown field"),
        ("publisher = \"Northlight Software\"", "publisher = \"\"", "\"\"", "1 to 96 bytes"),
        ("publisher = \"Northlight Software\"", "publisher = \"a\\u001bb\"", "\"a\\u001bb\"", "control characters"),
        ("name = \"suite\"", "name = \"platform\"", "\"platform\"", "used twice"),
        ("name = \"suite\"", "name = \"Suite\"", "\"Suite\"", "a-z"),
        ("code = 2", "code = 1", "1", "used twice"),
        ("code = 2", "code = 256", "256", "1 to 255"),
        ("above = [\"client\"]", "above = [\"clients\"]", "[\"clients\"]", "add a [[group]]"),
        ("above = [\"client\"]", "above = [\"server-c\"]", "[\"server-", "cycle"),
        ("may_hold = [\"client\", \"suite\"]", "may_hold = [\"x\"]", "[\"x\"]", "add a [[group]]"),
        ("threshold = 25", "threshold = 0", "0", "1 to 10000"),
        ("threshold = 25", "threshold = 10001", "10001", "1 to 10000"),
        ("threshold = 25", "treshold = 25", "treshold", "unknown field"),
        ("generation = 2\nthreshold = 25", "generation = 3\nthreshold = 25", "3", "raise the generation"),
        ("application = \"platform\"", "application = \"plattform\"", "\"plattform\"", "add a [[application]]"),
        ("group = \"client\"", "group = \"klient\"", "\"klient\"", "add a [[group]]"),
        ("keys = []", "keys = [\"H2345-67\"]", "[\"H2345-67\"]", "never the key"),
        ("serial = 1", "serial =", "", "correct it"),
    ];
    for (from, to, pointed_at, said) in table {
        let text = edited(from, to);
        let error = Catalog::from_toml(&text).expect_err(to);
        let CatalogError::Source { line, column, .. } = error else { panic!("{to}: {error}") };
        let rest: String = text.lines().nth(line - 1).unwrap_or_default().chars().skip(column - 1).collect();
        assert!(rest.starts_with(pointed_at), "{to}: points at {rest:?}");
        assert!(error.to_string().contains(said), "{to}: says {error}");
    }
}

#[test]
fn a_catalog_that_would_not_fit_a_log_entry_is_refused_as_text() {
    let mut text = EXAMPLE.to_owned();
    for number in 0..900 {
        let title = "x".repeat(60);
        text.push_str(&format!(
            "[[product]]\nname = \"p{number}\"\ntitle = \"{title}\"\napplication = \"suite\"\ngroup = \"suite\"\n\
             generation = 1\nthreshold = 5\n"
        ));
    }
    let error = Catalog::from_toml(&text).unwrap_err().to_string();
    assert!(error.contains(&format!("more than {CATALOG_BYTES_MAX} bytes")), "{error}");
}

#[test]
fn a_signed_catalog_opens_as_it_was() {
    let publisher = Publisher::new(1);
    let signed = publisher.sign(&example());
    let opened = SignedCatalog::open(signed.bytes()).unwrap();
    assert_eq!(opened.catalog, example());
    assert_eq!((opened.publisher, opened.activation_keys), (publisher.id(), publisher.activation_keys()));
    let id = ProductId::derive(publisher.id(), CLIENT);
    assert_eq!(opened.product(id).unwrap().name.as_str(), CLIENT);
    assert_eq!(opened.product_ids().count(), example().products().count());
}

#[test]
fn a_changed_byte_anywhere_keeps_a_signed_catalog_shut_or_is_another_publishers() {
    let publisher = Publisher::new(1);
    let bytes = publisher.sign(&example()).bytes().to_vec();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 0x10;
        if let Ok(opened) = SignedCatalog::open(&changed) {
            panic!("byte {place} may be changed: {}", opened.publisher);
        }
    }
}

#[test]
fn a_signature_by_another_root_does_not_open() {
    use prost::Message;
    #[derive(Clone, PartialEq, Message)]
    struct Envelope {
        #[prost(bytes = "vec", tag = "1")]
        body: Vec<u8>,
        #[prost(bytes = "vec", tag = "2")]
        root: Vec<u8>,
        #[prost(bytes = "vec", tag = "3")]
        signature: Vec<u8>,
    }
    let (own, rogue) = (Publisher::new(1), Publisher::new(50));
    let mut envelope = Envelope::decode(rogue.sign(&example()).bytes().as_ref()).unwrap();
    envelope.root = own.root.verifying_key().to_bytes().to_vec();
    assert_eq!(SignedCatalog::open(&envelope.encode_to_vec()).unwrap_err(), CatalogError::Signature);
}

#[test]
fn a_successor_is_newer_and_keeps_products_and_codes_where_they_are() {
    let old = example();
    let newer = |from: &str, to: &str| {
        Catalog::from_toml(&edited("serial = 1", "serial = 2").replacen(from, to, 1)).unwrap().check_successor(&old)
    };
    assert_eq!(newer("threshold = 25", "threshold = 30"), Ok(()));
    assert_eq!(newer("[blocked]\nkeys = []", "[blocked]\nkeys = [\"0011223344556677\"]"), Ok(()));
    assert_eq!(example().check_successor(&old), Err(CatalogError::NotNewer { installed: 1, offered: 1 }));
    assert!(matches!(
        newer("application = \"platform\"", "application = \"suite\""),
        Err(CatalogError::ProductMoved { name, .. }) if name.as_str() == CLIENT
    ));
    assert!(matches!(
        newer(&format!("name = \"{CLIENT}\""), "name = \"workstation-3\""),
        Err(CatalogError::ProductGone { name }) if name.as_str() == CLIENT
    ));
    assert!(matches!(newer("code = 2", "code = 7"), Err(CatalogError::CodeReused { .. })));
    assert!(matches!(
        newer("name = \"server-datacenter\"\ncode = 5", "name = \"server-large\"\ncode = 5"),
        Err(CatalogError::CodeReused { .. })
    ));
}

#[test]
fn blocked_keys_and_certificates_are_carried() {
    let publisher = Publisher::new(1);
    let certificate = publisher.certify(1, &host_key(1), GROUP_B, PLATFORM_STANDARD);
    assert!(!example().blocks(&certificate));
    let by_key = example_with("keys = []", &format!("keys = [\"{}\"]", certificate.key));
    let by_id = example_with("certificates = []", &format!("certificates = [\"{}\"]", certificate.id()));
    for catalog in [by_key, by_id] {
        let opened = SignedCatalog::open(publisher.sign(&catalog).bytes()).unwrap();
        assert!(opened.catalog.blocks(&certificate));
        assert!(!opened.catalog.blocks(&publisher.certify(2, &host_key(2), GROUP_B, PLATFORM_STANDARD)));
        assert!(!opened.catalog.blocked_keys().contains(&KeyId([0; 8])));
    }
}

#[test]
fn a_trust_file_survives_writing_and_reading() {
    let publisher = Publisher::new(1);
    for catalog in [None, Some(example())] {
        let trust = publisher.trust(catalog.as_ref());
        let again = Trust::from_toml(&trust.to_toml()).unwrap();
        assert_eq!(
            (again.publisher, again.root, again.activation_keys),
            (trust.publisher, trust.root, trust.activation_keys)
        );
        assert_eq!(again.catalog.map(|opened| opened.catalog), catalog);
        assert_eq!(again.publisher, trust.fingerprint().0);
    }
}

#[test]
fn a_trust_file_with_foreign_parts_is_refused() {
    let (own, rogue) = (Publisher::new(1), Publisher::new(50));
    let text = own.trust(Some(&example())).to_toml();
    let line = |text: &str, key: &str| text.lines().find(|line| line.starts_with(key)).unwrap().to_owned();
    let swapped = |key: &str| text.replace(&line(&text, key), &line(&rogue.trust(Some(&example())).to_toml(), key));
    let refused = |text: &str| Trust::from_toml(text).unwrap_err();
    assert_eq!(refused(&swapped("root")), TrustError::Signature);
    assert_eq!(refused(&swapped("activation_keys")), TrustError::Signature);
    assert_eq!(refused(&swapped("signature")), TrustError::Signature);
    assert_eq!(refused(&swapped("catalog")), TrustError::ForeignCatalog);
    assert!(matches!(refused(&text.replace("catalog =", "catalogue =")), TrustError::Syntax(_)));
    assert_eq!(refused(&text.replace("root = \"", "root = \"0")), TrustError::Field("root"));
    assert_eq!(refused(&"#".repeat(1 << 20)), TrustError::TooLong);
}
