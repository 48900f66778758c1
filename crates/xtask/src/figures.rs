//! Figures that scenarios and floods measure. Each test writes a file; after the run, all files are printed as a
//! table.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde::Deserialize;

use crate::{
    cargo::Workspace,
    floods::{self, Flood},
};

/// Environment variable with the path of the folder, for the tests that measure.
pub(crate) const VARIABLE: &str = "QUORATE_TEST_FIGURES";

/// The folder in which figures are collected.
pub(crate) struct Folder(PathBuf);

/// The file that one test wrote.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Scenario(Scenario),
    Flood(Flood),
}

/// The file of a scenario that has begun.
#[derive(Deserialize)]
struct Scenario {
    scenario: String,
    /// The figures; `None` where the scenario did not end.
    figures: Option<Figures>,
}

#[derive(Deserialize)]
struct Figures {
    answered: u64,
    refused: u64,
    unanswered: u64,
    lasted_ms: u64,
    longest_ms: u64,
    pauses: Vec<Pause>,
}

/// The longest time without an answer during a phase of the scenario.
#[derive(Deserialize)]
struct Pause {
    during: String,
    longest_ms: u64,
}

impl Folder {
    /// The folder below the build folder, emptied of the files of an earlier run.
    pub(crate) fn emptied(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("figures");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| folder.display().to_string());
            }
            _ => fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?,
        }
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A table of all figures; `None` where no test wrote any.
    pub(crate) fn table(&self) -> Result<Option<String>> {
        let (mut all, mut of_floods) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            match serde_json::from_str(&text).with_context(|| path.display().to_string())? {
                Written::Scenario(scenario) => all.push(scenario),
                Written::Flood(flood) => of_floods.push(flood),
            }
        }
        all.sort_by(|one, other| one.scenario.cmp(&other.scenario));
        let tables = [(!all.is_empty()).then(|| rendered(&all)), floods::rendered(of_floods)];
        Ok(tables.into_iter().flatten().reduce(|one, other| format!("{one}\n\n{other}")))
    }
}

fn rendered(all: &[Scenario]) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["scenario", "answered", "a second", "refused", "no answer", "longest pause", "while"]);
    for Scenario { scenario, figures } in all {
        match figures {
            Some(figures) => table.add_row(figures.row(scenario)),
            None => table.add_row([scenario, "failed"]),
        };
    }
    let measured = all.iter().filter_map(|scenario| scenario.figures.as_ref());
    let looked_up: u64 = measured.map(|figures| figures.answered).sum();
    format!(
        "{table}\nrefused: a host said that it cannot answer now; no answer: its connection ended, or its time. Both go on to \
         the next host.\n{looked_up} answers were looked up, and found by their log index."
    )
}

impl Figures {
    fn row(&self, scenario: &str) -> [String; 7] {
        let a_second = self.answered * 1000 / self.lasted_ms.max(1);
        // First the longest pause in all, then that of each phase.
        let (mut longest, mut during) = (format!("{} ms", self.longest_ms), "in all".to_owned());
        for pause in &self.pauses {
            longest.push_str(&format!("\n{} ms", pause.longest_ms));
            during.push_str(&format!("\n{}", pause.during));
        }
        let numbers = [self.answered, a_second, self.refused, self.unanswered].map(|number| number.to_string());
        let [answered, a_second, refused, unanswered] = numbers;
        [scenario.to_owned(), answered, a_second, refused, unanswered, longest, during]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(scenarios: &[&str]) -> String {
        rendered(&scenarios.iter().map(|text| serde_json::from_str(text).unwrap()).collect::<Vec<_>>())
    }

    const ISOLATED: &str = r#"{"scenario":"leader isolated","figures":{"answered":900,"refused":6,"unanswered":1,
        "lasted_ms":3000,"longest_ms":598,
        "pauses":[{"during":"the leader is cut off","longest_ms":598}]}}"#;

    #[test]
    fn a_table_holds_every_scenario_and_every_part_of_it() {
        let table = table(&[ISOLATED]);
        for part in ["leader isolated", "900", "300", "598 ms", "the leader is cut off", "900 answers were"] {
            assert!(table.contains(part), "{part}\n{table}");
        }
    }

    #[test]
    fn a_scenario_that_did_not_come_to_its_end_is_shown_as_failed() {
        let table = table(&[ISOLATED, r#"{"scenario":"disk full"}"#]);
        let failed = table.lines().find(|line| line.contains("disk full"));
        assert!(failed.is_some_and(|line| line.contains("failed")) && table.contains("900 answers were"), "{table}");
    }
}
