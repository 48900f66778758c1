//! Which catalogs are signed, and where the signed one is kept.

use std::fs;

use activation::catalog::{CatalogError, SignedCatalog};
use activation::trust::Trust;
use publisher::{IssueError, KeyLimits, Publisher, SignError};

use crate::world::{EXAMPLE, World, example_with, run};

fn embedded(world: &World) -> Option<bytes::Bytes> {
    let text = fs::read_to_string(world.folder.join(Publisher::TRUST_FILE)).unwrap();
    Trust::from_toml(&text).unwrap().catalog.map(|catalog| catalog.bytes)
}

#[test]
fn a_signed_catalog_is_the_publishers_and_stands_in_the_trust_file() {
    let world = World::new();
    assert_eq!(embedded(&world), None);
    let signed = world.publisher.sign_catalog(EXAMPLE, None).unwrap();
    let opened = SignedCatalog::open(signed.bytes()).unwrap();
    assert_eq!(opened.publisher, world.publisher.trust().publisher);
    assert_eq!(opened.activation_keys, world.publisher.trust().activation_keys);
    assert_eq!(embedded(&world).as_ref(), Some(signed.bytes()));
    assert_eq!(world.reopened().publisher.trust().catalog.as_ref().unwrap().bytes, *signed.bytes());
}

#[test]
fn the_catalog_signed_last_is_replaced_by_its_successor_and_by_nothing_else() {
    let newer = example_with("serial = 1", "serial = 2");
    let moved = newer.replacen("application = \"platform\"", "application = \"suite\"", 1);
    let world = World::with_catalog().reopened();
    let first = embedded(&world);

    let again = world.publisher.sign_catalog(EXAMPLE, None).unwrap();
    assert_eq!(Some(again.bytes()), first.as_ref(), "the same catalog gives the same bytes");
    let changed = example_with("Northlight Workstation 2 Professional", "Another title");
    let same_serial = world.publisher.sign_catalog(&changed, None);
    assert!(matches!(same_serial, Err(SignError::Catalog(CatalogError::NotNewer { installed: 1, offered: 1 }))));
    let product_moved = world.publisher.sign_catalog(&moved, None);
    assert!(matches!(product_moved, Err(SignError::Catalog(CatalogError::ProductMoved { .. }))));
    assert_eq!(embedded(&world), first, "what is refused changes nothing");

    let second = world.publisher.sign_catalog(&newer, None).unwrap();
    assert_eq!(embedded(&world).as_ref(), Some(second.bytes()));
    let older = world.publisher.sign_catalog(EXAMPLE, None);
    assert!(matches!(older, Err(SignError::Catalog(CatalogError::NotNewer { installed: 2, offered: 1 }))));
}

#[test]
fn keys_that_are_blocked_on_record_are_blocked_by_the_next_catalog() {
    let world = World::with_catalog();
    let blocked = world.key(KeyLimits::default()).key_id();
    let direct = run(world.publisher.issue_direct_key("suite-standard-1", 5)).unwrap().key.key_id();
    world.key(KeyLimits::default());
    run(world.publisher.block(blocked)).unwrap();
    run(world.publisher.block_direct(direct)).unwrap();
    let unchanged = world.publisher.sign_catalog(EXAMPLE, None);
    let newer_needed = matches!(unchanged, Err(SignError::Catalog(CatalogError::NotNewer { .. })));
    assert!(newer_needed, "another content under the same serial would not be installed anywhere");
    let signed = world.publisher.sign_catalog(&example_with("serial = 1", "serial = 2"), None).unwrap();
    let opened = SignedCatalog::open(signed.bytes()).unwrap();
    assert_eq!(opened.catalog.blocked_keys(), &[blocked, direct].into());
}

#[test]
fn a_publisher_with_a_name_signs_catalogs_of_that_name_only() {
    for (name, signs) in [("Northlight Software", true), ("Somebody \"Else\"", false)] {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("publisher");
        drop(Publisher::init(&folder, Some(name), None).unwrap());
        let publisher = crate::world::open_when_closed(&folder);
        match publisher.sign_catalog(EXAMPLE, None) {
            Ok(_) => assert!(signs, "{name}"),
            Err(SignError::OtherPublisher { expected, found }) => {
                assert!(!signs, "{name}");
                assert_eq!((expected.as_str(), found.as_str()), (name, "Northlight Software"));
            }
            Err(other) => panic!("{name}: {other}"),
        }
    }
}

#[test]
fn keys_are_issued_for_groups_of_the_catalog_within_bounds() {
    let world = World::new();
    let issue = |world: &World, group: &str, hosts, reactivations| {
        run(world.publisher.issue_key(group, KeyLimits { hosts, reactivations }))
    };
    assert!(matches!(issue(&world, "server-b", 6, 9), Err(IssueError::NoCatalog)));

    let world = World::with_catalog();
    let unknown = issue(&world, "server-d", 6, 9).unwrap_err().to_string();
    assert_eq!(unknown, "the catalog has no group \"server-d\"; it has client, server-a, server-b, server-c, suite");
    for (hosts, reactivations) in [(0, 9), (501, 9), (6, 1001)] {
        assert!(matches!(issue(&world, "server-b", hosts, reactivations), Err(IssueError::Limits)));
    }
    assert_eq!(world.publisher.keys().unwrap(), []);
    let issued = issue(&world, "server-b", 500, 0).unwrap();
    assert_eq!(issued.key.group_hint(), 3);
    assert_eq!(world.reopened().publisher.keys().unwrap(), [issued]);
}
