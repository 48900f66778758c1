//! Records the commit and the build time of the program, for `quorate version`.
//!
//! After a commit only this crate is rebuilt. A build from an archive without git records the commit as unknown,
//! unless `QUORATE_BUILD_COMMIT` names it. `SOURCE_DATE_EPOCH` (reproducible-builds.org) replaces the build time.

#![allow(clippy::print_stdout, reason = "this is how a build script answers cargo")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

const COMMIT: &str = "QUORATE_BUILD_COMMIT";
const TIME: &str = "SOURCE_DATE_EPOCH";

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    println!("cargo::rerun-if-changed=build.rs");
    for variable in [COMMIT, TIME] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let given = env::var(COMMIT).ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| of_git(&root)).unwrap_or_else(|| "unknown".into());
    let given = env::var(TIME).ok().and_then(|seconds| seconds.parse::<u64>().ok());
    println!("cargo::rustc-env=QUORATE_COMMIT={commit}");
    println!("cargo::rustc-env=QUORATE_BUILT_S={}", given.unwrap_or_else(now_s));
}

#[expect(clippy::disallowed_methods, reason = "the time of the build")]
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The commit that is checked out in the repository whose top folder is `root`; `None` where the repository is an
/// outer one.
fn of_git(root: &Path) -> Option<String> {
    let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    // These files change with a commit or a checkout.
    let branch = git(root, &["rev-parse", "--symbolic-full-name", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", "packed-refs", &branch] {
        let path = git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path));
        // cargo would run this script at each build for a file that does not exist.
        if let Some(path) = path.filter(|path| path.is_file()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    git(root, &["rev-parse", "--verify", "HEAD"])
}

fn git(root: &Path, words: &[&str]) -> Option<String> {
    let ran = Command::new("git").arg("-C").arg(root).args(words).output().ok()?;
    let said = String::from_utf8(ran.stdout).ok()?;
    let said = said.trim();
    (ran.status.success() && !said.is_empty()).then(|| said.to_owned())
}
