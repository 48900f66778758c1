//! Tests of a node's keys through activation, a changed machine, release, and a crash at every step.

use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf};

use activation::{
    SigningKey, VerifyingKey,
    catalog::{Catalog, SignedCatalog},
    certificate::NodeCertificate,
    host_activation::{ActivationAnswer, ActivationAnswers, IdentityKind, ReleaseStatement},
    id::{KeyId, NodeId, PublisherId},
    key::{KeyKind, TypedKey},
    state::{Applied, Command, State},
};
use machine::{Choice, Factor};
use tempfile::TempDir;

use super::{Credentials, Held, Unusable};
use crate::{credentials::hardware::Hardware, environment::random};

const CATALOG: &str = include_str!("../../../../deploy/catalogs/example.toml");
const NODE: u64 = 3;
const GROUP_B: u8 = 3;
const PLATFORM: u8 = 4;

/// A machine with a data folder, and the state that is applied on it.
struct World {
    folder: TempDir,
    root: SigningKey,
    activation: SigningKey,
    key: TypedKey,
    state: State,
    index: u64,
    minutes: u32,
    choice: Choice,
}

impl World {
    fn new() -> Self {
        let [root, activation] = [1, 2].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let key = TypedKey::generate(KeyKind::Host, GROUP_B, [7; 16]);
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self {
            folder,
            root,
            activation,
            key,
            state: State::new(),
            index: 0,
            minutes: 29_000_000,
            choice: Choice::Machine,
        };
        world.move_to("one disk");
        let keys = [world.activation.verifying_key(), SigningKey::from_bytes(&[3; 32]).verifying_key()];
        let signed = SignedCatalog::sign(&Catalog::from_toml(CATALOG).unwrap(), keys, &world.root);
        world.apply(Command::InstallCatalog { signed: signed.bytes().to_vec().into() });
        let publisher = world.publisher();
        world.apply(Command::InstallKey { publisher, key });
        world
    }

    fn publisher(&self) -> PublisherId {
        PublisherId::derive(&self.root.verifying_key())
    }

    fn id(&self) -> KeyId {
        self.key.key_id()
    }

    fn apply(&mut self, command: Command) {
        self.index += 1;
        let applied = self.state.apply(self.index, &command.encode());
        assert_eq!(applied, Applied::Done);
        self.state.check_invariants();
    }

    /// Moves the data folder to a machine with this disk and this machine id.
    fn move_to(&self, machine: &str) {
        let root = self.folder.path().join("machine");
        for (file, text) in [
            ("proc/self/mountinfo", "28 1 8:1 / / rw - ext4 /dev/sda1 rw"),
            ("sys/dev/block/8:1/serial", machine),
            ("etc/machine-id", machine),
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), text).unwrap();
        }
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.keys()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Starts the node with the content of the folder only.
    fn start(&self) -> Credentials {
        let hardware = Hardware::at(&self.folder.path().join("machine"), self.choice.clone());
        Credentials::load(NODE, &self.keys(), hardware, random_secret).unwrap()
    }

    fn held(&self) -> Held {
        Held::of(&self.state, NODE, self.index)
    }

    fn start_and_take_note(&self) -> Credentials {
        let credentials = self.start();
        credentials.take_note(self.held()).unwrap();
        credentials
    }

    /// The publisher answers a request that these keys signed.
    fn certify(&mut self, node_key: &SigningKey) {
        self.minutes += 1;
        let certificate = NodeCertificate::issue(
            self.publisher(),
            self.id(),
            GROUP_B,
            PLATFORM,
            self.minutes,
            &node_key.verifying_key(),
            &self.activation,
        );
        let answer = ActivationAnswer { request_id: [0; 16], node: NODE, certificate, reactivations_left: 9 };
        self.install(vec![answer], Vec::new());
    }

    fn install(&mut self, answers: Vec<ActivationAnswer>, released: Vec<(KeyId, [u8; 32])>) {
        let publisher = self.publisher();
        let answers = ActivationAnswers { publisher, answered_ms: 1, answers, released, standings: Vec::new() };
        let signed = answers.sign(&self.activation).encode().into();
        self.apply(Command::InstallActivation { signed });
    }

    fn activated() -> (Self, Credentials) {
        let mut world = Self::new();
        let credentials = world.start_and_take_note();
        let signers = credentials.signers(world.id()).unwrap();
        world.certify(&signers.key);
        credentials.take_note(world.held()).unwrap();
        (world, credentials)
    }

    fn signs(&self, credentials: &Credentials) -> bool {
        let usable = credentials.get(self.publisher(), self.id()).is_some();
        assert_eq!(usable, credentials.barred(self.publisher()).is_none() && !self.held().certificates.is_empty());
        usable
    }
}

fn random_secret(_: NodeId, _: KeyId, _: Option<&VerifyingKey>) -> io::Result<[u8; 32]> {
    random()
}

fn public(key: &SigningKey) -> [u8; 32] {
    key.verifying_key().to_bytes()
}

#[test]
fn a_key_is_made_once_with_its_machine_is_private_and_signs_once_it_has_a_certificate() {
    let mut world = World::new();
    let credentials = world.start_and_take_note();
    assert!(credentials.is_in_need(world.id()));
    let first = credentials.signers(world.id()).unwrap();
    assert!(first.previous.is_none());
    assert_eq!(public(&world.start().signers(world.id()).unwrap().key), public(&first.key), "after a restart the same");
    let file = world.keys().join(world.id().to_string());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("system-disk") && !text.contains("one disk"), "{text}");
    assert!(!world.signs(&credentials));
    world.certify(&first.key);
    credentials.take_note(world.held()).unwrap();
    assert!(world.signs(&credentials) && !credentials.is_in_need(world.id()));
}

#[test]
fn r31_a_machine_that_changed_signs_nothing_until_its_new_key_is_certified() {
    let (mut world, credentials) = World::activated();
    let before = credentials.signers(world.id()).unwrap().key;
    drop(credentials);
    world.move_to("another disk");
    let credentials = world.start_and_take_note();
    assert!(!world.signs(&credentials));
    assert_eq!(credentials.unusable().into_iter().collect::<Vec<_>>(), [(world.id(), Unusable::MachineChanged)]);
    assert!(credentials.is_in_need(world.id()));

    let signers = credentials.signers(world.id()).unwrap();
    assert_eq!(signers.previous.as_ref().map(public), Some(public(&before)), "the publisher knows the host by it");
    let again = world.start_and_take_note().signers(world.id()).unwrap();
    assert_eq!(public(&again.key), public(&signers.key), "a retry before the answer, after a restart, is the same");
    assert_eq!(world.files(), [world.id().to_string(), format!("{}.next", world.id())]);
    assert!(!world.signs(&credentials), "not before the answer");

    world.certify(&signers.key);
    credentials.take_note(world.held()).unwrap();
    assert!(world.signs(&credentials) && !credentials.is_in_need(world.id()));
    assert_eq!(world.files(), [world.id().to_string()], "the old key is destroyed");
    assert!(world.signs(&world.start_and_take_note()), "after a restart, too");
}

#[test]
fn r31_a_crash_around_the_certificate_of_the_new_key_loses_neither_the_old_nor_the_new_one() {
    let (mut world, _) = World::activated();
    world.move_to("another disk");
    let signers = world.start_and_take_note().signers(world.id()).unwrap();
    let before = world.held();
    world.certify(&signers.key);
    // The node was down when the answer was installed, and starts with an older state.
    let credentials = world.start();
    credentials.take_note(before).unwrap();
    assert_eq!(world.files().len(), 2, "both exist until the state determines which one is valid");
    credentials.take_note(world.held()).unwrap();
    assert!(world.signs(&credentials));
    assert_eq!(world.files(), [world.id().to_string()]);
}

#[test]
fn a_machine_that_changes_back_signs_with_its_old_key_and_one_that_changes_again_makes_another_new_key() {
    let (world, _) = World::activated();
    world.move_to("another disk");
    let next = world.start_and_take_note().signers(world.id()).unwrap().key;
    world.move_to("one disk");
    assert!(world.signs(&world.start_and_take_note()));
    world.move_to("a third disk");
    let credentials = world.start_and_take_note();
    assert!(!world.signs(&credentials));
    assert_ne!(public(&credentials.signers(world.id()).unwrap().key), public(&next));
}

#[test]
fn r31_a_change_while_the_node_runs_is_detected_by_the_check_for_activation() {
    let (world, credentials) = World::activated();
    world.move_to("another disk");
    assert!(
        world.signs(&credentials),
        "a disk does not change in a running system; it is not checked for every request"
    );
    assert!(credentials.is_in_need(world.id()));
    assert!(!world.signs(&credentials));
}

#[test]
fn a_slot_is_released_by_a_signed_statement_and_the_key_is_kept_until_the_release_is_replicated() {
    for moved in [false, true] {
        let (mut world, credentials) = World::activated();
        drop(credentials);
        if moved {
            world.move_to("another disk");
            world.start_and_take_note().signers(world.id()).unwrap();
        }
        let credentials = world.start_and_take_note();
        let statement = credentials.release(world.publisher(), world.id()).unwrap();
        statement.verify().unwrap();
        assert_eq!(
            credentials.release(world.publisher(), world.id()).unwrap(),
            statement,
            "a repeated request gets the same release"
        );
        // The caller that requested the release may have ended: nothing is released before the log records it.
        assert_eq!(world.signs(&world.start_and_take_note()), !moved);
        world.apply(Command::Release { statements: vec![statement] });
        credentials.take_note(world.held()).unwrap();
        assert!(!world.signs(&credentials));
        assert_eq!(world.files(), Vec::<String>::new());
    }
}

#[test]
fn a_node_that_was_down_while_its_release_was_confirmed_destroys_its_key_at_the_next_start() {
    let (mut world, credentials) = World::activated();
    let statement = credentials.release(world.publisher(), world.id()).unwrap();
    drop(credentials);
    let released = (statement.key, statement.node_key);
    world.apply(Command::Release { statements: vec![statement] });
    let pending = world.held();
    world.install(Vec::new(), vec![released]);
    for held in [pending, world.held()] {
        let copy = world.keys().with_extension("copy");
        fs::create_dir(&copy).unwrap();
        let name = world.id().to_string();
        fs::copy(world.keys().join(&name), copy.join(&name)).unwrap();
        let hardware = Hardware::at(&world.folder.path().join("machine"), Choice::Machine);
        Credentials::load(NODE, &copy, hardware, random_secret).unwrap().take_note(held).unwrap();
        assert_eq!(fs::read_dir(&copy).unwrap().count(), 0);
        fs::remove_dir(copy).unwrap();
    }
}

#[test]
fn an_older_state_destroys_nothing() {
    let mut world = World::new();
    let older = world.held();
    let credentials = world.start_and_take_note();
    let signers = credentials.signers(world.id()).unwrap();
    world.certify(&signers.key);
    credentials.take_note(world.held()).unwrap();
    credentials.release(world.publisher(), world.id()).unwrap();
    // A node starts with the state of its last snapshot, which may not hold a certificate yet.
    let restarted = world.start();
    restarted.take_note(older.clone()).unwrap();
    assert_eq!(world.files(), [world.id().to_string()]);
    restarted.take_note(world.held()).unwrap();
    assert!(world.signs(&restarted));
    restarted.take_note(older).unwrap();
    assert!(world.signs(&restarted), "a state older than the known one has no effect");
}

#[test]
fn a_crash_between_destroying_the_two_keys_leaves_the_rest_for_the_next_start() {
    let (mut world, credentials) = World::activated();
    drop(credentials);
    world.move_to("another disk");
    let credentials = world.start_and_take_note();
    credentials.signers(world.id()).unwrap();
    let statement = credentials.release(world.publisher(), world.id()).unwrap();
    world.apply(Command::Release { statements: vec![statement] });
    // The next key is destroyed first: simulate a crash right after that.
    fs::remove_file(world.keys().join(format!("{}.next", world.id()))).unwrap();
    world.start_and_take_note();
    assert_eq!(world.files(), Vec::<String>::new());
}

#[test]
fn after_a_release_the_node_can_be_activated_again_with_a_new_key() {
    let (mut world, credentials) = World::activated();
    let before = credentials.signers(world.id()).unwrap().key;
    let statement = credentials.release(world.publisher(), world.id()).unwrap();
    world.apply(Command::Release { statements: vec![statement] });
    credentials.take_note(world.held()).unwrap();
    let signers = credentials.signers(world.id()).unwrap();
    assert!(signers.previous.is_none());
    assert_ne!(public(&signers.key), public(&before));
    credentials.take_note(world.held()).unwrap();
    assert_eq!(world.files(), [world.id().to_string()], "the pending release is of the other key");
    world.certify(&signers.key);
    credentials.take_note(world.held()).unwrap();
    assert!(world.signs(&credentials));
}

#[test]
fn a_lost_key_is_reported_as_lost_and_cannot_release_its_slot() {
    let (mut world, credentials) = World::activated();
    drop(credentials);
    fs::remove_file(world.keys().join(world.id().to_string())).unwrap();
    let credentials = world.start_and_take_note();
    assert_eq!(credentials.barred(world.publisher()), Some(Unusable::KeyLost));
    let refused = credentials.release(world.publisher(), world.id()).unwrap_err();
    assert!(refused.to_string().contains("ask the publisher to release the activation slot"), "{refused}");
    let signers = credentials.signers(world.id()).unwrap();
    world.certify(&signers.key);
    credentials.take_note(world.held()).unwrap();
    assert!(world.signs(&credentials));
}

#[test]
fn statements_of_other_nodes_and_keys_destroy_nothing() {
    let (mut world, credentials) = World::activated();
    let other = SigningKey::from_bytes(&[9; 32]);
    world.minutes += 1;
    let certificate = NodeCertificate::issue(
        world.publisher(),
        world.id(),
        GROUP_B,
        PLATFORM,
        world.minutes,
        &other.verifying_key(),
        &world.activation,
    );
    world.install(
        vec![ActivationAnswer { request_id: [1; 16], node: 4, certificate, reactivations_left: 9 }],
        Vec::new(),
    );
    let statement = ReleaseStatement::sign(world.publisher(), world.id(), 4, &other);
    world.apply(Command::Release { statements: vec![statement] });
    credentials.take_note(world.held()).unwrap();
    assert!(world.signs(&credentials));
}

#[test]
fn a_key_file_of_the_first_form_is_read_and_is_valid_on_any_machine() {
    let mut world = World::new();
    let key = SigningKey::from_bytes(&[5; 32]);
    fs::create_dir(world.keys()).unwrap();
    let text = format!("{}\n", "05".repeat(32));
    fs::write(world.keys().join(world.id().to_string()), text).unwrap();
    world.certify(&key);
    for machine in ["one disk", "another disk"] {
        world.move_to(machine);
        assert!(world.signs(&world.start_and_take_note()), "{machine}");
    }
}

#[test]
fn an_error_names_a_damaged_key_file_and_not_its_content() {
    let world = World::new();
    fs::create_dir(world.keys()).unwrap();
    let secret = "05".repeat(32);
    for text in [
        String::new(),
        secret[1..].to_owned(),
        format!("format = 99\nprivate_key = \"{secret}\"\n[machine]\n"),
        format!("format = 1\nprivate_key = \"{secret}\"\nmore = 1\n[machine]\n"),
        format!("format = 1\nprivate_key = {secret}x\n[machine]\n"),
    ] {
        fs::write(world.keys().join(world.id().to_string()), &text).unwrap();
        let hardware = Hardware::at(world.folder.path(), Choice::Machine);
        let error = Credentials::load(NODE, &world.keys(), hardware, random_secret).unwrap_err().to_string();
        assert!(error.contains(&world.id().to_string()) && error.contains("activate again"), "{text:?}: {error}");
        assert!(!error.contains("0505"), "{text:?}: {error}");
    }
}

#[test]
fn r31_a_new_key_is_made_on_request_and_replaces_the_old_one_once_it_is_certified() {
    let (mut world, credentials) = World::activated();
    let before = credentials.signers(world.id()).unwrap().key;
    let signers = credentials.new_signers(world.id()).unwrap();
    assert!(signers.previous.is_none());
    assert_ne!(public(&signers.key), public(&before));
    assert!(world.signs(&credentials) && !credentials.is_in_need(world.id()), "the other one signs until then");
    let again = world.start_and_take_note().signers(world.id()).unwrap();
    assert_eq!(public(&again.key), public(&signers.key), "a retry, after a restart, is the same");
    world.certify(&signers.key);
    credentials.take_note(world.held()).unwrap();
    assert!(world.signs(&credentials));
    assert_eq!(world.files(), [world.id().to_string()], "the old key is destroyed");

    // On a changed machine the publisher recognises the host by its previous key.
    drop(credentials);
    world.move_to("another disk");
    let changed = world.start_and_take_note().new_signers(world.id()).unwrap();
    assert_eq!(changed.previous.as_ref().map(public), Some(public(&signers.key)));
}

#[test]
fn the_identity_that_a_key_is_bound_to_is_chosen_when_it_is_made_and_does_not_change() {
    for (choice, kind, moves) in [
        (Choice::Machine, IdentityKind::Machine, true),
        (Choice::Factors([Factor::MachineId].into()), IdentityKind::Factors, true),
        (Choice::Factors([Factor::Board].into()), IdentityKind::Factors, false),
        (Choice::File, IdentityKind::File, false),
    ] {
        let mut world = World { choice: choice.clone(), ..World::new() };
        let board = world.folder.path().join("machine/sys/class/dmi/id");
        fs::create_dir_all(&board).unwrap();
        fs::write(board.join("board_name"), "one board").unwrap();
        let credentials = world.start_and_take_note();
        let signers = credentials.signers(world.id()).unwrap();
        assert_eq!(signers.identity, kind);
        world.certify(&signers.key);
        credentials.take_note(world.held()).unwrap();
        // Another choice applies to keys made from then on only: the node does not have to be activated again.
        world.choice = if choice == Choice::File { Choice::Machine } else { Choice::File };
        world.move_to("another disk");
        let restarted = world.start_and_take_note();
        assert_eq!(world.signs(&restarted), !moves, "{choice:?}");
        assert_eq!(restarted.is_in_need(world.id()), moves, "{choice:?}");
    }
}

#[test]
fn no_key_is_made_if_none_of_the_chosen_factors_can_be_read() {
    let world = World { choice: Choice::Factors([Factor::Network].into()), ..World::new() };
    let why = world.start_and_take_note().signers(world.id()).unwrap_err().to_string();
    assert!(why.contains("`identity` in the configuration"), "{why}");
    assert!(!world.keys().exists(), "nothing is written");
}
