//! A cluster of real processes, set up with the commands that administrators use.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::DirBuilder,
    io::Write,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use serde_json::Value;
use tempfile::TempDir;
use transport::{Authority, Folder, Subject, limits::NODE_LIFETIME};

use crate::{Finished, Loopback, Network, Process, Product, Quorate, eventually, free_port, now_ms};

/// Path of the catalog of the tests' publisher.
pub const CATALOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/catalogs/example.toml");
/// The platform class in that catalog that may hold all keys of the tests.
const PLATFORM: &str = "server-standard-and-enterprise";
/// Groups for whose keys the cluster is activated: the client products with the servers, and the suite.
const GROUPS: [&str; 2] = ["server-b", "suite"];

/// The properties of a cluster for a test.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Number of nodes.
    pub nodes: u8,
    /// How many of the nodes form the cluster; the others may be added later.
    pub forming: u8,
    /// Environment variables of every node's process.
    pub variables: &'a [(&'a str, &'a str)],
    /// The network in which each node has its own namespace; `None`: all nodes are on loopback.
    pub network: Option<&'a Network>,
}

impl Plan<'static> {
    /// A plan of this many nodes with default properties.
    pub fn of(nodes: u8) -> Self {
        Self { nodes, forming: nodes, variables: &[], network: None }
    }

    /// A plan of this many nodes, of which the first one alone forms the cluster.
    pub fn first_of(nodes: u8) -> Self {
        Self { forming: 1, ..Self::of(nodes) }
    }
}

/// One node: its files, its addresses, and its process while it runs.
#[derive(Debug)]
pub struct Node {
    /// Path of the configuration.
    pub config: PathBuf,
    /// Path of the data folder.
    pub data: PathBuf,
    /// Address on which the node serves clients.
    pub clients: SocketAddr,
    /// Address of the node's peer service.
    pub peers: SocketAddr,
    /// Address of the node's administration over the network.
    pub admin: SocketAddr,
    /// Address of metrics and health checks.
    pub metrics: SocketAddr,
    /// Path of the file with the log of the node's processes.
    pub log: PathBuf,
    /// Words before the node's command, which run it in its namespace.
    place: Vec<String>,
    /// The node's program, where it differs from the cluster's.
    program: Option<Quorate>,
    /// Environment variables of this node's process, besides those of all nodes.
    variables: Vec<(String, OsString)>,
    process: Option<Process>,
}

/// How many lines of each node's log a failing test shows.
const LINES: usize = 30;

/// When a test fails, prints the last lines of the node's log.
impl Drop for Node {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let state = match self.process.as_mut().map(Process::is_running) {
            Some(true) => "runs",
            Some(false) => "has ended by itself",
            None => "was ended or not started",
        };
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let lines: Vec<_> = said.lines().collect();
        let (_, last) = lines.split_at(lines.len().saturating_sub(LINES));
        let report = format!("\nthe node of {} {state}; it said last:\n{}\n", self.config.display(), last.join("\n"));
        // Not `print!`, because a panic is under way.
        let _a_closed_terminal = std::io::stderr().write_all(report.as_bytes());
    }
}

/// A publisher and the nodes that it activates, with their own temporary folder.
#[derive(Debug)]
pub struct Cluster {
    quorate: Quorate,
    loopback: Loopback,
    variables: Vec<(String, String)>,
    nodes: BTreeMap<u64, Node>,
    forming: u64,
    // The last field, so that the processes end before their files are removed.
    folder: TempDir,
}

/// The result of `cluster status`, in short.
#[derive(Clone, Debug)]
pub struct ClusterStatus {
    /// Number of the leader, where one is known.
    pub leader: Option<u64>,
    /// All members, by number.
    pub members: BTreeMap<u64, Member>,
}

/// The status of one member in `cluster status`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whether the member answered.
    pub reachable: bool,
    /// Whether the member is ready to answer clients.
    pub ready: bool,
    /// The member's state: the index of the entry after which it was hashed, and the hash.
    pub state: (u64, String),
}

impl Cluster {
    /// A cluster whose nodes are all activated and answer clients.
    pub async fn activated(quorate: &Quorate, plan: Plan<'_>) -> Self {
        let mut cluster = Self::configured(quorate, plan).await;
        cluster.form().await;
        cluster.activate().await;
        cluster.settled(1).await;
        cluster
    }

    /// Starts all nodes that form the cluster, and waits until they are one cluster with a leader. It holds no key
    /// yet.
    pub async fn form(&mut self) {
        let numbers: Vec<_> = self.numbers().into_iter().filter(|number| *number <= self.forming).collect();
        let (first, others) = numbers.split_first().expect("a cluster has a node");
        for &node in others {
            self.start(node);
        }
        self.start_with(*first, &["--bootstrap"]);
        eventually("a leader is elected", async || self.standing(*first).await?.leader).await;
        // The first node forms the cluster until it has logged in which format the cluster writes.
        eventually("the cluster is formed", async || self.said(*first).contains("the node runs").then_some(())).await;
    }

    /// A publisher with a signed catalog, and nodes that have only a configuration.
    pub async fn configured(quorate: &Quorate, plan: Plan<'_>) -> Self {
        let folder = tempfile::Builder::new().prefix("quorate-").tempdir().expect("there is a temporary folder");
        let loopback = Loopback::claim();
        let path = |name: String| folder.path().join(name);
        let addresses: Vec<_> = (1..=plan.nodes)
            .map(|number| match plan.network {
                Some(network) => {
                    let at = |port| SocketAddr::from((network.address(number), port));
                    (u64::from(number), [at(1688), at(1689), at(1690), at(9688)])
                }
                None => {
                    let address = loopback.address(number);
                    (u64::from(number), [(); 4].map(|()| free_port(address)))
                }
            })
            .collect();
        let forming = addresses.iter().take(usize::from(plan.forming));
        let members: Vec<_> = forming.map(|(number, [_, peers, ..])| format!("{number}={peers}")).collect();
        let authority = Authority::create(now_ms()).expect("an authority is made");
        let mut nodes = BTreeMap::new();
        for (number, [clients, peers, admin, metrics]) in addresses {
            let (config, data) = (path(format!("node{number}.toml")), path(format!("node{number}")));
            let number_text = number.to_string();
            // The configuration of a node that joins later does not name the other nodes: the others connect to it.
            let members =
                if number <= u64::from(plan.forming) { members.join(",") } else { format!("{number}={peers}") };
            let [clients_text, peers_text, admin_text, metrics_text] =
                [clients, peers, admin, metrics].map(|address| address.to_string());
            let init = words![
                "host",
                "init",
                "--config",
                &config,
                "--node",
                &number_text,
                "--data",
                &data,
                "--platform",
                PLATFORM,
                "--clients-listen",
                &clients_text,
                "--peers-listen",
                &peers_text,
                "--peers-members",
                &members,
                "--admin-listen",
                &admin_text,
                "--metrics-listen",
                &metrics_text,
            ]
            .to_vec();
            certify(&authority, number, &data, number <= u64::from(plan.forming));
            let initialised = quorate.run(init).await;
            assert_eq!(initialised.code, Some(0), "{}", initialised.stderr);
            let log = path(format!("node{number}.log"));
            let mut place = Vec::new();
            if let Some(network) = plan.network {
                network.add(u8::try_from(number).expect("a plan has few nodes")).await;
                place.extend(network.place(number));
            }
            let (program, variables, process) = (None, Vec::new(), None);
            let node = Node { config, data, clients, peers, admin, metrics, log, place, program, variables, process };
            nodes.insert(number, node);
        }
        let variables = plan.variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let cluster =
            Self { quorate: quorate.clone(), loopback, variables, nodes, forming: plan.forming.into(), folder };
        let publisher = cluster.path("publisher");
        quorate.json(words!["publisher", "init", "--dir", &publisher]).await;
        cluster
    }

    /// Installs catalog and keys, and activates the nodes with files that go to the publisher and back.
    pub async fn activate(&self) {
        self.activate_by(&self.path("publisher")).await;
    }

    /// As [`Self::activate`], by the publisher in this folder, which may be another cluster's.
    pub async fn activate_by(&self, publisher: &Path) {
        let signed = self.path("catalog.signed");
        let quorate = &self.quorate;
        let sign = words!["publisher", "catalog", "sign", "--dir", publisher, CATALOG, "--out", &signed, "--force"];
        let fingerprint = text(&quorate.json(sign).await, "/fingerprint");
        self.administrate(1, &words!["catalog", "install", &signed, "--trust", &fingerprint]).await;
        for group in GROUPS {
            let issue = words!["publisher", "key", "issue", "--dir", publisher, "--group", group];
            let key = text(&quorate.json(issue).await, "/key");
            self.administrate(1, &words!["key", "install", &key, "--yes"]).await;
        }
        self.activate_members_by(publisher, 1).await;
    }

    /// Path of a file or folder in the cluster's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The cluster's own loopback addresses; each node has the address with its number.
    pub fn loopback(&self) -> Loopback {
        self.loopback
    }

    /// The nodes' numbers.
    pub fn numbers(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    /// The numbers of the nodes whose process was started and has not been ended.
    pub fn running(&self) -> Vec<u64> {
        self.nodes.iter().filter(|(_, node)| node.process.is_some()).map(|(number, _)| *number).collect()
    }

    /// The node with this number.
    pub fn node(&self, number: u64) -> &Node {
        self.nodes.get(&number).unwrap_or_else(|| panic!("there is no node {number}"))
    }

    fn node_mut(&mut self, number: u64) -> &mut Node {
        self.nodes.get_mut(&number).unwrap_or_else(|| panic!("there is no node {number}"))
    }

    /// The addresses on which the nodes serve clients, in the order of the nodes' numbers.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.values().map(|node| node.clients).collect()
    }

    /// A product of the publisher, by its name in the catalog.
    pub fn product(&self, name: &str) -> Product {
        self.product_of("publisher", name)
    }

    /// A product of the publisher in this subfolder of the cluster's folder.
    pub fn product_of(&self, publisher: &str, name: &str) -> Product {
        Product::new(&self.path(publisher).join("trust.toml"), name)
    }

    /// Sets an environment variable of one node's process, from its next start on.
    pub fn set_variable(&mut self, number: u64, name: &str, value: impl Into<OsString>) {
        self.node_mut(number).variables.push((name.to_owned(), value.into()));
    }

    /// Removes an environment variable of one node's process, from its next start on.
    pub fn unset_variable(&mut self, number: u64, name: &str) {
        self.node_mut(number).variables.retain(|(set, _)| set != name);
    }

    /// Runs one node with `program`, or again with the cluster's program, from its next start on.
    pub fn set_program(&mut self, number: u64, program: Option<&Quorate>) {
        self.node_mut(number).program = program.cloned();
    }

    /// Starts a node.
    pub fn start(&mut self, number: u64) {
        self.start_with(number, &[]);
    }

    /// Starts a node that forms the cluster of its configuration.
    pub fn start_bootstrapping(&mut self, number: u64) {
        self.start_with(number, &["--bootstrap"]);
    }

    fn start_with(&mut self, number: u64, more: &[&str]) {
        let node = self.node(number);
        let program = node.program.as_ref().unwrap_or(&self.quorate);
        let mut command = program.command_in(&node.place, words!["host", "run", "--config", &node.config]);
        command.args(more);
        command.envs(self.variables.iter().cloned());
        command.envs(node.variables.iter().cloned());
        let process = Process::start(&mut command, &node.log);
        self.node_mut(number).process = Some(process);
    }

    /// Makes a running node a member, by a command to the node `via`.
    pub async fn add(&self, via: u64, number: u64) -> Value {
        let place = format!("{number}={}", self.node(number).peers);
        self.administrate(via, &words!["cluster", "add", &place]).await
    }

    /// Activates all members that are not activated yet, with files that go to the publisher and back.
    pub async fn activate_members(&self, via: u64) {
        self.activate_members_by(&self.path("publisher"), via).await;
    }

    async fn activate_members_by(&self, publisher: &Path, via: u64) {
        let [request, answer] = ["request.bin", "answer.bin"].map(|name| self.path(name));
        self.administrate(via, &words!["key", "activate", "--offline", &request, "--force"]).await;
        let mut exchange = words!["publisher", "activate", "--dir", publisher, "--request", &request].to_vec();
        exchange.extend(words!["--out", &answer, "--force"]);
        self.quorate.json(exchange).await;
        self.administrate(via, &words!["key", "activate", "--answer", &answer]).await;
    }

    /// Runs `host run`, which must fail, until it ends.
    pub async fn run_host(&self, config: &Path, more: &[&str]) -> Finished {
        let mut command = words!["host", "run", "--config", config].to_vec();
        command.extend(more.iter().map(OsString::from));
        self.quorate.run(command).await
    }

    /// Erases the data folder of a node that does not run, except its certificate.
    pub fn wipe(&self, number: u64) {
        let data = &self.node(number).data;
        for entry in std::fs::read_dir(data).expect("a node has a folder") {
            let path = entry.expect("its entries can be read").path();
            let removed = match path.file_name().and_then(|name| name.to_str()) {
                Some("tls") => Ok(()),
                _ if path.is_dir() => std::fs::remove_dir_all(&path),
                _ => std::fs::remove_file(&path),
            };
            removed.expect("a test's own files can be removed");
        }
    }

    /// Runs a `host` command on a node's configuration, until it ends.
    pub async fn run_host_command(&self, number: u64, command: &str, more: &[&str]) -> Finished {
        let mut words = words!["host", command, "--config", &self.node(number).config].to_vec();
        words.extend(more.iter().map(OsString::from));
        self.quorate.run(words).await
    }

    /// The process of a running node.
    pub fn process(&self, number: u64) -> &Process {
        self.node(number).process.as_ref().unwrap_or_else(|| panic!("node {number} does not run"))
    }

    /// Everything that a node has logged.
    pub fn said(&self, number: u64) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.node(number).log).unwrap_or_default()).into_owned()
    }

    /// Runs a command of the cluster's program, until it ends.
    pub async fn run(&self, words: &[OsString]) -> Finished {
        self.quorate.run(words).await
    }

    /// Kills a node with SIGKILL.
    pub async fn kill(&mut self, number: u64) {
        let process = self.node_mut(number).process.take();
        process.unwrap_or_else(|| panic!("node {number} does not run")).kill().await;
    }

    /// Stops a node with SIGTERM, and returns its exit code.
    pub async fn stop(&mut self, number: u64) -> Option<i32> {
        self.process(number).terminate();
        self.ended(number).await
    }

    /// Waits for the end of a node that was told to stop, and returns its exit code.
    pub async fn ended(&mut self, number: u64) -> Option<i32> {
        let process = self.node_mut(number).process.take();
        process.unwrap_or_else(|| panic!("node {number} does not run")).end().await.code()
    }

    /// The exit status of a node that ended by itself; `None` while it runs.
    pub fn has_ended(&mut self, number: u64) -> Option<ExitStatus> {
        self.node_mut(number).process.as_mut()?.has_ended()
    }

    /// Runs an administrator's command on a node.
    pub async fn admin(&self, node: u64, words: &[OsString]) -> Finished {
        self.admin_by(&self.quorate, node, words).await
    }

    /// Runs an administrator's command on a node with another program as command line.
    pub async fn admin_by(&self, program: &Quorate, node: u64, words: &[OsString]) -> Finished {
        let mut socket = OsString::from("unix:");
        socket.push(self.node(node).data.join("admin.sock"));
        let mut command = words.to_vec();
        command.extend(["--json".into(), "--admin".into(), socket]);
        program.run(command).await
    }

    /// Runs an administrator's command that must succeed, and returns its JSON result.
    pub async fn administrate(&self, node: u64, words: &[OsString]) -> Value {
        let finished = self.admin(node, words).await;
        assert_eq!(finished.code, Some(0), "{words:?}: {}", finished.stderr);
        finished.json()
    }

    /// What `cluster status` prints on a node, with a leader or without; `None` where the node does not answer.
    pub async fn status(&self, via: u64) -> Option<Value> {
        let finished = self.admin(via, &words!["cluster", "status"]).await;
        let status =
            serde_json::from_str(&finished.stdout).ok().filter(|status: &Value| status.get("nodes").is_some())?;
        let leads = status.get("leader").is_some_and(Value::is_u64);
        assert_eq!(finished.code, Some(i32::from(!leads)), "exit code 1 without a leader: {status}");
        Some(status)
    }

    /// What `cluster status` prints on a node, once a leader is known.
    pub async fn led(&self, via: u64) -> Value {
        eventually("a leader is known", async || self.status(via).await.filter(|status| status["leader"].is_u64()))
            .await
    }

    /// The status in short; `None` where the node does not answer.
    pub async fn standing(&self, via: u64) -> Option<ClusterStatus> {
        let status = self.status(via).await?;
        let members = status.get("nodes").and_then(Value::as_array)?.iter().map(|node| {
            let flag = |name| node.get(name).and_then(Value::as_bool).expect("a node's status has this flag");
            let index = node.get("state_hash_index").and_then(Value::as_u64).expect("a hash has an index");
            // A node that did not answer has no state hash.
            let hash = node.get("state_hash").and_then(Value::as_str).unwrap_or_default();
            let member = Member { reachable: flag("reachable"), ready: flag("ready"), state: (index, hash.to_owned()) };
            (node.get("id").and_then(Value::as_u64).expect("a node has a number"), member)
        });
        Some(ClusterStatus { leader: status.get("leader").and_then(Value::as_u64), members: members.collect() })
    }

    /// Waits until every node is ready and all nodes have the same state at the same entry.
    pub async fn settled(&self, via: u64) -> ClusterStatus {
        eventually("all nodes are ready and in one state", async || {
            let standing = self.standing(via).await?;
            let mut members = standing.members.values();
            let first = members.next()?;
            let settled = first.ready && !first.state.1.is_empty() && members.all(|member| member == first);
            (settled && standing.leader.is_some()).then_some(standing)
        })
        .await
    }
}

/// Gives a node a certificate, and, if it forms the cluster, the authority's key. The nodes that form a cluster
/// together need certificates before the cluster exists.
fn certify(authority: &Authority, node: u64, data: &Path, forms: bool) {
    let folder = Folder::at(&data.join("tls"));
    DirBuilder::new().recursive(true).mode(0o700).create(folder.path()).expect("a test's own folder takes another one");
    let issued = authority.issue_with_key(&Subject::Node(node), now_ms(), NODE_LIFETIME);
    let (certificate, key) = issued.expect("an authority issues certificates");
    let written = folder.write_certified(authority.certificate_pem(), &certificate, &key);
    let written = written.and_then(|()| if forms { folder.write_authority_key(&authority.key_pem()) } else { Ok(()) });
    written.expect("a test's own folder takes a file");
}

fn text(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("{value} has no text at {pointer}")).to_owned()
}
