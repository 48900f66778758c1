//! Finds what each test names: requirements in its name and its comments, events and status codes anywhere in it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use regex::Regex;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::document::Subject;

/// A test with its location.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Test {
    pub(crate) name: String,
    /// Location of the test, as `FILE:LINE`.
    pub(crate) place: String,
}

/// Range of the event numbers. A number of this range in a test has to be an event of the document.
const EVENTS: std::ops::RangeInclusive<u32> = 12288..=12299;

/// The patterns by which the tests of a file are searched.
pub(crate) struct Search {
    /// A requirement: `R10`, `G3`.
    number: Regex,
    /// An event: `12290`.
    event: Regex,
    /// A status code as a number: `0xC004F038`, `0xC004_F038`.
    code: Regex,
    /// A status code as a constant: `Status::BELOW_THRESHOLD`.
    constant: Regex,
    constants: BTreeMap<String, u32>,
}

impl Search {
    /// `constants` holds the names of the status codes, as in `Status::BELOW_THRESHOLD`, with their numbers.
    pub(crate) fn new(constants: BTreeMap<String, u32>) -> Result<Self> {
        let regex = |pattern| Regex::new(pattern).context("a pattern of this program is wrong");
        Ok(Self {
            number: regex(r"\b([RG])(\d{1,2})\b")?,
            event: regex(r"\b(\d{5})\b")?,
            code: regex(r"\b0[xX]([0-9a-fA-F]{4})_?([0-9a-fA-F]{4})\b")?,
            constant: regex(r"\bStatus::([A-Z][A-Z_]+)\b")?,
            constants,
        })
    }

    /// The tests of a file, each with the subjects that it names; empty where the file does not parse.
    pub(crate) fn file(&self, path: &str, text: &str) -> Vec<(Test, BTreeSet<Subject>)> {
        let Ok(syntax) = syn::parse_file(text) else { return Vec::new() };
        let mut found = Functions::default();
        found.visit_file(&syntax);
        let lines: Vec<&str> = text.lines().collect();
        let tests = found.0.into_iter().map(|(name, first, last)| {
            let first = first_comment_above(&lines, first);
            let text = lines.get(first..last).unwrap_or_default();
            let subjects = self.subjects(&name, text);
            (Test { name, place: format!("{path}:{}", first + 1) }, subjects)
        });
        tests.collect()
    }

    fn subjects(&self, name: &str, lines: &[&str]) -> BTreeSet<Subject> {
        let mut subjects: BTreeSet<_> = name.split('_').filter_map(part_of_name).collect();
        for line in lines {
            if let Some((_, comment)) = line.split_once("//") {
                for (_, [kind, number]) in self.number.captures_iter(comment).map(|found| found.extract()) {
                    subjects.extend(numbered(kind, number));
                }
            }
            let events = self.event.captures_iter(line).map(|found| found.extract());
            subjects.extend(events.filter_map(|(_, [number])| event(number)));
            for (_, [high, low]) in self.code.captures_iter(line).map(|found| found.extract()) {
                subjects.extend(u32::from_str_radix(&format!("{high}{low}"), 16).map(Subject::Code));
            }
            let constants = self.constant.captures_iter(line).map(|found| found.extract());
            subjects.extend(constants.filter_map(|(_, [name])| self.constants.get(name).copied().map(Subject::Code)));
        }
        subjects
    }
}

/// The subject in one part of a test's name between underscores: `r10`, `g3`, `12290` or `c004f038`.
fn part_of_name(part: &str) -> Option<Subject> {
    let code = || Some(part).filter(|part| part.len() == 8 && part.starts_with(['8', 'c']));
    event(part)
        .or_else(|| numbered("R", part.strip_prefix('r')?))
        .or_else(|| numbered("G", part.strip_prefix('g')?))
        .or_else(|| u32::from_str_radix(code()?, 16).ok().map(Subject::Code))
}

fn numbered(kind: &str, number: &str) -> Option<Subject> {
    let number = number.parse().ok()?;
    Some(if kind == "R" { Subject::Requirement(number) } else { Subject::Gateway(number) })
}

fn event(number: &str) -> Option<Subject> {
    number.parse().ok().filter(|number| EVENTS.contains(number)).map(Subject::Event)
}

/// The index of the first line of the comment directly above the line `first` (counted from one), or of that line.
fn first_comment_above(lines: &[&str], first: usize) -> usize {
    let above = lines.get(..first.saturating_sub(1)).unwrap_or_default();
    let comment = above.iter().rev().take_while(|line| line.trim_start().starts_with("//"));
    above.len() - comment.count()
}

/// The test functions of a file: name, first line with attributes, last line.
#[derive(Default)]
struct Functions(Vec<(String, usize, usize)>);

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
        };
        if function.attrs.iter().any(is_test) {
            let first = function.attrs.iter().map(|attribute| attribute.span().start().line).min().unwrap_or(1);
            self.0.push((function.sig.ident.to_string(), first, function.block.span().end().line));
        }
        visit::visit_item_fn(self, function);
    }

    /// Finds tests in a macro call, such as `proptest!`.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
    }
}

impl Functions {
    fn tokens(&mut self, stream: TokenStream) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let (mut attributes_at, mut is_test, mut name) = (None, false, None);
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '#' && name.is_none() => {
                    attributes_at = attributes_at.or(Some(punct.span().start().line));
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket && name.is_none() => {
                    is_test |= group.stream().to_string() == "test";
                }
                TokenTree::Ident(word) if *word == "fn" && is_test => {
                    name = tokens.get(at + 1).map(ToString::to_string);
                }
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    if let (Some(name), Some(first)) = (name.take(), attributes_at) {
                        self.0.push((name, first, group.span_close().end().line));
                    }
                    (attributes_at, is_test) = (None, false);
                }
                _ => {}
            }
        }
    }
}
