//! A real `named` for a test: one zone, a key for each node, and the update policy that the documents give.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::Stdio,
};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Cluster, Process, eventually, free_port};

/// Name of the zone.
pub const ZONE: &str = "example.test";

/// A name server process.
#[derive(Debug)]
pub struct Named {
    /// Address on which the server answers, over UDP and TCP.
    pub address: SocketAddr,
    process: Option<Process>,
    // The last field, so that the process ends before its files are removed.
    folder: TempDir,
}

impl Named {
    /// Starts a primary of [`ZONE`] in which `nodes` nodes may publish their records, and which holds `records` at
    /// first.
    pub async fn start(nodes: u8, records: &str) -> Self {
        Self::configured(nodes, records).running().await
    }

    /// A primary with its files and its address, whose process has not been started.
    pub fn configured(nodes: u8, records: &str) -> Self {
        // named listens only on addresses of network interfaces, and on loopback that is 127.0.0.1.
        Self::configured_at(free_port(Ipv4Addr::LOCALHOST), nodes, records)
    }

    /// A primary at this address, which must be one of a network interface; its process has not been started.
    pub fn configured_at(address: SocketAddr, nodes: u8, records: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-").tempdir().expect("there is a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let zone = format!(
            "$TTL 300\n@ IN SOA ns1 hostmaster 1 3600 600 86400 300\n@ IN NS ns1\nns1 IN A {}\n{records}\n",
            address.ip()
        );
        let keys: Vec<_> = (1..=nodes).map(|node| key(node, "a secret of the test's own, node by node")).collect();
        for (node, key) in (1..=nodes).zip(&keys) {
            std::fs::write(path(&format!("node{node}.key")), key).expect("a new folder takes a file");
        }
        std::fs::write(path("zone"), zone).expect("a new folder takes a file");
        std::fs::write(path("named.conf"), configuration(&folder, address, &keys)).expect("a new folder takes a file");
        Self { address, process: None, folder }
    }

    /// Starts the server, and waits until it answers.
    pub async fn running(mut self) -> Self {
        let path = |name: &str| self.folder.path().join(name);
        let mut command = Command::new("named");
        command.args(["-g", "-n", "1", "-c"]).arg(path("named.conf")).stdin(Stdio::null()).kill_on_drop(true);
        self.process = Some(Process::start(&mut command, &path("named.log")));
        eventually("named answers (Debian: bind9)", async || (!self.dig("SOA", ZONE).await.is_empty()).then_some(()))
            .await;
        self
    }

    /// Kills the server with SIGKILL.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().await;
        }
    }

    /// Configures each node of a cluster to publish in this zone, with its name and its key.
    pub fn publishes(&self, cluster: &mut Cluster) {
        for number in cluster.numbers() {
            let node = u8::try_from(number).expect("a test's nodes have small numbers");
            cluster.set_variable(number, "QUORATE_DNS_TARGET", format!("node{node}.{ZONE}"));
            cluster.set_variable(number, "QUORATE_DNS_KEY_FILE", self.key_file(node));
            cluster.set_variable(number, "QUORATE_DNS_PRIMARY", self.address.to_string());
            cluster.set_variable(number, "QUORATE_DNS_RESOLVERS", self.address.to_string());
        }
    }

    /// Changes the zone with the key of a node: `change` is a command of `nsupdate`, such as `add` or `delete`.
    ///
    /// # Panics
    /// When the server refuses the update.
    pub async fn update(&self, node: u8, change: &str) {
        let path = self.folder.path().join("update");
        let (ip, port) = (self.address.ip(), self.address.port());
        let commands = format!("server {ip} {port}\nzone {ZONE}\nupdate {change}\nsend\n");
        std::fs::write(&path, commands).expect("it takes a file");
        let mut command = Command::new("nsupdate");
        command.arg("-k").arg(self.key_file(node)).arg(&path);
        let done = command.output().await.expect("there is nsupdate (Debian: bind9-dnsutils)");
        assert!(done.status.success(), "{change}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Path of the file with the TSIG key of a node.
    pub fn key_file(&self, node: u8) -> PathBuf {
        self.folder.path().join(format!("node{node}.key"))
    }

    /// Path of a key file with this node's key name and another secret.
    pub fn wrong_key_file(&self, node: u8) -> PathBuf {
        let path = self.folder.path().join(format!("wrong{node}.key"));
        std::fs::write(&path, key(node, "a secret that the name server does not know")).expect("it takes a file");
        path
    }

    /// The text of a node's key file with blanks in the secret, which BIND accepts.
    pub fn key_with_blanks(&self, node: u8) -> String {
        let text = std::fs::read_to_string(self.key_file(node)).expect("a node has a key file");
        let (before, secret) = text.split_once("secret \"").expect("a key has a secret");
        let (first, rest) = secret.split_at(8);
        format!("{before}secret \" {first} {rest}")
    }

    /// Path of a key file with a name that the name server does not know.
    pub fn unknown_key_file(&self) -> PathBuf {
        let path = self.folder.path().join("unknown.key");
        std::fs::write(&path, key(99, "a secret of the test's own, node by node")).expect("it takes a file");
        path
    }

    /// The lines of `dig +short`, sorted: the view of an independent resolver.
    pub async fn dig(&self, kind: &str, name: &str) -> Vec<String> {
        dig(self.address, kind, name).await
    }

    /// How many queries for hosts came over UDP, which clients' resolvers use and nodes and `dig` do not use here.
    pub fn questions_for_hosts(&self) -> usize {
        let said = self.process.as_ref().map_or_else(String::new, Process::said);
        let question = format!("query: _vlmcs._tcp.{ZONE} IN SRV ");
        let flags = said.lines().filter_map(|line| line.split_once(&question)).map(|(_, flags)| flags);
        flags.filter(|flags| !flags.split(' ').next().unwrap_or_default().contains('T')).count()
    }

    /// The SRV records of hosts in the zone.
    pub async fn hosts(&self) -> Vec<String> {
        self.dig("SRV", &format!("_vlmcs._tcp.{ZONE}")).await
    }
}

/// The sorted lines of `dig +short`, from the server at this address.
pub async fn dig(server: SocketAddr, kind: &str, name: &str) -> Vec<String> {
    let (ip, port) = (format!("@{}", server.ip()), server.port().to_string());
    let words = [ip.as_str(), "-p", &port, "+short", "+tcp", "+tries=1", "+time=5", name, kind];
    let output = Command::new("dig").args(words).output().await.expect("there is dig (Debian: bind9-dnsutils)");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines: Vec<_> = text.lines().filter(|line| !line.starts_with(';')).map(str::to_owned).collect();
    lines.sort();
    lines
}

fn key(node: u8, secret: &str) -> String {
    let secret = data_encoding::BASE64.encode(secret.as_bytes());
    format!("key \"node{node}.{ZONE}\" {{\n\talgorithm hmac-sha256;\n\tsecret \"{secret}\";\n}};\n")
}

fn configuration(folder: &TempDir, address: SocketAddr, keys: &[String]) -> String {
    let (folder, ip, port) = (folder.path().display(), address.ip(), address.port());
    let grants = (1..=keys.len()).map(|node| {
        let host = format!("node{node}.{ZONE}");
        format!("grant {host} name _vlmcs._tcp.{ZONE} SRV; grant {host} name {host} A AAAA;\n")
    });
    let (grants, keys) = (grants.collect::<String>(), keys.concat());
    format!(
        "options {{ directory \"{folder}\"; pid-file none; session-keyfile \"{folder}/session.key\";\n\
         listen-on port {port} {{ {ip}; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; notify no; querylog yes; }};\n\
         controls {{ }};\n{keys}\
         zone \"{ZONE}\" {{ type primary; file \"{folder}/zone\"; update-policy {{ {grants} }}; }};\n"
    )
}
