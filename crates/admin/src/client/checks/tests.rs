use std::path::PathBuf;

use super::*;
use crate::finding::expect;

const NOW: u64 = 1_800_000_000_000;

fn healthy() -> ClientObservation {
    let host =
        |node: u8| HostProbe { target: format!("node{node}.example.com."), port: 1688, result: ProbeResult::Answers };
    let license = LicenseObservation {
        state: LicenseState::Licensed,
        minutes_left: Some(180 * 24 * 60),
        last_status: Some(Status::OK),
        licensed_ms: Some(NOW - 1),
    };
    ClientObservation {
        fixed_host: None,
        named_hosts: Some(Ok(2)),
        hosts: vec![host(1), host(2)],
        machine: MachineObservation::Known(PathBuf::from("machine"), license),
        now_ms: NOW,
    }
}

fn license(seen: &mut ClientObservation) -> &mut LicenseObservation {
    match &mut seen.machine {
        MachineObservation::Known(_, license) => license,
        _ => panic!("it is known"),
    }
}

#[test]
fn a_healthy_machine_has_one_line_for_each_check() {
    let findings = check(&healthy());
    expect::all_passed(&findings);
    let names: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(names, ["discovery", "names", "hosts", "clock", "licence", "attempt"]);
}

#[test]
fn every_planted_fault_is_found_with_its_remedy() {
    type Fault = (&'static str, Verdict, fn(&mut ClientObservation), &'static str);
    let faults: [Fault; 14] = [
        (
            "discovery",
            Verdict::Failure,
            |seen| {
                seen.hosts.clear();
                seen.named_hosts = Some(Err(LookupProblem { cause: "none".into(), is_absent: true, advice: "" }));
            },
            "quorate dns publish",
        ),
        (
            "discovery",
            Verdict::Failure,
            |seen| {
                seen.hosts.clear();
                let advice = "see the server";
                seen.named_hosts = Some(Err(LookupProblem { cause: "late".into(), is_absent: false, advice }));
            },
            "see the server",
        ),
        ("names", Verdict::Warning, |seen| seen.hosts[0].result = ProbeResult::NoAddress("none".into()), "A or AAAA"),
        (
            "hosts",
            Verdict::Warning,
            |seen| seen.hosts[0].result = ProbeResult::NoConnection("refused".into()),
            "port 1688",
        ),
        (
            "hosts",
            Verdict::Failure,
            |seen| seen.hosts.iter_mut().for_each(|host| host.result = ProbeResult::NoConnection("late".into())),
            "start the node",
        ),
        (
            "hosts",
            Verdict::Warning,
            |seen| seen.hosts[1].result = ProbeResult::NotAHost { cause: "mail".into(), advice: "correct it" },
            "correct it",
        ),
        ("clock", Verdict::Warning, |seen| license(seen).licensed_ms = Some(NOW + 90_000), "NTP"),
        ("clock", Verdict::Failure, |seen| license(seen).licensed_ms = Some(NOW + 90_000_000), "NTP"),
        ("clock", Verdict::Failure, |seen| license(seen).last_status = Some(Status::CLOCK_SKEW), "NTP"),
        ("licence", Verdict::Warning, |seen| license(seen).minutes_left = Some(60), "client activate --state machine"),
        (
            "licence",
            Verdict::Failure,
            |seen| license(seen).state = LicenseState::Notification,
            "client activate --state machine",
        ),
        (
            "licence",
            Verdict::Failure,
            |seen| license(seen).state = LicenseState::Unlicensed,
            "quorate client install-key KEY --trust FILE --state machine",
        ),
        (
            "licence",
            Verdict::Failure,
            |seen| seen.machine = MachineObservation::Absent(PathBuf::from("m")),
            "install-key KEY --state m",
        ),
        (
            "attempt",
            Verdict::Warning,
            |seen| license(seen).last_status = Some(Status::BELOW_THRESHOLD),
            "Activate more machines",
        ),
    ];
    for (name, verdict, plant, remedy) in faults {
        let mut seen = healthy();
        plant(&mut seen);
        expect::found(&check(&seen), name, verdict, remedy);
    }
}
