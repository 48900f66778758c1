//! The cost of a snapshot of millions of machines: the longest pause of answers and of a timer on the node's
//! runtime while a snapshot is built and while it is sent, memory, and how long a new node takes to join.
//!
//! `cargo bench -p replication --bench snapshots -- 4000000`; the number is that of the CMIDs (default 200,000).
//! Compare ratios within one run, not absolute values of two machines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../tests/replicas/cluster/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod cluster;
#[path = "../tests/replicas/world.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod world;

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use activation::{
    SigningKey,
    catalog::{Catalog, SignedCatalog},
    certificate::NodeCertificate,
    host_activation::{ActivationAnswer, ActivationAnswers},
    id::{Cmid, MachineDigest, ProductId, PublisherId},
    key::{KeyKind, TypedKey},
    limits::{COUNT_MAX, THRESHOLD_MAX},
    message::Record,
    state::Command,
};
use cluster::{Cluster, Node, TIMEOUT};
use replication::{Pace, RaftSettings, Replica};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

const CMIDS_DEFAULT: u64 = 200_000;
const PUBLISHERS: u64 = 8;
const CALLERS: u64 = 2048;
/// Number of entries after which a snapshot is built.
const EVERY_ENTRIES: u64 = 3000;
/// Interval of the timer on the node's runtime.
const TICK: Duration = Duration::from_millis(5);

fn main() {
    let cmids = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(CMIDS_DEFAULT);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(measure(cmids));
}

async fn measure(cmids: u64) {
    let pace = Pace { snapshot_every_entries: EVERY_ENTRIES, ..Pace::default() };
    let mut cluster = Cluster::unformed(2, RaftSettings::default(), pace).await;
    let products = form(&cluster, cmids.div_ceil(u64::from(COUNT_MAX) * PUBLISHERS)).await;
    let node = cluster.node(1);
    let began = Instant::now();
    fill(node, &products, cmids).await;
    println!("{cmids} CMIDs in {} applications, recorded in {:.1} s", products.len(), began.elapsed().as_secs_f64());
    // The next snapshot holds all of the CMIDs, and allows the log to be purged.
    let filled = node.replica().cluster().last_index;
    while node.replica().snapshot_index() < filled {
        append(node, EVERY_ENTRIES / 10).await;
        sleep(TICK).await;
    }
    let snapshot_mb = fs::metadata(node.folder().join("snapshot")).unwrap().len() >> 20;
    println!("snapshot: {snapshot_mb} MB, {} bytes a CMID\n", (snapshot_mb << 20) / cmids);

    println!("while                    seconds  longest pause of answers ms  of a timer ms  memory MB");
    let probes = Probes::start(node, &products);
    let calm = Duration::from_secs(5);
    sleep(calm).await;
    probes.report("nothing else happens", calm).await;

    let before = node.replica().snapshot_index();
    let due = (before + EVERY_ENTRIES).saturating_sub(node.replica().cluster().last_index);
    append(node, due.saturating_sub(50)).await;
    let probes = Probes::start(node, &products);
    let began = Instant::now();
    while node.replica().snapshot_index() == before {
        sleep(TICK).await;
    }
    probes.report("a snapshot is built", began.elapsed()).await;

    let probes = Probes::start(node, &products);
    let began = Instant::now();
    let address = cluster.node(2).address();
    node.on(async move |replica| replica.add(2, &address).await).await.unwrap();
    let end = node.replica().cluster().last_index;
    while cluster.node(2).replica().view_at(|applied, _| applied) < end {
        sleep(TICK).await;
    }
    probes.report("a node joins", began.elapsed()).await;
    let joined = cluster.node(2).replica();
    assert!(joined.command_at(filled).is_none(), "from a snapshot, not from the log");
    cluster.assert_equal_states().await;
    let terms = [1, 2].map(|node| cluster.node(node).replica().cluster().term);
    println!("terms: {terms:?}");
    cluster.node_mut(2).stop_hard().await;
}

/// Appends this many entries that change nothing, because they are refused.
async fn append(node: &Node, entries: u64) {
    let append = async move |replica: Replica| {
        let entries = futures::stream::iter(0..entries);
        let command = world::install_key(world::host_key(0));
        let append = |_| async { drop(replica.propose(&command).await) };
        futures::StreamExt::for_each_concurrent(entries, 32, append).await;
    };
    node.on(append).await;
}

/// Forms a cluster of node 1 that is activated for [`PUBLISHERS`] publishers, each with this many applications of
/// one product.
async fn form(cluster: &Cluster, applications: u64) -> Arc<[(PublisherId, ProductId)]> {
    let node = cluster.node(1);
    let alone = BTreeMap::from([(1, node.address())]);
    node.on(async move |replica| replica.bootstrap(&alone, TIMEOUT).await).await.unwrap();
    let mut products = Vec::new();
    for number in 0..PUBLISHERS {
        let [root, signer, other, node_key] = [1, 2, 3, 4].map(|of| key(number, of));
        let publisher = PublisherId::derive(&root.verifying_key());
        let catalog = Catalog::from_toml(&catalog(number, applications)).unwrap();
        let signed = SignedCatalog::sign(&catalog, [&signer, &other].map(SigningKey::verifying_key), &root);
        let host_key = TypedKey::generate(KeyKind::Host, 1, u128::from(number).to_be_bytes());
        let certificate =
            NodeCertificate::issue(publisher, host_key.key_id(), 1, 1, 0, &node_key.verifying_key(), &signer);
        let answer = ActivationAnswer { request_id: [0; 16], node: 1, certificate, reactivations_left: 9 };
        let answers = ActivationAnswers {
            publisher,
            answered_ms: 0,
            answers: vec![answer],
            released: Vec::new(),
            standings: Vec::new(),
        };
        for command in [
            Command::InstallCatalog { signed: signed.bytes().clone() },
            Command::InstallKey { publisher, key: host_key },
            Command::InstallActivation { signed: answers.sign(&signer).encode().into() },
        ] {
            node.on(async move |replica| replica.propose(&command).await).await.unwrap();
        }
        products
            .extend((0..applications).map(|it| (publisher, ProductId::derive(publisher, &format!("product-{it}")))));
    }
    products.into()
}

fn key(publisher: u64, of: u8) -> SigningKey {
    let mut seed = [of; 32];
    seed[..8].copy_from_slice(&publisher.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

fn catalog(publisher: u64, applications: u64) -> String {
    let mut text = format!(
        "publisher = \"Publisher {publisher}\"\nserial = 1\n\
         [[group]]\nname = \"server\"\ncode = 1\ngeneration = 1\n\
         [[platform]]\nname = \"standard\"\ncode = 1\nmay_hold = [\"server\"]\n"
    );
    for number in 0..applications {
        let setup_key = TypedKey::generate(KeyKind::Setup, 1, u128::from(number).to_be_bytes());
        write!(
            text,
            "[[application]]\nname = \"application-{number}\"\n\
             [[product]]\nname = \"product-{number}\"\ntitle = \"Product {number}\"\napplication = \"application-{number}\"\n\
             group = \"server\"\ngeneration = 1\nthreshold = {THRESHOLD_MAX}\n\
             editions = [{{ name = \"Standard\", setup_key = \"{setup_key}\" }}]\n"
        )
        .unwrap();
    }
    text
}

/// Distributes the machines over the applications, and their CMIDs over the whole range.
fn record(products: &[(PublisherId, ProductId)], machine: u64, client_time_ms: u64) -> Record {
    let (publisher, product) = products[usize::try_from(machine).unwrap() % products.len()];
    let spread = machine.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    Record {
        node: 1,
        publisher,
        product,
        cmid: Cmid((u128::from(spread) << 64 | u128::from(machine)).to_be_bytes()),
        machine: MachineDigest(machine.to_be_bytes()),
        machine_name: format!("PC-{machine:012}").parse().unwrap(),
        virtual_machine: true,
        client_time_ms,
    }
}

async fn fill(node: &Node, products: &Arc<[(PublisherId, ProductId)]>, cmids: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let mut asking = JoinSet::new();
    for _ in 0..CALLERS {
        let (replica, next, products) = (node.replica().clone(), Arc::clone(&next), Arc::clone(products));
        let client_time_ms = node.clock_ms();
        let asks = async move {
            loop {
                let machine = next.fetch_add(1, Ordering::Relaxed);
                if machine >= cmids {
                    return;
                }
                replica.submit(&record(&products, machine, client_time_ms)).await.unwrap();
            }
        };
        asking.spawn_on(asks, node.handle());
    }
    while let Some(asked) = asking.join_next().await {
        asked.unwrap();
    }
}

/// Machines that renew one after the other, and concurrently a timer on the node's runtime.
struct Probes {
    stop: watch::Sender<bool>,
    answers: JoinHandle<Duration>,
    timer: JoinHandle<Duration>,
    memory: JoinHandle<u64>,
}

impl Probes {
    fn start(node: &Node, products: &Arc<[(PublisherId, ProductId)]>) -> Self {
        let (stop, stopped) = watch::channel(false);
        let asking = ask(node.replica().clone(), node.clock_ms(), Arc::clone(products), stopped.clone());
        let memory = stopped.clone();
        let memory = async move {
            let mut most_mb = 0;
            while !*memory.borrow() {
                most_mb = most_mb.max(resident_mb());
                sleep(4 * TICK).await;
            }
            most_mb
        };
        let timer = async move {
            let mut longest = Duration::ZERO;
            while !*stopped.borrow() {
                let due = Instant::now() + TICK;
                sleep(TICK).await;
                longest = longest.max(due.elapsed());
            }
            longest
        };
        let [answers, timer] = [node.handle().spawn(asking), node.handle().spawn(timer)];
        Self { stop, answers, timer, memory: tokio::spawn(memory) }
    }

    async fn report(self, during: &str, lasted: Duration) {
        self.stop.send_replace(true);
        let (answers, timer) = (self.answers.await.unwrap(), self.timer.await.unwrap());
        let (seconds, most_mb) = (lasted.as_secs_f64(), self.memory.await.unwrap());
        println!("{during:<23}  {seconds:>7.1}  {:>27}  {:>13}  {most_mb:>9}", answers.as_millis(), timer.as_millis());
    }
}

/// The longest time without an answer.
async fn ask(
    replica: Replica,
    client_time_ms: u64,
    products: Arc<[(PublisherId, ProductId)]>,
    stopped: watch::Receiver<bool>,
) -> Duration {
    let mut longest = Duration::ZERO;
    for machine in 0.. {
        if *stopped.borrow() {
            break;
        }
        let asked = Instant::now();
        // A machine that is already recorded, somewhere in the middle.
        replica.submit(&record(&products, machine * 7919 % 100_000, client_time_ms)).await.unwrap();
        longest = longest.max(asked.elapsed());
        sleep(TICK).await;
    }
    longest
}

/// Resident memory of the process, in MB.
fn resident_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}
