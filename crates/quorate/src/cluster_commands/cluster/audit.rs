//! `quorate cluster audit`.

use std::str::FromStr;

use activation::audit::{AuditEntry, Description, Origin, shortened, verify};
use activation::coded::Coded;
use anyhow::{Context as _, anyhow};
use api::admin::v1::{AuditCode, AuditReply, AuditRequest};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Value, json};

use admin::time_text;

use crate::{
    administration::AdminArgs,
    output::{Failure, Output, table},
};

pub(super) const EXAMPLES: &str = "\
Examples:
  quorate cluster audit                               the last entries, the newest at the end
  quorate cluster audit --verify                      whether each entry follows from the one before
  quorate cluster audit --verify --contains 140:9f2c…  and whether the one that was noted then is still among them

Each entry holds the hash of the one before: none can be changed or left out without every later hash being another one.
Whoever keeps the last hash elsewhere can prove it against all nodes together.

Exit: 0 shown, and whole; 1 not whole, or there is no record.";

/// Entries that are shown unless more are asked for.
const SHOWN: usize = 50;

/// Arguments of `cluster audit`.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// Check that each entry follows from the one before.
    #[arg(long)]
    verify: bool,
    /// The number and hash of an entry that must be among them.
    #[arg(long, value_name = "NUMBER:HASH", requires = "verify")]
    contains: Option<Noted>,
    /// All that is kept, not only the last entries.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// An entry that was noted elsewhere.
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
        let (before, entries) = read(reply).ok_or_else(|| anyhow!("the node answered something else than a record"))?;
        if self.verify {
            self.check(before, &entries)?;
        }
        let shown = if self.all {
            entries.as_slice()
        } else {
            entries.get(entries.len().saturating_sub(SHOWN)..).unwrap_or_default()
        };
        let last = entries.last().map(|entry| format!("{}:{}", entry.number, HEXLOWER_PERMISSIVE.encode(&entry.hash)));
        let value = json!({
            "verified": self.verify.then_some(true),
            "last": last,
            "entries": shown.iter().map(entry_json).collect::<Vec<_>>(),
        });
        output.result(&value, self.text(shown, entries.len(), last.as_deref()));
        Ok(())
    }

    fn check(&self, before: [u8; 32], entries: &[AuditEntry]) -> Result<(), Failure> {
        verify(before, entries).map_err(|broken| anyhow!(broken))?;
        let Some(noted) = &self.contains else { return Ok(()) };
        match entries.iter().find(|entry| entry.number == noted.number) {
            Some(entry) if entry.hash == noted.hash => Ok(()),
            Some(_) => {
                Err(anyhow!("entry {} is another one than was noted: the record was made anew", noted.number).into())
            }
            None => Err(anyhow!("entry {} is not kept any more, or not there yet", noted.number).into()),
        }
    }

    fn text(&self, shown: &[AuditEntry], kept: usize, last: Option<&str>) -> String {
        let Some(last) = last else { return "Nothing was done yet.".into() };
        let verdict = if self.verify {
            format!("\nEach of {kept} follows from the one before. The last: {last}")
        } else {
            String::new()
        };
        let mut rows = table(["", "time (UTC)", "who", "from", "what", "refused"]);
        for AuditEntry { number, origin, act, refused, .. } in shown {
            let Origin { who, from, time_ms } = origin;
            let refused = refused.as_ref().map_or(String::new(), Description::to_string);
            rows.add_row([&number.to_string(), &time_text::second(*time_ms), who, from, &act.to_string(), &refused]);
        }
        format!("{rows}{verdict}")
    }
}

fn entry_json(entry: &AuditEntry) -> Value {
    json!({
        "number": entry.number,
        "time_ms": entry.origin.time_ms,
        "who": entry.origin.who,
        "from": entry.origin.from,
        "act": entry.act.to_string(),
        "refused": entry.refused.as_ref().map(Description::to_string),
        "hash": HEXLOWER_PERMISSIVE.encode(&entry.hash),
    })
}

/// A code in this version's words, or the text. `None` for a code of a newer version.
fn description(text: &str, code: Option<&AuditCode>) -> Option<Description> {
    match code {
        Some(AuditCode { code, values }) => Coded::from_parts(*code, values).map(Description::Coded),
        None => Some(Description::Text(shortened(text))),
    }
}

/// Texts are made printable again: a node that is somebody else's may say anything.
fn read(reply: AuditReply) -> Option<([u8; 32], Vec<AuditEntry>)> {
    let entries = reply.entries.into_iter().map(|entry| {
        Some(AuditEntry {
            number: entry.number,
            origin: Origin::new(&entry.who, &entry.from, entry.time_ms),
            act: description(&entry.act, entry.act_code.as_ref())?,
            refused: match (entry.refused.as_str(), &entry.refused_code) {
                ("", None) => None,
                (text, code) => Some(description(text, code.as_ref())?),
            },
            hash: entry.hash.as_ref().try_into().ok()?,
        })
    });
    Some((reply.before.as_ref().try_into().ok()?, entries.collect::<Option<_>>()?))
}
