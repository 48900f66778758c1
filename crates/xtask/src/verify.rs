//! The checks, in a table: run all, report all, then fail.

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;

use crate::cargo::Workspace;
use crate::finding::Finding;
use crate::output::say;
use crate::tree::Tree;
use crate::{arrows, licences, modules, paths, requirements, sources};

struct Check {
    name: &'static str,
    what: &'static str,
    run: fn(&Workspace) -> Result<Outcome>,
}

/// What a check found, and its part of the closing line.
#[derive(Default)]
struct Outcome {
    findings: Vec<Finding>,
    /// Printed before the findings.
    tables: Vec<String>,
    figure: Option<String>,
}

impl From<Vec<Finding>> for Outcome {
    fn from(findings: Vec<Finding>) -> Self {
        Self { findings, ..Self::default() }
    }
}

/// Those that take the least time first.
const CHECKS: &[Check] = &[
    Check { name: "arrows", what: "arrows between crates run as designed", run: check_arrows },
    Check { name: "modules", what: "no modules of a crate need each other", run: check_modules },
    Check {
        name: "top",
        what: "the top level has the names of the design",
        run: |at| Ok(paths::check_top(&tree(at)?).into()),
    },
    Check { name: "docs", what: "documents name what exists", run: |at| Ok(paths::check_documents(&tree(at)?).into()) },
    Check { name: "sources", what: "no banned word in the sources", run: |at| Ok(sources::check(&tree(at)?).into()) },
    Check { name: "requirements", what: "each requirement has a test that names it", run: check_requirements },
    Check { name: "format", what: "formatted", run: |at| Ok(cargo(at, FORMAT)?.into()) },
    Check {
        name: "licences",
        what: "licences, bans and sources of dependencies",
        run: |at| Ok(licences::check(at)?.into()),
    },
    Check { name: "clippy", what: "no lint", run: |at| Ok(cargo(at, CLIPPY)?.into()) },
];

const FORMAT: &[&str] = &["fmt", "--all", "--check"];

/// Locked, so that the lock file is not written.
const CLIPPY: &[&str] = &[
    "clippy",
    "--locked",
    "--keep-going",
    "--workspace",
    "--all-targets",
    "--all-features",
    "--",
    "--deny",
    "warnings",
];

const FIXES: &[&[&str]] = &[
    &["clippy", "--fix", "--allow-dirty", "--allow-staged", "--workspace", "--all-targets", "--all-features"],
    &["fmt", "--all"],
];

/// The names that `verify` takes.
pub(crate) fn names() -> PossibleValuesParser {
    CHECKS.iter().map(|check| check.name).collect::<Vec<_>>().into()
}

/// Runs the named checks, or all; true when nothing was found.
pub(crate) fn run(workspace: &Workspace, only: &[String]) -> Result<bool> {
    let (mut failed, mut figures) = (Vec::new(), Vec::new());
    for check in CHECKS.iter().filter(|check| only.is_empty() || only.iter().any(|name| name == check.name)) {
        say(format_args!("verify {}: {} ...", check.name, check.what));
        // A check that cannot run has not passed, and does not keep the others from running.
        let outcome = (check.run)(workspace)
            .unwrap_or_else(|error| vec![Finding::new(check.name, format!("{error:#}"), "let the check run")].into());
        for table in &outcome.tables {
            say(table);
        }
        for finding in &outcome.findings {
            say(format_args!("  {finding}"));
        }
        if !outcome.findings.is_empty() {
            failed.push(format!("{} ({})", check.name, outcome.findings.len()));
        }
        figures.extend(outcome.figure);
    }
    if !figures.is_empty() {
        say(figures.join(", "));
    }
    match failed.is_empty() {
        true => say("verify: passed"),
        false => say(format_args!("verify: failed: {}", failed.join(", "))),
    }
    Ok(failed.is_empty())
}

/// Repairs what can be repaired without judgement; formats last, because a repair is not formatted.
pub(crate) fn fix(workspace: &Workspace) -> Result<bool> {
    let mut done = true;
    for arguments in FIXES {
        done &= cargo(workspace, arguments)?.is_empty();
    }
    Ok(done)
}

fn check_arrows(workspace: &Workspace) -> Result<Outcome> {
    let figure = Some(format!("crates {}", workspace.members.len()));
    Ok(Outcome { findings: arrows::check(workspace), figure, ..Outcome::default() })
}

fn check_modules(workspace: &Workspace) -> Result<Outcome> {
    let found = modules::check(workspace, &tree(workspace)?);
    let figure = Some(format!("module cycles {}", found.cycles));
    Ok(Outcome { findings: found.findings, figure, ..Outcome::default() })
}

fn check_requirements(workspace: &Workspace) -> Result<Outcome> {
    let proof = requirements::check(&tree(workspace)?)?;
    Ok(Outcome { findings: proof.findings, tables: vec![proof.table, proof.gateway], figure: Some(proof.figure) })
}

fn tree(workspace: &Workspace) -> Result<Tree> {
    Tree::read(&workspace.root)
}

/// A check by cargo itself, whose output is shown as it comes.
fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<Vec<Finding>> {
    let Some((command, _)) = arguments.split_first() else { bail!("cargo without a command") };
    let status =
        workspace.cargo(arguments).status().with_context(|| format!("cargo {command} could not be started"))?;
    let failed = Finding::new(
        format!("cargo {command}"),
        format!("failed ({status}), see its output above"),
        "cargo xtask fix, then by hand what is left",
    );
    Ok(if status.success() { Vec::new() } else { vec![failed] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_check_may_write_to_the_repository() {
        assert!(FORMAT.contains(&"--check"));
        assert!(CLIPPY.contains(&"--locked") && !CLIPPY.contains(&"--fix"));
    }

    #[test]
    fn checks_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
    }
}
