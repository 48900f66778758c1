//! The counters of a run, and the report that is made of them.

use std::fmt;

use serde::Serialize;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const HOURS_OF_DAY: usize = 24;

/// The counters of a run.
pub(super) struct Tally {
    machines: u32,
    licensed: u32,
    all_licensed_after_minutes: Option<u64>,
    answered: u64,
    by_hour: Vec<u64>,
    licensed_by_day: Vec<u32>,
}

/// The result of a run, as JSON and as text.
#[derive(Serialize)]
pub(super) struct FleetReport {
    machines: u32,
    days: usize,
    /// The lowest share of licensed machines at the end of a day, over all days after the first.
    licensed_share_min_after_day_1: f64,
    requests: u64,
    /// Requests that received a signed answer.
    answered: u64,
    peak_per_hour: u64,
    /// When all machines had a licence for the first time, in minutes of the virtual clock.
    all_licensed_after_minutes: Option<u64>,
    licensed_share_by_day: Vec<f64>,
    requests_by_day: Vec<u64>,
}

impl Tally {
    pub(super) fn new(machines: u32) -> Self {
        Self {
            machines,
            licensed: 0,
            all_licensed_after_minutes: None,
            answered: 0,
            by_hour: Vec::new(),
            licensed_by_day: Vec::new(),
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.by_hour.iter().sum()
    }

    /// Whether all machines are licensed, judged by the last answer to each.
    pub(super) fn all_are_licensed(&self) -> bool {
        self.licensed == self.machines
    }

    /// Counts a request in the hour in which it was due, also where the machine asks a little early.
    pub(super) fn request(&mut self, due_ms: u64) {
        let Ok(hour) = usize::try_from(due_ms / HOUR_MS) else { return };
        if self.by_hour.len() <= hour {
            self.by_hour.resize(hour + 1, 0);
        }
        if let Some(of_hour) = self.by_hour.get_mut(hour) {
            *of_hour += 1;
        }
    }

    /// Counts the outcome of a request, with whether the machine was licensed before it and is afterwards.
    pub(super) fn heard(&mut self, at_ms: u64, is_answered: bool, (was_licensed, is_licensed): (bool, bool)) {
        self.answered += u64::from(is_answered);
        match (was_licensed, is_licensed) {
            (false, true) => self.licensed += 1,
            (true, false) => self.licensed = self.licensed.saturating_sub(1),
            _ => {}
        }
        if self.all_are_licensed() {
            self.all_licensed_after_minutes.get_or_insert(at_ms.div_ceil(MINUTE_MS));
        }
    }

    /// Records how many machines are licensed at the end of a day; licences that expired are subtracted here.
    pub(super) fn look(&mut self, licensed: usize) {
        self.licensed = u32::try_from(licensed).unwrap_or(u32::MAX);
        self.licensed_by_day.push(self.licensed);
    }

    pub(super) fn report(&self) -> FleetReport {
        let share = |licensed: &u32| f64::from(*licensed) / f64::from(self.machines);
        let days = self.licensed_by_day.len();
        let mut requests_by_day: Vec<u64> = self.by_hour.chunks(HOURS_OF_DAY).map(|day| day.iter().sum()).collect();
        requests_by_day.truncate(days);
        requests_by_day.resize(days, 0);
        FleetReport {
            machines: self.machines,
            days,
            licensed_share_min_after_day_1: self.licensed_by_day.iter().map(share).fold(1.0, f64::min),
            requests: self.requests(),
            answered: self.answered,
            peak_per_hour: self.by_hour.iter().copied().max().unwrap_or(0),
            all_licensed_after_minutes: self.all_licensed_after_minutes,
            licensed_share_by_day: self.licensed_by_day.iter().map(share).collect(),
            requests_by_day,
        }
    }
}

impl fmt::Display for FleetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machines, days, requests, answered, peak_per_hour, .. } = self;
        writeln!(f, "{machines} machines over {days} days, against three nodes:")?;
        writeln!(f, "  requests        {requests}, of which {answered} were answered")?;
        writeln!(f, "  busiest hour    {peak_per_hour} requests")?;
        match self.all_licensed_after_minutes {
            Some(minutes) => writeln!(f, "  all licensed    after {minutes} minutes")?,
            None => writeln!(f, "  all licensed    never")?,
        }
        write!(
            f,
            "  licensed share  {:.4} minimum at the end of a day, from day 1 on",
            self.licensed_share_min_after_day_1
        )
    }
}
