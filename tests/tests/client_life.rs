//! The life of a client machine through the commands and the library, with a real host: what the machine keeps, and
//! that changing it gains nothing (R13 to R24).

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use activation::{lifecycle::LicenseState, status::Status, trust::Trust};
use client::{Client, Event, Options};
use quorate_tests::{Cluster, Finished, Plan, Process, Quorate, eventually, words};
use serde_json::{Value, json};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
/// A setup key of server-standard-2, in the example catalog; its threshold is 5.
const SETUP_KEY: &str = "P257E-J9HE2-3ADQ7-CQCZK-Y8M5G";

struct World {
    cluster: Cluster,
}

impl World {
    async fn new() -> Self {
        Self { cluster: Cluster::activated(&Quorate::at(QUORATE), Plan::of(1)).await }
    }

    /// A world in which four other machines have asked already.
    async fn with_four() -> Self {
        let world = Self::new().await;
        let product = world.cluster.product("server-standard-2");
        for machine in 1..=4 {
            product.count(world.cluster.node(1).clients, machine).await;
        }
        world
    }

    fn state(&self, machine: &str) -> PathBuf {
        self.cluster.path(machine)
    }

    fn trust(&self) -> PathBuf {
        self.cluster.path("publisher").join("trust.toml")
    }

    async fn run(&self, machine: &str, words: &[OsString]) -> Finished {
        let mut command = words!["client"].to_vec();
        command.extend(words.iter().cloned());
        command.extend(words!["--state", self.state(machine), "--json"]);
        Quorate::at(QUORATE).run(command).await
    }

    async fn succeeds(&self, machine: &str, words: &[OsString]) -> Value {
        let finished = self.run(machine, words).await;
        assert_eq!(finished.code, Some(0), "{words:?}: {}{}", finished.stdout, finished.stderr);
        finished.json()
    }

    /// Installs the setup key on a machine, and sets the host as its only one.
    async fn set_up(&self, machine: &str) {
        self.succeeds(machine, &words!["install-key", SETUP_KEY, "--trust", self.trust()]).await;
        self.succeeds(machine, &words!["set-host", self.cluster.node(1).clients.to_string()]).await;
    }

    async fn status(&self, machine: &str) -> Value {
        self.succeeds(machine, &words!["status"]).await
    }

    /// The same machine in this process; another `root` gives it other hardware.
    fn client(&self, folder: &Path, root: &Path) -> Result<Client, client::ClientError> {
        let trust = Trust::from_toml(&fs::read_to_string(self.trust()).unwrap()).unwrap();
        Client::open(folder, trust, Options { root: root.to_owned(), ..Options::default() })
    }
}

/// R15: 30 days of grace; R18: a fixed host; R20: activated by hand; R13: licensed for 180 days; R21: rearmed; R22:
/// an image.
#[tokio::test]
async fn a_machine_goes_from_grace_to_a_licence_and_its_commands_say_so() {
    let world = World::with_four().await;
    let none = world.run("machine", &words!["status"]).await;
    assert_eq!(none.code, Some(2), "nothing is set up yet: {}", none.stdout);
    world.succeeds("machine", &words!["set-host", world.cluster.node(1).clients.to_string()]).await;
    assert_eq!(world.status("machine").await["state"], "unlicensed", "nothing is installed yet");
    let unknown = world.run("machine", &words!["activate"]).await;
    assert_eq!(unknown.code, Some(2), "nobody said whom to trust: {}", unknown.stdout);
    world.set_up("machine").await;
    let status = world.status("machine").await;
    let keys: Vec<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "cmid",
        "found_by",
        "host",
        "last_status",
        "minutes_left",
        "next_attempt",
        "product",
        "rearms_left",
        "reason",
        "state",
    ];
    assert_eq!(keys, expected);
    assert_eq!((&status["state"], &status["product"]), (&json!("oob_grace"), &json!("server-standard-2")));
    assert_eq!((&status["found_by"], &status["rearms_left"]), (&json!("fixed"), &json!(3)));
    assert_eq!((&status["minutes_left"], &status["last_status"]), (&json!(43_199), &Value::Null));
    assert_eq!(status["host"], world.cluster.node(1).clients.to_string());

    let activated = world.succeeds("machine", &words!["activate"]).await;
    assert_eq!((&activated["count"], &activated["found_by"]), (&json!(5), &json!("fixed")));
    let licensed = world.status("machine").await;
    assert_eq!((&licensed["state"], &licensed["last_status"]), (&json!("licensed"), &json!("0x00000000")));
    let minutes = licensed["minutes_left"].as_u64().unwrap();
    assert!((259_198..=259_200).contains(&minutes), "180 days: {minutes}");
    assert_eq!(licensed["cmid"], status["cmid"]);

    let rearmed = world.succeeds("machine", &words!["rearm"]).await;
    assert_eq!((&rearmed["state"], &rearmed["rearms_left"]), (&json!("oob_grace"), &json!(2)));
    world.succeeds("machine", &words!["activate"]).await;
    let image = world.succeeds("machine", &words!["generalize"]).await;
    assert_eq!((&image["state"], &image["rearms_left"]), (&json!("oob_grace"), &json!(1)));
    assert_ne!(image["cmid"], status["cmid"], "no copy shares a CMID");
    assert_eq!(image["product"], "server-standard-2", "the key stays");
    world.succeeds("machine", &words!["generalize"]).await;
    let none_left = world.run("machine", &words!["generalize"]).await;
    assert_eq!(none_left.code, Some(1));
    assert!(none_left.stderr.contains("no rearm is left"), "{}", none_left.stderr);
    assert_ne!(world.status("machine").await["cmid"], image["cmid"], "it is done all the same");
}

#[tokio::test]
async fn the_service_keeps_its_machine_activated_and_reports_its_exchanges() {
    let world = World::with_four().await;
    world.set_up("machine").await;
    let command = words!["client", "run", "--now", "--log", "json", "--state", world.state("machine")];
    let mut service = Process::start(&mut Quorate::at(QUORATE).command(command), &world.cluster.path("service.log"));
    eventually("the machine is licensed", async || {
        let status = world.run("machine", &words!["status"]).await;
        (status.code == Some(0) && status.json()["state"] == "licensed").then_some(())
    })
    .await;
    let event = async |id: u32| {
        eventually(&format!("event {id} is said"), async || {
            let said = service.said();
            let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.map(|line| line["fields"].clone()).find(|fields| fields["event"] == id)
        })
        .await
    };
    let (sent, processed) = (event(12288).await, event(12289).await);
    assert_eq!((&sent["required_count"], &sent["license_status"]), (&json!(5), &json!(2)));
    assert_eq!((&processed["count"], &processed["bound"]), (&json!(5), &json!(true)));
    // Other commands work while the service runs.
    world.succeeds("machine", &words!["rearm"]).await;
    service.terminate();
    assert_eq!(service.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_machine_without_a_key_is_unlicensed_and_keeps_its_cmid() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("machine");
    let quorate = Quorate::at(QUORATE);
    quorate.json(words!["client", "set-host", "host.example.test", "--state", &state]).await;
    quorate.json(words!["client", "clear-host", "--state", &state]).await;
    let status = quorate.json(words!["client", "status", "--state", &state]).await;
    assert_eq!((&status["product"], &status["state"]), (&Value::Null, &json!("unlicensed")), "{status}");
    assert_eq!((&status["rearms_left"], &status["found_by"]), (&json!(3), &json!("srv")), "{status}");
    let later = quorate.json(words!["client", "status", "--state", &state]).await;
    assert_eq!(later, status, "its id was made with its state");
    // A command that needs the publisher's keys says so.
    let rearm = quorate.run(words!["client", "rearm", "--state", &state]).await;
    assert!(rearm.code == Some(2) && rearm.stderr.contains("--trust FILE"), "{rearm:?}");
}

#[tokio::test]
async fn a_mistyped_state_folder_makes_no_machine() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("machine");
    for command in ["status", "activate", "run", "rearm", "generalize", "remove-key", "clear-key", "clear-host"] {
        let refused = Quorate::at(QUORATE).run(words!["client", command, "--state", &state]).await;
        assert_eq!(refused.code, Some(2), "{command}: {}", refused.stderr);
        assert!(refused.stderr.contains("quorate client install-key"), "{command}: {}", refused.stderr);
        assert!(!state.exists(), "{command}");
    }
}

/// Makes a licensed machine; returns its folder and the content of its file.
async fn licensed(world: &World) -> (PathBuf, String) {
    world.set_up("machine").await;
    world.succeeds("machine", &words!["activate"]).await;
    let folder = world.state("machine");
    let text = fs::read_to_string(folder.join("client.toml")).unwrap();
    (folder, text)
}

#[tokio::test]
async fn a_damaged_state_file_is_an_error_or_a_fall_to_grace_and_never_a_gain() {
    let world = World::with_four().await;
    let (folder, text) = licensed(&world).await;
    let path = folder.join("client.toml");
    let sound = world.client(&folder, Path::new("/")).unwrap().status().unwrap();
    assert_eq!(sound.standing.state, LicenseState::Licensed);
    let is_no_gain = |what: String| {
        // An error is correct too, because it names the file.
        let Ok(status) = world.client(&folder, Path::new("/")).and_then(|mut client| client.status()) else { return };
        let (now, before) = (status.standing, sound.standing);
        assert!(now.rearms_left <= before.rearms_left, "{what}: {now:?}");
        assert!(now.state != LicenseState::OutOfBoxGrace, "{what}: {now:?}");
        assert!(now.minutes_left <= before.minutes_left, "{what}: {now:?}");
    };
    for cut in (0..text.len()).step_by(11) {
        fs::write(&path, &text[..cut]).unwrap();
        is_no_gain(format!("cut after {cut} bytes"));
    }
    for (index, byte) in text.bytes().enumerate().step_by(3) {
        for bit in [0, 1, 2, 4] {
            let mut flipped = text.clone().into_bytes();
            flipped[index] = byte ^ (1 << bit);
            fs::write(&path, &flipped).unwrap();
            is_no_gain(format!("bit {bit} of byte {index}, {:?}", byte as char));
        }
    }
    fs::write(&path, &text).unwrap();
    let again = world.client(&folder, Path::new("/")).unwrap().status().unwrap();
    assert_eq!((again.standing.state, again.cmid), (LicenseState::Licensed, sound.cmid));
}

/// Writes the files that describe a machine into a folder.
fn machine(root: &Path, id: &str, board: &str) {
    for (path, text) in [
        ("etc/machine-id", id),
        ("sys/class/dmi/id/board_vendor", "a maker"),
        ("sys/class/dmi/id/board_name", board),
        ("sys/class/dmi/id/sys_vendor", "a maker"),
        ("sys/class/dmi/id/product_name", board),
        ("proc/sys/kernel/hostname", "machine"),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }
}

#[tokio::test]
async fn r23_a_state_that_was_copied_to_another_machine_is_noticed_and_licenses_nothing() {
    let world = World::with_four().await;
    let (here, there) = (world.cluster.path("here"), world.cluster.path("there"));
    machine(&here, "0123456789abcdef0123456789abcdef", "board one");
    machine(&there, "fedcba9876543210fedcba9876543210", "board two");
    let folder = world.state("machine");
    let mut original = world.client(&folder, &here).unwrap();
    original.install_key(SETUP_KEY.parse().unwrap(), None).unwrap();
    original.set_host(world.cluster.node(1).clients.to_string().parse().unwrap()).unwrap();
    let attempt = original.activate().await.unwrap();
    assert_eq!(attempt.status.standing.state, LicenseState::Licensed);

    let copy = world.state("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(folder.join("client.toml"), copy.join("client.toml")).unwrap();
    let mut copied = world.client(&copy, &there).unwrap();
    let status = copied.status().unwrap();
    assert_eq!(status.standing.state, LicenseState::OutOfToleranceGrace);
    assert_eq!(status.reason, Some(Status::HARDWARE_OUT_OF_TOLERANCE));
    let event = copied.next().await;
    assert!(matches!(event, Event::HardwareChanged { was_licensed: true }), "{event}");

    // When the copy asks, it replaces the original in the count, and the host logs a warning.
    let cmid = copied.activate().await.unwrap().status.cmid.to_string();
    let warned =
        |said: &str| said.lines().any(|line| line.contains("two machines use one CMID") && line.contains(&cmid));
    assert!(warned(&world.cluster.process(1).said()), "the host did not notice the copy");

    // With the copy's identity written into the original's file, the stored exchange does not belong to this machine.
    let identity = |path: &Path| {
        let text = fs::read_to_string(path.join("client.toml")).unwrap();
        text[text.find("[identity]").unwrap()..].to_owned()
    };
    let text = fs::read_to_string(folder.join("client.toml")).unwrap();
    fs::write(copy.join("client.toml"), text.replace(&identity(&folder), &identity(&copy))).unwrap();
    let mut forged = world.client(&copy, &there).unwrap();
    assert_eq!(forged.status().unwrap().standing.state, LicenseState::Notification);
    let event = forged.next().await;
    assert!(matches!(event, Event::EvidenceLost(_)), "{event}");
    assert_eq!(original.status().unwrap().standing.state, LicenseState::Licensed, "the original stays what it is");
}

#[tokio::test]
async fn a_caller_who_may_not_write_the_state_is_told_so() {
    let world = World::new().await;
    world.set_up("machine").await;
    let folder = world.state("machine");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    for path in [folder.join("client.toml"), folder.join("lock"), folder.join("trust.toml")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
    }
    let ancestors = folder.ancestors().skip(1).take_while(|path| path.starts_with(std::env::temp_dir()));
    for path in ancestors.filter(|path| *path != std::env::temp_dir()) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = words![QUORATE, "client", "rearm", "--state", &folder];
    // Root may write everything, so the command runs as another account.
    let as_nobody = words!["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let command = if rustix::process::geteuid().is_root() { [&as_nobody[..], &run[..]].concat() } else { run.to_vec() };
    let refused = tokio::process::Command::new(&command[0]).args(&command[1..]).output().await;
    let refused = refused.expect("there is setpriv (Debian: util-linux)");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("0x80070005"), "{said}");
}

#[tokio::test]
async fn machine_a_full_disk_costs_no_state_that_was_kept() {
    let world = World::with_four().await;
    let disk = world.cluster.path("disk");
    fs::create_dir(&disk).unwrap();
    let mut mount = tokio::process::Command::new("mount");
    let mount = mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk).status();
    let mount = mount.await.expect("there is mount (Debian: mount)");
    assert!(mount.success(), "this test needs the right to mount a tmpfs (root)");
    let folder = disk.join("machine");
    let outcome = async {
        let mut client = world.client(&folder, Path::new("/")).unwrap();
        client.install_key(SETUP_KEY.parse().unwrap(), None).unwrap();
        client.set_host(world.cluster.node(1).clients.to_string().parse().unwrap()).unwrap();
        let before = client.status().unwrap();
        while fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(disk.join("ballast"))
            .and_then(|mut file| std::io::Write::write_all(&mut file, &[0; 512]))
            .is_ok()
        {}
        let full = client.activate().await;
        let said = full.err().map(|error| error.to_string()).unwrap_or_default();
        fs::remove_file(disk.join("ballast")).unwrap();
        let kept = world.client(&folder, Path::new("/")).unwrap().status().unwrap();
        let again = client.activate().await.map(|attempt| attempt.status.standing.state);
        (before, said, kept, again)
    }
    .await;
    let unmount = tokio::process::Command::new("umount").arg("-l").arg(&disk).status().await.unwrap();
    let (before, said, kept, again) = outcome;
    assert!(unmount.success() && said.contains("client.toml"), "the file is named: {said:?}");
    assert_eq!((kept.cmid, kept.standing.state), (before.cmid, LicenseState::OutOfBoxGrace), "what was kept is whole");
    assert_eq!(again.unwrap(), LicenseState::Licensed);
}

#[tokio::test]
async fn r20_a_refusal_is_an_answer_that_was_processed_and_moves_no_state() {
    let world = World::new().await;
    let mut client = world.client(&world.state("machine"), Path::new("/")).unwrap();
    // A key of group C, for which the host has no key.
    client.install_key("P2QP9-AKQJQ-C65E8-KJ37J-AFEYM".parse().unwrap(), None).unwrap();
    client.set_host(world.cluster.node(1).clients.to_string().parse().unwrap()).unwrap();
    let refused = client.activate().await.unwrap();
    assert_eq!(refused.status.standing.state, LicenseState::OutOfBoxGrace);
    let status = refused.result.unwrap_err().status();
    let mut events = Vec::new();
    while !events.iter().any(|event| matches!(event, Event::Failed { .. })) {
        events.push(client.next().await);
    }
    let [Event::Sent(sent), Event::Answered(answered), Event::Failed { status: failed, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!((sent.status, answered.status, *failed), (Status::OK, status, status));
    assert_eq!((answered.is_bound, answered.count), (false, 0));
}
