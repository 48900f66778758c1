//! The recorded log, and the state to which its entries are applied.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use activation::audit::{Description, Origin};
use activation::limits::STATE_HASH_INTERVAL_ENTRIES;
use activation::state::{Act, Applied, Command, State};
use data_encoding::{BASE64, HEXLOWER};

use crate::names;
use crate::world::START_MS;

pub(crate) struct Recording {
    folder: PathBuf,
    text: String,
    state: State,
    index: u64,
    entries: u64,
    /// Cluster time of the next batch.
    pub(crate) now_ms: u64,
    /// How many commands got an id so far.
    ids: u128,
    /// The state hash is written after every entry whose index is a multiple of this number.
    pub(crate) hash_every: u64,
}

impl Recording {
    pub(crate) fn new(folder: &Path) -> Self {
        let (text, state) = (String::new(), State::new());
        Self { folder: folder.to_owned(), text, state, index: 0, entries: 0, now_ms: START_MS, ids: 0, hash_every: 1 }
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    pub(crate) fn section(&mut self, title: &str) {
        writeln!(self.text, "# {title}").unwrap();
    }

    /// Moves on, so that the next entry is at an index at which nodes keep state hashes.
    pub(crate) fn to_hash_boundary(&mut self) {
        self.index = (self.index / STATE_HASH_INTERVAL_ENTRIES + 1) * STATE_HASH_INTERVAL_ENTRIES - 1;
    }

    /// Records an entry with these bytes.
    pub(crate) fn entry(&mut self, bytes: &[u8]) -> Applied {
        let last_number = |state: &State| state.audit().entries().last().map_or(0, |entry| entry.number);
        let before = last_number(&self.state);
        self.index += 1;
        let applied = self.state.apply(self.index, bytes);
        self.state.check_invariants();
        let added = self.state.audit().entries().last().filter(|entry| entry.number != before);
        let audited = added.map_or("-".to_owned(), |entry| {
            format!("{} => {}", entry.act, entry.refused.as_ref().map_or(String::new(), Description::to_string))
        });
        let index = self.index;
        let is_hashed = index.is_multiple_of(self.hash_every);
        let hash = if is_hashed { HEXLOWER.encode(&self.state.hash()) } else { "-".to_owned() };
        let (result, command) = (names::applied(&applied), BASE64.encode(bytes));
        writeln!(self.text, "{index}\t{hash}\t{result}\t{audited}\t{command}").unwrap();
        self.entries += 1;
        applied
    }

    /// Records a command that does not come from an administrator.
    pub(crate) fn command(&mut self, command: &Command) -> Applied {
        self.entry(&command.encode())
    }

    /// Records an entry whose outcome must be `expected` (see [`names::applied`]). Returns its index.
    pub(crate) fn expect(&mut self, expected: &str, command: &Command) -> u64 {
        let applied = self.command(command);
        assert_eq!(names::applied(&applied), expected, "{command:?}");
        self.index
    }

    /// Records a command with its own id where the format remembers commands, and without an id below that format.
    pub(crate) fn once(&mut self, expected: &str, command: Command) {
        self.ids += 1;
        let id = self.ids.to_be_bytes();
        let command = match self.state.format().remembers_commands() {
            true => Command::Once { id, command: Box::new(command) },
            false => command,
        };
        self.expect(expected, &command);
    }

    /// The command as an act of an administrator.
    pub(crate) fn audited(&self, command: Command) -> Command {
        let origin = Origin::new("Ada (administrator)", "192.0.2.7", self.now_ms);
        Command::Audited { origin, act: Act::Command(Box::new(command)) }
    }

    /// Records an administrator's act whose outcome must be `expected`.
    pub(crate) fn act(&mut self, expected: &str, command: Command) {
        let command = self.audited(command);
        self.once(expected, command);
    }

    pub(crate) fn done(&mut self, command: Command) {
        self.act("done", command);
    }

    /// Writes the state into a file, as a snapshot holds it.
    pub(crate) fn snapshot(&mut self) {
        let format = self.state.format();
        std::fs::write(self.folder.join(format!("state-{format}.bin")), self.state.encode_snapshot()).unwrap();
        writeln!(self.text, "# snapshot {format}").unwrap();
    }

    pub(crate) fn finish(&self) {
        std::fs::write(self.folder.join("log.txt"), &self.text).unwrap();
    }
}
