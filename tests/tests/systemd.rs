//! The systemd units are valid and leave little to attack, and a node reports its status to its supervisor.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Output,
};

use quorate_tests::{Cluster, Network, Plan, Quorate, TIMEOUT, eventually};
use tempfile::TempDir;
use tokio::{net::UnixDatagram, process::Command, time::timeout};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/systemd");

/// The units in a temporary folder, changed to run the binary under test.
fn units() -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let units = ["quorate.service", "quorate-client.service"].map(|name| {
        let text = fs::read_to_string(Path::new(UNITS).join(name)).unwrap();
        assert!(text.contains("ExecStart=/usr/bin/quorate "), "{name}");
        let path = folder.path().join(name);
        fs::write(&path, text.replace("/usr/bin/quorate", QUORATE)).unwrap();
        path
    });
    (folder, units.into())
}

async fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().await;
    output.unwrap_or_else(|error| panic!("{program} (Debian: systemd): {error}"))
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[tokio::test]
async fn systemd_takes_the_units_without_a_word() {
    let (_folder, units) = units();
    for unit in units {
        let name = unit.file_name().unwrap().to_str().unwrap();
        let verified = run("systemd-analyze", &["verify", "--man=no", unit.to_str().unwrap()]).await;
        // systemd-analyze may report problems of this machine's own units.
        let said = said(&verified);
        let ours: Vec<_> = said.lines().filter(|line| line.contains(name)).collect();
        assert_eq!(ours, Vec::<&str>::new());
    }
}

#[tokio::test]
async fn the_units_leave_little_to_attack() {
    let (_folder, units) = units();
    for (unit, most) in units.iter().zip(["25", "40"]) {
        let unit = unit.to_str().unwrap();
        let security = ["security", "--offline=true", "--no-pager", "--threshold", most, unit];
        let judged = run("systemd-analyze", &security).await;
        assert!(judged.status.success(), "more than {most} of 100:\n{}", said(&judged));
    }
}

#[tokio::test]
async fn the_account_and_the_folder_are_made() {
    let root = tempfile::tempdir().unwrap();
    let at = format!("--root={}", root.path().display());
    fs::create_dir(root.path().join("etc")).unwrap();
    let conf = |name: &str| format!("{UNITS}/{name}");
    let users = run("systemd-sysusers", &[&at, &conf("sysusers.conf")]).await;
    assert!(users.status.success(), "{}", said(&users));
    let accounts = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(accounts.lines().any(|line| line.starts_with("quorate:")), "{accounts}");
    let made = run("systemd-tmpfiles", &[&at, "--create", &conf("tmpfiles.conf")]).await;
    assert!(made.status.success(), "{}", said(&made));
    assert!(root.path().join("etc/quorate").is_dir());
}

#[tokio::test]
async fn a_node_tells_its_supervisor_that_it_runs_and_that_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut buffer = [0; 1024];
        let told = timeout(TIMEOUT, supervisor.recv(&mut buffer)).await.expect("the node tells something").unwrap();
        String::from_utf8_lossy(&buffer[..told]).into_owned()
    };
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.set_variable(1, "NOTIFY_SOCKET", path);
    cluster.form().await;
    let ready = told().await;
    let clients = cluster.node(1).clients.to_string();
    assert!(ready.contains("READY=1") && ready.contains(&clients), "{ready}");
    cluster.process(1).terminate();
    let stopping = told().await;
    assert!(stopping.contains("STOPPING=1"), "{stopping}");
    assert_eq!(cluster.ended(1).await, Some(0));
}

#[tokio::test]
async fn a_node_that_opens_its_store_asks_for_time_says_how_far_it_is_and_hears_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.form().await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let (path, hangs) = (folder.path().join("notify"), folder.path().join("hangs"));
    let supervisor = UnixDatagram::bind(&path).unwrap();
    fs::write(&hangs, "").unwrap();
    cluster.set_variable(1, "NOTIFY_SOCKET", path);
    cluster.set_variable(1, "QUORATE_TEST_HANG_OPENING", &hangs);
    let seen = cluster.said(1).len();
    cluster.start(1);
    // The node asks for more time repeatedly, as long as it makes progress.
    for _ in 0..2 {
        let mut buffer = [0; 1024];
        let told = timeout(TIMEOUT, supervisor.recv(&mut buffer)).await.expect("the node tells something").unwrap();
        let told = String::from_utf8_lossy(&buffer[..told]);
        assert!(told.contains("EXTEND_TIMEOUT_USEC=60000000") && told.contains("copied "), "{told}");
    }
    eventually("the log says how far it is", async || {
        cluster.said(1)[seen..].lines().any(|line| line.contains("copied ")).then_some(())
    })
    .await;
    cluster.process(1).terminate();
    assert_eq!(cluster.ended(1).await, Some(0), "{}", cluster.said(1));
    assert!(!cluster.said(1)[seen..].contains("the node runs"));

    fs::remove_file(&hangs).unwrap();
    cluster.start(1);
    cluster.led(1).await;
}

#[tokio::test]
async fn a_node_feeds_its_watchdog() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let supervisor = UnixDatagram::bind(&path).unwrap();
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    cluster.set_variable(1, "NOTIFY_SOCKET", path);
    cluster.set_variable(1, "WATCHDOG_USEC", "400000");
    cluster.form().await;
    let mut fed = 0;
    while fed < 3 {
        let mut buffer = [0; 1024];
        let told = timeout(TIMEOUT, supervisor.recv(&mut buffer)).await.expect("the node goes on telling").unwrap();
        fed += usize::from(buffer[..told].starts_with(b"WATCHDOG=1"));
    }
}

#[tokio::test]
async fn under_systemd_events_are_entries_of_the_journal_with_their_fields() {
    let test = "under_systemd_events_are_entries_of_the_journal_with_their_fields";
    // The journal's socket has the same path on every machine; in this namespace it belongs to the test.
    let Some(_network) = Network::of(test).await else { return };
    fs::create_dir_all("/run/systemd/journal").unwrap();
    let journal = UnixDatagram::bind("/run/systemd/journal/socket").unwrap();
    // Reads all the time, because writers wait for a journal that does not read.
    let entry = tokio::spawn(async move {
        let mut entry = Vec::new();
        while !has(&entry, &field("F_EVENT", "12290")) {
            entry.resize(8192, 0);
            let told = journal.recv(&mut entry).await.unwrap();
            entry.truncate(told);
        }
        entry
    });
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    assert_eq!(cluster.stop(1).await, Some(0));
    let before = cluster.said(1);
    let log = fs::metadata(&cluster.node(1).log).unwrap();
    cluster.set_variable(1, "JOURNAL_STREAM", format!("{}:{}", log.dev(), log.ino()));
    cluster.start(1);
    cluster.settled(1).await;
    cluster.product("server-standard-2").count(cluster.node(1).clients, 1).await;
    let entry = timeout(TIMEOUT, entry).await.expect("the node tells the journal").unwrap();
    for (name, value) in [("F_STATUS", "0x00000000"), ("F_REQUIRED_COUNT", "5"), ("MESSAGE", "a request was processed")]
    {
        assert!(has(&entry, &field(name, value)), "{name}: {}", String::from_utf8_lossy(&entry));
    }
    assert_eq!(cluster.said(1), before, "and nothing twice");
}

/// A field in the journal's protocol, with any bytes as value: name, length in eight bytes, value.
fn field(name: &str, value: &str) -> Vec<u8> {
    [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value.as_bytes(), b"\n"].concat()
}

fn has(entry: &[u8], field: &[u8]) -> bool {
    entry.windows(field.len()).any(|part| part == field)
}
