//! The callers that must be served during a flood: client machines, an administrator over the network, probes,
//! resolvers.

use std::{env, fs, net::SocketAddr, path::Path, time::Duration};

use quorate_tests::{Cluster, Product, Quorate, ZONE, cmid, finished, page, words};
use serde_json::{Value, json};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout},
};

pub(crate) const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const PRODUCT: &str = "workstation-professional-2";

/// How many requests the client machines send in a phase.
const REQUESTS: u64 = 300;
const LOOKS: u64 = 12;
const PROBES: u64 = 150;
/// How many queries a resolver sends; below the rate limit of the nodes' DNS servers for one network.
const QUESTIONS: u64 = 90;

/// How long a resolver waits before it asks again.
const ANSWER: Duration = Duration::from_secs(2);
/// Number of the first honest machine; the machines of a flood have smaller numbers.
const FIRST_MACHINE: u64 = 1 << 40;

/// The measurements of one kind of callers in one phase.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) served: u64,
    pub(crate) refused: u64,
    pub(crate) longest: Duration,
}

/// The measurements before, during or after a flood.
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) asked: Vec<(&'static str, Measured)>,
    /// Memory of all nodes together, in megabytes.
    pub(crate) memory_mb: u64,
}

pub(crate) struct Honest {
    pub(crate) product: Product,
    next_machine: u64,
    /// Addresses of the nodes' own DNS servers; empty where they have none.
    servers: Vec<SocketAddr>,
}

async fn measured(times: u64, mut ask: impl AsyncFnMut(u64) -> bool) -> Measured {
    let mut measured = Measured::default();
    for time in 0..times {
        let began = Instant::now();
        match ask(time).await {
            true => measured.served += 1,
            false => measured.refused += 1,
        }
        measured.longest = measured.longest.max(began.elapsed());
    }
    measured
}

impl Honest {
    /// Logs the administrator in, and keeps the certificate.
    pub(crate) async fn new(cluster: &Cluster, servers: Vec<SocketAddr>) -> Self {
        let made = cluster.administrate(1, &words!["cluster", "token", "--role", "administrator"]).await;
        let (token, address) = (made["token"].as_str().unwrap(), cluster.node(1).admin.to_string());
        let words = words!["cluster", "login", address, "--token", token, "--as", "Ada", "--context", "lab"];
        assert!(is_done(cluster, &words).await);
        Self { product: cluster.product(PRODUCT), next_machine: FIRST_MACHINE, servers }
    }

    /// Runs all callers concurrently. Each request uses a new connection, and goes to the nodes in turn.
    pub(crate) async fn ask(&mut self, cluster: &Cluster, name: &'static str) -> Phase {
        let (product, first) = (&self.product, self.next_machine);
        self.next_machine += REQUESTS;
        let nodes = cluster.running();
        let node = |time: u64| cluster.node(nodes[usize::try_from(time).unwrap() % nodes.len()]);
        let clients =
            measured(REQUESTS, async |time| product.activate(node(time).clients, cmid(first + time)).await.is_ok());
        let administrator =
            measured(LOOKS, async |_| is_done(cluster, &words!["cluster", "status", "--admin", "lab"]).await);
        let probes = measured(PROBES, async |time| {
            let mut is_served = true;
            for path in ["/livez", "/readyz", "/metrics"] {
                is_served &= matches!(page(node(time).metrics, path).await, Some((200, _)));
            }
            is_served
        });
        let questions = if self.servers.is_empty() { 0 } else { QUESTIONS };
        let resolvers = measured(questions, async |time| {
            let server = self.servers[usize::try_from(time).unwrap() % self.servers.len()];
            is_answered(server).await
        });
        let (clients, administrator, probes, resolvers) = tokio::join!(clients, administrator, probes, resolvers);
        let resolvers = (questions > 0).then_some(("resolvers", resolvers));
        let memory = nodes.iter().map(|node| cluster.process(*node).resident_bytes()).sum::<u64>();
        Phase {
            name,
            asked: [("clients", clients), ("administrator", administrator), ("probes", probes)]
                .into_iter()
                .chain(resolvers)
                .collect(),
            memory_mb: memory >> 20,
        }
    }
}

async fn is_done(cluster: &Cluster, words: &[std::ffi::OsString]) -> bool {
    let mut command = Quorate::at(QUORATE).command(words);
    finished(command.env("XDG_CONFIG_HOME", cluster.path("config"))).await.code == Some(0)
}

/// A DNS query for the hosts of the zone, over UDP.
pub(crate) fn question() -> Vec<u8> {
    let mut question = vec![0x51, 0x0a, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in format!("_vlmcs._tcp.{ZONE}").split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend_from_slice(label.as_bytes());
    }
    // Type SRV, class IN.
    question.extend_from_slice(&[0, 0, 33, 0, 1]);
    question
}

/// Whether a server answers without an error, or that the name does not exist; a lost datagram is sent again.
async fn is_answered(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut answer = [0; 512];
    for _ in 0..3 {
        socket.send_to(&question(), server).await.unwrap();
        if let Ok(Ok(_)) = timeout(ANSWER, socket.recv(&mut answer)).await {
            return matches!(answer[3] & 0x0f, 0 | 3);
        }
    }
    false
}

/// Writes the figures for the table, where one is made. A flood without phases counts as failed.
pub(crate) fn write_down(flood: &str, phases: &[Phase]) {
    let Some(folder) = env::var_os("QUORATE_TEST_FIGURES") else { return };
    let phases: Vec<Value> = phases.iter().map(Phase::figures).collect();
    let text = json!({ "flood": flood, "phases": phases }).to_string();
    fs::write(Path::new(&folder).join(format!("{}.json", flood.replace(' ', "_"))), text).unwrap();
}

impl Phase {
    fn figures(&self) -> Value {
        let of = |(who, measured): &(&str, Measured)| {
            let longest_ms = u64::try_from(measured.longest.as_millis()).unwrap();
            json!({ "who": who, "served": measured.served, "refused": measured.refused, "longest_ms": longest_ms })
        };
        let asked: Vec<_> = self.asked.iter().map(of).collect();
        json!({ "phase": self.name, "asked": asked, "memory_mb": self.memory_mb })
    }
}
