//! The Debian package, built and installed in a copy of this machine's file system, which is removed afterwards.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

/// Runs as root, with the package beside it, in a file system that may be changed. Each line must succeed.
const INSTALLED: &str = r#"
dpkg --install /quorate.deb
quorate --version
test "$(stat -c %U:%G:%a /etc/quorate)" = root:quorate:770
test "$(stat -c %U:%G:%a /var/lib/quorate)" = quorate:quorate:700
dpkg --verify quorate
as_quorate="setpriv --reuid quorate --regid quorate --init-groups"
$as_quorate quorate host init --config /etc/quorate/node.toml --node 1 --data /var/lib/quorate \
    --peers-listen 127.0.0.1:1689 --peers-members 1=127.0.0.1:1689
run=$(sed -n 's/^ExecStart=//p' /usr/lib/systemd/system/quorate.service)
$as_quorate $run --bootstrap & node=$!
quorate cluster status --wait 60 --json | grep '"leader":1'
kill $node
wait $node

dpkg --remove quorate
test ! -e /usr/bin/quorate
test -e /etc/quorate/node.toml
dpkg --purge quorate
test ! -e /etc/quorate
test -d /var/lib/quorate/store
echo every line succeeded
"#;

/// Makes the copy: all files of this machine, with changes kept in memory only, and a separate network.
const COPY: &str = r#"
mount -t tmpfs tmpfs /mnt
mkdir /mnt/changed /mnt/work /mnt/all
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/changed,workdir=/mnt/work /mnt/all
mount -t proc proc /mnt/all/proc
mount --rbind /dev /mnt/all/dev
mount -t tmpfs tmpfs /mnt/all/run
ip link set lo up
cp "$1" /mnt/all/quorate.deb
exec chroot /mnt/all env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -eux -c "$2"
"#;

/// Builds the package with `cargo deb`: a release build, as administrators get it.
async fn package(folder: &Path) -> PathBuf {
    let path = folder.join("quorate.deb");
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["deb", "--package", "quorate", "--output"]).arg(&path).current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = build.output().await.expect("cargo runs");
    assert!(
        built.status.success(),
        "`cargo deb` (cargo install cargo-deb): {}",
        String::from_utf8_lossy(&built.stderr)
    );
    path
}

#[tokio::test]
async fn soak_the_debian_package_is_installed_and_a_node_of_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let package = package(folder.path()).await;
    assert!(fs::metadata(&package).unwrap().len() > 1_000_000);
    let mut machine = Command::new("unshare");
    machine
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-eu", "-c", COPY, "sh"])
        .arg(&package)
        .arg(INSTALLED)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = machine.output().await.expect("there is unshare (Debian: util-linux)");
    let said = [&ran.stdout, &ran.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
    assert!(ran.status.success() && said.contains("\nevery line succeeded"), "{said}");
}
