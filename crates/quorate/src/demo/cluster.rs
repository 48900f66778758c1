//! The demo's cluster: each node on a runtime of its own, so that one of them can be stopped hard.

use std::{
    collections::BTreeMap,
    future::Future,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use activation::{catalog::SignedCatalog, host_activation::ActivationRequests, trust::Trust};
use anyhow::{Context, anyhow, bail, ensure};
use api::admin::v1::{InstallActivationRequest, InstallCatalogRequest, InstallKeyRequest, RequestActivationRequest};
use client::{FoundHost, Lookup};
use host::{Answers, Config, Node, Overrides, Start, StartError, Timing};
use publisher::{KeyLimits, Publisher};
use tokio::{
    runtime::{Builder, Runtime},
    time::{Instant, sleep},
};
use transport::Folder;

use crate::{administration, output::Output};

/// The catalog that the demo's publisher signs: the one that ships as an example.
const CATALOG: &str = include_str!("../../../../deploy/catalogs/example.toml");

/// The group whose keys cover both of the tour's products.
const KEY_GROUP: &str = "server-b";

/// How long anything that the demo waits for may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Pause between two looks at a condition.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

const NODES: [u64; 3] = [1, 2, 3];

/// How the demo's nodes start.
pub(crate) const START: Start = Start { bootstrap: false, check_invariants: true };

/// Where the demo's clients live. The nodes answer DNS for it themselves.
pub(crate) const DOMAIN: &str = "quorate.test";

struct Running {
    runtime: Runtime,
    node: Node,
}

/// Three nodes, the publisher who activated them, and a runtime for the clients.
pub(crate) struct Cluster {
    configs: BTreeMap<u64, Config>,
    timing: Timing,
    running: BTreeMap<u64, Running>,
    clients: Runtime,
    lookup: Lookup,
    publisher_folder: PathBuf,
    trust: Trust,
}

impl Cluster {
    /// A publisher with a signed catalog, and nodes that do not run yet.
    fn prepare(folder: &Path, address: Ipv4Addr, timing: Timing) -> anyhow::Result<(Self, Publisher, SignedCatalog)> {
        let configs = configurations(folder, address)?;
        certify(&configs)?;
        let publisher_folder = folder.join("publisher");
        let publisher = Publisher::init(&publisher_folder, None, None).context("the publisher did not start")?;
        let signed = publisher.sign_catalog(CATALOG, None).context("the example catalog was not signed")?;
        let clients = Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
        let trust = std::sync::Arc::unwrap_or_clone(publisher.trust());
        let servers: Vec<_> = configs.values().flat_map(|config| config.dns.serve.iter().copied()).collect();
        let lookup = Lookup { servers, domains: vec![DOMAIN.parse()?], ..Lookup::default() };
        let running = BTreeMap::new();
        Ok((Self { configs, timing, running, clients, lookup, publisher_folder, trust }, publisher, signed))
    }

    /// The same cluster without a word and without a look into DNS, by another time than the system's.
    pub(crate) fn start_by(folder: &Path, timing: Timing) -> anyhow::Result<Self> {
        let (mut cluster, publisher, signed) = Self::prepare(folder, own_loopback(), timing)?;
        cluster.form()?;
        cluster.clients.block_on(cluster.activate(&publisher, signed.bytes()))?;
        Ok(cluster)
    }

    /// Starts the nodes and forms the cluster.
    fn form(&mut self) -> anyhow::Result<()> {
        for node in NODES.into_iter().rev() {
            // The last one to start knows that the others are there.
            self.start_node(node, Start { bootstrap: node == 1, ..START })?;
        }
        self.wait_for("a leader that all nodes know", |nodes| nodes.values().all(|node| leader(node).is_some()))
    }

    /// Starts the nodes, forms the cluster, installs catalog and key, and activates the nodes.
    pub(crate) fn start(folder: &Path, output: &Output) -> anyhow::Result<Self> {
        let (mut cluster, publisher, signed) = Self::prepare(folder, Ipv4Addr::LOCALHOST, Timing::default())?;
        output.say("Three nodes start, and form a cluster:");
        cluster.form()?;
        for node in NODES {
            let config = cluster.config(node)?;
            output.say(format_args!(
                "  node {node}   clients {}   peers {}   DNS {}   metrics {}/metrics   console http://{}/",
                cluster.clients_address(node)?,
                config.peers.listen,
                cluster.dns_server(node)?,
                config.metrics.listen,
                config.metrics.listen
            ));
        }
        output.say(format_args!("  node {} leads.\n", cluster.leader()?));

        output.say("A publisher signs a catalog and issues a host key; the nodes exchange it for certificates:");
        cluster.clients.block_on(cluster.activate(&publisher, signed.bytes()))?;
        output.say(format_args!("  all three are activated by {}.\n", cluster.trust.fingerprint()));
        cluster.wait_for_dns(output)?;
        Ok(cluster)
    }

    fn wait_for_dns(&self, output: &Output) -> anyhow::Result<()> {
        output.say(format_args!("Each node answers DNS for {DOMAIN}, with the nodes that are ready at that moment:"));
        let found = self.wait_until_dns("names every node", |hosts| hosts.len() == NODES.len())?;
        for host in found {
            output.say(format_args!("  _vlmcs._tcp.{DOMAIN}  SRV {} {} {}", host.weight, host.port, host.target));
        }
        output.say("  clients know the domain, and no address.\n");
        Ok(())
    }

    /// Waits until every running node says in DNS what is wanted, and gives the hosts in the order of their names.
    pub(crate) fn wait_until_dns(
        &self,
        what: &str,
        met: impl Fn(&[FoundHost]) -> bool,
    ) -> anyhow::Result<Vec<FoundHost>> {
        let deadline = Instant::now() + TIMEOUT;
        let mut found = Vec::new();
        for &node in self.running.keys() {
            let lookup = Lookup { servers: vec![self.dns_server(node)?], ..self.lookup.clone() };
            found = self.clients.block_on(async {
                loop {
                    let mut found = lookup.hosts().await.unwrap_or_default();
                    found.sort_by(|one, other| one.target.cmp(&other.target));
                    if met(&found) {
                        return Ok(found);
                    }
                    if Instant::now() >= deadline {
                        bail!("expected that node {node}'s DNS {what} within {} s", TIMEOUT.as_secs());
                    }
                    sleep(LOOK_PAUSE).await;
                }
            })?;
        }
        Ok(found)
    }

    /// How the demo's clients find hosts.
    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// What an administrator does, over the administration of node 1.
    async fn activate(&self, publisher: &Publisher, signed_catalog: &[u8]) -> anyhow::Result<()> {
        let refused = |status: tonic::Status| anyhow!("{}", status.message());
        let mut admin = administration::connect(&self.config(1)?.admin_socket()).await?;
        let catalog = InstallCatalogRequest {
            signed_catalog: signed_catalog.to_vec().into(),
            trust: self.trust.fingerprint().to_string(),
        };
        admin.install_catalog(catalog).await.map_err(refused)?;
        let issued = publisher.issue_key(KEY_GROUP, KeyLimits::default()).await?;
        admin
            .install_key(InstallKeyRequest { key: issued.key.to_string(), ..InstallKeyRequest::default() })
            .await
            .map_err(refused)?;
        let asked = admin.request_activation(RequestActivationRequest::default()).await.map_err(refused)?;
        let answers = publisher.activate(&ActivationRequests::decode(&asked.into_inner().request)?).await?;
        let answer = answers.encode().into();
        admin.install_activation(InstallActivationRequest { answer }).await.map_err(refused)?;
        Ok(())
    }

    /// Starts a node, also one that was stopped hard a moment ago and has not let go of its store yet.
    pub(crate) fn start_node(&mut self, node: u64, start: Start) -> anyhow::Result<()> {
        let (config, timing) = (self.config(node)?.clone(), self.timing.clone());
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(format!("node-{node}"))
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let started = runtime.block_on(async {
            let deadline = Instant::now() + TIMEOUT;
            loop {
                match Node::start_by(&config, start, timing.clone()).await {
                    Err(StartError::Store(storage::OpenError::InUse { .. })) if Instant::now() < deadline => {
                        sleep(LOOK_PAUSE).await;
                    }
                    started => return started,
                }
            }
        });
        let started = started.with_context(|| format!("node {node} did not start"))?;
        self.running.insert(node, Running { runtime, node: started });
        Ok(())
    }

    /// Stops a node in the middle of whatever it does: no word to anybody, as a power cut would.
    pub(crate) fn stop_hard(&mut self, node: u64) -> anyhow::Result<()> {
        let Running { runtime, node } = self.running.remove(&node).context("the node does not run")?;
        runtime.shutdown_background();
        drop(node);
        Ok(())
    }

    /// Stops all nodes as SIGTERM does.
    pub(crate) fn stop(self) {
        for Running { runtime, node } in self.running.into_values() {
            runtime.block_on(node.stop());
        }
    }

    /// The node that leads, as the first running node knows it.
    pub(crate) fn leader(&self) -> anyhow::Result<u64> {
        self.running.values().find_map(|running| leader(&running.node)).context("no leader is known")
    }

    /// Waits until `met` holds of the running nodes.
    pub(crate) fn wait_for(&self, what: &str, met: impl Fn(&BTreeMap<u64, &Node>) -> bool) -> anyhow::Result<()> {
        let nodes = self.running.iter().map(|(&number, running)| (number, &running.node)).collect();
        self.clients.block_on(async {
            let deadline = Instant::now() + TIMEOUT;
            while !met(&nodes) {
                if Instant::now() >= deadline {
                    bail!("expected {what} within {} s", TIMEOUT.as_secs());
                }
                sleep(LOOK_PAUSE).await;
            }
            Ok(())
        })
    }

    /// The nodes' state hashes, once all have applied the same entries.
    pub(crate) fn state_hashes(&self) -> anyhow::Result<BTreeMap<u64, [u8; 32]>> {
        let hashes = |nodes: &BTreeMap<u64, &Node>| -> BTreeMap<u64, (u64, [u8; 32])> {
            nodes.iter().map(|(&number, node)| (number, node.replica().state_hash())).collect()
        };
        let same_index = |hashes: &BTreeMap<u64, (u64, [u8; 32])>| {
            let first = hashes.values().next().map(|(index, _)| *index);
            hashes.len() == NODES.len() && hashes.values().all(|(index, _)| Some(*index) == first)
        };
        self.wait_for("all nodes to have applied the same entries", |nodes| same_index(&hashes(nodes)))?;
        let nodes = self.running.iter().map(|(&number, running)| (number, &running.node)).collect();
        Ok(hashes(&nodes).into_iter().map(|(number, (_, hash))| (number, hash)).collect())
    }

    /// Runs a client's work.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.clients.block_on(work)
    }

    /// What the running nodes answer to clients in this process.
    pub(crate) fn answers(&self) -> Vec<Answers> {
        self.running.values().map(|running| running.node.answers()).collect()
    }

    /// Where clients reach a node, also one that is stopped.
    pub(crate) fn clients_address(&self, node: u64) -> anyhow::Result<SocketAddr> {
        Ok(self.config(node)?.clients.listen)
    }

    /// Where a node answers DNS.
    pub(crate) fn dns_server(&self, node: u64) -> anyhow::Result<SocketAddr> {
        self.config(node)?.dns.serve.first().copied().context("the demo's nodes answer DNS")
    }

    /// The node that clients reach there.
    pub(crate) fn node_at(&self, address: SocketAddr) -> anyhow::Result<u64> {
        let node = self.configs.iter().find(|(_, config)| config.clients.listen == address);
        node.map(|(node, _)| *node).with_context(|| format!("expected one of the nodes, and {address} is none"))
    }

    /// Where its metrics are.
    pub(crate) fn metrics(&self, node: u64) -> anyhow::Result<String> {
        Ok(self.config(node)?.metrics.listen.to_string())
    }

    /// What `--admin` takes.
    pub(crate) fn admin(&self, node: u64) -> anyhow::Result<String> {
        Ok(format!("unix:{}", self.config(node)?.admin_socket().display()))
    }

    /// The publisher's public keys, as its clients carry them.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// The same as a file.
    pub(crate) fn trust_file(&self) -> PathBuf {
        self.publisher_folder.join(Publisher::TRUST_FILE)
    }

    /// The numbers of all nodes, running or not.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = u64> + Clone + use<> {
        NODES.into_iter()
    }

    fn config(&self, node: u64) -> anyhow::Result<&Config> {
        self.configs.get(&node).with_context(|| format!("there is no node {node}"))
    }
}

fn leader(node: &Node) -> Option<u64> {
    node.replica().cluster().leader
}

fn target(node: u64) -> String {
    format!("node{node}.{DOMAIN}")
}

/// Configurations on free ports of a loopback address.
fn configurations(folder: &Path, address: Ipv4Addr) -> anyhow::Result<BTreeMap<u64, Config>> {
    let free = free_addresses(address, 4 * NODES.len())?;
    let mut free = free.chunks(NODES.len());
    let mut addresses = || free.next().unwrap_or_default();
    let (clients, peers, servers, metrics) = (addresses(), addresses(), addresses(), addresses());
    let members = NODES.iter().zip(peers).map(|(node, address)| format!("\"{node}={address}\""));
    let members = members.collect::<Vec<_>>().join(", ");
    let addresses = clients.iter().zip(peers).zip(servers.iter().zip(metrics));
    let configs = NODES.into_iter().zip(addresses).map(|(node, ((clients, peers), (server, metrics)))| {
        let data = folder.join(format!("node{node}"));
        let text = format!(
            "node = {node}\ndata = {data:?}\n[clients]\nlisten = \"{clients}\"\n\
             [peers]\nlisten = \"{peers}\"\nmembers = [{members}]\n\
             [dns]\ntarget = \"{}\"\npublish_node = false\nserve = [\"{server}\"]\nzone = \"{DOMAIN}\"\n[admin]\nlisten = \"off\"\n\
             [metrics]\nlisten = \"{metrics}\"\n",
            target(node)
        );
        Ok((node, Config::parse(&text, "the demo's configuration", &Overrides::default())?))
    });
    configs.collect()
}

/// An authority made for the occasion: the first node makes it, the others take it from there.
fn certify(configs: &BTreeMap<u64, Config>) -> anyhow::Result<()> {
    let mut first: Option<&Config> = None;
    for config in configs.values() {
        match first {
            None => host::identity::create(config)?,
            Some(first) => host::identity::adopt(config, &Folder::at(&first.data.join("tls")))?,
        }
        first = first.or(Some(config));
    }
    Ok(())
}

/// An address that no other process takes a port of before the nodes listen: connections begin at 127.0.0.1.
fn own_loopback() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // 127.0.x.y is left to those who say localhost; the number of a process has 22 bits.
    Ipv4Addr::new(127, high | 0x80, middle, low)
}

/// Ports that connections do not begin at by themselves, and that few services have.
const PORTS: Range<u16> = 20_000..32_000;

/// So many addresses that nobody listens on. They are free until the nodes listen, unless somebody takes one on purpose.
fn free_addresses(address: Ipv4Addr, wanted: usize) -> anyhow::Result<Vec<SocketAddr>> {
    // Two demos that start at the same time begin at different places.
    let begin = usize::try_from(std::process::id())?.wrapping_mul(61) % PORTS.len();
    let ports = PORTS.cycle().skip(begin).take(PORTS.len());
    let free = ports.map(|port| SocketAddr::from((address, port))).filter(|address| TcpListener::bind(address).is_ok());
    let free: Vec<_> = free.take(wanted).collect();
    ensure!(free.len() == wanted, "of the ports {PORTS:?} of {address} too few are free");
    Ok(free)
}
