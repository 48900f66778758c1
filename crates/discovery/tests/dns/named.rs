//! A `named` process for one test, with its own folder, port, zone, three keys, and the policy that the crate
//! documents.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use discovery::{
    Algorithm, Credentials, Desired, DnsName, Domain, Finder, Neighbours, Primary, RecordPublisher, SrvRecord, TsigKey,
    update_policy,
};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub(crate) const ZONE: &str = "example.test";

/// How long the start of a server may take on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How many ports are tried: another process may take a port between its choice and its use.
const PORTS_TRIED: usize = 5;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::HmacSha256, Algorithm::HmacSha384, Algorithm::HmacSha512];

pub(crate) fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

pub(crate) fn target(node: usize) -> DnsName {
    name(&format!("node{node}.{ZONE}"))
}

pub(crate) fn key_name(node: usize) -> DnsName {
    name(&format!("node{node}."))
}

fn secret(node: usize) -> Vec<u8> {
    format!("the secret of node {node}, known to it and the primary").into_bytes()
}

/// The key of a node, read from the same text that the primary's configuration has.
pub(crate) fn key(node: usize) -> TsigKey {
    TsigKey::from_bind(&key_statement(node)).unwrap()
}

fn key_statement(node: usize) -> String {
    let (name, algorithm) = (key_name(node), ALGORITHMS[node - 1]);
    format!("key \"{name}\" {{\n\talgorithm {algorithm};\n\tsecret \"{}\";\n}};\n", BASE64.encode(&secret(node)))
}

#[expect(clippy::disallowed_methods, reason = "the real primary compares the signing time with its own clock")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) struct Named {
    pub(crate) address: SocketAddr,
    _process: Child,
    _folder: TempDir,
}

/// The server ended, or its port was in use.
struct NotRunning {
    log: String,
}

impl Named {
    /// Starts a primary of `example.test` that accepts updates by the documented policy. The zone initially has
    /// `records`.
    pub(crate) async fn start(records: &str) -> Self {
        Self::start_for(ZONE, records).await
    }

    /// Starts a primary as [`Self::start`], for another zone.
    pub(crate) async fn start_for(zone: &str, records: &str) -> Self {
        Self::start_text(zone, &zone_text(records)).await
    }

    /// Starts a primary as [`Self::start_for`], with the whole text of the zone.
    pub(crate) async fn start_text(zone: &str, text: &str) -> Self {
        let mut said = String::new();
        for _ in 0..PORTS_TRIED {
            match Self::try_start(zone, text).await {
                Ok(named) => return named,
                Err(NotRunning { log }) => said = log,
            }
        }
        panic!("named does not start:\n{said}");
    }

    async fn try_start(zone: &str, text: &str) -> Result<Self, NotRunning> {
        let folder = tempfile::tempdir().unwrap();
        let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let configuration = folder.path().join("named.conf");
        std::fs::write(&configuration, configuration_text(zone, folder.path().to_str().unwrap(), address.port()))
            .unwrap();
        std::fs::write(folder.path().join("zone"), text).unwrap();
        let mut process = Command::new("named")
            .args(["-g", "-n", "1", "-c"])
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("named (Debian: bind9)");
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let running = timeout(START_TIMEOUT, async {
            while let Ok(Some(line)) = log.next_line().await {
                said.push_str(&line);
                said.push('\n');
                if line.ends_with(" running") {
                    return true;
                }
            }
            false
        });
        // named reports a port that is in use in its log, and continues without the port.
        if !running.await.unwrap_or(false) || said.contains("address in use") {
            return Err(NotRunning { log: said });
        }
        // The pipe must be read, because a full pipe would block the server.
        tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        Ok(Self { address, _process: process, _folder: folder })
    }

    pub(crate) fn publisher(&self, node: usize) -> RecordPublisher {
        self.publisher_with(Credentials::Tsig(key(node)))
    }

    pub(crate) fn publisher_with(&self, credentials: Credentials) -> RecordPublisher {
        let neighbours = Neighbours { members: (1..=3).map(target).collect(), ..Neighbours::default() };
        RecordPublisher::new(Primary::Address(self.address), credentials, neighbours, self.finder())
    }

    pub(crate) fn finder(&self) -> Finder {
        Finder::with_servers(&[self.address], vec![name("absent.test"), name(ZONE)]).unwrap()
    }

    /// The sorted lines that `dig +short` prints: an independent implementation.
    pub(crate) async fn dig(&self, owner: &str, rtype: &str) -> Vec<String> {
        let port = self.address.port().to_string();
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &port, "+short", "+tcp", "+tries=1", "+time=10", owner, rtype])
            .output()
            .await
            .expect("dig (Debian: dnsutils)");
        assert!(output.status.success(), "{output:?}");
        let mut lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    pub(crate) async fn standing(&self) -> Vec<SrvRecord> {
        let reader = self.publisher_with(Credentials::Unsigned);
        reader.standing(Desired::SERVICE, &name(ZONE), now()).await.unwrap()
    }
}

pub(crate) fn desired(node: usize, weight: u16) -> Desired {
    Desired {
        service: Desired::SERVICE.to_owned(),
        domain: Domain { name: name(ZONE), priority: 0, weight },
        target: target(node),
        port: 1688,
        ttl_seconds: Desired::TTL_SECONDS,
        addresses: vec![format!("192.0.2.{node}").parse().unwrap(), format!("2001:db8::{node}").parse().unwrap()],
    }
}

fn configuration_text(zone: &str, folder: &str, port: u16) -> String {
    let nodes: Vec<_> = (1..=3).map(|node| (key_name(node), target(node))).collect();
    let policy = update_policy(Desired::SERVICE, &name(zone), &nodes).unwrap();
    let keys: String = (1..=3).map(key_statement).collect();
    format!(
        r#"
options {{
    directory "{folder}";
    pid-file none;
    session-keyfile "{folder}/session.key";
    listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }};
    recursion no;
    dnssec-validation no;
    notify no;
}};
controls {{ }};
{keys}
zone "{zone}" {{
    type primary;
    file "{folder}/zone";
    {policy}
}};
"#
    )
}

pub(crate) fn zone_text(records: &str) -> String {
    zone_text_of("ns1", records)
}

/// A zone text as [`zone_text`], with another MNAME in the SOA record.
pub(crate) fn zone_text_of(mname: &str, records: &str) -> String {
    format!("$TTL 300\n@ IN SOA {mname} hostmaster 1 3600 600 86400 300\n@ IN NS ns1\nns1 IN A 127.0.0.1\n{records}\n")
}
