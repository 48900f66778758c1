//! Data folders that are moved, linked, read-only, full, or owned by another account.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    process::Command as Blocking,
};

use quorate_tests::{Cluster, Network, Plan, Quorate, copy_folder, eventually, finished, words};
use tokio::process::Command;

use crate::{PRODUCT, QUORATE};

/// The id of an unprivileged account that no user has, as for daemons.
const ACCOUNT: u32 = 64_999;

async fn stopped() -> Cluster {
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await;
    assert_eq!(cluster.product(PRODUCT).count(cluster.node(1).clients, 1).await, 1);
    assert_eq!(cluster.stop(1).await, Some(0));
    cluster
}

/// Checks that the node has its earlier count, and counts one more machine.
async fn goes_on(cluster: &mut Cluster, machine: u64) {
    cluster.start(1);
    cluster.settled(1).await;
    assert_eq!(cluster.product(PRODUCT).count(cluster.node(1).clients, machine).await, machine);
    assert_eq!(cluster.stop(1).await, Some(0));
}

#[tokio::test]
async fn a_data_folder_that_was_moved_is_found_by_a_link_or_by_its_new_name() {
    let mut cluster = stopped().await;
    let (data, moved) = (cluster.node(1).data.clone(), cluster.path("moved"));
    fs::rename(&data, &moved).unwrap();
    symlink(&moved, &data).unwrap();
    fs::set_permissions(&moved, fs::Permissions::from_mode(0o755)).unwrap();
    goes_on(&mut cluster, 2).await;
    assert_eq!(fs::metadata(&moved).unwrap().permissions().mode() & 0o777, 0o700, "behind a link, too");
    fs::remove_file(&data).unwrap();
    cluster.set_variable(1, "QUORATE_DATA", &moved);
    let config = cluster.node(1).config.clone();
    cluster.start(1);
    let socket = moved.join("admin.sock");
    eventually("the node runs where its folder is now", async || socket.exists().then_some(())).await;
    let count = words!["count", "--json", "--admin", format!("unix:{}", socket.display())];
    let counted = eventually("it answers", async || {
        let counted = cluster.run(&count).await;
        (counted.code == Some(0)).then_some(counted)
    });
    assert!(counted.await.stdout.contains("\"count\":2"));
    assert_eq!(cluster.stop(1).await, Some(0));
    assert!(config.exists());
}

#[tokio::test]
async fn host_init_writes_where_things_are_whatever_folder_it_runs_in() {
    let folder = tempfile::tempdir().unwrap();
    let init = words![
        "host",
        "init",
        "--config",
        "node.toml",
        "--node",
        "1",
        "--data",
        "data",
        "--audit-file",
        "audit.json",
        "--peers-listen",
        "127.0.0.1:1689",
        "--peers-members",
        "1=127.0.0.1:1689"
    ];
    let made = finished(Quorate::at(QUORATE).command(init).current_dir(folder.path())).await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let text = fs::read_to_string(folder.path().join("node.toml")).unwrap();
    for (key, name) in [("data", "data"), ("file", "audit.json")] {
        let line = format!("\n{key} = \"{}\"\n", folder.path().join(name).display());
        assert!(text.contains(&line), "{line} is not in {text}");
    }
    assert!(folder.path().join("data/tls").is_dir());
}

#[tokio::test]
async fn a_disk_that_was_full_starts_again_once_it_has_room() {
    let test = "folders::a_disk_that_was_full_starts_again_once_it_has_room";
    let Some(network) = Network::of(test).await else { return };
    let mut cluster = stopped().await;
    let data = cluster.node(1).data.clone();
    network.small_disk(&data, 24).await;
    let filler = data.join("filler");
    let filled = Blocking::new("dd").args(["if=/dev/zero", "bs=4096"]).arg(format!("of={}", filler.display())).output();
    assert!(!filled.unwrap().status.success(), "the disk is full");
    let refused = cluster.run_host(&cluster.node(1).config, &[]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.to_lowercase().contains("free space") || refused.stderr.contains("No space"),
        "{}",
        refused.stderr
    );
    fs::remove_file(&filler).unwrap();
    goes_on(&mut cluster, 2).await;
}

#[tokio::test]
async fn a_read_only_folder_is_named_and_nothing_is_lost() {
    let test = "folders::a_read_only_folder_is_named_and_nothing_is_lost";
    let Some(_network) = Network::of(test).await else { return };
    let mut cluster = stopped().await;
    let data = cluster.node(1).data.display().to_string();
    let mount = async |words: &[&str]| {
        let mounted = Command::new("mount").args(words).output().await.unwrap();
        assert!(mounted.status.success(), "{mounted:?}");
    };
    mount(&["--bind", &data, &data]).await;
    mount(&["-o", "remount,bind,ro", &data]).await;
    let refused = cluster.run_host(&cluster.node(1).config, &[]).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("ead-only") && refused.stderr.contains(&data), "{}", refused.stderr);
    mount(&["-o", "remount,bind,rw", &data]).await;
    goes_on(&mut cluster, 2).await;
}

#[tokio::test]
async fn what_a_run_as_root_left_behind_is_named_with_what_mends_it() {
    assert!(rustix::process::geteuid().is_root(), "the tests give files to other accounts: run them as root");
    let cluster = stopped().await;
    // A folder that another account can reach.
    let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    let data = folder.path().join("data");
    copy_folder(&cluster.node(1).data, &data).unwrap();
    let give = |path: &std::path::Path, account| chown(path, Some(account), Some(account)).unwrap();
    let given = Blocking::new("chown").args(["-R", &format!("{ACCOUNT}:{ACCOUNT}")]).arg(&data).status().unwrap();
    assert!(given.success());
    let config = folder.path().join("node.toml");
    fs::copy(&cluster.node(1).config, &config).unwrap();
    give(&config, ACCOUNT);
    let program = folder.path().join("quorate");
    fs::copy(QUORATE, &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let keys = data.join("keys");
    give(&keys, 0);
    let account = ACCOUNT.to_string();
    let mut run = Command::new("setpriv");
    run.args(["--reuid", &account, "--regid", &account, "--clear-groups"]).arg(&program);
    run.args(["host", "run", "--config"]).arg(&config).arg("--data").arg(&data).kill_on_drop(true);
    let refused = finished(&mut run).await;
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    for words in [keys.display().to_string(), "uid 0".into(), format!("chown -R {ACCOUNT} {}", data.display())] {
        assert!(refused.stderr.contains(&words), "`{words}` is not in {}", refused.stderr);
    }
}
