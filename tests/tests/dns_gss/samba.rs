//! Samba as the domain controller of a directory, with its own DNS server: a zone that accepts only secure updates,
//! in which a name belongs to the account that created it. Samba changes the owners of its files, so this needs root.

use std::path::PathBuf;

use discovery::{AnswerSignatures, Primary, PublishError};
use quorate_tests::{Cluster, Plan, Process, Quorate, eventually};
use tokio::process::Command;

use crate::machine::{DNS, IsolatedMachine, REALM, ZONE, desired, name, now, publisher};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");

/// A domain controller, dc1, with its KDC and its DNS server.
struct Directory {
    machine: IsolatedMachine,
    _samba: Process,
}

impl Directory {
    async fn new(machine: IsolatedMachine) -> Self {
        let configuration = machine.write("smb.conf", &configuration(&machine.path("").display().to_string()));
        let provision = ["domain", "provision", "--server-role=dc", "--dns-backend=SAMBA_INTERNAL", "--host-name=dc1"];
        let more = ["--domain=EXAMPLE", "--host-ip=127.0.0.1", "--adminpass=A.password.0f.the.test"];
        let (configuration, realm) = (configuration.display().to_string(), format!("--realm={REALM}"));
        let configured = format!("--configfile={configuration}");
        let words: Vec<&str> = provision.into_iter().chain(more).chain([realm.as_str(), configured.as_str()]).collect();
        machine.run("samba-tool", words).await;
        let mut command = Command::new("samba");
        command.args(["-i", "-M", "single", "-s", &configuration]);
        let samba = Process::start(&mut command, &machine.path("samba.log"));
        eventually("the directory answers", async || (!machine.dig("SOA", ZONE).await.is_empty()).then_some(())).await;
        Self { machine, _samba: samba }
    }

    /// Makes a service account; returns the path of its keytab.
    async fn account(&self, account: &str) -> PathBuf {
        let configured = format!("--configfile={}", self.machine.path("smb.conf").display());
        let database = self.machine.path("private/sam.ldb").display().to_string();
        let create = ["user", "create", account, "--random-password", &configured, "-H", &database];
        self.machine.run("samba-tool", create).await;
        let keytab = self.machine.path(&format!("{account}.keytab"));
        let (path, principal) = (keytab.display().to_string(), format!("--principal={account}"));
        self.machine.run("samba-tool", ["domain", "exportkeytab", &path, &principal, &configured]).await;
        keytab
    }
}

/// Samba's configuration without file shares and logins: only DNS and the KDC are used.
fn configuration(folder: &str) -> String {
    let folders = [
        ("private dir", "private"),
        ("lock directory", "lock"),
        ("state directory", "state"),
        ("cache directory", "cache"),
        ("pid directory", "lock"),
        ("ncalrpc dir", "ncalrpc"),
        ("ntp signd socket directory", "ntp"),
        ("winbindd socket directory", "winbind"),
        ("binddns dir", "bind"),
    ];
    let folders: String = folders.iter().map(|(key, place)| format!(" {key} = {folder}/{place}\n")).collect();
    format!(
        "[global]\n netbios name = DC1\n realm = {REALM}\n workgroup = EXAMPLE\n log level = 1\n\
         server role = active directory domain controller\n server services = dns, kdc\n\
         interfaces = lo\n bind interfaces only = yes\n allow dns updates = secure only\n{folders}\
         [sysvol]\n path = {folder}/state/sysvol\n [netlogon]\n path = {folder}/state/sysvol/{ZONE}/scripts\n"
    )
}

/// The address of the only domain controller; its name comes from the SOA.
fn primary() -> Primary {
    Primary::Address(DNS)
}

#[tokio::test]
async fn r27_a_secure_zone_takes_the_records_of_one_account_and_of_no_other() {
    let test = "samba::r27_a_secure_zone_takes_the_records_of_one_account_and_of_no_other";
    let Some(machine) = IsolatedMachine::of(test).await else { return };
    let directory = Directory::new(machine).await;
    let machine = &directory.machine;
    let shared = directory.account("quorate").await;
    let other = directory.account("another").await;

    let publisher_of = |keytab: &PathBuf| publisher(primary(), keytab, None);
    let first = publisher_of(&shared);
    let outcome = first.publish(&desired(1, 60), now()).await.unwrap();
    assert_eq!(outcome.changes.len(), 2);
    assert_eq!(outcome.answer_signatures, AnswerSignatures::WithoutLength, "its answers are verified all the same");
    assert_eq!(machine.hosts().await, ["0 60 1688 node1.example.test."]);
    assert_eq!(machine.dig("A", "node1.example.test").await, ["192.0.2.1"]);
    assert_eq!(first.publish(&desired(1, 60), now()).await.unwrap().changes, [], "what stands is seen");

    // Another node with the same account, which works; then another node with another account, which is refused.
    publisher_of(&shared).publish(&desired(2, 30), now()).await.unwrap();
    let both = ["0 30 1688 node2.example.test.", "0 60 1688 node1.example.test."];
    assert_eq!(machine.hosts().await, both);
    let error = publisher_of(&other).publish(&desired(3, 10), now()).await.unwrap_err();
    assert!(matches!(error, PublishError::AccountRefused { .. }), "{error}");
    assert!(error.to_string().contains("another@EXAMPLE.TEST"), "{error}");
    assert!(error.advice().contains("one shared service account"), "{}", error.advice());
    assert_eq!(machine.hosts().await, both);

    first.publish(&desired(1, 10), now()).await.unwrap();
    assert_eq!(machine.hosts().await, ["0 10 1688 node1.example.test.", "0 30 1688 node2.example.test."]);
    let service = "_vlmcs._tcp";
    first.withdraw(service, &name(ZONE), &name("node1.example.test"), true, now()).await.unwrap();
    assert_eq!(machine.hosts().await, ["0 30 1688 node2.example.test."]);
    assert_eq!(machine.dig("A", "node1.example.test").await, Vec::<String>::new());

    let mut unsigned = first.clone();
    unsigned.credentials = discovery::Credentials::Unsigned;
    let error = unsigned.publish(&desired(1, 0), now()).await.unwrap_err();
    assert!(matches!(error, PublishError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn r25_a_node_publishes_itself_with_a_keytab() {
    let Some(machine) = IsolatedMachine::of("samba::r25_a_node_publishes_itself_with_a_keytab").await else { return };
    let directory = Directory::new(machine).await;
    let keytab = directory.account("quorate").await;
    let mut cluster = Cluster::configured(&Quorate::at(QUORATE), Plan::of(1)).await;
    for (variable, value) in [
        ("QUORATE_DNS_TARGET", format!("node1.{ZONE}")),
        ("QUORATE_DNS_KEYTAB", keytab.display().to_string()),
        ("QUORATE_DNS_PRINCIPAL", format!("quorate@{REALM}")),
        ("QUORATE_DNS_PRIMARY", DNS.to_string()),
        ("QUORATE_DNS_RESOLVERS", DNS.to_string()),
        ("QUORATE_DNS_WEIGHT", "60".to_owned()),
    ] {
        cluster.set_variable(1, variable, value);
    }
    cluster.form().await;
    cluster.activate().await;
    let node = cluster.node(1).clients;
    let line = format!("0 60 {} node1.{ZONE}.", node.port());
    let machine = &directory.machine;
    eventually("the node stands in the directory", async || (machine.hosts().await == [line.as_str()]).then_some(()))
        .await;
    assert_eq!(machine.dig("A", &format!("node1.{ZONE}")).await, [node.ip().to_string()]);
    cluster.administrate(1, &quorate_tests::words!["dns", "withdraw"]).await;
    assert_eq!(machine.hosts().await, Vec::<String>::new());
}
