//! Lists, for each requirement, event and status code of `docs/requirements.md`, the tests that name it.
//!
//! A test names a requirement in its name (`r10_...`) or in a comment (`R10`), and an event or a code anywhere in its
//! body.

mod document;
mod named;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use comfy_table::{Table, presets::NOTHING};
use regex::Regex;

use crate::finding::Finding;
use crate::tree::Tree;
use document::{Document, Subject};
use named::{Search, Test};

const DOCUMENT: &str = "docs/requirements.md";

/// The file that defines the names of the status codes.
const STATUSES: &str = "crates/activation/src/status.rs";

/// The upper half of activation's own status codes: a code of this family that a test names has to be in the
/// document. Codes of other families belong to Windows.
const ACTIVATION_CODES: u32 = 0xC004;

/// The result of the check.
pub(crate) struct Proof {
    pub(crate) findings: Vec<Finding>,
    /// A table of all subjects with their tests.
    pub(crate) table: String,
    /// Summary, as `requirements 39/39 R, 7/7 events, codes 11/11`.
    pub(crate) figure: String,
    /// Summary of the gateway, as `gateway 0/12 G, planned`.
    pub(crate) gateway: String,
}

type Named = BTreeMap<Subject, BTreeSet<Test>>;

pub(crate) fn check(tree: &Tree) -> Result<Proof> {
    let document = tree.text(DOCUMENT).with_context(|| format!("{DOCUMENT} cannot be read"))?;
    let statuses = tree.text(STATUSES).with_context(|| format!("{STATUSES} cannot be read"))?;
    let constants = constants(&statuses)?;
    let search = Search::new(constants.clone())?;
    let mut named = Named::new();
    for path in tree.files().filter(|path| path.ends_with(".rs") && !path.starts_with("crates/xtask/")) {
        let text = tree.text(path).unwrap_or_default();
        for (test, subjects) in search.file(path, &text) {
            for subject in subjects {
                named.entry(subject).or_default().insert(test.clone());
            }
        }
    }
    Ok(judge(&Document::parse(&document), &named, &constants))
}

/// The names of the status codes and their numbers, without success.
fn constants(text: &str) -> Result<BTreeMap<String, u32>> {
    let pattern = Regex::new(r"(?m)^\s*([A-Z][A-Z_]*) = 0x([0-9A-F]{4})_([0-9A-F]{4}),")?;
    let found = pattern.captures_iter(text).map(|found| found.extract());
    found
        .map(|(_, [name, high, low])| Ok((name.to_owned(), u32::from_str_radix(&format!("{high}{low}"), 16)?)))
        .collect()
}

fn judge(document: &Document, named: &Named, constants: &BTreeMap<String, u32>) -> Proof {
    let is_named = |subject: &Subject| named.contains_key(subject);
    let count = |kind: fn(u32) -> Subject| {
        let all: Vec<_> = document.of(kind).collect();
        format!("{}/{}", all.iter().filter(|subject| is_named(subject)).count(), all.len())
    };
    let figure = format!(
        "requirements {} R, {} events, codes {}",
        count(Subject::Requirement),
        count(Subject::Event),
        count(Subject::Code)
    );
    let gateway = format!("gateway {} G, planned", count(Subject::Gateway));
    let mut findings: Vec<_> =
        document.subjects.iter().filter(|subject| !is_named(subject)).filter_map(missing).collect();
    findings.extend(unknown(document, named));
    findings.extend(undocumented(document, constants));
    Proof { findings, table: table(document, named), figure, gateway }
}

/// The finding for a subject without a test; `None` for the gateway, which is planned and has no tests yet.
fn missing(subject: &Subject) -> Option<Finding> {
    let cure = match subject {
        Subject::Gateway(_) => return None,
        Subject::Requirement(number) => {
            format!("write a test `r{number}_...`, or say `R{number}` in the comment of the test that proves it")
        }
        Subject::Event(_) | Subject::Code(_) => {
            "write a test in which it appears, by its number or constant".to_owned()
        }
    };
    Some(Finding::new(DOCUMENT, format!("no test names {subject}"), cure))
}

fn unknown<'a>(document: &'a Document, named: &'a Named) -> impl Iterator<Item = Finding> + 'a {
    let is_known = |subject: &Subject| {
        let is_windows = matches!(*subject, Subject::Code(code) if code >> 16 != ACTIVATION_CODES);
        is_windows || document.subjects.contains(subject)
    };
    named.iter().filter(move |(subject, _)| !is_known(subject)).flat_map(|(subject, tests)| {
        tests.iter().map(move |test| {
            Finding::new(
                test.place.clone(),
                format!("`{}` names {subject}, which {DOCUMENT} does not have", test.name),
                "correct the number, or add it to the document",
            )
        })
    })
}

fn undocumented<'a>(
    document: &'a Document,
    constants: &'a BTreeMap<String, u32>,
) -> impl Iterator<Item = Finding> + 'a {
    let is_known = |code: &u32| document.subjects.contains(&Subject::Code(*code));
    constants.iter().filter(move |(_, code)| !is_known(code)).map(|(name, code)| {
        Finding::new(
            STATUSES,
            format!("`{name}` is 0x{code:08X}, which {DOCUMENT} does not have"),
            "add a row to the table of status codes",
        )
    })
}

fn table(document: &Document, named: &Named) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["named", "tests", "which"]);
    for subject in document.subjects.iter().filter(|subject| !matches!(subject, Subject::Gateway(_))) {
        let tests = named.get(subject);
        let lines: Vec<_> = tests.into_iter().flatten().map(|test| format!("{} ({})", test.name, test.place)).collect();
        table.add_row([subject.to_string(), lines.len().to_string(), lines.join("\n")]);
    }
    table.to_string()
}
