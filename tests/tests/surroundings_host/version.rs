//! The version that a program reports.

use std::{fs, path::Path};

use quorate_tests::Quorate;
use tokio::process::Command;

use crate::QUORATE;

#[tokio::test]
async fn version_names_commit_time_and_formats_for_people_and_for_scripts() {
    let quorate = Quorate::at(QUORATE);
    let version = quorate.json(["version"]).await;
    let keys: Vec<_> = version.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["built", "commit", "formats", "version"]);
    let commit = version["commit"].as_str().unwrap();
    let is_commit = commit.len() == 40 && commit.chars().all(|digit| digit.is_ascii_hexdigit());
    // A build from an archive has no commit to report.
    assert!(is_commit || commit == "unknown", "{commit}");
    let formats: Vec<_> =
        version["formats"].as_array().unwrap().iter().map(|format| format.as_u64().unwrap()).collect();
    assert!(!formats.is_empty() && formats.is_sorted_by(|one, next| one + 1 == *next), "{formats:?}");
    assert!(version["built"].as_str().unwrap().ends_with('Z'), "{version}");
    let text = quorate.run(["version"]).await;
    assert!(text.stdout.contains(commit) && text.stdout.starts_with("quorate "), "{}", text.stdout);
}

/// The output of the build script for the source in `root`.
async fn says_of(root: &Path) -> String {
    let package = root.join("crates/quorate");
    fs::create_dir_all(&package).unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/quorate/build.rs");
    let program = root.join("build-script");
    let mut compile = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    compile.args(["--edition", "2024", script, "-o"]).arg(&program).env("CARGO_MANIFEST_DIR", &package);
    let compiled = compile.output().await.unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let mut run = Command::new(&program);
    run.env_remove("QUORATE_BUILD_COMMIT").env("SOURCE_DATE_EPOCH", "1700000000");
    let ran = run.output().await.unwrap();
    assert!(ran.status.success());
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test]
async fn a_build_from_an_archive_has_no_commit_and_one_from_a_repository_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let git = async |words: &[&str]| {
        let who = ["-c", "user.name=a", "-c", "user.email=a@example.test"];
        let ran = Command::new("git").arg("-C").arg(folder.path()).args(who).args(words).output().await.unwrap();
        assert!(ran.status.success(), "{words:?}: {ran:?}");
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    };
    let unknown = "rustc-env=QUORATE_COMMIT=unknown\n";
    let said = says_of(folder.path()).await;
    assert!(said.contains(unknown) && said.contains("rustc-env=QUORATE_BUILT_S=1700000000\n"), "{said}");
    git(&["init", "--quiet"]).await;
    git(&["commit", "--quiet", "--allow-empty", "--message", "first"]).await;
    let commit = git(&["rev-parse", "HEAD"]).await;
    let said = says_of(folder.path()).await;
    assert!(said.contains(&format!("rustc-env=QUORATE_COMMIT={commit}\n")), "{said}");
    // The next commit makes the build script run again, and only this package is rebuilt.
    let watched = said.lines().filter(|line| line.starts_with("cargo::rerun-if-changed=")).count();
    assert_eq!(watched, 3, "itself, HEAD and the branch: {said}");
    // The source was unpacked from an archive, inside the repository of another project.
    let said = says_of(&folder.path().join("unpacked")).await;
    assert!(said.contains(unknown), "{said}");
}
