//! The commit hook: runs the quick checks of `verify` before every commit.
//!
//! The hook is a file of the repository, so it changes together with the checks. Its folder is set in the
//! repository's git configuration, which all working trees share. The path is relative, so each tree runs the hook of
//! its own branch.

use std::fs;
use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

use crate::cargo::Workspace;

/// The folder of the hooks, relative to the root.
const FOLDER: &str = ".config/hooks";

const KEY: &str = "core.hooksPath";

/// Makes git run the hooks of the repository; returns a message that says what was done.
pub(crate) fn install(workspace: &Workspace) -> Result<String> {
    let hook = format!("{FOLDER}/pre-commit");
    if !workspace.root.join(&hook).is_file() {
        bail!("{hook} is missing in {}: check out a commit that has it", workspace.root.display());
    }
    match configured(workspace)?.as_deref() {
        Some(FOLDER) => return Ok(format!("hooks: git runs {hook} before each commit already")),
        Some(other) => bail!(
            "git runs the hooks in {other} ({KEY}), and it has one such folder only: call `cargo xtask verify --quick` \
             from the hook there, or give it up with `git config --unset {KEY}` and repeat this command"
        ),
        None => {}
    }
    if let Some(hook) = own_hook(workspace)? {
        bail!(
            "this repository has a hook of its own, {hook}, which git would run no more: call \
             `cargo xtask verify --quick` from a hook there, or remove it and repeat this command"
        );
    }
    git(workspace, &["config", "--local", KEY, FOLDER])?;
    Ok(format!("hooks: git runs {hook} before each commit from now on, in every working tree of this repository"))
}

/// The folder from which git is configured to take hooks.
fn configured(workspace: &Workspace) -> Result<Option<String>> {
    // Exit code 1: the key is not set.
    let output = output(workspace, &["config", "--get", KEY])?;
    match output.status.code() {
        Some(0) => Ok(Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())),
        Some(1) => Ok(None),
        _ => bail!("git config --get {KEY}: {}", String::from_utf8_lossy(&output.stderr).trim()),
    }
}

/// A hook in git's default folder other than git's samples.
fn own_hook(workspace: &Workspace) -> Result<Option<String>> {
    let folder = git(workspace, &["rev-parse", "--git-path", "hooks"])?;
    let Ok(entries) = fs::read_dir(workspace.root.join(folder.trim())) else { return Ok(None) };
    let paths = entries.flatten().map(|entry| entry.path().display().to_string());
    Ok(paths.filter(|path| !path.ends_with(".sample")).min())
}

/// The output of a git command; an error where the command fails.
fn git(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    let output = output(workspace, arguments)?;
    if !output.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(workspace: &Workspace, arguments: &[&str]) -> Result<Output> {
    Command::new("git").args(arguments).current_dir(&workspace.root).output().context("git could not be started")
}
