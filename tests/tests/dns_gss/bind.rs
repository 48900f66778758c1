//! A BIND whose zone accepts updates that are signed with tickets of an MIT KDC.

use std::path::PathBuf;

use discovery::{AnswerSignatures, PublishError};
use quorate_tests::{Process, eventually};
use tokio::process::Command;

use crate::machine::{DNS, IsolatedMachine, REALM, ZONE, desired, name, now, primary, publisher};

/// A KDC and a primary, ns1, whose policy allows updates of the account `quorate`.
struct World {
    machine: IsolatedMachine,
    kdc: Process,
    _named: Process,
}

impl World {
    async fn new(machine: IsolatedMachine) -> Self {
        let folder = machine.path("").display().to_string();
        machine.write(
            "kdc.conf",
            &format!(
                "[kdcdefaults]\n kdc_listen = 127.0.0.1:88\n kdc_tcp_listen = 127.0.0.1:88\n\
                 [realms]\n {REALM} = {{\n  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n \
                 acl_file = {folder}/acl\n  default_principal_flags = +preauth\n }}\n"
            ),
        );
        machine.run("kdb5_util", ["create", "-s", "-r", REALM, "-P", "a secret of the test's own"]).await;
        // ns2 is a service of the KDC, but not the service of this name server.
        for account in ["DNS/ns1.example.test", "DNS/ns2.example.test", "quorate", "stranger"] {
            kadmin(&machine, &format!("addprinc -randkey {account}")).await;
        }
        kadmin(&machine, &format!("ktadd -k {folder}/dns.keytab DNS/ns1.example.test")).await;
        machine.write("zone", &zone());
        machine.write("named.conf", &configuration(&folder, &format!("tkey-gssapi-keytab \"{folder}/dns.keytab\";")));
        let kdc = start(&machine, "krb5kdc", &["-n"]);
        let named = start_named(&machine).await;
        Self { machine, kdc, _named: named }
    }

    /// The keytab of an account; this gives the account a new key.
    async fn keytab(&self, account: &str) -> PathBuf {
        let path = self.machine.path(&format!("{account}.keytab"));
        kadmin(&self.machine, &format!("ktadd -k {} {account}", path.display())).await;
        path
    }
}

async fn kadmin(machine: &IsolatedMachine, command: &str) {
    let said = machine.run("kadmin.local", ["-q", command]).await;
    assert!(!said.contains("kadmin.local: "), "{command}: {said}");
}

fn start(machine: &IsolatedMachine, program: &str, words: &[&str]) -> Process {
    let mut command = Command::new(program);
    Process::start(command.args(words), &machine.path(&format!("{program}.log")))
}

async fn start_named(machine: &IsolatedMachine) -> Process {
    let configuration = machine.path("named.conf").display().to_string();
    let named = start(machine, "named", &["-g", "-n", "1", "-c", &configuration]);
    eventually("named answers", async || (!machine.dig("SOA", ZONE).await.is_empty()).then_some(())).await;
    named
}

fn zone() -> String {
    let servers = "ns1 IN A 127.0.0.1\nns2 IN A 127.0.0.1\nns3 IN A 127.0.0.1";
    format!("$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 86400 300\n@ IN NS ns1\n{servers}\n")
}

fn configuration(folder: &str, tkey: &str) -> String {
    format!(
        "options {{ directory \"{folder}\"; pid-file none; session-keyfile \"{folder}/session.key\"; {tkey}\n\
         listen-on port 53 {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; notify no; }};\n\
         controls {{ }};\n\
         zone \"{ZONE}\" {{ type primary; file \"{folder}/zone\"; update-policy {{\n\
         grant quorate@{REALM} name _vlmcs._tcp.{ZONE} SRV; grant quorate@{REALM} wildcard *.{ZONE} A AAAA; }}; }};\n"
    )
}

#[tokio::test]
async fn r27_with_a_keytab_records_are_published_changed_and_withdrawn() {
    let test = "bind::r27_with_a_keytab_records_are_published_changed_and_withdrawn";
    let Some(machine) = IsolatedMachine::of(test).await else { return };
    let world = World::new(machine).await;
    let keytab = world.keytab("quorate").await;
    let by_name = publisher(primary("ns1.example.test"), &keytab, Some("quorate@EXAMPLE.TEST"));
    let outcome = by_name.publish(&desired(1, 60), now()).await.unwrap();
    assert_eq!((outcome.changes.len(), outcome.answer_signatures), (2, AnswerSignatures::Standard));
    assert_eq!(world.machine.hosts().await, ["0 60 1688 node1.example.test."]);
    assert_eq!(world.machine.dig("A", "node1.example.test").await, ["192.0.2.1"]);

    // The primary is given by its address, so its name for tickets comes from the SOA. The keytab has only one
    // account, so no principal is given.
    let by_address = publisher(discovery::Primary::Address(DNS), &keytab, None);
    by_address.publish(&desired(1, 10), now()).await.unwrap();
    assert_eq!(world.machine.hosts().await, ["0 10 1688 node1.example.test."], "old and new never stand together");
    assert_eq!(by_address.publish(&desired(1, 10), now()).await.unwrap().changes, []);
    let from_soa = publisher(discovery::Primary::FromSoa { port: DNS.port() }, &keytab, None);
    from_soa.withdraw("_vlmcs._tcp", &name(ZONE), &name("node1.example.test"), true, now()).await.unwrap();
    assert_eq!(world.machine.hosts().await, Vec::<String>::new());

    // The account gets a new key and a new keytab; the same publisher uses them.
    by_name.publish(&desired(2, 0), now()).await.unwrap();
    world.keytab("quorate").await;
    by_name.publish(&desired(1, 0), now()).await.unwrap();
    assert_eq!(world.machine.hosts().await.len(), 2);
}

#[tokio::test]
async fn r28_each_thing_that_can_be_wrong_is_an_error_of_its_own() {
    let Some(machine) = IsolatedMachine::of("bind::r28_each_thing_that_can_be_wrong_is_an_error_of_its_own").await
    else {
        return;
    };
    let world = World::new(machine).await;
    let ns1 = || primary("ns1.example.test");
    let keytab = world.keytab("quorate").await;
    let mut errors: Vec<(&str, u32, PublishError)> = Vec::new();
    let attempt = async |publisher: discovery::RecordPublisher, at: u64| publisher.publish(&desired(1, 0), at).await;
    let wrong = async |publisher| attempt(publisher, now()).await.unwrap_err();

    let absent = publisher(ns1(), &keytab, Some("nobody@EXAMPLE.TEST"));
    errors.push(("has no key of nobody@EXAMPLE.TEST", 0x8009_030E, wrong(absent).await));
    let strangers = world.keytab("stranger").await;
    errors.push(("by the account stranger@EXAMPLE.TEST", 0x8007_0005, wrong(publisher(ns1(), &strangers, None)).await));
    let elsewhere = publisher(primary("ns2.example.test"), &keytab, None);
    errors.push(("context with a ticket for DNS@ns2.example.test", 0x8009_0308, wrong(elsewhere).await));
    let unheard_of = publisher(primary("ns3.example.test"), &keytab, None);
    errors.push(("does not know the service DNS@ns3.example.test", 0x8009_0303, wrong(unheard_of).await));
    let late = attempt(publisher(ns1(), &keytab, None), now() - 7200).await.unwrap_err();
    errors.push(("BADTIME", 0x8007_233A, late));

    kadmin(&world.machine, "modprinc -expire yesterday stranger").await;
    errors.push(("disabled, locked or expired", 0x8007_0533, wrong(publisher(ns1(), &strangers, None)).await));
    kadmin(&world.machine, "delprinc -force stranger").await;
    errors.push(("does not know the account", 0x8007_0525, wrong(publisher(ns1(), &strangers, None)).await));
    kadmin(&world.machine, "cpw -randkey quorate").await;
    errors.push(("is not the account's", 0x8009_030C, wrong(publisher(ns1(), &keytab, None)).await));
    let removed = publisher(ns1(), &keytab, None);
    std::fs::remove_file(&keytab).unwrap();
    errors.push(("No such file", 0x8007_0002, wrong(removed).await));

    let keytab = world.keytab("quorate").await;
    let World { kdc, machine, .. } = world;
    kdc.kill().await;
    errors.push(("no KDC of the realm", 0x8009_0311, wrong(publisher(ns1(), &keytab, None)).await));

    for (said, code, error) in &errors {
        assert!(error.to_string().contains(said), "{said}: {error} / {error:?}");
        assert_eq!(error.code(), *code, "{error}");
        assert!(error.advice().ends_with('.'));
    }
    assert_eq!(machine.hosts().await, Vec::<String>::new(), "nothing of it was made");
}

#[tokio::test]
async fn a_server_that_takes_no_contexts_gets_no_update() {
    let Some(machine) = IsolatedMachine::of("bind::a_server_that_takes_no_contexts_gets_no_update").await else {
        return;
    };
    let World { machine, kdc: _kdc, _named } = {
        let world = World::new(machine).await;
        let World { machine, kdc, _named: named } = world;
        named.kill().await;
        let folder = machine.path("").display().to_string();
        machine.write("named.conf", &configuration(&folder, ""));
        let named = start_named(&machine).await;
        World { machine, kdc, _named: named }
    };
    let keytab = machine.path("quorate.keytab");
    kadmin(&machine, &format!("ktadd -k {} quorate", keytab.display())).await;
    let error = publisher(primary("ns1.example.test"), &keytab, None).publish(&desired(1, 0), now()).await.unwrap_err();
    assert!(matches!(error, PublishError::ContextRefused { .. }), "{error}");
    assert_eq!(machine.hosts().await, Vec::<String>::new());
}
