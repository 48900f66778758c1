//! Checks licences, banned crates and sources of all packages in the lock file, by the policy in `.deny.toml`.
//!
//! cargo-deny reads the same file and checks more (advisories, duplicates). This check needs only cargo, so it runs
//! on every machine.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cargo::{Package, Workspace};
use crate::finding::Finding;

const POLICY: &str = ".deny.toml";
const LOCK: &str = "Cargo.lock";

/// The default registry, as cargo names it in metadata.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// The parts of cargo-deny's configuration that are checked here.
#[derive(Deserialize)]
struct Policy {
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licenses {
    allow: BTreeSet<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licences allowed for one crate only.
#[derive(Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Finding>> {
    let text = fs::read_to_string(workspace.root.join(POLICY)).with_context(|| format!("cannot read {POLICY}"))?;
    let policy: Policy = toml::from_str(&text).with_context(|| format!("{POLICY} is not understood"))?;
    Ok(workspace.locked_packages()?.iter().flat_map(|package| policy.refusals(package)).collect())
}

impl Policy {
    fn refusals(&self, package: &Package) -> Vec<Finding> {
        let Some(source) = &package.source else { return Vec::new() };
        let named = format!("{} {}", package.name, package.version);
        let mut findings = Vec::new();
        if source != REGISTRY {
            findings.push(Finding::new(
                LOCK,
                format!("{named} comes from {source}"),
                "take a published version: only the default registry keeps what was built buildable",
            ));
        }
        if let Some(ban) = self.bans.deny.iter().find(|ban| ban.name == package.name) {
            findings.push(Finding::new(
                LOCK,
                format!("{named} is banned: {}", ban.reason),
                format!("see who brings it: cargo tree --invert {}", package.name),
            ));
        }
        let allowed = package.license.as_deref().is_some_and(|expression| {
            satisfied(expression, &|licence| {
                let excepted = self.licenses.exceptions.iter().filter(|exception| exception.name == package.name);
                self.licenses.allow.contains(licence) || excepted.into_iter().any(|one| one.allow.contains(licence))
            })
        });
        if !allowed {
            findings.push(Finding::new(
                LOCK,
                format!("{named} has the licence {}", package.license.as_deref().unwrap_or("(none named)")),
                format!("choose another crate, or allow the licence in {POLICY} and say why"),
            ));
        }
        findings
    }
}

/// Whether an SPDX expression (SPDX specification, annex D) can be satisfied with allowed licences alone. A slash, as
/// in old manifests, means OR. An expression that does not parse is not satisfied.
fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut terms = Terms { words: spaced.split_whitespace().collect(), at: 0, allowed };
    terms.any_of() == Some(true) && terms.peek().is_none()
}

/// A recursive descent parser of the expression: OR binds weaker than AND, AND weaker than WITH.
struct Terms<'a> {
    words: Vec<&'a str>,
    at: usize,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Terms<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let taken = self.peek() == Some(word);
        self.at += usize::from(taken);
        taken
    }

    fn any_of(&mut self) -> Option<bool> {
        let mut met = self.all_of()?;
        while self.take("OR") {
            met |= self.all_of()?;
        }
        Some(met)
    }

    fn all_of(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.any_of()?;
            return self.take(")").then_some(met);
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Some((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Some((self.allowed)(licence))
    }

    fn name(&mut self) -> Option<&'a str> {
        let word = self.peek().filter(|word| !matches!(*word, "(" | ")" | "AND" | "OR" | "WITH"))?;
        self.at += 1;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY_TEXT: &str = r#"
        [licenses]
        allow = ["MIT", "Apache-2.0"]
        exceptions = [{ crate = "special", allow = ["ISC"] }]
        [bans]
        deny = [{ crate = "openssl", reason = "rustls instead" }]
    "#;

    fn package(name: &str, license: Option<&str>, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: "1.2.3".to_owned(),
            license: license.map(str::to_owned),
            source: source.map(str::to_owned),
            manifest_path: "Cargo.toml".into(),
            dependencies: Vec::new(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn an_expression_is_met_by_allowed_licences_alone() {
        let allowed = |licence: &str| ["MIT", "Apache-2.0", "Zlib", "X WITH e"].contains(&licence);
        let table = [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0/MIT", true),
            ("Apache-2.0 / GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND Zlib", true),
            ("MIT OR GPL-3.0 AND GPL-2.0", true),
            ("(MIT OR GPL-3.0) AND GPL-2.0", false),
            ("(GPL-3.0 OR MIT) AND Zlib", true),
            ("X WITH e", true),
            ("X WITH f OR GPL-3.0", false),
            ("MIT WITH e", false),
            ("GPL-3.0", false),
            ("", false),
            ("MIT OR", false),
            ("(MIT", false),
            ("MIT)", false),
            ("MIT Zlib", false),
        ];
        for (expression, met) in table {
            assert_eq!(satisfied(expression, &allowed), met, "{expression:?}");
        }
    }

    #[test]
    fn what_may_be_built_in() {
        let policy: Policy = toml::from_str(POLICY_TEXT).unwrap();
        let table = [
            (package("serde", Some("MIT OR Apache-2.0"), Some(REGISTRY)), ""),
            (package("host", None, None), ""),
            (package("special", Some("ISC"), Some(REGISTRY)), ""),
            (package("plain", Some("ISC"), Some(REGISTRY)), "plain 1.2.3 has the licence ISC"),
            (package("plain", None, Some(REGISTRY)), "plain 1.2.3 has the licence (none named)"),
            (package("openssl", Some("MIT"), Some(REGISTRY)), "openssl 1.2.3 is banned: rustls instead"),
            (package("serde", Some("MIT"), Some("git+x")), "serde 1.2.3 comes from git+x"),
        ];
        for (package, finding) in table {
            let found = policy.refusals(&package).iter().map(|one| one.what.clone()).collect::<Vec<_>>().join("; ");
            assert_eq!(found, finding);
        }
    }

    #[test]
    fn the_repository_has_a_policy_that_is_understood() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(POLICY);
        let policy: Policy = toml::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert!(policy.licenses.allow.contains("MIT"));
        assert!(policy.bans.deny.iter().any(|ban| ban.name == "openssl"));
    }
}
