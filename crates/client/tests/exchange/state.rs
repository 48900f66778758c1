//! The stored state of a client machine, and how it changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use activation::SigningKey;
use activation::channel::{Channel, DirectKey};
use activation::direct::{DirectCertificate, DirectRequest};
use activation::id::{MachineDigest, ProductId, PublisherId};
use activation::key::{KeyKind, TypedKey};
use client::{FoundHost, Hosts, StateError, StateFolder};

fn key(kind: KeyKind) -> TypedKey {
    TypedKey::generate(kind, 1, [7; 16])
}

fn volume() -> Channel {
    Channel::Volume { product: "workstation-professional-2".parse().unwrap(), setup_key: key(KeyKind::Setup) }
}

fn direct(state: &StateFolder) -> Channel {
    let product = ProductId([4; 16]);
    let cmid = state.cmid();
    let request =
        DirectRequest { request_id: [1; 16], key: key(KeyKind::Direct), product, cmid, machine: MachineDigest([2; 8]) };
    let certificate =
        DirectCertificate::issue(PublisherId([3; 16]), &request, 29_000_000, &SigningKey::from_bytes(&[1; 32]));
    Channel::Direct {
        product: "server-standard-2".parse().unwrap(),
        key: DirectKey::Typed(request.key),
        certificate: Some(certificate),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_cleared_key_is_nowhere_in_the_folder_and_older_versions_are_told_to_make_way() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = StateFolder::open(folder.path()).unwrap();
    let channel = direct(&state);
    state.set_channel(channel.clone()).unwrap();
    let text = |name| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(
        text("client.toml").contains("format = 1") && text("client.toml").contains(&key(KeyKind::Direct).to_string())
    );
    let cleared = channel.clear_key().unwrap();
    state.set_channel(cleared.clone()).unwrap();
    drop(state);
    assert!(
        text("client.toml").contains("format = 2") && !text("client.toml").contains(&key(KeyKind::Direct).to_string())
    );
    assert_eq!(StateFolder::open(folder.path()).unwrap().channel(), Some(&cleared));
}

#[test]
fn a_cmid_is_made_at_first_use_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/by/the/client");
    let first = StateFolder::open(&path).unwrap().cmid();
    assert_eq!(StateFolder::open(&path).unwrap().cmid(), first);
    let other = tempfile::tempdir().unwrap();
    assert_ne!(StateFolder::open(other.path()).unwrap().cmid(), first, "no two machines share a CMID");
}

#[test]
fn what_is_kept_is_found_again_and_is_the_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut state = StateFolder::open(&path).unwrap();
    assert_eq!(state.channel(), None);
    for channel in [volume(), direct(&state), volume()] {
        state.set_channel(channel.clone()).unwrap();
        drop(state);
        state = StateFolder::open(&path).unwrap();
        assert_eq!(state.channel(), Some(&channel));
    }
    assert_eq!((mode(&path), mode(&path.join("client.toml"))), (0o700, 0o600));
}

#[test]
fn two_clients_do_not_share_a_state() {
    let folder = tempfile::tempdir().unwrap();
    let first = StateFolder::open(folder.path()).unwrap();
    assert!(matches!(StateFolder::open(folder.path()), Err(StateError::InUse { .. })));
    drop(first);
    StateFolder::open(folder.path()).unwrap();
}

#[test]
fn a_damaged_or_newer_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut state = StateFolder::open(folder.path()).unwrap();
    state.set_channel(direct(&state)).unwrap();
    drop(state);
    let path = folder.path().join("client.toml");
    let text = fs::read_to_string(&path).unwrap();
    let cases = [
        (text.replace("format = 1", "format = 3"), "has format 3"),
        (text.replace("format = 1", ""), "missing field `format`"),
        (text.replace("cmid = \"", "cmid = \"x"), "(cmid)"),
        (text.replace("product = ", "produkt = "), "unknown field"),
        (text.replace("key = \"D", "key = \"H"), "(key)"),
        (text.replace("direct_certificate = \"", "direct_certificate = \"zz"), "(direct_certificate)"),
        (text[..text.len() / 2].to_owned(), "is damaged"),
        (String::new(), "is damaged"),
    ];
    for (changed, words) in cases {
        assert_ne!(changed, text);
        fs::write(&path, &changed).unwrap();
        let error = StateFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), changed);
    }
    fs::write(&path, &text).unwrap();
    StateFolder::open(folder.path()).unwrap();
}

#[test]
fn a_state_that_cannot_be_written_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let mut state = StateFolder::open(&path).unwrap();
    state.set_channel(volume()).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let direct = direct(&state);
    assert!(matches!(state.set_channel(direct), Err(StateError::Io { .. })));
    assert_eq!(state.channel(), Some(&volume()));
}

#[test]
fn r18_hosts_are_kept_and_forgotten_as_they_were_set() {
    let folder = tempfile::tempdir().unwrap();
    let open = || StateFolder::open(folder.path()).unwrap();
    open().set_host("[2001:db8::1]:1700".parse().unwrap()).unwrap();
    assert_eq!(open().fixed_host().map(ToString::to_string).as_deref(), Some("[2001:db8::1]:1700"));
    let cached = FoundHost {
        target: "node1.example.test.".to_owned(),
        port: 1688,
        priority: 0,
        weight: 60,
        addresses: vec!["192.0.2.1".parse().unwrap()],
    };
    open().keep_hosts(&Hosts::new(None, Some(cached.clone()))).unwrap();
    assert_eq!(open().cached_host(), Some(&cached));
    open().set_channel(volume()).unwrap();
    let state = open();
    assert!(state.fixed_host().is_some() && state.cached_host().is_some(), "a key changes neither");
    drop(state);
    open().clear_host().unwrap();
    let state = open();
    assert_eq!((state.fixed_host(), state.cached_host()), (None, None));
}

#[test]
fn a_cached_host_that_nobody_could_ask_is_forgotten_and_a_fixed_one_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.toml");
    drop(StateFolder::open(folder.path()).unwrap());
    let text = fs::read_to_string(&path).unwrap();
    let host = "priority = 0\nweight = 0\n";
    for cached in [
        "target = \"node1.\"\nport = 1688\naddresses = []",
        "target = \"node1.\"\nport = 0\naddresses = [\"192.0.2.1\"]",
        "target = \"a b\"\nport = 1688\naddresses = [\"192.0.2.1\"]",
    ] {
        fs::write(&path, format!("{text}\n[cached_host]\n{host}{cached}\n")).unwrap();
        assert_eq!(StateFolder::open(folder.path()).unwrap().cached_host(), None, "{cached}");
    }
    fs::write(&path, format!("{text}\nfixed_host = \"a b\"\n")).unwrap();
    assert!(matches!(StateFolder::open(folder.path()), Err(StateError::Damaged { .. })));
}
