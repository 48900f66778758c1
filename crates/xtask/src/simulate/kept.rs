//! The seeds that once had a finding, kept in `crates/simulation/seeds.toml`. The head of that file explains its
//! format.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Path of the file, relative to the workspace.
pub(crate) const FILE: &str = "crates/simulation/seeds.toml";

/// One kept seed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    pub(crate) seed: u64,
    /// What the seed found, in one line.
    pub(crate) found: String,
    /// The scenario that the simulation runs, instead of one that it chooses.
    pub(crate) scenario: Option<String>,
    /// Number of a case that has not been corrected yet; until then this seed is expected to fail.
    pub(crate) case: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    seed: Vec<Kept>,
}

/// The kept seeds of a file, in the order of the file.
pub(crate) fn read(file: &Path) -> Result<Vec<Kept>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    parse(&text).with_context(|| format!("cannot use {}", file.display()))
}

fn parse(text: &str) -> Result<Vec<Kept>> {
    let File { seed: kept } = toml::from_str(text)?;
    let mut seeds = BTreeSet::new();
    for Kept { seed, .. } in &kept {
        // Each seed may be kept once, because `--seed` has to select a single run.
        if !seeds.insert(seed) {
            bail!("seed {seed} is kept twice: merge the two, or find another seed for one of them");
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_seed_may_have_a_scenario_and_a_case() {
        let text = "[[seed]]\nseed = 7\nfound = \"a stale read\"\n\n[[seed]]\nseed = 9\nfound = \"an early expiry\"\n\
                    scenario = \"clock_accept\"\ncase = 2\n";
        let found = |seed, found: &str| Kept { seed, found: found.to_owned(), scenario: None, case: None };
        let second = Kept { scenario: Some("clock_accept".to_owned()), case: Some(2), ..found(9, "an early expiry") };
        assert_eq!(parse(text).unwrap(), [found(7, "a stale read"), second]);
        assert_eq!(parse("# no seeds\n").unwrap(), []);
    }

    #[test]
    fn a_file_with_a_mistake_is_refused() {
        let table = [
            ("[[seed]]\nseed = 7\n", "missing field `found`"),
            ("[[seed]]\nseed = 7\nfound = \"x\"\ncases = 2\n", "unknown field `cases`"),
            ("[[seeds]]\nseed = 7\n", "unknown field `seeds`"),
            ("[[seed]]\nseed = -1\nfound = \"x\"\n", "invalid value"),
            ("[[seed]]\nseed = 7\nfound = \"x\"\n[[seed]]\nseed = 7\nfound = \"y\"\n", "seed 7 is kept twice"),
        ];
        for (text, reason) in table {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(reason), "{text}\n{error}");
        }
    }

    #[test]
    fn the_file_of_this_repository_is_read() {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(FILE)).unwrap();
    }
}
