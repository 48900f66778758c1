//! Checks the documents against the repository: paths exist, each crate states its invariant, CI runs the documented
//! command.
//!
//! A document whose paths are not checked becomes outdated. Fenced blocks are not checked here: they hold commands
//! and output, and tests run the documents' commands.

use crate::finding::Finding;
use crate::tree::Tree;

/// Names that the design has in the root folder, besides dot-files. `target` is cargo's.
const TOP: &[&str] =
    &["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "crates", "deploy", "docs", "proto", "target", "tests"];

/// The file that `cargo xtask simulate --trace trace.txt` writes. Git ignores it.
const TRACE: &str = "trace.txt";

/// A word in backticks that begins with one of these is a path from the root.
const ROOTS: &[&str] = &[".cargo/", ".ci/", ".config/", "crates/", "deploy/", "docs/", "proto/", "tests/"];

/// A word in backticks with one of these endings is a source file, possibly with a shortened path (`src/count.rs`).
const SOURCES: &[&str] = &[".proto", ".rs"];

const ARCHITECTURE: &str = "docs/architecture.md";
const INVARIANT: &str = "Invariant: never";

/// The test command that the README and CI have to use.
const TEST_COMMAND: &str = "cargo xtask test";

pub(crate) fn check_top(tree: &Tree) -> Vec<Finding> {
    tree.top()
        .filter(|name| !name.starts_with('.') && !TOP.contains(name) && *name != TRACE)
        .map(|name| {
            Finding::new(name, "is not a name of the top level", format!("move it below one of: {}", TOP.join(" ")))
        })
        .collect()
}

pub(crate) fn check_documents(tree: &Tree) -> Vec<Finding> {
    let documents =
        tree.files().filter(|path| *path == "README.md" || path.starts_with("docs/") && path.ends_with(".md"));
    let mut findings: Vec<_> = documents
        .filter_map(|path| Some((path, tree.text(path)?)))
        .flat_map(|(path, text)| dead_paths(tree, path, &text))
        .collect();
    findings.extend(missing_invariants(tree, tree.text(ARCHITECTURE).as_deref()));
    for path in ["README.md", ".ci/run"] {
        if !tree.text(path).is_some_and(|text| text.contains(TEST_COMMAND)) {
            findings.push(Finding::new(
                path,
                format!("is missing, or does not say `{TEST_COMMAND}`"),
                "README and CI have one test command",
            ));
        }
    }
    findings
}

fn dead_paths(tree: &Tree, document: &str, text: &str) -> Vec<Finding> {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    prose(text)
        .flat_map(|(number, line)| {
            let (spans, rest) = code_spans(line);
            let words = spans.into_iter().flat_map(str::split_whitespace).filter(|word| !word_lives(tree, word));
            let targets = link_targets(&rest);
            let targets = targets.iter().filter(|target| !link_lives(tree, folder, target));
            words.map(str::to_owned).chain(targets.cloned()).map(move |path| (number, path)).collect::<Vec<_>>()
        })
        .map(|(number, path)| {
            Finding::new(
                format!("{document}:{number}"),
                format!("names `{path}`, which does not exist"),
                "name the path as it is now, or take the sentence out",
            )
        })
        .collect()
}

/// The lines outside fenced blocks, with their numbers counted from one.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The spans in backticks, and the rest of the line.
fn code_spans(line: &str) -> (Vec<&str>, String) {
    let mut spans = Vec::new();
    let mut rest = String::new();
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 1 { spans.push(part) } else { rest.push_str(part) }
    }
    (spans, rest)
}

/// The targets of Markdown and HTML links and images.
fn link_targets(line: &str) -> Vec<String> {
    let between = |open: &'static str, close: &'static [char]| {
        line.match_indices(open).filter_map(move |(at, _)| {
            let target = line.get(at + open.len()..)?;
            target.split(close).next()
        })
    };
    let inline = between("](", &[')', ' ']);
    let html = between("src=\"", &['"']).chain(between("href=\"", &['"']));
    let reference = between("]: ", &[' ']).filter(|_| line.starts_with('['));
    inline.chain(html).chain(reference).map(str::to_owned).collect()
}

/// Whether a word in backticks is an existing path of the repository, or no path.
fn word_lives(tree: &Tree, word: &str) -> bool {
    let path = word.trim_matches(|c| matches!(c, ',' | ';' | '(' | ')' | '"' | '\''));
    let path = path.split([':', '#']).next().unwrap_or(path).trim_end_matches('.');
    if ROOTS.iter().any(|root| path.starts_with(root)) {
        tree.contains(fixed_part(path).trim_end_matches('/'))
    } else {
        let is_source = SOURCES.iter().any(|ending| path.strip_suffix(ending).is_some_and(|stem| !stem.is_empty()));
        !is_source || fixed_part(path) != path || tree.has_file_ending_in(path)
    }
}

/// The part of the path before the first placeholder: `crates/*/fuzz` gives `crates`.
fn fixed_part(path: &str) -> &str {
    let placeholder = path.find(['*', '<', '{', '$', '…', '?']).or_else(|| path.find("..."));
    placeholder.map_or(path, |at| path.get(..at).and_then(|head| head.rsplit_once('/')).map_or("", |(head, _)| head))
}

/// Whether a link points outside the repository, or its target exists.
fn link_lives(tree: &Tree, folder: &str, target: &str) -> bool {
    let path = target.split('#').next().unwrap_or(target);
    if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
        return true;
    }
    let (base, path) = path.strip_prefix('/').map_or((folder, path), |path| ("", path));
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return false;
                }
            }
            name => parts.push(name),
        }
    }
    tree.contains(&parts.join("/"))
}

fn missing_invariants(tree: &Tree, architecture: Option<&str>) -> Vec<Finding> {
    let Some(text) = architecture else {
        return vec![Finding::new(
            ARCHITECTURE,
            "is missing",
            format!("one section per crate, with `{INVARIANT} ...`"),
        )];
    };
    tree.folders_in("crates")
        .filter(|name| !states_invariant(text, name))
        .map(|name| {
            Finding::new(
                ARCHITECTURE,
                format!("has no section of `{name}` with a line that starts `{INVARIANT}`"),
                format!("say under a heading with `{name}` in backticks what the crate never does"),
            )
        })
        .collect()
}

/// Whether a line states an invariant between a heading of the crate and the next heading of the same level.
fn states_invariant(text: &str, name: &str) -> bool {
    let mut rank = None;
    prose(text).any(|(_, line)| {
        let depth = line.bytes().take_while(|byte| *byte == b'#').count();
        if depth > 0 {
            if rank.is_none_or(|rank| depth <= rank) {
                rank = heads(line, name).then_some(depth);
            }
            return false;
        }
        rank.is_some() && line.trim_start_matches(['*', '_', '>', '-', ' ']).starts_with(INVARIANT)
    })
}

/// Whether a heading names the crate: its name (or folder) in backticks, or as the first word.
fn heads(heading: &str, name: &str) -> bool {
    let (spans, rest) = code_spans(heading.trim_start_matches(['#', ' ']));
    let named = |word: &str| word.strip_prefix("crates/").unwrap_or(word) == name;
    spans.into_iter().any(named) || rest.split([' ', ':', ',']).next().is_some_and(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        Tree::of(&[
            "Cargo.toml",
            "LICENSE",
            "README.md",
            ".ci/run",
            "crates/activation/src/count.rs",
            "crates/dcerpc/src/lib.rs",
            "docs/architecture.md",
            "docs/pictures/plan.svg",
            "proto/peer.proto",
        ])
    }

    #[test]
    fn what_documents_may_name() {
        let table = [
            ("see `crates/activation`, `proto/` and `docs/architecture.md`.", None),
            ("see `crates/activation/src/count.rs:12` or `count.rs` or `src/count.rs`", None),
            ("run `cat docs/architecture.md`", None),
            ("every `crates/*/src/lib.rs`, `*.rs`, `crates/<name>`, `deploy.toml`, `a/b`, `host`", None),
            ("a `target/release/quorate` that is built, `use std::fmt`", None),
            ("[x](architecture.md) [`y`](../crates/dcerpc#top) [z](https://example.test/a) [w](#here)", None),
            ("[x]: ../README.md", None),
            ("<img src=\"pictures/plan.svg\" alt=\"the plan\">", None),
            ("```\ncat docs/nowhere.md `docs/nowhere.md`\n```", None),
            ("see `crates/discovery`", Some("crates/discovery")),
            ("run `cat docs/nowhere.md`", Some("docs/nowhere.md")),
            ("in `cache.rs`", Some("cache.rs")),
            ("every `proto/old/*.proto`", Some("proto/old/*.proto")),
            ("[x](nowhere.md \"title\")", Some("nowhere.md")),
            ("[`x`](../crates/gone#top)", Some("../crates/gone#top")),
            ("![x](/docs/pictures/gone.svg)", Some("/docs/pictures/gone.svg")),
            ("[out](../../other)", Some("../../other")),
            ("[x]: gone.md", Some("gone.md")),
            ("<a href=\"gone.html\">x</a>", Some("gone.html")),
        ];
        for (text, dead) in table {
            let found = dead_paths(&tree(), "docs/guide.md", text);
            assert_eq!(found.len(), usize::from(dead.is_some()), "{text}: {found:?}");
            if let (Some(found), Some(dead)) = (found.first(), dead) {
                assert_eq!((found.place.as_str(), found.what.contains(dead)), ("docs/guide.md:1", true), "{text}");
            }
        }
    }

    #[test]
    fn a_dead_path_is_reported_with_its_line_after_a_fenced_block() {
        let found = dead_paths(&tree(), "README.md", "# x\n```sh\ny\n```\n`docs/gone.md`\n");
        assert_eq!(found.iter().map(|finding| finding.place.as_str()).collect::<Vec<_>>(), ["README.md:5"]);
    }

    #[test]
    fn each_crate_needs_an_invariant_under_a_heading_of_its_own() {
        let both = "# Plan\n## `activation`\nInvariant: never a clock.\n### Count\nx\n## crates/dcerpc: PDUs\n**Invariant: never** a CMID.\n";
        let table = [
            (both, 0),
            ("## `activation`\n### In short\nInvariant: never x\n## `dcerpc`\nInvariant: never y\n", 0),
            ("## `activation`\nsome words\n## `dcerpc`\nInvariant: never y\n", 1),
            ("## `activation`\nInvariant: never x\n## What it is not\nInvariant: never y\n", 1),
            ("## An activation\nInvariant: never x\n## `dcerpc`\nInvariant: never y\n", 1),
            ("nothing", 2),
        ];
        for (text, missing) in table {
            assert_eq!(missing_invariants(&tree(), Some(text)).len(), missing, "{text}");
        }
        assert!(missing_invariants(&tree(), None)[0].what.contains("is missing"));
    }

    #[test]
    fn the_top_level_holds_only_the_names_of_the_design() {
        assert_eq!(check_top(&tree()), []);
        let found = check_top(&Tree::of(&["Cargo.toml", ".gitignore", "notes.md", "scripts/x.sh", "trace.txt"]));
        assert_eq!(found.iter().map(|finding| finding.place.as_str()).collect::<Vec<_>>(), ["notes.md", "scripts"]);
    }
}
