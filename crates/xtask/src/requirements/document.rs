//! Reads the requirements that `docs/requirements.md` lists.

use std::collections::BTreeSet;
use std::fmt;

/// A requirement, event or status code that a test can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// `R10`: behaviour that administrators know from other hosts.
    Requirement(u32),
    /// `G3`: behaviour of the gateway.
    Gateway(u32),
    Event(u32),
    /// A status code (HRESULT).
    Code(u32),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requirement(number) => write!(f, "R{number}"),
            Self::Gateway(number) => write!(f, "G{number}"),
            Self::Event(number) => write!(f, "event {number}"),
            Self::Code(code) => write!(f, "0x{code:08X}"),
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) subjects: BTreeSet<Subject>,
}

impl Document {
    /// Reads every table whose first column is headed `R`, `G`, `event` or `code`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut document = Self::default();
        let mut heading: Option<&str> = None;
        for line in text.lines() {
            let Some(cell) = first_cell(line) else {
                heading = None;
                continue;
            };
            match (heading, cell) {
                (None, heading_cell) => heading = Some(heading_cell),
                (Some(heading), cell) => document.add(heading, cell),
            }
        }
        document
    }

    fn add(&mut self, heading: &str, cell: &str) {
        let number = cell.parse().ok();
        let code = cell.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let subject = match heading {
            "R" => number.map(Subject::Requirement),
            "G" => number.map(Subject::Gateway),
            "event" => number.map(Subject::Event),
            "code" => code.map(Subject::Code),
            _ => None,
        };
        self.subjects.extend(subject);
    }

    /// The subjects of one kind, given by its constructor.
    pub(crate) fn of(&self, kind: impl Fn(u32) -> Subject) -> impl Iterator<Item = Subject> {
        self.subjects.iter().copied().filter(move |subject| kind(subject.number()) == *subject)
    }
}

impl Subject {
    fn number(self) -> u32 {
        match self {
            Self::Requirement(number) | Self::Gateway(number) | Self::Event(number) | Self::Code(number) => number,
        }
    }
}

/// The first cell of a table row, without backticks and bold.
fn first_cell(line: &str) -> Option<&str> {
    let cell = line.trim().strip_prefix('|')?.split('|').next()?;
    Some(cell.trim().trim_matches(['`', '*']))
}
