//! The arrows between crates: which crate may depend on which.
//!
//! The table follows the layers of the design, the lowest layer first; every arrow points to a lower layer.
//! Development dependencies are not arrows, because they are not part of the shipped programs.

use crate::cargo::{Dependency, DependencyKind, Package, Workspace};
use crate::finding::Finding;

/// Each package of the workspace, with the packages of the workspace that it may use. A row names only packages of
/// rows above it.
const HOUSE: &[(&str, &[&str])] = &[
    // L0: computation without I/O
    ("activation", &[]),
    ("dcerpc", &[]),
    // L1: generated code, storage, the machine's properties
    ("api", &[]),
    ("storage", &[]),
    ("machine", &["activation"]),
    ("kerberos", &[]),
    // L2: disk, network, time
    ("discovery", &["activation", "kerberos"]),
    ("replication", &["activation", "api", "storage"]),
    ("transport", &["storage"]),
    // Associations of other interfaces, forwarded
    ("gateway", &["activation", "dcerpc", "discovery", "transport"]),
    // What administrators see: formatting, without I/O
    ("admin", &["activation", "api"]),
    // L3: shipped programs and libraries
    ("client", &["activation", "api", "dcerpc", "discovery", "machine"]),
    ("quorate-client-c", &["activation", "client"]),
    (
        "host",
        &[
            "activation",
            "admin",
            "api",
            "dcerpc",
            "discovery",
            "gateway",
            "machine",
            "replication",
            "storage",
            "transport",
        ],
    ),
    ("publisher", &["activation", "api", "storage", "transport"]),
    (
        "quorate",
        &[
            "activation",
            "admin",
            "dcerpc",
            "api",
            "storage",
            "machine",
            "discovery",
            "gateway",
            "replication",
            "transport",
            "client",
            "host",
            "publisher",
        ],
    ),
    // Outside the layers
    (APART, &["activation", "api", "host", "replication", "storage"]),
    ("xtask", &[]),
];

/// This package may use every package, and no package may use it: it is in no row.
const ONLOOKER: &str = "quorate-tests";

/// The simulation replaces the C library's clock in its own process: no other package may depend on it, not even for
/// tests.
const APART: &str = "simulation";

/// Crates that only compute, without I/O.
const PURE: &[&str] = &["activation", "dcerpc"];

/// Packages that bring a runtime, randomness, a clock or the operating system. A family is a package and all
/// `NAME-...`.
///
/// Only dependencies that a manifest names are checked: in a workspace, the features of indirect dependencies are the
/// union of what all crates request, so they show nothing about one crate.
const IMPURE: &[&str] = &[
    "async-std",
    "chrono",
    "fastrand",
    "getrandom",
    "hyper",
    "libc",
    "mio",
    "openraft",
    "rand",
    "rustix",
    "sled",
    "smol",
    "socket2",
    "tempfile",
    "time",
    "tokio",
    "tonic",
];

/// Families that only the named crates may use, so that the other crates stay independent of them.
const CONFINED: &[(&str, &[&str])] = &[
    ("domain", &["discovery"]),
    ("hickory", &["discovery"]),
    ("libgssapi", &["kerberos"]),
    ("openraft", &["replication"]),
    ("sled", &["storage"]),
    ("tonic", &["api", "client", "host", "publisher", "quorate", "replication", "simulation", "transport"]),
];

pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    workspace
        .members
        .iter()
        .flat_map(|package| {
            let manifest = workspace.relative(&package.manifest_path).display().to_string();
            wrong_arrows(package, &manifest, &workspace.members)
        })
        .collect()
}

fn wrong_arrows(package: &Package, manifest: &str, members: &[Package]) -> Vec<Finding> {
    if package.dependencies.iter().any(|dependency| dependency.name == APART) {
        return vec![Finding::new(
            manifest,
            format!("depends on `{APART}`, which replaces the clock of the process it is linked into"),
            "take the arrow out: run the program, as `cargo xtask simulate` does",
        )];
    }
    if package.name == ONLOOKER {
        return Vec::new();
    }
    let Some((_, may_use)) = HOUSE.iter().find(|(name, _)| *name == package.name) else {
        return vec![Finding::new(
            manifest,
            format!("`{}` is not in the design's table of crates", package.name),
            format!(
                "give it a row in {} and a section in docs/architecture.md, or put it into a crate there is",
                file!()
            ),
        )];
    };
    let shipped = package.dependencies.iter().filter(|dependency| dependency.kind != Some(DependencyKind::Dev));
    shipped
        .filter_map(|dependency| {
            let is_member = members.iter().any(|member| member.name == dependency.name);
            let refusal = if is_member {
                refused_arrow(may_use, dependency)
            } else {
                refused_purity(package, dependency).or_else(|| refused_confinement(package, dependency))
            };
            refusal.map(|(why, cure)| Finding::new(manifest, why, cure))
        })
        .collect()
}

fn refused_arrow(may_use: &[&str], dependency: &Dependency) -> Option<(String, String)> {
    (!may_use.contains(&dependency.name.as_str())).then(|| {
        let allowed = if may_use.is_empty() { "no crate of the workspace".to_owned() } else { may_use.join(", ") };
        (
            format!("depends on `{}`, but it may use only: {allowed}", dependency.name),
            "take the arrow out: hand the value in as an argument, or move the code to the crate it belongs to"
                .to_owned(),
        )
    })
}

fn refused_purity(package: &Package, dependency: &Dependency) -> Option<(String, String)> {
    // A build script may read files: it is not part of the crate.
    let pure = PURE.contains(&package.name.as_str()) && dependency.kind.is_none();
    (pure && IMPURE.iter().any(|family| belongs_to(&dependency.name, family))).then(|| {
        (
            format!(
                "depends on `{}`, but `{}` is pure: no runtime, clock, randomness or files",
                dependency.name, package.name
            ),
            "take time, random bytes and input as arguments; give effects back as values".to_owned(),
        )
    })
}

fn refused_confinement(package: &Package, dependency: &Dependency) -> Option<(String, String)> {
    let (family, rooms) = CONFINED.iter().find(|(family, _)| belongs_to(&dependency.name, family))?;
    (!rooms.contains(&package.name.as_str())).then(|| {
        (
            format!("depends on `{}`, which only these may use: {}", dependency.name, rooms.join(", ")),
            format!("use {family} through the crate that wraps it"),
        )
    })
}

fn belongs_to(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use DependencyKind::{Build, Dev};

    fn package(name: &str, dependencies: &[(&str, Option<DependencyKind>)]) -> Package {
        Package {
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            license: None,
            source: None,
            manifest_path: "Cargo.toml".into(),
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: *kind })
                .collect(),
            targets: Vec::new(),
        }
    }

    fn findings(name: &str, dependencies: &[(&str, Option<DependencyKind>)]) -> Vec<Finding> {
        let members: Vec<_> =
            HOUSE.iter().map(|(name, _)| *name).chain([ONLOOKER]).map(|name| package(name, &[])).collect();
        wrong_arrows(&package(name, dependencies), "Cargo.toml", &members)
    }

    #[test]
    fn the_table_itself_runs_downward() {
        for (row, (name, may_use)) in HOUSE.iter().enumerate() {
            for used in *may_use {
                assert!(HOUSE[..row].iter().any(|(above, _)| above == used), "{name} -> {used}");
            }
        }
    }

    #[test]
    fn what_a_crate_may_depend_on() {
        let table: &[(&str, &str, Option<DependencyKind>, bool)] = &[
            ("replication", "activation", None, true),
            ("quorate", "host", None, true),
            ("quorate-tests", "replication", None, true),
            ("quorate-tests", "sled", None, true),
            // upward, within a layer, and the same in a build script
            ("activation", "replication", None, false),
            ("storage", "host", Some(Build), false),
            ("host", "client", None, false),
            ("host", "gateway", None, true),
            ("gateway", "transport", None, true),
            ("gateway", "replication", None, false),
            ("client", "gateway", None, false),
            ("machine", "storage", None, false),
            ("discovery", "activation", None, true),
            ("discovery", "storage", None, false),
            ("host", "quorate-tests", None, false),
            ("quorate", "xtask", None, false),
            // the simulation may use some packages; no package may use it, also not for tests, and not the package of
            // the tests
            ("simulation", "host", None, true),
            ("simulation", "replication", None, true),
            ("simulation", "tonic", None, true),
            ("simulation", "transport", None, false),
            ("simulation", "client", None, false),
            ("simulation", "quorate", None, false),
            ("simulation", "quorate-tests", None, false),
            ("quorate", "simulation", None, false),
            ("host", "simulation", Some(Dev), false),
            ("xtask", "simulation", None, false),
            ("quorate-tests", "simulation", Some(Dev), false),
            // an arrow of tests only
            ("replication", "host", Some(Dev), true),
            // pure crates
            ("activation", "prost", None, true),
            ("activation", "rand_core", None, true),
            ("activation", "rand", None, false),
            ("activation", "getrandom", None, false),
            ("dcerpc", "tokio", None, false),
            ("dcerpc", "tokio-util", None, false),
            ("dcerpc", "tokio", Some(Dev), true),
            ("activation", "tempfile", Some(Build), true),
            // confined families
            ("replication", "openraft", None, true),
            ("host", "openraft", None, false),
            ("discovery", "hickory-resolver", None, true),
            ("client", "hickory-resolver", None, false),
            ("host", "domain", None, false),
            ("discovery", "libgssapi-sys", None, false),
            ("replication", "sled", None, false),
            ("storage", "sled", None, true),
            ("client", "tonic-prost", None, true),
            ("storage", "tonic", None, false),
            ("host", "tonic", None, true),
        ];
        for (name, dependency, kind, allowed) in table {
            let found = findings(name, &[(dependency, *kind)]);
            assert_eq!(found.is_empty(), *allowed, "{name} -> {dependency} ({kind:?}): {found:?}");
        }
    }

    #[test]
    fn a_finding_names_the_manifest_and_both_ends() {
        let found = findings("storage", &[("replication", None)]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].place, "Cargo.toml");
        assert!(found[0].what.contains("`replication`") && found[0].what.contains("no crate of the workspace"));
    }

    #[test]
    fn a_crate_that_the_design_does_not_know_is_found() {
        assert!(findings("common", &[])[0].what.contains("`common` is not in the design's table"));
    }
}
