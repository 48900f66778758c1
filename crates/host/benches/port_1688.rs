//! Benchmark of port 1688 on one durable node: activations per second, compared with a bare tokio server that moves
//! the same bytes.
//!
//! Run it with `cargo bench -p host`. The node and the bare server are separate processes (this program, with its
//! role as the first argument), so that the CPU time of each can be read. Compare ratios within one run, not
//! absolute figures of two machines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a benchmark prints")]

use std::{
    hint::black_box,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use activation::{
    SigningKey,
    certificate::NodeCertificate,
    host_activation::ActivationRequests,
    id::{Cmid, KeyId, MachineDigest, ProductId, PublisherId},
    message::{ACTIVATE_OPNUM, AnswerBody, INTERFACE_UUID, INTERFACE_VERSION, LicenseStatus, Request, sign_answer},
};
use api::admin::v1::{
    InstallActivationRequest, InstallCatalogRequest, InstallKeyRequest, RequestActivationRequest,
    admin_client::AdminClient,
};
use dcerpc::{ClientAssociation, ClientEvent, Interface, ndr};
use host::{Config, Node, Overrides, Start, SystemClock};
use publisher::{KeyLimits, Publisher};
use replication::Clock;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use uuid::Uuid;

const CATALOG: &str = include_str!("../../../deploy/catalogs/example.toml");
const PRODUCT: &str = "workstation-professional-2";
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(4);
const TICKS_PER_SECOND: f64 = 100.0;

static NEXT_CMID: AtomicU64 = AtomicU64::new(1);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("node") => runtime.block_on(node(Path::new(&arguments[2]))),
        Some("bare") => runtime.block_on(bare(arguments[2].parse().unwrap(), arguments[3].parse().unwrap())),
        _ => runtime.block_on(measure()),
    }
}

async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let (node, line) = start(&["node", folder.path().to_str().unwrap()]);
    let mut words = line.split(' ');
    let address: SocketAddr = words.next().unwrap().parse().unwrap();
    let publisher: PublisherId = words.next().unwrap().parse().unwrap();
    let (bind_ack, answer) = sizes(address, publisher).await;
    let (bare, line) = start(&["bare", &bind_ack.to_string(), &answer.to_string()]);
    let floor: SocketAddr = line.parse().unwrap();

    println!("one signature over an answer: {:.1} us\n", signing_us());
    println!("connection        clients  server  requests/s  to bare  server core-seconds/s  requests/core-second");
    for clients in [1, 16, 64] {
        let bare_rate = new_connections(floor, publisher, clients, false, bare.0.id()).await;
        print("new per request", clients, "bare", &bare_rate, None);
        let rate = new_connections(address, publisher, clients, true, node.0.id()).await;
        print("new per request", clients, "node", &rate, Some(rate.per_second / bare_rate.per_second));
    }
    for clients in [1, 16, 64] {
        let rate = kept_open(address, publisher, clients, node.0.id()).await;
        print("kept open", clients, "node", &rate, None);
    }
}

struct Rate {
    per_second: f64,
    cores: f64,
}

fn print(connection: &str, clients: u64, server: &str, rate: &Rate, to_bare: Option<f64>) {
    let to_bare = to_bare.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    println!(
        "{connection:<16} {clients:>8}  {server:<6} {:>11.0} {to_bare:>8} {:>22.2} {:>21.0}",
        rate.per_second,
        rate.cores,
        rate.per_second / rate.cores
    );
}

/// A child process that is killed when this value is dropped.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Starts this program in another role. Returns the child process and the first line of its output, which holds its
/// address.
fn start(arguments: &[&str]) -> (Server, String) {
    let mut child =
        Command::new(std::env::current_exe().unwrap()).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (Server(child), line.trim().to_owned())
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

/// CPU time that a process has used so far, in seconds (user and system).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / TICKS_PER_SECOND
}

fn request(publisher: PublisherId) -> Vec<u8> {
    let number = NEXT_CMID.fetch_add(1, Ordering::Relaxed);
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    Request {
        nonce,
        publisher,
        product: ProductId::derive(publisher, PRODUCT),
        cmid: Cmid(nonce),
        machine: MachineDigest(number.to_le_bytes()),
        machine_name: "WORKSTATION-001".parse().unwrap(),
        virtual_machine: true,
        license_status: LicenseStatus::Unlicensed,
        minutes_to_expiry: 0,
        client_time_ms: SystemClock::default().wall_ms(),
    }
    .encode()
}

const INTERFACE: Interface = Interface {
    uuid: Uuid::from_u128(INTERFACE_UUID),
    major: INTERFACE_VERSION.0,
    minor: INTERFACE_VERSION.1,
    operations: 1,
};

/// A client's connection that does not verify answers, so that the load generator is not slower than the server.
struct Connection {
    stream: TcpStream,
    association: ClientAssociation,
    received: usize,
}

impl Connection {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut connection = Self { stream, association: ClientAssociation::new(INTERFACE), received: 0 };
        let bind = connection.association.bind();
        connection.stream.write_all(&bind).await.unwrap();
        assert!(matches!(connection.event().await, ClientEvent::Bound));
        connection
    }

    async fn exchange(&mut self, publisher: PublisherId) {
        let pdu = self.association.request(ACTIVATE_OPNUM, &ndr::encode_request(&request(publisher))).unwrap();
        self.stream.write_all(&pdu).await.unwrap();
        let ClientEvent::Response { stub, order, .. } = self.event().await else { panic!("no response") };
        let (_, status) = ndr::decode_answer(&stub, order).unwrap();
        assert_eq!(status, 0, "refused");
    }

    async fn event(&mut self) -> ClientEvent {
        let mut buffer = [0; 1024];
        loop {
            let length = self.stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "the server closed the connection");
            self.received += length;
            let mut input = &buffer[..length];
            if let Some(event) = self.association.receive(&mut input) {
                return event.unwrap();
            }
        }
    }
}

/// Sizes of the bind_ack and of an answer, in bytes.
async fn sizes(address: SocketAddr, publisher: PublisherId) -> (usize, usize) {
    let mut connection = Connection::open(address).await;
    let bind_ack = connection.received;
    connection.exchange(publisher).await;
    (bind_ack, connection.received - bind_ack)
}

async fn new_connections(address: SocketAddr, publisher: PublisherId, clients: u64, parse: bool, pid: u32) -> Rate {
    run(clients, pid, move |counted| async move {
        loop {
            if parse {
                Connection::open(address).await.exchange(publisher).await;
            } else {
                exchange_bytes(address, publisher).await;
            }
            counted.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await
}

/// Sends the same bytes as [`Connection`] to the bare server, and ignores the content of its answers.
async fn exchange_bytes(address: SocketAddr, publisher: PublisherId) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 1024];
    stream.write_all(&ClientAssociation::new(INTERFACE).bind()).await.unwrap();
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
    let mut pdu = vec![0; 24];
    pdu.extend(ndr::encode_request(&request(publisher)));
    stream.write_all(&pdu).await.unwrap();
    assert!(stream.read(&mut buffer).await.unwrap() > 0);
}

async fn kept_open(address: SocketAddr, publisher: PublisherId, clients: u64, pid: u32) -> Rate {
    run(clients, pid, move |counted| async move {
        let mut connection = Connection::open(address).await;
        loop {
            connection.exchange(publisher).await;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    })
    .await
}

async fn run<F: Future<Output = ()> + Send + 'static>(
    clients: u64,
    pid: u32,
    client: impl Fn(Arc<AtomicU64>) -> F,
) -> Rate {
    let counted = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        tasks.spawn(client(Arc::clone(&counted)));
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, cpu, began) = (counted.load(Ordering::Relaxed), cpu_seconds(pid), Instant::now());
    tokio::time::sleep(MEASURED).await;
    let (after, elapsed) = (counted.load(Ordering::Relaxed), began.elapsed().as_secs_f64());
    let cores = (cpu_seconds(pid) - cpu) / elapsed;
    tasks.shutdown().await;
    #[allow(clippy::cast_precision_loss, reason = "a rate")]
    let per_second = (after - before) as f64 / elapsed;
    Rate { per_second, cores }
}

/// Time for one signature on one core, in microseconds.
fn signing_us() -> f64 {
    const SIGNATURES: u32 = 20_000;
    let key = SigningKey::from_bytes(&[7; 32]);
    let certificate = NodeCertificate::issue(PublisherId([1; 16]), KeyId([2; 8]), 1, 1, 1, &key.verifying_key(), &key);
    let body = AnswerBody {
        count: 26,
        threshold: 25,
        activation_interval_minutes: 120,
        renewal_interval_minutes: 10_080,
        cluster_time_ms: 1_800_000_000_000,
        log_index: 1_000_000,
        offset: 7,
    };
    let began = Instant::now();
    for _ in 0..SIGNATURES {
        black_box(sign_answer(&body, &certificate, &key, black_box(&[3; 32])));
    }
    began.elapsed().as_secs_f64() * 1e6 / f64::from(SIGNATURES)
}

/// Runs one node that is activated by a publisher made for this benchmark, until the process is killed.
async fn node(folder: &Path) {
    let data = folder.join("node");
    let peer = free_address();
    let text = format!(
        "node = 1\ndata = {data:?}\n[clients]\nlisten = \"127.0.0.1:0\"\nconnections_per_source_default = 4096\n\
         [peers]\nlisten = \"{peer}\"\nmembers = [\"1={peer}\"]\n[admin]\nlisten = \"off\"\n"
    );
    let config = Config::parse(&text, "benchmark", &Overrides::default()).unwrap();
    host::identity::create(&config).unwrap();
    let node = Node::start(&config, Start { bootstrap: true, ..Start::default() }).await.unwrap();
    let publisher = activate(&config.admin_socket(), &folder.join("publisher")).await;
    say(&format!("{} {publisher}", node.clients_address()));
    std::future::pending::<()>().await;
}

async fn activate(socket: &Path, folder: &Path) -> PublisherId {
    let publisher = Publisher::init(folder, None, None).unwrap();
    let signed_catalog = publisher.sign_catalog(CATALOG, None).unwrap().bytes().clone();
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let socket = socket.clone();
        async move { tokio::net::UnixStream::connect(socket).await.map(hyper_util::rt::TokioIo::new) }
    });
    let channel =
        tonic::transport::Endpoint::from_static("http://node").connect_with_connector(connector).await.unwrap();
    let mut admin = AdminClient::new(channel);
    let trust = publisher.trust().fingerprint().to_string();
    admin.install_catalog(InstallCatalogRequest { signed_catalog, trust }).await.unwrap();
    let key = publisher.issue_key("server-b", KeyLimits::default()).await.unwrap().key.to_string();
    admin.install_key(InstallKeyRequest { key, ..InstallKeyRequest::default() }).await.unwrap();
    let asked = admin.request_activation(RequestActivationRequest::default()).await.unwrap().into_inner().request;
    let answers = publisher.activate(&ActivationRequests::decode(&asked).unwrap()).await.unwrap();
    admin.install_activation(InstallActivationRequest { answer: answers.encode().into() }).await.unwrap();
    publisher.trust().publisher
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap()
}

/// The bare server, as the lower bound of the cost: it reads what arrives and sends as many bytes as the node would.
async fn bare(bind_ack: usize, answer: usize) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    say(&listener.local_addr().unwrap().to_string());
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            let mut reply = bind_ack;
            stream.set_nodelay(true).unwrap();
            while stream.read(&mut buffer).await.is_ok_and(|length| length > 0) {
                if stream.write_all(&vec![0; reply]).await.is_err() {
                    return;
                }
                reply = answer;
            }
        });
    }
}
