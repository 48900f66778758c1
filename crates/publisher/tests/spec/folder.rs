//! The files of the folder, their permissions, and the folders that are refused.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use activation::trust::Trust;
use data_encoding::HEXLOWER;
use publisher::{
    CredentialError, InitError, KeyLimits, OpenError, Passphrase, Publisher, RecordsError, SignError, Signing,
};

use crate::world::{EXAMPLE, World, request, run};

#[test]
fn private_keys_and_the_folder_are_for_their_owner_alone() {
    let world = World::new();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let files = fs::read_dir(&world.folder).unwrap().map(|entry| entry.unwrap().path());
    let keys: BTreeMap<_, _> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "key"))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), mode(&path)))
        .collect();
    let expected = ["activation-1.key", "activation-2.key", "root.key"].map(|name| (name.to_owned(), 0o600));
    assert_eq!(keys, BTreeMap::from(expected));
    assert_eq!(mode(&world.folder), 0o700);
}

#[test]
fn an_empty_folder_that_others_could_enter_is_closed_to_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    Publisher::init(folder.path(), None, None).unwrap();
    assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_publisher_is_made_once() {
    let world = World::new();
    let before = fs::read(world.folder.join("root.key")).unwrap();
    assert!(matches!(Publisher::init(&world.folder, None, None), Err(InitError::NotEmpty { .. })));
    assert_eq!(fs::read(world.folder.join("root.key")).unwrap(), before);
}

#[test]
fn every_publisher_has_keys_of_its_own() {
    let (one, two) = (World::new(), World::new());
    let keys = |world: &World| {
        let trust = world.publisher.trust();
        [trust.root, trust.activation_keys[0], trust.activation_keys[1]].map(|key| key.to_bytes())
    };
    let mut all: Vec<_> = keys(&one).into_iter().chain(keys(&two)).collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6);
}

#[test]
fn the_trust_file_is_what_the_publisher_says_and_stays_so_when_it_is_reopened() {
    let world = World::with_catalog();
    let read = |world: &World| {
        Trust::from_toml(&fs::read_to_string(world.folder.join(Publisher::TRUST_FILE)).unwrap()).unwrap()
    };
    let fingerprint = world.publisher.trust().fingerprint();
    assert_eq!(read(&world).fingerprint(), fingerprint);
    let world = world.reopened();
    assert_eq!(world.publisher.trust().fingerprint(), fingerprint);
    assert_eq!(world.publisher.trust().to_toml(), read(&world).to_toml());
}

#[test]
fn a_folder_is_open_once_at_a_time() {
    let world = World::new();
    let second = Publisher::open(&world.folder);
    assert!(matches!(second, Err(OpenError::Records(RecordsError::Open(storage::OpenError::InUse { .. })))));
}

#[test]
fn a_folder_without_a_publisher_or_without_its_records_is_refused_and_left_alone() {
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(Publisher::open(empty.path()), Err(OpenError::NoPublisher { .. })));
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);

    let World { _temporary, folder, publisher } = World::new();
    drop(publisher);
    drop(crate::world::open_when_closed(&folder));
    fs::rename(folder.join("records"), folder.join("elsewhere")).unwrap();
    assert!(matches!(Publisher::open(&folder), Err(OpenError::NoRecords { .. })));
    assert!(!folder.join("records").exists(), "new records would grant every activation slot again");
}

#[test]
fn a_name_is_one_line_of_text() {
    for name in ["", "two\nlines", "bell\u{7}", &"x".repeat(97)] {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("publisher");
        assert!(matches!(Publisher::init(&folder, Some(name), None), Err(InitError::Name)), "{name:?}");
        assert!(!folder.exists());
    }
}

#[test]
fn without_the_root_key_hosts_are_activated_and_no_catalog_is_signed() {
    let mut world = World::with_catalog();
    fs::remove_file(world.folder.join("root.key")).unwrap();
    world = world.reopened();
    let key = world.key(KeyLimits::default());
    world.activate([request(&key, 1, 1)]).unwrap();
    let signed = world.publisher.sign_catalog(EXAMPLE, None);
    assert!(matches!(signed, Err(SignError::Credential(CredentialError::Missing { .. }))));
}

#[test]
fn either_activation_key_is_enough_and_one_is_needed() {
    let mut world = World::with_catalog();
    let key = world.key(KeyLimits::default());
    let keys = world.publisher.trust().activation_keys;
    for (name, host) in [("activation-1.key", 1), ("activation-2.key", 2)] {
        let hidden = world.folder.join("hidden");
        fs::rename(world.folder.join(name), &hidden).unwrap();
        world = world.reopened();
        let answers = world.activate([request(&key, host, 1)]).unwrap();
        answers.answers[0].certificate.verify(&keys).unwrap();
        fs::rename(&hidden, world.folder.join(name)).unwrap();
    }
    fs::remove_file(world.folder.join("activation-1.key")).unwrap();
    fs::remove_file(world.folder.join("activation-2.key")).unwrap();
    world = world.reopened();
    let refused = world.activate([request(&key, 3, 1)]);
    assert!(matches!(refused, Err(publisher::ActivateError::Credential(CredentialError::Missing { .. }))));
    assert_eq!(world.hosts(&key).len(), 2);
}

/// The standard error of `openssl` when it refused a key.
#[derive(Debug)]
#[expect(dead_code, reason = "shown where a test fails")]
struct OpensslRefused(String);

/// The public key that `openssl pkey` prints for a private key, in hexadecimal; `None` where `openssl` is not
/// installed.
fn read_by_openssl(key: &Path, passphrase: Option<&str>) -> Option<Result<String, OpensslRefused>> {
    let mut command = Command::new("openssl");
    command.args(["pkey", "-noout", "-text_pub", "-in"]).arg(key).stdin(Stdio::null());
    if let Some(passphrase) = passphrase {
        command.args(["-passin", &format!("pass:{passphrase}")]);
    }
    let output = command.output().ok()?;
    let said = String::from_utf8(output.stdout).unwrap();
    let hex = said.chars().skip_while(|c| *c != '\n').skip_while(|c| *c != ' ').filter(char::is_ascii_hexdigit);
    let refused = || OpensslRefused(String::from_utf8_lossy(&output.stderr).into_owned());
    Some(if output.status.success() { Ok(hex.collect()) } else { Err(refused()) })
}

#[test]
fn private_keys_are_pem_that_openssl_reads_too() {
    let world = World::new();
    let path = world.folder.join("root.key");
    assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
    if let Some(read) = read_by_openssl(&path, None) {
        assert_eq!(read.unwrap(), HEXLOWER.encode(world.publisher.trust().root.as_bytes()));
    }
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned()).unwrap()
}

#[test]
fn with_a_passphrase_every_private_key_is_encrypted_and_nothing_is_signed_without_it() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("publisher");
    let made = Publisher::init(&folder, None, Some(passphrase("correct horse"))).unwrap();
    let trust = made.trust();
    made.sign_catalog(EXAMPLE, None).expect("the caller that creates a publisher has its passphrase");
    drop(made);
    for (name, public) in [
        ("root.key", trust.root),
        ("activation-1.key", trust.activation_keys[0]),
        ("activation-2.key", trust.activation_keys[1]),
    ] {
        let path = folder.join(name);
        assert!(fs::read_to_string(&path).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{name}");
        if let Some(read) = read_by_openssl(&path, Some("correct horse")) {
            assert_eq!(read.unwrap(), HEXLOWER.encode(public.as_bytes()), "{name}");
            read_by_openssl(&path, Some("another")).unwrap().expect_err("openssl opens it with any passphrase");
        }
    }
    for signing in [Signing::Catalog, Signing::Certificates] {
        assert!(Publisher::needs_passphrase(&folder, signing).unwrap());
    }
    let publisher = crate::world::open_when_closed(&folder);
    let newer = crate::world::example_with("serial = 1", "serial = 2");
    let refusal = |publisher: &Publisher| match (publisher.unlock(), publisher.sign_catalog(&newer, None)) {
        (Err(activation), Err(SignError::Credential(root))) => [activation, root].map(|error| error.to_string()),
        other => panic!("{other:?}"),
    };
    for error in refusal(&publisher) {
        assert!(error.contains("no passphrase was given"), "{error}");
    }
    publisher.set_passphrase(passphrase("correct hors"));
    for error in refusal(&publisher) {
        assert!(error.contains("wrong passphrase"), "{error}");
    }
    publisher.set_passphrase(passphrase("correct horse"));
    publisher.unlock().unwrap();
    let forgotten = publisher.sign_catalog(&newer, None);
    assert!(matches!(forgotten, Err(SignError::Credential(CredentialError::NoPassphrase { .. }))));
    publisher.sign_catalog(&newer, Some(&passphrase("correct horse"))).unwrap();
    publisher.unlock().expect("an activation key that was read stays");
}

#[test]
fn a_passphrase_is_one_line_of_text_and_is_never_shown() {
    for text in ["", "two\nlines", &"x".repeat(1025)] {
        assert!(Passphrase::new(text.to_owned()).is_err(), "{text:?}");
    }
    assert_eq!(format!("{:?}", passphrase(" secret ")), "Passphrase");
}

#[test]
fn a_private_key_that_is_not_this_publishers_or_is_damaged_signs_nothing() {
    let (world, other) = (World::new(), World::new());
    let root = world.folder.join("root.key");
    fs::copy(other.folder.join("root.key"), &root).unwrap();
    let foreign = world.publisher.sign_catalog(EXAMPLE, None);
    assert!(matches!(foreign, Err(SignError::Credential(CredentialError::Foreign { .. }))));
    for damage in ["", "secret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", &"#".repeat(10_000)]
    {
        fs::write(&root, damage).unwrap();
        let malformed = world.publisher.sign_catalog(EXAMPLE, None);
        assert!(matches!(malformed, Err(SignError::Credential(CredentialError::Malformed { .. }))), "{damage:.20}");
    }
    assert!(world.publisher.trust().catalog.is_none());
    assert!(run(world.publisher.issue_key("client", KeyLimits::default())).is_err());
}
