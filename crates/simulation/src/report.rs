//! The report of a run, which the program prints as one JSON object.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{faults::KINDS, oracle::Violation, plant::PLANTS, world::World};

/// Violations that the product is known to have today: the kind, and the number of the case in the collection of
/// failed inputs (0 where it has none). Such a violation does not fail an ordinary run.
const KNOWN: [(&str, u32); 0] = [];

/// The case of a known kind of violation; `None` where the kind is not known.
pub(crate) fn known_case(kind: &str) -> Option<u32> {
    KNOWN.iter().find(|(known, _)| *known == kind).map(|(_, case)| *case)
}

/// The faults, bugs and scenarios that this program has.
#[derive(Serialize)]
pub(crate) struct Abilities {
    faults: [&'static str; KINDS.len()],
    plants: Vec<PlantAbility>,
    scenarios: Vec<&'static str>,
}

#[derive(Serialize)]
struct PlantAbility {
    bug: &'static str,
    seeds_max: u64,
}

impl Abilities {
    pub(crate) fn new(scenarios: Vec<&'static str>) -> Self {
        let plants = PLANTS.iter().map(|(bug, _, seeds_max)| PlantAbility { bug, seeds_max: *seeds_max }).collect();
        Self { faults: KINDS, plants, scenarios }
    }
}

/// The report of one run.
#[derive(Debug, Serialize)]
pub(crate) struct RunReport {
    seed: u64,
    plant: Option<String>,
    scenario: Option<String>,
    virtual_seconds: f64,
    nodes: u64,
    faults: BTreeMap<&'static str, u64>,
    /// Hash over all lines of the trace; the same seed always gives the same hash.
    trace_hash: String,
    acknowledged: usize,
    entries: u64,
    known: Vec<KnownViolation>,
    pub(crate) failure: Option<Failure>,
}

#[derive(Debug, Serialize)]
struct KnownViolation {
    case: u32,
    kind: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    kind: &'static str,
    at_seconds: f64,
    expected: String,
    found: String,
    last_events: Vec<String>,
}

impl RunReport {
    /// Makes the report of a run. In a scenario every violation fails the run; in an ordinary run the violations of
    /// [`KNOWN`] do not.
    pub(crate) fn new(
        world: &World,
        (seed, plant, scenario): (u64, Option<String>, Option<String>),
        nodes: u64,
        elapsed: Duration,
    ) -> Self {
        let (hash, last_events, _) = world.traced();
        let violations = world.violations();
        let is_known = |violation: &&Violation| scenario.is_none() && known_case(violation.kind).is_some();
        let known = violations
            .iter()
            .filter(is_known)
            .map(|violation| KnownViolation { case: known_case(violation.kind).unwrap_or(0), kind: violation.kind });
        let failure = violations.iter().find(|violation| !is_known(violation)).map(|violation| Failure {
            kind: violation.kind,
            at_seconds: violation.at.as_secs_f64(),
            expected: violation.expected.clone(),
            found: violation.found.clone(),
            last_events,
        });
        Self {
            seed,
            plant,
            known: known.collect(),
            scenario,
            virtual_seconds: elapsed.as_secs_f64(),
            nodes,
            faults: world.faults(),
            trace_hash: format!("{hash:016x}"),
            acknowledged: world.oracle(|oracle| oracle.acknowledgements()),
            entries: world.oracle(|oracle| oracle.last_applied()),
            failure,
        }
    }
}
