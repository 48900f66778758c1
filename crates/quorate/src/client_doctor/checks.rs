//! The checks of a client machine: pure, from what was found to what to say of it.

use activation::{lifecycle::LicenseState, status::Status};
use client::ClientStatus;
use host::doctor::{Check, State};

use super::{Found, Outcome, Standing, Tried, Unnamed};

/// What R13 lets a machine's clock be off.
const CLOCK_FAILS_MS: u64 = 4 * 3_600_000;
const CLOCK_WARNS_MS: u64 = 60_000;
/// A licence lasts 180 days, and is renewed every 7: one that has less left than this was not renewed for long.
const LICENCE_ENDS_SOON_MINUTES: u64 = 30 * 24 * 60;

/// Every check: one that passes says so in one line, one that does not in a line for each thing that is wrong. What was
/// not looked at is not spoken of.
pub(crate) fn all(found: &Found) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut told = |name: &'static str, well: String, findings: Vec<Finding>| {
        if findings.is_empty() {
            checks.push(Check { name, state: State::Ok, finding: well, fix: String::new() });
        }
        let said = findings.into_iter();
        checks.extend(said.map(|Finding(state, finding, fix)| Check { name, state, finding, fix }));
    };
    match (&found.fixed, &found.records) {
        (Some(host), _) => told("discovery", format!("{host} is asked, and DNS is not"), Vec::new()),
        (None, Some(Ok(records))) => told("discovery", format!("DNS names {records} hosts"), Vec::new()),
        (None, Some(Err(unnamed))) => told("discovery", String::new(), vec![undiscovered(unnamed)]),
        (None, None) => {}
    }
    if !found.hosts.is_empty() {
        told("names", "every name leads to an address".into(), names(&found.hosts));
        told("hosts", "every host answers from here".into(), hosts(&found.hosts));
    }
    match &found.machine {
        Standing::Unasked => {}
        Standing::Absent(folder) => {
            let fix = format!("quorate client install-key KEY --state {} --trust FILE", folder.display());
            told("licence", String::new(), vec![failure("nothing was ever installed there".into(), fix)]);
        }
        Standing::Unreadable(folder, why) => {
            let finding = format!("{} cannot be read: {why}", folder.display());
            told("licence", String::new(), vec![failure(finding, "do what the error says".into())]);
        }
        Standing::Known(folder, status) => {
            let activate = format!("quorate client activate --state {}", folder.display());
            told("clock", "the clock is not behind the hosts'".into(), clock(status, found.now_ms));
            told("licence", "the machine is licensed".into(), licence(status, &activate));
            told("attempt", "the last attempt, if there was one, succeeded".into(), attempt(status));
        }
    }
    checks
}

struct Finding(State, String, String);

fn warning(finding: String, fix: String) -> Finding {
    Finding(State::Warning, finding, fix)
}

fn failure(finding: String, fix: String) -> Finding {
    Finding(State::Failure, finding, fix)
}

fn undiscovered(unnamed: &Unnamed) -> Finding {
    let fix = if unnamed.is_absent {
        "quorate dns publish on the cluster; or here a host by name: quorate client set-host HOST:PORT --state DIR"
    } else {
        unnamed.advice
    };
    failure(unnamed.why.clone(), fix.to_owned())
}

fn place(host: &Tried) -> String {
    format!("{} port {}", host.target.trim_end_matches('.'), host.port)
}

/// As long as one host answers, machines go on to that one.
fn worst(hosts: &[Tried]) -> State {
    let any = hosts.iter().any(|host| matches!(host.outcome, Outcome::Answers));
    if any { State::Warning } else { State::Failure }
}

fn names(hosts: &[Tried]) -> Vec<Finding> {
    let fix = "publish A or AAAA records of the host (quorate dns publish does), or delete its SRV record";
    let unknown = hosts.iter().filter_map(|host| match &host.outcome {
        Outcome::NoAddress(why) => Some(Finding(worst(hosts), format!("{}: {why}", place(host)), fix.to_owned())),
        _ => None,
    });
    unknown.collect()
}

fn hosts(hosts: &[Tried]) -> Vec<Finding> {
    let wrong = hosts.iter().filter_map(|host| {
        let (finding, fix) = match &host.outcome {
            Outcome::Answers | Outcome::NoAddress(_) => return None,
            Outcome::Silent(why) => (
                format!("nothing answers at {}: {why}", place(host)),
                format!(
                    "start the node, or open port {} in the firewalls between; gone for good: delete its SRV record",
                    host.port
                ),
            ),
            Outcome::Other(why, advice) => (format!("{}: {why}", place(host)), (*advice).to_owned()),
        };
        Some(Finding(worst(hosts), finding, fix))
    });
    wrong.collect()
}

fn clock(status: &ClientStatus, now_ms: u64) -> Vec<Finding> {
    let fix = "set it (timedatectl), and keep it by NTP";
    let behind_ms = status.licensed_ms.map_or(0, |licensed_ms| licensed_ms.saturating_sub(now_ms));
    if behind_ms > CLOCK_WARNS_MS {
        let state = if behind_ms > CLOCK_FAILS_MS { State::Failure } else { State::Warning };
        let finding = format!("the clock is {} s behind what a host said when it gave the licence", behind_ms / 1000);
        return vec![Finding(state, finding, fix.to_owned())];
    }
    if status.standing.last_status == Some(Status::CLOCK_SKEW) {
        return vec![failure(
            "a host refused, because the clock is more than 4 hours off its own".into(),
            fix.to_owned(),
        )];
    }
    Vec::new()
}

fn licence(status: &ClientStatus, activate: &str) -> Vec<Finding> {
    let days = |minutes: Option<u64>| minutes.unwrap_or(0) / (24 * 60);
    let left = status.standing.minutes_left;
    match status.standing.state {
        LicenseState::Licensed if left.is_some_and(|left| left < LICENCE_ENDS_SOON_MINUTES) => {
            vec![warning(format!("the licence ends in {} days, and was not renewed", days(left)), activate.to_owned())]
        }
        LicenseState::Licensed => Vec::new(),
        LicenseState::OutOfBoxGrace => {
            vec![warning(
                format!("it is not activated yet; {} days of grace are left", days(left)),
                activate.to_owned(),
            )]
        }
        LicenseState::OutOfToleranceGrace => {
            let finding = format!("its hardware changed; {} days of grace are left", days(left));
            vec![warning(finding, activate.to_owned())]
        }
        LicenseState::Notification => vec![failure("the grace or the licence is over".into(), activate.to_owned())],
        LicenseState::Unlicensed => {
            let fix = activate.replacen("activate", "install-key KEY --trust FILE", 1);
            vec![failure("no key is installed".into(), fix)]
        }
    }
}

fn attempt(status: &ClientStatus) -> Vec<Finding> {
    let Some(last) = status.standing.last_status.filter(|last| *last != Status::OK) else { return Vec::new() };
    let finding = format!("the last attempt: {} ({last})", last.words());
    let state = match (status.standing.state, last) {
        (LicenseState::Licensed, _) | (_, Status::BELOW_THRESHOLD) => State::Warning,
        _ => State::Failure,
    };
    vec![Finding(state, finding, last.advice().to_owned())]
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use activation::{id::Cmid, lifecycle::LicenseStanding as License};
    use client::FoundBy;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn well() -> Found {
        let host =
            |node: u8| Tried { target: format!("node{node}.example.com."), port: 1688, outcome: Outcome::Answers };
        let standing = License {
            state: LicenseState::Licensed,
            minutes_left: Some(180 * 24 * 60),
            next_attempt: None,
            rearms_left: 3,
            last_status: Some(Status::OK),
        };
        let status = ClientStatus {
            product: None,
            standing,
            cmid: Cmid([1; 16]),
            host: None,
            found_by: FoundBy::Srv,
            licensed_ms: Some(NOW - 1),
        };
        Found {
            fixed: None,
            records: Some(Ok(2)),
            hosts: vec![host(1), host(2)],
            machine: Standing::Known(PathBuf::from("machine"), Box::new(status)),
            now_ms: NOW,
        }
    }

    fn status(found: &mut Found) -> &mut ClientStatus {
        match &mut found.machine {
            Standing::Known(_, status) => status,
            _ => panic!("it is known"),
        }
    }

    #[test]
    fn a_machine_that_is_well_has_one_line_for_each_check() {
        let checks = all(&well());
        assert!(checks.iter().all(|check| check.state == State::Ok && check.fix.is_empty()), "{checks:?}");
        let names: Vec<_> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names, ["discovery", "names", "hosts", "clock", "licence", "attempt"]);
    }

    #[test]
    fn every_planted_fault_is_found_with_what_mends_it() {
        type Fault = (&'static str, State, fn(&mut Found), &'static str);
        let faults: [Fault; 14] = [
            (
                "discovery",
                State::Failure,
                |found| {
                    found.hosts.clear();
                    found.records = Some(Err(Unnamed { why: "none".into(), is_absent: true, advice: "" }));
                },
                "quorate dns publish",
            ),
            (
                "discovery",
                State::Failure,
                |found| {
                    found.hosts.clear();
                    found.records =
                        Some(Err(Unnamed { why: "late".into(), is_absent: false, advice: "see the server" }));
                },
                "see the server",
            ),
            ("names", State::Warning, |found| found.hosts[0].outcome = Outcome::NoAddress("none".into()), "A or AAAA"),
            ("hosts", State::Warning, |found| found.hosts[0].outcome = Outcome::Silent("refused".into()), "port 1688"),
            (
                "hosts",
                State::Failure,
                |found| found.hosts.iter_mut().for_each(|host| host.outcome = Outcome::Silent("late".into())),
                "start the node",
            ),
            (
                "hosts",
                State::Warning,
                |found| found.hosts[1].outcome = Outcome::Other("mail".into(), "correct it"),
                "correct it",
            ),
            ("clock", State::Warning, |found| status(found).licensed_ms = Some(NOW + 90_000), "NTP"),
            ("clock", State::Failure, |found| status(found).licensed_ms = Some(NOW + 90_000_000), "NTP"),
            ("clock", State::Failure, |found| status(found).standing.last_status = Some(Status::CLOCK_SKEW), "NTP"),
            (
                "licence",
                State::Warning,
                |found| status(found).standing.minutes_left = Some(60),
                "client activate --state machine",
            ),
            (
                "licence",
                State::Failure,
                |found| status(found).standing.state = LicenseState::Notification,
                "client activate --state machine",
            ),
            (
                "licence",
                State::Failure,
                |found| status(found).standing.state = LicenseState::Unlicensed,
                "quorate client install-key KEY --trust FILE --state machine",
            ),
            (
                "licence",
                State::Failure,
                |found| found.machine = Standing::Absent(PathBuf::from("m")),
                "install-key KEY --state m",
            ),
            (
                "attempt",
                State::Warning,
                |found| status(found).standing.last_status = Some(Status::BELOW_THRESHOLD),
                "Activate more machines",
            ),
        ];
        for (name, state, plant, mends) in faults {
            let mut found = well();
            plant(&mut found);
            let checks = all(&found);
            let told =
                checks.iter().find(|check| check.name == name && check.state == state && check.fix.contains(mends));
            assert!(told.is_some(), "{name}, {mends}: {checks:?}");
        }
    }
}
