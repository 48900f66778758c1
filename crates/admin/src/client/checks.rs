//! The checks of a client machine: pure functions from an observation to problems. Parts that were not observed are
//! not reported.

#[cfg(test)]
mod tests;

use std::path::Path;

use activation::{lifecycle::LicenseState, limits::CLOCK_SKEW_MS_MAX, status::Status};

use super::observation::{
    ClientObservation, HostProbe, LicenseObservation, LookupProblem, MachineObservation, ProbeResult,
};
use crate::{
    finding::{Finding, Problem, Verdict, findings},
    limits::{CLOCK_WARNING_MS, LICENCE_WARNING_MINUTES},
};

/// Runs every check of the observed parts. A check that passes yields one finding; a check that does not pass yields
/// a finding for each problem.
#[must_use]
pub fn check(observation: &ClientObservation) -> Vec<Finding> {
    let mut found = discovery(observation);
    if !observation.hosts.is_empty() {
        found.extend(findings("names", "every host name resolves to an address", names(&observation.hosts)));
        found.extend(findings("hosts", "every host accepts connections from here", hosts(&observation.hosts)));
    }
    found.extend(machine(&observation.machine, observation.now_ms));
    found
}

fn discovery(observation: &ClientObservation) -> Vec<Finding> {
    let (passed, problems) = match (&observation.fixed_host, &observation.named_hosts) {
        (Some(host), _) => (format!("{host} is configured; DNS is not used"), Vec::new()),
        (None, Some(Ok(hosts))) => (format!("DNS names {hosts} hosts"), Vec::new()),
        (None, Some(Err(problem))) => (String::new(), vec![lookup(problem)]),
        (None, None) => return Vec::new(),
    };
    findings("discovery", passed, problems)
}

fn lookup(problem: &LookupProblem) -> Problem {
    let remedy = if problem.is_absent {
        "publish the hosts on the cluster (quorate dns publish), or configure a host on this machine: quorate client \
         set-host HOST:PORT --state DIR"
    } else {
        problem.advice
    };
    Problem::failure(problem.cause.clone(), remedy)
}

fn endpoint(host: &HostProbe) -> String {
    format!("{} port {}", host.target.trim_end_matches('.'), host.port)
}

/// The verdict for a host that does not answer: clients try the next one, so it is a failure only where no host
/// answers.
fn verdict(hosts: &[HostProbe]) -> Verdict {
    let any_answers = hosts.iter().any(|host| matches!(host.result, ProbeResult::Answers));
    if any_answers { Verdict::Warning } else { Verdict::Failure }
}

fn names(hosts: &[HostProbe]) -> Vec<Problem> {
    let remedy = "publish A or AAAA records of the host (quorate dns publish does), or delete its SRV record";
    let unknown = hosts.iter().filter_map(|host| match &host.result {
        ProbeResult::NoAddress(why) => Some(Problem::new(verdict(hosts), format!("{}: {why}", endpoint(host)), remedy)),
        _ => None,
    });
    unknown.collect()
}

fn hosts(hosts: &[HostProbe]) -> Vec<Problem> {
    let wrong = hosts.iter().filter_map(|host| match &host.result {
        ProbeResult::Answers | ProbeResult::NoAddress(_) => None,
        ProbeResult::NoConnection(why) => Some(Problem::new(
            verdict(hosts),
            format!("cannot connect to {}: {why}", endpoint(host)),
            format!(
                "start the node, or open port {} in the firewalls between; if the node was removed, delete its SRV \
                 record",
                host.port
            ),
        )),
        ProbeResult::NotAHost { cause, advice } => {
            Some(Problem::new(verdict(hosts), format!("{}: {cause}", endpoint(host)), *advice))
        }
    });
    wrong.collect()
}

fn machine(machine: &MachineObservation, now_ms: u64) -> Vec<Finding> {
    let problem = match machine {
        MachineObservation::NotRequested => return Vec::new(),
        MachineObservation::Known(folder, license) => return licensed(folder, license, now_ms),
        MachineObservation::Absent(folder) => Problem::failure(
            "no key was ever installed in this folder",
            format!("quorate client install-key KEY --state {} --trust FILE", folder.display()),
        ),
        MachineObservation::Unreadable(folder, why) => {
            Problem::failure(format!("cannot read {}: {why}", folder.display()), "correct what the error names")
        }
    };
    findings("licence", "", vec![problem])
}

fn licensed(folder: &Path, license: &LicenseObservation, now_ms: u64) -> Vec<Finding> {
    let mut found = findings("clock", "the clock is not behind the hosts' clocks", clock(license, now_ms));
    found.extend(findings("licence", "the machine is licensed", licence(license, folder)));
    found.extend(findings("attempt", "the last attempt, if any, succeeded", attempt(license)));
    found
}

fn clock(license: &LicenseObservation, now_ms: u64) -> Vec<Problem> {
    let remedy = "set the clock (timedatectl), and synchronise it with NTP";
    let behind_ms = license.licensed_ms.map_or(0, |licensed_ms| licensed_ms.saturating_sub(now_ms));
    if behind_ms > CLOCK_WARNING_MS {
        let verdict = if behind_ms > CLOCK_SKEW_MS_MAX { Verdict::Failure } else { Verdict::Warning };
        let text = format!("the clock is {} s behind the host's time in the last licence", behind_ms / 1000);
        return vec![Problem::new(verdict, text, remedy)];
    }
    if license.last_status == Some(Status::CLOCK_SKEW) {
        let hours = CLOCK_SKEW_MS_MAX / (60 * 60 * 1000);
        let text = format!("a host refused the request: this clock differs from the host's by more than {hours} hours");
        return vec![Problem::failure(text, remedy)];
    }
    if license.licensed_ms.is_none() {
        let text = "the clock could not be checked: no host has granted a licence yet";
        return vec![Problem::unknown(text, "quorate client activate; see the check `licence`")];
    }
    Vec::new()
}

fn licence(license: &LicenseObservation, folder: &Path) -> Vec<Problem> {
    let activate = format!("quorate client activate --state {}", folder.display());
    let days = license.minutes_left.unwrap_or(0) / (24 * 60);
    match license.state {
        LicenseState::Licensed if license.minutes_left.is_some_and(|left| left < LICENCE_WARNING_MINUTES) => {
            vec![Problem::warning(format!("the licence expires in {days} days and was not renewed"), activate)]
        }
        LicenseState::Licensed => Vec::new(),
        LicenseState::OutOfBoxGrace => {
            vec![Problem::warning(
                format!("the machine is not activated yet; {days} days of its grace period are left"),
                activate,
            )]
        }
        LicenseState::OutOfToleranceGrace => {
            vec![Problem::warning(
                format!("the machine's hardware changed; {days} days of its grace period are left"),
                activate,
            )]
        }
        LicenseState::Notification => vec![Problem::failure("the grace period or the licence has expired", activate)],
        LicenseState::Unlicensed => vec![Problem::failure(
            "no key is installed",
            format!("quorate client install-key KEY --trust FILE --state {}", folder.display()),
        )],
    }
}

fn attempt(license: &LicenseObservation) -> Vec<Problem> {
    let Some(last) = license.last_status.filter(|last| *last != Status::OK) else { return Vec::new() };
    let verdict = match (license.state, last) {
        (LicenseState::Licensed, _) | (_, Status::BELOW_THRESHOLD) => Verdict::Warning,
        _ => Verdict::Failure,
    };
    vec![Problem::new(verdict, format!("the last attempt: {} ({last})", last.words()), last.advice())]
}
