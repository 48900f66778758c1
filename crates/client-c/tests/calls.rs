//! Mistakes that a program can make, and the errors that it receives.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "functions for C are called as C does")]

use std::ffi::{CStr, CString, c_char};
use std::fs;
use std::mem::MaybeUninit;
use std::path::Path;
use std::ptr::null;

use activation::SigningKey;
use activation::catalog::{Catalog, SignedCatalog};
use activation::trust::Trust;
use quorate_client::{
    QuorateClient, QuorateError, QuorateFoundBy, QuorateResult, QuorateState, QuorateStatus, quorate_client_activate,
    quorate_client_free, quorate_client_install_key, quorate_client_open, quorate_client_set_host,
    quorate_client_status,
};

const CATALOG: &str = include_str!("../../../deploy/catalogs/example.toml");
/// The setup key of server-standard-2 in that catalog.
const SETUP_KEY: &CStr = c"P257E-J9HE2-3ADQ7-CQCZK-Y8M5G";
/// A text that is not UTF-8.
const NO_TEXT: &CStr = c"\xFF";

fn trust() -> CString {
    let [root, first, second] = [1, 2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]));
    let keys = [first.verifying_key(), second.verifying_key()];
    let catalog = SignedCatalog::sign(&Catalog::from_toml(CATALOG).unwrap(), keys, &root);
    CString::new(Trust::issue(&root, keys, Some(&catalog)).unwrap().to_toml()).unwrap()
}

fn pointer(text: Option<&CStr>) -> *const c_char {
    text.map_or(null(), CStr::as_ptr)
}

fn words(text: &[c_char]) -> String {
    let bytes: Vec<_> = text.iter().map(|byte| byte.to_ne_bytes()[0]).collect();
    CStr::from_bytes_until_nul(&bytes).unwrap().to_str().unwrap().to_owned()
}

/// Makes a call and returns its result and its error; every call writes one.
fn told<T>(call: impl FnOnce(Option<&mut MaybeUninit<QuorateError>>) -> T) -> (T, QuorateError) {
    let mut error = MaybeUninit::uninit();
    let given = call(Some(&mut error));
    // SAFETY: every call writes the error that it was given.
    (given, unsafe { error.assume_init() })
}

fn open(folder: Option<&CStr>, trust: Option<&CStr>) -> (Option<Box<QuorateClient>>, QuorateError) {
    // SAFETY: NULL, or a text.
    told(|error| unsafe { quorate_client_open(pointer(folder), pointer(trust), error) })
}

fn install(client: &QuorateClient, key: Option<&CStr>, product: Option<&CStr>) -> (QuorateResult, QuorateError) {
    // SAFETY: NULL, or a text.
    told(|error| unsafe { quorate_client_install_key(Some(client), pointer(key), pointer(product), error) })
}

fn set_host(client: &QuorateClient, host: Option<&CStr>) -> (QuorateResult, QuorateError) {
    // SAFETY: NULL, or a text.
    told(|error| unsafe { quorate_client_set_host(Some(client), pointer(host), error) })
}

fn status(client: &QuorateClient) -> QuorateStatus {
    let mut status = MaybeUninit::uninit();
    let (result, error) = told(|error| quorate_client_status(Some(client), Some(&mut status), error));
    assert_eq!(result, QuorateResult::Done, "{}", words(&error.message));
    // SAFETY: a call that succeeds writes it.
    unsafe { status.assume_init() }
}

fn name(folder: &Path) -> CString {
    CString::new(folder.to_str().unwrap()).unwrap()
}

#[test]
fn nothing_is_opened_with_less_than_a_folder_and_a_trust_file() {
    let folder = tempfile::tempdir().unwrap();
    let (at, trust) = (name(&folder.path().join("machine")), trust());
    for (folder, trust, said) in [
        (None, Some(trust.as_c_str()), "`folder` is NULL"),
        (Some(at.as_c_str()), None, "`trust` is NULL"),
        (Some(&at), Some(NO_TEXT), "`trust` is not UTF-8"),
        (Some(&at), Some(c"publisher/trust.toml"), "`trust`: the trust file is not as"),
    ] {
        let (client, error) = open(folder, trust);
        assert!(client.is_none());
        assert_eq!((error.result, error.status), (QuorateResult::Argument, 0));
        assert!(words(&error.message).contains(said), "{}", words(&error.message));
    }
    assert!(!folder.path().join("machine").exists(), "nothing was made");
}

#[test]
fn calls_without_what_they_need_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let (client, error) = open(Some(&name(folder.path())), Some(&trust()));
    assert_eq!((error.result, words(&error.message).as_str()), (QuorateResult::Done, ""));
    let client = client.unwrap();
    for ((result, error), said) in [
        (told(|error| quorate_client_activate(None, error)), "`client` is NULL"),
        (told(|error| quorate_client_status(Some(&client), None, error)), "`status` is NULL"),
        (install(&client, None, None), "`key` is NULL"),
        (install(&client, Some(NO_TEXT), None), "`key` is not UTF-8"),
        (install(&client, Some(SETUP_KEY), Some(NO_TEXT)), "`product` is not UTF-8"),
        (install(&client, Some(SETUP_KEY), Some(c"No Name")), "`product`: "),
        (set_host(&client, Some(NO_TEXT)), "`host` is not UTF-8"),
        (set_host(&client, Some(c"a host")), "`host`: "),
    ] {
        assert_eq!((result, error.result), (QuorateResult::Argument, QuorateResult::Argument), "{said}");
        assert!(words(&error.message).contains(said), "{}", words(&error.message));
    }
    // The `error` argument may be NULL.
    assert_eq!(quorate_client_activate(None, None), QuorateResult::Argument);
    quorate_client_free(None);
}

#[test]
fn a_key_that_is_mistyped_or_unknown_is_refused_and_the_right_one_shows_in_the_status() {
    let folder = tempfile::tempdir().unwrap();
    let client = open(Some(&name(folder.path())), Some(&trust())).0.unwrap();
    let fresh = status(&client);
    assert_eq!((fresh.state, fresh.found_by), (QuorateState::Unlicensed, QuorateFoundBy::Srv));
    assert_eq!((fresh.minutes_left, fresh.seconds_to_next_attempt, fresh.last_status), (-1, -1, -1));
    let (result, error) = told(|error| quorate_client_activate(Some(&client), error));
    assert_eq!(result, QuorateResult::NotActivated, "there is nothing to ask for");
    assert!(words(&error.message).contains("no setup key"), "{}", words(&error.message));

    for key in [c"P257E-J9HE2-3ADQ7-CQCZK-Y8M5H", c"", c"H2222-22222-22222-22222-22222"] {
        let (result, error) = install(&client, Some(key), None);
        assert_eq!((result, error.status), (QuorateResult::KeyRefused, 0xC004_F050), "{key:?}");
        assert!(!words(&error.message).is_empty() && !words(&error.advice).is_empty());
    }
    assert_eq!(install(&client, Some(SETUP_KEY), None).0, QuorateResult::Done);
    assert_eq!(set_host(&client, Some(c"127.0.0.1:1")).0, QuorateResult::Done);
    let set_up = status(&client);
    assert_eq!((set_up.state, set_up.found_by), (QuorateState::OutOfBoxGrace, QuorateFoundBy::Fixed));
    assert_eq!((words(&set_up.product).as_str(), words(&set_up.host).as_str()), ("server-standard-2", "127.0.0.1:1"));
    assert_eq!((set_up.rearms_left, set_up.last_status), (3, -1));
    assert!(set_up.minutes_left > 0 && set_up.seconds_to_next_attempt >= 0);
    assert_eq!(words(&set_up.cmid), words(&fresh.cmid));

    let (result, error) = told(|error| quorate_client_activate(Some(&client), error));
    assert_eq!((result, error.status), (QuorateResult::NotActivated, 0xC004_F074), "no process listens there");
    assert!(words(&error.message).contains("127.0.0.1:1"), "{}", words(&error.message));
    let asked = status(&client);
    assert_eq!((asked.last_status, asked.state), (0xC004_F074, QuorateState::OutOfBoxGrace));
    assert!(!words(&asked.last_words).is_empty());

    assert_eq!(set_host(&client, None).0, QuorateResult::Done);
    let by_dns = status(&client);
    assert_eq!((words(&by_dns.host).as_str(), by_dns.found_by), ("", QuorateFoundBy::Srv));
    quorate_client_free(Some(client));
}

#[test]
fn a_folder_in_use_is_distinguished_from_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let (at, trust) = (name(folder.path()), trust());
    let client = open(Some(&at), Some(&trust)).0.unwrap();
    // A folder that is opened twice is shared.
    let second = open(Some(&at), Some(&trust)).0.unwrap();
    assert_eq!(words(&status(&second).cmid), words(&status(&client).cmid));

    let lock = fs::File::open(folder.path().join("lock")).unwrap();
    lock.lock().unwrap();
    let (result, error) = install(&client, Some(SETUP_KEY), None);
    assert_eq!((result, error.result), (QuorateResult::Busy, QuorateResult::Busy));
    drop(lock);
    assert_eq!(install(&client, Some(SETUP_KEY), None).0, QuorateResult::Done);

    let file = folder.path().join("client.toml");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, "format = 1\n").unwrap();
    let (result, error) = install(&client, Some(SETUP_KEY), None);
    assert_eq!(result, QuorateResult::Folder);
    assert!(words(&error.message).contains("client.toml"), "{}", words(&error.message));
    assert_eq!(open(Some(&at), Some(&trust)).1.result, QuorateResult::Folder);
    fs::write(&file, whole).unwrap();
    assert_eq!(words(&status(&second).product), "server-standard-2", "the handle is as good as before");
}
