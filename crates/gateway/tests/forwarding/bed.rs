//! A gateway with a port of its own, and upstreams that tests write.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use discovery::{DnsName, Srv};
use futures::future::{BoxFuture, FutureExt as _};
use gateway::{
    Accepted, Admission, AssociationEnd, Environment, Failure, FirstBytes, Found, Gateway, Group, GroupName, LoopKey,
    MirrorOutcome, Names, NotFound, Observer, Settings, State, Timeouts, Upstream, UpstreamId,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::pdus::{
    ALTER, ALTER_RESPONSE, BIND, BIND_ACK, DEADLINE, Order, REQUEST, RESPONSE, ack_of, call_id, kind, pdu, read_pdu,
};

static NEXT_PORT: AtomicU16 = AtomicU16::new(0);

/// A listener outside the range from which connections take their ports.
pub(crate) async fn listen() -> TcpListener {
    let first = 20_000 + u16::try_from(std::process::id() % 97).unwrap() * 120;
    loop {
        let port = first + NEXT_PORT.fetch_add(1, Ordering::Relaxed) % 120;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let ends = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < ends, "not before the deadline: {what}");
        sleep(Duration::from_millis(2)).await;
    }
}

/// What the gateway told.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) ended: Mutex<Vec<AssociationEnd>>,
    pub(crate) failures: Mutex<Vec<(UpstreamId, Failure)>>,
    pub(crate) states: Mutex<Vec<(UpstreamId, State, Option<Failure>)>>,
    pub(crate) loops: Mutex<Vec<UpstreamId>>,
    pub(crate) mirrored: Mutex<BTreeMap<&'static str, u64>>,
    pub(crate) probes: Mutex<u64>,
}

impl Observer for Seen {
    fn association_ended(&self, end: &AssociationEnd) {
        self.ended.lock().unwrap().push(end.clone());
    }

    fn failed(&self, upstream: &UpstreamId, failure: Failure) {
        self.failures.lock().unwrap().push((upstream.clone(), failure));
    }

    fn probed(&self, _upstream: &UpstreamId, _result: Result<Duration, Failure>) {
        *self.probes.lock().unwrap() += 1;
    }

    fn state_changed(&self, upstream: &UpstreamId, state: State, why: Option<Failure>) {
        self.states.lock().unwrap().push((upstream.clone(), state, why));
    }

    fn loop_found(&self, upstream: &UpstreamId) {
        self.loops.lock().unwrap().push(upstream.clone());
    }

    fn mirrored(&self, _mirror: Option<&UpstreamId>, outcome: MirrorOutcome, requests: u64) {
        let name = if outcome == MirrorOutcome::Answered { "answered" } else { "dropped" };
        *self.mirrored.lock().unwrap().entry(name).or_default() += requests;
    }
}

impl Seen {
    pub(crate) fn failure_kinds(&self) -> Vec<Failure> {
        self.failures.lock().unwrap().iter().map(|(_, failure)| *failure).collect()
    }

    pub(crate) fn mirror_count(&self, name: &str) -> u64 {
        self.mirrored.lock().unwrap().get(name).copied().unwrap_or_default()
    }
}

/// Names that tests change.
#[derive(Default)]
pub(crate) struct Zone {
    pub(crate) hosts: Mutex<BTreeMap<String, IpAddr>>,
    pub(crate) services: Mutex<Vec<Srv>>,
}

impl Names for Zone {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Found<IpAddr>, NotFound>> {
        let found = self.hosts.lock().unwrap().get(host).copied();
        let found = found.map(|address| Found { values: vec![address], ttl: Duration::from_secs(1) });
        std::future::ready(found.ok_or_else(|| NotFound("no such host".to_owned()))).boxed()
    }

    fn targets<'a>(&'a self, _name: &'a DnsName) -> BoxFuture<'a, Result<Found<Srv>, NotFound>> {
        let values = self.services.lock().unwrap().clone();
        std::future::ready(Ok(Found { values, ttl: Duration::from_secs(1) })).boxed()
    }
}

pub(crate) fn upstream(address: impl ToString, priority: u16) -> Upstream {
    Upstream { address: address.to_string().parse().unwrap(), priority, weight: 0, is_drained: false }
}

/// One group with these upstreams, the first preferred.
pub(crate) fn group(addresses: &[SocketAddr]) -> Group {
    let upstreams = (0..).zip(addresses).map(|(priority, address)| upstream(address, priority)).collect();
    Group { upstreams, ..Group::default() }
}

/// The default deadlines, with a short one for an upstream that does not answer a bind.
pub(crate) fn hasty() -> Timeouts {
    Timeouts { bind: Duration::from_secs(1), ..Timeouts::default() }
}

pub(crate) fn settings(group: Group, timeouts: Timeouts) -> Settings {
    Settings::new(BTreeMap::from([(GroupName::default_group(), group)]), None, timeouts, &BTreeSet::new()).unwrap()
}

/// A gateway that serves a port.
pub(crate) struct Bed {
    pub(crate) gateway: Gateway,
    pub(crate) port: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    pub(crate) zone: Arc<Zone>,
    pub(crate) stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Bed {
    pub(crate) async fn new(group: Group) -> Self {
        Self::with(listen().await, group, Timeouts::default(), true).await
    }

    /// `runs`: with probes and mirrors.
    pub(crate) async fn with(listener: TcpListener, group: Group, timeouts: Timeouts, runs: bool) -> Self {
        let (seen, zone) = (Arc::new(Seen::default()), Arc::new(Zone::default()));
        let environment = Environment {
            names: zone.clone(),
            observer: seen.clone(),
            is_member: Arc::new(|_| false),
            loop_key: LoopKey([7; 16]),
            seed: 1,
        };
        let gateway = Gateway::new(settings(group, timeouts), environment);
        let (stop, stopping) = watch::channel(false);
        let port = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        if runs {
            let (gateway, stopping) = (gateway.clone(), stopping.clone());
            tasks.spawn(async move { gateway.run(stopping).await });
        }
        tasks.spawn(serve(listener, gateway.clone(), stopping));
        Self { gateway, port, seen, zone, stop, _tasks: tasks }
    }

    pub(crate) async fn client(&self) -> TcpStream {
        TcpStream::connect(self.port).await.unwrap()
    }

    pub(crate) fn state_of(&self, address: SocketAddr) -> State {
        let status = self.gateway.status();
        let found = status.upstreams.iter().find(|upstream| upstream.id.address == address.into());
        found.map_or(State::Unknown, |upstream| upstream.state)
    }

    pub(crate) async fn healthy(&self, addresses: &[SocketAddr]) {
        until("the upstreams are healthy", || addresses.iter().all(|of| self.state_of(*of) == State::Healthy)).await;
    }
}

async fn serve(listener: TcpListener, gateway: Gateway, stopping: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        let (mut stream, client) = listener.accept().await.unwrap();
        let (gateway, stopping) = (gateway.clone(), stopping.clone());
        connections.spawn(async move {
            let mut received = Vec::new();
            let bind = loop {
                if stream.read_buf(&mut received).await.unwrap_or(0) == 0 {
                    return;
                }
                match FirstBytes::read(&received) {
                    FirstBytes::Incomplete => {}
                    FirstBytes::Bind(bind) => break bind,
                    FirstBytes::NoBind => return,
                }
            };
            if let Admission::Forward(route) = gateway.admit(&bind, client.ip()) {
                let accepted = Accepted { stream, client, bind, activity: transport::Activity::default() };
                gateway.forward(route, accepted, stopping).await;
            }
        });
    }
}

/// An upstream that answers everything, and notes what it received. Probes are told by their large call numbers.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// All bytes of each connection of a client.
    pub(crate) received: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Stubs of all requests.
    pub(crate) stubs: Arc<Mutex<Vec<Vec<u8>>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn new() -> Self {
        Self::on(listen().await, 1)
    }

    /// Serves `listener`, with this association group in its bind_acks.
    pub(crate) fn on(listener: TcpListener, group: u32) -> Self {
        let address = listener.local_addr().unwrap();
        let (received, stubs) = (Arc::<Mutex<Vec<Vec<u8>>>>::default(), Arc::<Mutex<Vec<Vec<u8>>>>::default());
        let mut tasks = JoinSet::new();
        let (all, noted) = (Arc::clone(&received), Arc::clone(&stubs));
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer_all(stream, group, Arc::clone(&all), Arc::clone(&noted)));
            }
        });
        Self { address, received, stubs, _tasks: tasks }
    }

    pub(crate) fn requests(&self) -> usize {
        self.stubs.lock().unwrap().len()
    }
}

async fn answer_all(
    mut stream: TcpStream,
    group: u32,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    stubs: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let mut index = None;
    while let Some(read) = read_pdu_or_end(&mut stream).await {
        let id = call_id(&read);
        if id < 1 << 31 {
            let mut received = received.lock().unwrap();
            let index = *index.get_or_insert_with(|| {
                received.push(Vec::new());
                received.len() - 1
            });
            received[index].extend_from_slice(&read);
        }
        let contexts = read.get(24).copied().unwrap_or(1).max(1);
        let answer = match kind(&read) {
            BIND => ack_of(Order::Little, BIND_ACK, id, group, contexts),
            ALTER => ack_of(Order::Little, ALTER_RESPONSE, id, group, contexts),
            REQUEST if read[3] & 2 != 0 => {
                stubs.lock().unwrap().push(read[24..].to_vec());
                pdu(RESPONSE, id, &read[16..])
            }
            _ => continue,
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// As `read_pdu`, without a deadline: an upstream waits for its clients.
async fn read_pdu_or_end(stream: &mut TcpStream) -> Option<Vec<u8>> {
    stream.readable().await.ok()?;
    read_pdu(stream).await
}

/// An upstream whose connections do what a test says. Probes are answered like clients.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Scripted {
    pub(crate) async fn new<F: Future<Output = ()> + Send + 'static>(
        script: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self {
        let listener = listen().await;
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(script(stream));
            }
        });
        Self { address, tasks }
    }

    /// Ends it with all its connections.
    pub(crate) async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }
}
