//! The figures of floods: how many requests were served and refused, the longest wait, and the memory of the nodes.

use comfy_table::{ContentArrangement, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde::Deserialize;

/// The figures of one flood.
#[derive(Deserialize)]
pub(crate) struct Flood {
    flood: String,
    /// Empty where the flood did not end.
    phases: Vec<Phase>,
}

/// The figures of one phase: before the flood, during it, or after it.
#[derive(Deserialize)]
struct Phase {
    phase: String,
    asked: Vec<Asked>,
    /// Memory of all nodes together, in megabytes.
    memory_mb: u64,
}

#[derive(Deserialize)]
struct Asked {
    who: String,
    served: u64,
    refused: u64,
    longest_ms: u64,
}

/// The table of all floods; `None` where there was none.
pub(crate) fn rendered(mut floods: Vec<Flood>) -> Option<String> {
    if floods.is_empty() {
        return None;
    }
    floods.sort_by(|one, other| one.flood.cmp(&other.flood));
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["flood", "phase", "who", "served", "refused", "longest wait", "memory of all nodes"]);
    for Flood { flood, phases } in floods {
        if phases.is_empty() {
            table.add_row([flood.as_str(), "failed"]);
        }
        for (number, Phase { phase, asked, memory_mb }) in phases.into_iter().enumerate() {
            let column = |of: &dyn Fn(&Asked) -> String| asked.iter().map(of).collect::<Vec<_>>().join("\n");
            table.add_row([
                if number == 0 { flood.clone() } else { String::new() },
                phase,
                column(&|asked| asked.who.clone()),
                column(&|asked| asked.served.to_string()),
                column(&|asked| asked.refused.to_string()),
                column(&|asked| format!("{} ms", asked.longest_ms)),
                format!("{memory_mb} MB"),
            ]);
        }
    }
    Some(table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF_OPEN: &str = r#"{"flood":"half-open","phases":[{"phase":"during","memory_mb":321,"asked":[
        {"who":"clients","served":300,"refused":7,"longest_ms":41},{"who":"probes","served":150,"refused":0,"longest_ms":9}]}]}"#;

    #[test]
    fn a_table_holds_every_flood_with_its_phases_and_shows_one_that_failed() {
        assert_eq!(rendered(Vec::new()), None);
        let floods = [HALF_OPEN, r#"{"flood":"silent","phases":[]}"#].map(|text| serde_json::from_str(text).unwrap());
        let table = rendered(floods.into()).unwrap();
        for part in ["half-open", "during", "clients", "300", "7", "41 ms", "probes", "321 MB"] {
            assert!(table.contains(part), "{part}\n{table}");
        }
        assert!(table.lines().any(|line| line.contains("silent") && line.contains("failed")), "{table}");
    }
}
