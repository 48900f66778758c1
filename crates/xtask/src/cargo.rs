//! cargo, as a program to run and as the source of what the workspace consists of.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The workspace in whose folder the command was called.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// cargo's build folder: the only place that may be written.
    pub(crate) target: PathBuf,
    /// The workspace's own packages, each with the dependencies its manifest declares.
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
    /// An SPDX expression.
    pub(crate) license: Option<String>,
    /// Where the package came from; nothing for a package of the workspace.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// What cargo builds of a package: a library, a program, a test, a bench, an example, a build script.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Target {
    /// The root file.
    pub(crate) src_path: PathBuf,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    /// The package's own name, also where the manifest renames it.
    pub(crate) name: String,
    /// Nothing for a normal dependency.
    pub(crate) kind: Option<DependencyKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DependencyKind {
    Build,
    Dev,
}

impl Workspace {
    /// The workspace around the current folder.
    pub(crate) fn find() -> Result<Self> {
        let found = metadata(Path::new("."), &["--no-deps"])?;
        Ok(Self { root: found.workspace_root, target: found.target_directory, members: found.packages })
    }

    /// Every package that the lock file names, for all features and platforms.
    pub(crate) fn locked_packages(&self) -> Result<Vec<Package>> {
        Ok(metadata(&self.root, &["--locked", "--all-features"])?.packages)
    }

    /// A cargo command in the workspace's root.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = cargo();
        command.args(arguments).current_dir(&self.root);
        command
    }

    /// A path as the reader knows it: relative to the root.
    pub(crate) fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// The cargo that called us, so that the toolchain stays the same.
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
