//! Runs cargo, and reads from it which packages the workspace consists of.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The workspace that contains the folder in which the command was called.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// cargo's build folder: the only folder to which `verify` may write.
    pub(crate) target: PathBuf,
    /// The workspace's own packages, each with the dependencies that its manifest declares.
    pub(crate) members: Vec<Package>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The package's licence as an SPDX expression.
    pub(crate) license: Option<String>,
    /// The registry or repository from which the package comes; `None` for a package of the workspace.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// One build target of a package: a library, a program, a test, a bench, an example, a build script.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Target {
    /// The target's root file.
    pub(crate) src_path: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    /// The package's real name, also where the manifest renames it.
    pub(crate) name: String,
    /// `None` for a normal dependency.
    pub(crate) kind: Option<DependencyKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DependencyKind {
    Build,
    Dev,
}

impl Workspace {
    /// Finds the workspace that contains the current folder.
    pub(crate) fn find() -> Result<Self> {
        let found = metadata(Path::new("."), &["--no-deps"])?;
        Ok(Self { root: found.workspace_root, target: found.target_directory, members: found.packages })
    }

    /// Every package that the lock file names, for all features and platforms.
    pub(crate) fn locked_packages(&self) -> Result<Vec<Package>> {
        Ok(metadata(&self.root, &["--locked", "--all-features"])?.packages)
    }

    /// A cargo command that runs in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// The path relative to the workspace's root, for output.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// The cargo that called this program, so that the toolchain stays the same.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

fn metadata(folder: &Path, arguments: &[&str]) -> Result<Metadata> {
    let output = cargo()
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .context("cargo metadata could not be started")?;
    if !output.status.success() {
        bail!("cargo metadata {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("cargo metadata gave JSON of an unknown shape")
}
