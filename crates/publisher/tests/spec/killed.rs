//! SIGKILL during activations: every answered request is on record, and no more slots are used than the key has.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use activation::certificate::NodeCertificate;
use activation::key::TypedKey;
use data_encoding::HEXLOWER;
use publisher::KeyLimits;

use crate::world::{World, file, open_when_closed, request, run};

const FOLDER: &str = "PUBLISHER_TEST_FOLDER";
const KEY: &str = "PUBLISHER_TEST_KEY";
const THIS: &str = "killed::what_was_answered_before_a_kill_is_on_record_after_it";

/// The process that is killed: this program again, which its environment tells to activate hosts until it ends.
fn activate_hosts_until_killed(folder: &OsStr) {
    let key: TypedKey = std::env::var(KEY).unwrap().parse().unwrap();
    let publisher = open_when_closed(Path::new(folder));
    for host in 1..=u8::MAX {
        let answers = run(publisher.activate(&file([request(&key, host, 1)]))).unwrap();
        let certificate = HEXLOWER.encode(&answers.answers().answers[0].certificate.encode());
        writeln!(std::io::stdout().lock(), "\nanswered {host} {certificate}").unwrap();
    }
}

#[test]
fn what_was_answered_before_a_kill_is_on_record_after_it() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return activate_hosts_until_killed(&folder);
    }
    for (round, answers_before_kill) in [1, 7, 30].into_iter().enumerate() {
        let World { _temporary, folder, publisher } = World::with_catalog();
        let key = run(publisher.issue_key("server-b", KeyLimits { hosts: 300, reactivations: 0 })).unwrap().key;
        drop(publisher);
        drop(open_when_closed(&folder));

        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", THIS, "--nocapture"])
            .env(FOLDER, &folder)
            .env(KEY, key.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut answered: Vec<(u8, NodeCertificate)> =
            lines.by_ref().filter_map(|line| parse(&line)).take(answers_before_kill).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        // Requests that it reported between the last line read and its end were answered as well.
        answered.extend(lines.filter_map(|line| parse(&line)));
        assert!(answered.len() >= answers_before_kill, "round {round}: the child ended by itself");

        let publisher = open_when_closed(&folder);
        let hosts = publisher.keys().unwrap()[0].hosts.clone();
        assert!((answered.len()..=answered.len() + 1).contains(&hosts.len()), "round {round}: {hosts:?}");
        for (host, certificate) in answered {
            let again = run(publisher.activate(&file([request(&key, host, 1)]))).unwrap();
            assert_eq!(again.answers().answers[0].certificate, certificate, "round {round}, host {host}");
        }
        assert_eq!(publisher.keys().unwrap()[0].hosts, hosts, "round {round}: retries spent something");
    }
}

/// Parses a line of the child, if it is complete.
fn parse(line: &str) -> Option<(u8, NodeCertificate)> {
    let (host, certificate) = line.strip_prefix("answered ")?.split_once(' ')?;
    Some((host.parse().ok()?, NodeCertificate::decode(&HEXLOWER.decode(certificate.as_bytes()).ok()?).ok()?))
}
