//! Older commits of this workspace: a git worktree of such a commit, and programs that are built there.
//!
//! ```text
//! target/previous/COMMIT/tree      the worktree
//! target/previous/COMMIT/target    its build folder
//! ```
//! Both are kept, so that a second run only checks that everything exists.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::cargo::Workspace;
use crate::say;

/// The commit that wrote `tests/golden/aa5b105/`: the version from which a rolling upgrade begins.
pub(crate) const RECORDED: &str = "aa5b1053e51f3e32c2d8cd05067e045d51c1e6c1";

/// The program of that commit which tests run; it has the switches that only tests may use.
const BINARY: &str = "quorate-under-test";

/// A commit that is checked out below the build folder.
pub(crate) struct Previous {
    pub(crate) commit: String,
    folder: PathBuf,
}

impl Previous {
    /// Checks `commit` out, where that has not been done yet.
    pub(crate) fn checked_out(workspace: &Workspace, commit: &str) -> Result<Self> {
        let full = git(workspace, &["rev-parse", "--verify", "--end-of-options", &format!("{commit}^{{commit}}")])
            .with_context(|| format!("{commit} is no commit of this repository: fetch it, or name another"))?;
        let previous = Self { folder: workspace.target.join("previous").join(&full), commit: full };
        let tree = previous.tree();
        if !tree.join("Cargo.toml").exists() {
            say(format_args!("previous: checking {} out to {} ...", previous.short(), tree.display()));
            // A worktree whose folder was removed is still registered in git.
            git(workspace, &["worktree", "prune"])?;
            let path = tree.to_str().context("the build folder's path is not UTF-8")?;
            git(workspace, &["worktree", "add", "--detach", path, &previous.commit])?;
        }
        Ok(previous)
    }

    /// The folder of the commit's files.
    pub(crate) fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The first 7 characters of the commit's id.
    pub(crate) fn short(&self) -> &str {
        self.commit.get(..7).unwrap_or(&self.commit)
    }

    /// Runs cargo in the worktree, with the lock file of that commit. cargo shows its own progress.
    pub(crate) fn cargo(&self, workspace: &Workspace, arguments: &[&str]) -> Result<()> {
        let (subcommand, rest) = arguments.split_first().context("cargo needs a subcommand")?;
        say(format_args!("previous: cargo {} at {} ...", arguments.join(" "), self.short()));
        let mut command = workspace.cargo(&[subcommand, "--locked"]);
        command.args(rest).current_dir(self.tree()).env("CARGO_TARGET_DIR", self.folder.join("target"));
        let status = command.status().context("cargo could not be started")?;
        if !status.success() {
            bail!("cargo {} failed at {} ({status}), see its output above", arguments.join(" "), self.short());
        }
        Ok(())
    }

    /// The path of a program that was built in the worktree, given below the profile's folder.
    pub(crate) fn program(&self, below: &str) -> PathBuf {
        self.folder.join("target").join("debug").join(below)
    }
}

/// Builds the program of [`RECORDED`], from which scenarios upgrade and to which they downgrade.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let previous = Previous::checked_out(workspace, RECORDED)?;
    previous.cargo(workspace, &["build", "--package", "quorate-tests", "--bin", BINARY])?;
    Ok(previous.program(BINARY))
}

/// The path at which [`build`] leaves the program, whether it exists or not.
pub(crate) fn program(workspace: &Workspace) -> PathBuf {
    workspace.target.join("previous").join(RECORDED).join("target").join("debug").join(BINARY)
}

/// The output of git, without its final line break.
fn git(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(&workspace.root).args(arguments).stdin(Stdio::null());
    let output = command.output().context("git could not be started: install it")?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
