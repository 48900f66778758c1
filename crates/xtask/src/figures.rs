//! What scenarios measure: each writes a file, and the table of all of them is printed when they have run.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde::Deserialize;

use crate::cargo::Workspace;

/// Names the folder to those who measure.
pub(crate) const VARIABLE: &str = "QUORATE_TEST_FIGURES";

/// Where figures are collected.
pub(crate) struct Folder(PathBuf);

/// Of one scenario.
#[derive(Deserialize)]
struct Figures {
    scenario: String,
    answered: u64,
    refused: u64,
    unanswered: u64,
    /// Answers that are in snapshots only, and were not looked up.
    before_logs: u64,
    lasted_ms: u64,
    longest_ms: u64,
    pauses: Vec<Pause>,
}

/// The longest time without an answer, while this went on.
#[derive(Deserialize)]
struct Pause {
    during: String,
    longest_ms: u64,
}

impl Folder {
    /// In the build folder, with nothing of an earlier run in it.
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

    /// All that was measured; none where nothing was.
    pub(crate) fn table(&self) -> Result<Option<String>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            all.push(serde_json::from_str::<Figures>(&text).with_context(|| path.display().to_string())?);
        }
        all.sort_by(|one, other| one.scenario.cmp(&other.scenario));
        Ok((!all.is_empty()).then(|| rendered(&all)))
    }
}

fn rendered(all: &[Figures]) -> String {
    let mut table = Table::new();
    table.load_preset(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["scenario", "answered", "a second", "refused", "no answer", "longest pause", "while"]);
    for figures in all {
        let a_second = figures.answered * 1000 / figures.lasted_ms.max(1);
        // The longest of all, then that of each part.
        let (mut longest, mut during) = (format!("{} ms", figures.longest_ms), "in all".to_owned());
        for pause in &figures.pauses {
            longest.push_str(&format!("\n{} ms", pause.longest_ms));
            during.push_str(&format!("\n{}", pause.during));
        }
        let numbers =
            [figures.answered, a_second, figures.refused, figures.unanswered].map(|number| number.to_string());
        let [answered, a_second, refused, unanswered] = numbers;
        table.add_row([figures.scenario.clone(), answered, a_second, refused, unanswered, longest, during]);
    }
    let in_snapshots: u64 = all.iter().map(|figures| figures.before_logs).sum();
    let looked_up: u64 = all.iter().map(|figures| figures.answered).sum::<u64>() - in_snapshots;
    format!(
        "{table}\nrefused: a host said that it cannot answer now; no answer: its connection ended, or its time. Both go on to \
         the next host.\nOf all answers {looked_up} were found by their log index; {in_snapshots} are in snapshots only, since \
         logs were cut."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_holds_every_scenario_and_every_part_of_it() {
        let text = r#"{"scenario":"leader isolated","answered":900,"refused":6,"unanswered":1,"before_logs":100,
            "lasted_ms":3000,"longest_ms":598,"pauses":[{"during":"the leader is cut off","longest_ms":598}]}"#;
        let table = rendered(&[serde_json::from_str(text).unwrap()]);
        for part in ["leader isolated", "900", "300", "598 ms", "the leader is cut off", "800 were found", "100 are in"]
        {
            assert!(table.contains(part), "{part}\n{table}");
        }
    }
}
