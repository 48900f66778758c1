//! Applies a recorded log with today's code and compares every recorded value.

use std::fmt;

use activation::audit::Description;
use activation::state::{Command, Format, MalformedCommand, State};
use data_encoding::{BASE64, HEXLOWER};

use super::coverage::Coverage;
use super::names;

/// The first value that differs from the recording.
#[derive(Debug)]
pub(super) struct Difference {
    /// The index of the log entry.
    pub(super) index: u64,
    what: &'static str,
    pub(super) recorded: String,
    pub(super) found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, what, recorded, found } = self;
        write!(f, "entry {index}: {what}\n recorded: {recorded}\n found:    {found}")
    }
}

/// The mark where no hash was recorded.
const NO_HASH: &str = "-";

/// One line of a recorded log.
struct Line<'a> {
    index: u64,
    hash: &'a str,
    applied: &'a str,
    audited: &'a str,
    command: Vec<u8>,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let fields: Vec<_> = line.split('\t').collect();
        let [index, hash, applied, audited, command] = fields[..] else { panic!("not five fields: {line}") };
        let command = BASE64.decode(command.as_bytes()).unwrap();
        Self { index: index.parse().unwrap(), hash, applied, audited, command }
    }
}

/// Applies every entry of `log`, and compares the state with the recorded snapshots of each format.
pub(super) fn replay(log: &str, snapshot: impl Fn(u32) -> Vec<u8>) -> Result<Coverage, Difference> {
    let mut state = State::new();
    let mut coverage = Coverage::default();
    let mut index = 0;
    for line in log.lines() {
        if let Some(format) = line.strip_prefix("# snapshot ") {
            compare_snapshot(index, &state, &snapshot(format.parse().unwrap()))?;
        } else if !line.starts_with('#') {
            let line = Line::parse(line);
            index = line.index;
            replay_entry(&mut state, &line, &mut coverage)?;
        }
    }
    state.check_invariants();
    Ok(coverage)
}

fn replay_entry(state: &mut State, line: &Line<'_>, coverage: &mut Coverage) -> Result<(), Difference> {
    let index = line.index;
    let compare = |what, recorded: &str, found: String| {
        let recorded = recorded.to_owned();
        if recorded == found { Ok(()) } else { Err(Difference { index, what, recorded, found }) }
    };
    let decoded = Command::decode_written_in(state.format(), Format::NEWEST, &line.command);
    if let Ok(command) = &decoded {
        compare("the command encoded again", &HEXLOWER.encode(&line.command), HEXLOWER.encode(&command.encode()))?;
    }
    let last_number = |state: &State| state.audit().entries().last().map_or(0, |entry| entry.number);
    let before = last_number(state);
    let applied = state.apply_checked(index, &line.command);
    let added = state.audit().entries().last().filter(|entry| entry.number != before);
    let audited = added.map_or("-".to_owned(), |entry| {
        let refused = entry.refused.as_ref().map_or(String::new(), Description::to_string);
        format!("{} => {refused}", entry.act)
    });
    compare("the result", line.applied, names::applied(&applied))?;
    compare("the entry of the audit", line.audited, audited)?;
    if line.hash != NO_HASH {
        compare("the state hash", line.hash, HEXLOWER.encode(&state.hash()))?;
    }
    assert_eq!(applied == activation::state::Applied::Newer, decoded == Err(MalformedCommand::NEWER), "entry {index}");
    coverage.add(state.format(), decoded.ok().as_ref(), &applied);
    Ok(())
}

fn compare_snapshot(index: u64, state: &State, recorded: &[u8]) -> Result<(), Difference> {
    let differ = |what, found: String| Difference { index, what, recorded: HEXLOWER.encode(recorded), found };
    if state.encode_snapshot() != recorded {
        return Err(differ("the snapshot", HEXLOWER.encode(&state.encode_snapshot())));
    }
    let restored = State::decode_snapshot(recorded).map_err(|error| differ("the snapshot read", error.to_string()))?;
    restored.check_invariants();
    if restored.hash() != state.hash() {
        return Err(differ("the snapshot written again", HEXLOWER.encode(&restored.encode_snapshot())));
    }
    Ok(())
}
