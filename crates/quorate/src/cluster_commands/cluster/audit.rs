//! `quorate cluster audit`: shows and verifies the audit records.

use std::str::FromStr;

use activation::audit::{Actor, AuditEntry, Description, Origin, shortened, verify};
use activation::coded::Coded;
use anyhow::{Context as _, anyhow};
use api::admin::v1::{AuditCode, AuditReply, AuditRequest};
use bytes::Bytes;
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Value, json};

use admin::time_text;

use crate::{
    administration::AdminArgs,
    output::{Failure, Output, table},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate cluster audit                               the last entries, the newest last
  quorate cluster audit --verify                      verifies that each entry holds the hash of the one before
  quorate cluster audit --verify --contains 140:9f2c…  and that the record contains this entry

There are two records with up to 1,000 entries each: one for administrators, one for operators, nodes and users of
tokens, so that the second never displaces entries of the first. Each entry holds the hash of the entry before it in
its record: changing or removing an entry changes every later hash. Keep the last hash elsewhere to detect a change on
all nodes.

Exit: 0 shown and, with --verify, intact; 1 verification failed, or there is no record.";

/// How many entries are shown without `--all`.
const SHOWN: usize = 50;

/// Arguments of `cluster audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// Verify that each entry contains the hash of the one before.
    #[arg(long)]
    verify: bool,
    /// Also verify that the record contains this entry (number and hash).
    #[arg(long, value_name = "NUMBER:HASH", requires = "verify")]
    contains: Option<Noted>,
    /// Show all entries that are kept, not only the last ones.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Number and hash of an entry that the user noted earlier.
#[derive(Clone, Debug)]
struct Noted {
    number: u64,
    hash: [u8; 32],
}

impl FromStr for Noted {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parsed = text.split_once(':').and_then(|(number, hash)| {
            let hash = HEXLOWER_PERMISSIVE.decode(hash.trim().as_bytes()).ok()?;
            Some(Self { number: number.trim().parse().ok()?, hash: hash.try_into().ok()? })
        });
        parsed.context("give NUMBER:HASH, as --verify printed it")
    }
}

impl Audit {
    pub(super) fn run(self, output: &Output) -> Result<(), Failure> {
        let reply = self.admin.ask(async |admin| admin.audit(AuditRequest {}).await)?;
        let records = read(reply).ok_or_else(|| anyhow!("the node's response is not a valid audit record"))?;
        if self.verify {
            self.check(&records)?;
        }
        let mut entries: Vec<_> = records.iter().flat_map(|record| &record.entries).collect();
        entries.sort_by_key(|entry| entry.origin.time_ms);
        let shown = if self.all { 0 } else { entries.len().saturating_sub(SHOWN) };
        let shown = entries.get(shown..).unwrap_or_default();
        let [last, last_other] = records.each_ref().map(Record::last);
        let value = json!({
            "verified": self.verify.then_some(true),
            "last": last,
            "last_other": last_other,
            "entries": shown.iter().map(|entry| entry_json(entry)).collect::<Vec<_>>(),
        });
        output.result(&value, self.text(shown, &records));
        Ok(())
    }

    fn check(&self, records: &[Record; 2]) -> Result<(), Failure> {
        for record in records {
            verify(record.before, &record.entries).map_err(|broken| anyhow!(broken))?;
        }
        let Some(noted) = &self.contains else { return Ok(()) };
        let of_number = |record: &Record| record.entries.iter().any(|entry| entry.number == noted.number);
        let is_noted = |entry: &AuditEntry| entry.number == noted.number && entry.hash == noted.hash;
        if records.iter().flat_map(|record| &record.entries).any(is_noted) {
            return Ok(());
        }
        if records.iter().any(of_number) {
            return Err(anyhow!(
                "the hash of audit entry {} differs from the given hash: the record was replaced",
                noted.number
            )
            .into());
        }
        Err(anyhow!("audit entry {} was not found: it is no longer kept, or does not exist yet", noted.number).into())
    }

    fn text(&self, shown: &[&AuditEntry], records: &[Record; 2]) -> String {
        let [administrators, others] = records;
        let last = match (administrators.last(), others.last()) {
            (None, None) => return "The audit record is empty.".into(),
            (Some(last), None) | (None, Some(last)) => last,
            (Some(last), Some(other)) => format!("{last}; for callers that are not administrators: {other}"),
        };
        let kept: usize = records.iter().map(|record| record.entries.len()).sum();
        let verdict = if self.verify {
            format!("\nVerified: {kept} entries, each holds the hash of the one before. Last entry: {last}")
        } else {
            String::new()
        };
        let mut rows = table(["", "time (UTC)", "who", "from", "what", "refused"]);
        for AuditEntry { number, origin, act, refused, .. } in shown {
            let Origin { who, from, time_ms, .. } = origin;
            let refused = refused.as_ref().map_or(String::new(), Description::to_string);
            rows.add_row([&number.to_string(), &time_text::second(*time_ms), who, from, &act.to_string(), &refused]);
        }
        format!("{rows}{verdict}")
    }
}

/// One of the two audit records: that of administrators, or that of other callers.
struct Record {
    /// Hash of the entry before the first one in `entries`.
    before: [u8; 32],
    /// The entries, the oldest first.
    entries: Vec<AuditEntry>,
}

impl Record {
    /// Number and hash of the last entry, in the form that `--contains` takes.
    fn last(&self) -> Option<String> {
        let last = self.entries.last()?;
        Some(format!("{}:{}", last.number, HEXLOWER_PERMISSIVE.encode(&last.hash)))
    }
}

fn entry_json(entry: &AuditEntry) -> Value {
    json!({
        "record": match entry.origin.actor {
            Actor::Administrator => "administrators",
            Actor::Other => "others",
        },
        "number": entry.number,
        "time_ms": entry.origin.time_ms,
        "who": entry.origin.who,
        "from": entry.origin.from,
        "act": entry.act.to_string(),
        "refused": entry.refused.as_ref().map(Description::to_string),
        "hash": HEXLOWER_PERMISSIVE.encode(&entry.hash),
    })
}

/// The description of an entry: the code in the words of this version, or the text. `None` for a code of a newer
/// version.
fn description(text: &str, code: Option<&AuditCode>) -> Option<Description> {
    match code {
        Some(AuditCode { code, values }) => Coded::from_parts(*code, values).map(Description::Coded),
        None => Some(Description::Text(shortened(text))),
    }
}

/// The records of the reply: that of administrators, and that of other callers. `None` where one cannot be read.
fn read(reply: AuditReply) -> Option<[Record; 2]> {
    let others_before = if reply.others_before.is_empty() { Bytes::from_static(&[0; 32]) } else { reply.others_before };
    Some([
        record(&reply.before, reply.entries, Actor::Administrator)?,
        // The previous version sends no record of other callers.
        record(&others_before, reply.others, Actor::Other)?,
    ])
}

/// Decodes one record. Unprintable characters in texts are escaped, because a node of another cluster may send
/// anything.
fn record(before: &[u8], entries: Vec<api::admin::v1::AuditEntry>, actor: Actor) -> Option<Record> {
    let entries = entries.into_iter().map(|entry| {
        Some(AuditEntry {
            number: entry.number,
            origin: Origin::new(&entry.who, &entry.from, entry.time_ms).by(actor),
            act: description(&entry.act, entry.act_code.as_ref())?,
            refused: match (entry.refused.as_str(), &entry.refused_code) {
                ("", None) => None,
                (text, code) => Some(description(text, code.as_ref())?),
            },
            hash: entry.hash.as_ref().try_into().ok()?,
        })
    });
    Some(Record { before: before.try_into().ok()?, entries: entries.collect::<Option<_>>()? })
}
