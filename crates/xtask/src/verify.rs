//! The table of checks: runs all of them, reports all findings, then fails.

use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValuesParser;

use crate::cargo::Workspace;
use crate::finding::Finding;
use crate::output::say;
use crate::tree::Tree;
use crate::{arrows, libraries, licences, modules, paths, requirements, sources, terms};

struct Check {
    name: &'static str,
    what: &'static str,
    when: When,
    run: fn(&Workspace) -> Result<Outcome>,
}

/// In which run a check takes part, where no check is named.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Both,
    /// The quick run only: takes seconds, and needs no system library.
    Quick,
    Full,
}

use When::{Both, Full, Quick};

/// The findings of a check, and its part of the closing line.
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

/// The checks, the fastest first.
const CHECKS: &[Check] = &[
    Check { name: "arrows", what: "arrows between crates run as designed", when: Both, run: check_arrows },
    Check { name: "modules", what: "no modules of a crate need each other", when: Both, run: check_modules },
    Check {
        name: "top",
        what: "the top level has the names of the design",
        when: Both,
        run: |at| Ok(paths::check_top(&tree(at)?).into()),
    },
    Check {
        name: "docs",
        what: "documents name what exists",
        when: Both,
        run: |at| Ok(paths::check_documents(&tree(at)?).into()),
    },
    Check {
        name: "sources",
        what: "no banned word in the sources",
        when: Both,
        run: |at| Ok(sources::check(&tree(at)?).into()),
    },
    Check { name: "terms", what: "one word for one thing", when: Both, run: check_terms },
    Check {
        name: "requirements",
        what: "each requirement has a test that names it",
        when: Both,
        run: check_requirements,
    },
    Check { name: "format", what: "formatted", when: Both, run: |at| Ok(cargo(at, FORMAT)?.into()) },
    Check { name: "compile", what: "everything compiles", when: Quick, run: |at| Ok(cargo(at, COMPILE)?.into()) },
    Check {
        name: "licences",
        what: "licences, bans and sources of dependencies",
        when: Full,
        run: |at| Ok(licences::check(at)?.into()),
    },
    Check { name: "clippy", what: "no lint", when: Full, run: check_clippy },
];

const FORMAT: &[&str] = &["fmt", "--all", "--check"];

/// Without the features that need a system library. `--locked`, so that the lock file is not written.
const COMPILE: &[&str] = &["check", "--quiet", "--locked", "--workspace", "--all-targets"];

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

/// The names of checks that `verify` accepts.
pub(crate) fn names() -> PossibleValuesParser {
    CHECKS.iter().map(|check| check.name).collect::<Vec<_>>().into()
}

/// Runs the named checks, or those of the full run, or of the quick run; returns whether there was no finding.
pub(crate) fn run(workspace: &Workspace, only: &[String], quick: bool) -> Result<bool> {
    let (mut failed, mut figures) = (Vec::new(), Vec::new());
    for check in chosen(only, quick) {
        say(format_args!("verify {}: {} ...", check.name, check.what));
        // A check that cannot run has failed, and the other checks run all the same.
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
    match failed.is_empty() {
        true => say("verify: passed"),
        false => say(format_args!("verify: failed: {}", failed.join(", "))),
    }
    if !figures.is_empty() {
        say(figures.join(", "));
    }
    Ok(failed.is_empty())
}

fn chosen(only: &[String], quick: bool) -> impl Iterator<Item = &'static Check> {
    let left_out = if quick { Full } else { Quick };
    CHECKS.iter().filter(move |check| match only {
        [] => check.when != left_out,
        names => names.iter().any(|name| name == check.name),
    })
}

/// Applies repairs that need no judgement. Formatting is last, because repaired code is not formatted.
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

fn check_terms(workspace: &Workspace) -> Result<Outcome> {
    let findings = terms::check(&tree(workspace)?);
    let figure = Some(format!("terms {}", findings.len()));
    Ok(Outcome { findings, figure, ..Outcome::default() })
}

fn check_requirements(workspace: &Workspace) -> Result<Outcome> {
    let proof = requirements::check(&tree(workspace)?)?;
    Ok(Outcome { findings: proof.findings, tables: vec![proof.table, proof.gateway], figure: Some(proof.figure) })
}

/// Lints everything with all features. Where a system library is missing, this reports it, because the build script
/// of a binding would give less information.
fn check_clippy(workspace: &Workspace) -> Result<Outcome> {
    let missing = libraries::missing(Path::new("/"), |variable| std::env::var_os(variable).is_some());
    Ok(if missing.is_empty() { cargo(workspace, CLIPPY)? } else { missing }.into())
}

fn tree(workspace: &Workspace) -> Result<Tree> {
    Tree::read(&workspace.root)
}

/// Runs a check by cargo itself; its output is shown as it is printed.
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
        assert!(COMPILE.contains(&"--locked") && !COMPILE.contains(&"--all-features"));
    }

    #[test]
    fn checks_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
    }

    #[test]
    fn a_run_has_its_checks_and_names_choose_any() {
        let names = |only: &[&str], quick| {
            let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
            chosen(&only, quick).map(|check| check.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(&[], false), "arrows modules top docs sources terms requirements format licences clippy");
        assert_eq!(names(&[], true), "arrows modules top docs sources terms requirements format compile");
        assert_eq!(names(&["clippy", "compile"], true), "compile clippy");
    }
}
