//! The demo's cluster. Each node has its own runtime, so that one node can be stopped as a power cut would stop it.

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

use crate::{administration, output::Output};

/// The catalog that the demo's publisher signs: the example that ships with Quorate.
const CATALOG: &str = include_str!("../../../../deploy/catalogs/example.toml");

/// The group whose keys cover both of the tour's products.
const KEY_GROUP: &str = "server-b";

/// How long any wait of the demo may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Pause between two checks of a condition.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

const NODES: [u64; 3] = [1, 2, 3];

/// Start options of the demo's nodes.
pub(crate) const START: Start = Start { bootstrap: false, check_invariants: true };

/// DNS domain of the demo's clients. The demo's nodes serve its zone themselves.
pub(crate) const DOMAIN: &str = "quorate.test";

struct Running {
    runtime: Runtime,
    node: Node,
}

/// Three nodes, the publisher that activated them, and a runtime for the clients.
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
    /// Makes a publisher with a signed catalog, and the nodes' configurations; starts no node.
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

    /// Starts a cluster with another clock than the system's. It prints nothing and does not wait for DNS.
    pub(crate) fn start_by(folder: &Path, timing: Timing) -> anyhow::Result<Self> {
        let (mut cluster, publisher, signed) = Self::prepare(folder, own_loopback(), timing)?;
        cluster.form()?;
        cluster.clients.block_on(cluster.activate(&publisher, signed.bytes()))?;
        Ok(cluster)
    }

    /// Starts the nodes and forms the cluster.
    fn form(&mut self) -> anyhow::Result<()> {
        for node in NODES.into_iter().rev() {
            // Node 1 starts last: the other nodes of the cluster already run.
            self.start_node(node, Start { bootstrap: node == 1, ..START })?;
        }
        self.wait_for("all nodes to report the same leader", |nodes| nodes.values().all(|node| leader(node).is_some()))
    }

    /// Starts the nodes, forms the cluster, installs catalog and key, and activates the nodes.
    pub(crate) fn start(folder: &Path, output: &Output) -> anyhow::Result<Self> {
        let (mut cluster, publisher, signed) = Self::prepare(folder, Ipv4Addr::LOCALHOST, Timing::default())?;
        output.say("Three nodes start and form a cluster:");
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
        output.say(format_args!("  node {} is the leader.\n", cluster.leader()?));

        output.say("A publisher signs a catalog and issues a host key; the nodes exchange it for certificates:");
        cluster.clients.block_on(cluster.activate(&publisher, signed.bytes()))?;
        output.say(format_args!("  all three are activated by {}.\n", cluster.trust.fingerprint()));
        cluster.wait_for_dns(output)?;
        Ok(cluster)
    }

    fn wait_for_dns(&self, output: &Output) -> anyhow::Result<()> {
        output.say(format_args!(
            "Each node serves the DNS zone {DOMAIN}, with the nodes that are ready at the time of the query:"
        ));
        let found = self.wait_until_dns("to list every node", |hosts| hosts.len() == NODES.len())?;
        for host in found {
            output.say(format_args!("  _vlmcs._tcp.{DOMAIN}  SRV {} {} {}", host.weight, host.port, host.target));
        }
        output.say("  clients are configured with the domain only, not with addresses.\n");
        Ok(())
    }

    /// Waits until `met` is true of the hosts in every running node's DNS; returns these hosts in the order of their
    /// names.
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
                        bail!("expected the DNS of node {node} {what} within {} s", TIMEOUT.as_secs());
                    }
                    sleep(LOOK_PAUSE).await;
                }
            })?;
        }
        Ok(found)
    }

    /// The DNS lookup that the demo's clients use.
    pub(crate) fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Installs catalog and key and activates the nodes, over the administration of node 1, as an administrator
    /// would.
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

    /// Starts a node. Where the node was stopped hard just before, this waits until its store is released.
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
        let started = started.with_context(|| format!("cannot start node {node}"))?;
        self.running.insert(node, Running { runtime, node: started });
        Ok(())
    }

    /// Stops a node as a power cut would: it does not hand leadership over and informs no other node.
    pub(crate) fn stop_hard(&mut self, node: u64) -> anyhow::Result<()> {
        let Running { runtime, node } = self.running.remove(&node).context("cannot stop the node: it does not run")?;
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

    /// Number of the leader, as reported by the first running node that knows one.
    pub(crate) fn leader(&self) -> anyhow::Result<u64> {
        self.running.values().find_map(|running| leader(&running.node)).context("no leader is known")
    }

    /// Waits until `met` is true for the running nodes; `what` names the condition in the error.
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

    /// The nodes' state hashes, compared once all nodes have applied the same entries.
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

    /// Runs a client's work on the clients' runtime.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.clients.block_on(work)
    }

    /// Direct access to the running nodes' answers, for clients in this process.
    pub(crate) fn answers(&self) -> Vec<Answers> {
        self.running.values().map(|running| running.node.answers()).collect()
    }

    /// The address on which a node answers clients, also for a node that is stopped.
    pub(crate) fn clients_address(&self, node: u64) -> anyhow::Result<SocketAddr> {
        Ok(self.config(node)?.clients.listen)
    }

    /// The address on which a node answers DNS.
    pub(crate) fn dns_server(&self, node: u64) -> anyhow::Result<SocketAddr> {
        self.config(node)?.dns.serve.first().copied().context("the demo's nodes answer DNS")
    }

    /// Number of the node that answers clients on `address`.
    pub(crate) fn node_at(&self, address: SocketAddr) -> anyhow::Result<u64> {
        let node = self.configs.iter().find(|(_, config)| config.clients.listen == address);
        node.map(|(node, _)| *node).with_context(|| format!("expected the address of a node, but {address} is not one"))
    }

    /// Address of the node's metrics listener.
    pub(crate) fn metrics(&self, node: u64) -> anyhow::Result<String> {
        Ok(self.config(node)?.metrics.listen.to_string())
    }

    /// The address of the node's administration, in the form that `--admin` takes.
    pub(crate) fn admin(&self, node: u64) -> anyhow::Result<String> {
        Ok(format!("unix:{}", self.config(node)?.admin_socket().display()))
    }

    /// The publisher's public keys, as its clients carry them.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Path of the file with the publisher's public keys.
    pub(crate) fn trust_file(&self) -> PathBuf {
        self.publisher_folder.join(Publisher::TRUST_FILE)
    }

    /// The numbers of all nodes, whether they run or not.
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

/// Configurations for all nodes, on free ports of a loopback address.
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

/// Issues the nodes' certificates: the first node creates an authority, which certifies the others.
fn certify(configs: &BTreeMap<u64, Config>) -> anyhow::Result<()> {
    let mut first: Option<&Config> = None;
    for config in configs.values() {
        match first {
            None => host::identity::create(config)?,
            Some(first) => host::identity::create_beside(config, first)?,
        }
        first = first.or(Some(config));
    }
    Ok(())
}

/// A loopback address of this process alone. Outgoing connections start at 127.0.0.1 and cannot take a port here
/// before the nodes listen.
fn own_loopback() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // 127.0.x.y is left to programs that use localhost. A process id has at most 22 bits.
    Ipv4Addr::new(127, high | 0x80, middle, low)
}

/// Ports below the range of outgoing connections, in which few services listen.
const PORTS: Range<u16> = 20_000..32_000;

/// Finds `wanted` addresses on which no process listens. They stay free until the nodes listen, unless another
/// program binds one of these ports.
fn free_addresses(address: Ipv4Addr, wanted: usize) -> anyhow::Result<Vec<SocketAddr>> {
    // Two demos that start at the same time begin to search at different ports.
    let begin = usize::try_from(std::process::id())?.wrapping_mul(61) % PORTS.len();
    let ports = PORTS.cycle().skip(begin).take(PORTS.len());
    let free = ports.map(|port| SocketAddr::from((address, port))).filter(|address| TcpListener::bind(address).is_ok());
    let free: Vec<_> = free.take(wanted).collect();
    ensure!(free.len() == wanted, "cannot find enough free ports in {PORTS:?} on {address}");
    Ok(free)
}
