//! The commit hook in a separate repository: a commit with a finding is refused, in every working tree.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
const HOOK: &str = include_str!("../../../.config/hooks/pre-commit");

/// The smallest workspace in which `verify --quick` has no finding.
const WORKSPACE: &[(&str, &str)] = &[
    (".gitignore", "target\n"),
    ("README.md", "Run `cargo xtask test`.\n"),
    (".ci/run", "cargo xtask test\n"),
    ("docs/architecture.md", "### `activation`\n\nInvariant: never reads a clock.\n"),
    ("docs/requirements.md", "| R | behaviour |\n|---|---|\n| 1 | counts |\n"),
    ("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"crates/*\"]\n"),
    ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"activation\"\nversion = \"0.0.0\"\n"),
    ("crates/activation/Cargo.toml", "[package]\nname = \"activation\"\nversion = \"0.0.0\"\nedition = \"2024\"\n"),
    ("crates/activation/src/lib.rs", "pub mod count;\npub mod status;\n"),
    ("crates/activation/src/count.rs", "#[test]\nfn r1_counts() {}\n"),
    ("crates/activation/src/status.rs", "//! No code.\n"),
];

struct Repository {
    folder: TempDir,
}

impl Repository {
    fn new() -> Self {
        let repository = Self { folder: TempDir::new().unwrap() };
        for (path, text) in WORKSPACE {
            repository.write(path, text);
        }
        repository.write(".config/hooks/pre-commit", HOOK);
        repository.write("target/programs/cargo-xtask", &format!("#!/bin/sh\nshift\nexec '{XTASK}' \"$@\"\n"));
        for program in [".config/hooks/pre-commit", "target/programs/cargo-xtask"] {
            fs::set_permissions(repository.path(program), fs::Permissions::from_mode(0o755)).unwrap();
        }
        repository.succeeds("git", &["init", "--quiet"]);
        repository.succeeds("git", &["add", "--all"]);
        repository.succeeds("git", &["commit", "--quiet", "--message", "first"]);
        repository
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs a program in a folder of the repository. There, `cargo xtask` is the program under test.
    fn run_in(&self, folder: &Path, program: &str, arguments: &[&str]) -> Output {
        let programs = self.path("target/programs");
        let path = std::env::var_os("PATH").unwrap();
        let path = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&path))).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).env("PATH", path).env("HOME", self.folder.path());
        for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"] {
            command.env_remove(variable);
        }
        for (variable, value) in [("NAME", "A Committer"), ("EMAIL", "committer@example.test")] {
            command.env(format!("GIT_AUTHOR_{variable}"), value).env(format!("GIT_COMMITTER_{variable}"), value);
        }
        for variable in ["CARGO_HOME", "RUSTUP_HOME"] {
            if let (None, Some(home)) = (std::env::var_os(variable), std::env::var_os("HOME")) {
                let name = format!(".{}", variable.trim_end_matches("_HOME").to_lowercase());
                command.env(variable, Path::new(&home).join(name));
            }
        }
        command.output().unwrap()
    }

    fn succeeds(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run_in(self.folder.path(), program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
        said(&output)
    }

    fn commit_in(&self, folder: &Path) -> Output {
        assert!(self.run_in(folder, "git", &["add", "--all"]).status.success());
        self.run_in(folder, "git", &["commit", "--quiet", "--message", "a change"])
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_commit_with_a_finding_is_refused_in_every_working_tree() {
    let repository = Repository::new();
    let root = repository.folder.path();
    assert!(repository.succeeds(XTASK, &["hooks"]).contains("from now on"));
    assert!(repository.succeeds(XTASK, &["hooks"]).contains("already"));

    repository.write("crates/activation/src/count.rs", "/// Counts.\n#[test]\nfn r1_counts() {}\n");
    let clean = repository.commit_in(root);
    assert!(clean.status.success(), "{}", said(&clean));
    assert!(said(&clean).contains("crates 1, module cycles 0, terms 0, requirements 1/1 R, 0/0 events, codes 0/0"));

    let findings = [
        ("notes.md", "", "is not a name of the top level"),
        ("crates/activation/src/count.rs", "#[test]\nfn r2_counts() {}\n", "names R2"),
        ("crates/activation/src/count.rs", "use crate::nothing;\n#[test]\nfn r1_counts() {}\n", "cargo check: failed"),
        ("crates/activation/src/count.rs", "#[test]\nfn r1_counts()   {}\n", "cargo fmt: failed"),
    ];
    for (path, text, finding) in findings {
        repository.write(path, text);
        let refused = repository.commit_in(root);
        assert!(!refused.status.success() && said(&refused).contains(finding), "{path}: {}", said(&refused));
        repository.succeeds("git", &["reset", "--quiet", "--hard"]);
    }

    let other = repository.path("target/other");
    repository.succeeds("git", &["worktree", "add", "--quiet", &other.display().to_string()]);
    fs::write(other.join("notes.md"), "").unwrap();
    let refused = repository.commit_in(&other);
    assert!(!refused.status.success() && said(&refused).contains("notes.md"), "{}", said(&refused));
}

#[test]
fn hooks_of_another_folder_are_left_alone() {
    let repository = Repository::new();
    repository.succeeds("git", &["config", "core.hooksPath", "elsewhere"]);
    let refused = repository.run_in(repository.folder.path(), XTASK, &["hooks"]);
    assert!(!refused.status.success() && said(&refused).contains("git config --unset core.hooksPath"));
    assert_eq!(repository.succeeds("git", &["config", "core.hooksPath"]).trim(), "elsewhere");

    repository.succeeds("git", &["config", "--unset", "core.hooksPath"]);
    repository.write(".git/hooks/post-merge", "#!/bin/sh\n");
    let refused = repository.run_in(repository.folder.path(), XTASK, &["hooks"]);
    assert!(!refused.status.success() && said(&refused).contains("post-merge"), "{}", said(&refused));
}
