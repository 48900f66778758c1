//! One node: what remains when it stops (folder, address, clock), and what does not (runtime, replica).

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame};
use replication::{
    Connect, Environment, LegacyRequests, Pace, RaftSettings, Recorded, Replica, StartError, Unavailable,
};
use storage::{Disk, Kind, OpenError, Owner, SledDisk, Store};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle, Runtime},
    time::timeout,
};
use tonic::{
    Status,
    body::Body,
    codegen::{Service, http},
    server::NamedService,
    transport::{Endpoint, Server, server::TcpIncoming},
};
use uuid::Uuid;

use super::{
    hanging_disk::{Hang, HangingDisk, Refused},
    test_clock::TestClock,
    waiting::eventually,
};
use crate::world;

/// Answers a request with the request's content and its own number.
struct Echo(u64);

impl LegacyRequests for Echo {
    fn answer(&self, question: Bytes) -> BoxFuture<'_, Result<Bytes, Status>> {
        Box::pin(async move {
            let text = String::from_utf8(question.to_vec()).map_err(|_| Status::failed_precondition("no text"))?;
            Ok(format!("{}: {text}", self.0).into())
        })
    }
}

struct Running {
    runtime: Runtime,
    replica: Replica,
}

pub(crate) struct Node {
    number: u64,
    folder: PathBuf,
    address: SocketAddr,
    clock: Arc<TestClock>,
    settings: RaftSettings,
    pace: Pace,
    /// Whether the node serves only the calls of the previous version, which has no `Hello` and no `SendSnapshot`.
    is_older: bool,
    hang: Hang,
    /// The disk since the last start.
    disk: Option<Arc<HangingDisk>>,
    /// Each call that sends a snapshot to the node breaks after this many bytes.
    snapshots_break_after_bytes: Option<usize>,
    running: Option<Running>,
}

impl Node {
    pub(crate) fn new(number: u64, folder: PathBuf, settings: RaftSettings, pace: Pace) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        Self {
            number,
            folder,
            address,
            clock: Arc::new(TestClock::new()),
            settings,
            pace,
            is_older: false,
            hang: Hang::default(),
            disk: None,
            snapshots_break_after_bytes: None,
            running: None,
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn clock(&self) -> &TestClock {
        &self.clock
    }

    /// From its next start the node serves no `Hello` and no `SendSnapshot`, as in the previous version.
    pub(crate) fn serve_as_older_version(&mut self) {
        self.is_older = true;
    }

    /// From its next start each call that sends a snapshot to the node breaks after this many bytes.
    pub(crate) fn break_snapshots_after(&mut self, bytes: usize) {
        self.snapshots_break_after_bytes = Some(bytes);
    }

    /// Copies the stopped node's folder to `to`.
    pub(crate) async fn copy_folder(&self, to: &Path) {
        assert!(!self.is_running());
        drop(self.open_store().await);
        copy_folder(&self.folder, to);
    }

    /// Replaces the stopped node's folder by a copy of `from`.
    pub(crate) async fn put_folder_back(&mut self, from: &Path) {
        drop(self.open_store().await);
        self.wipe();
        copy_folder(from, &self.folder);
    }

    /// A second node under the same number, on a copy of the stopped node's folder, at an address of its own.
    pub(crate) async fn copied_to(&self, folder: PathBuf) -> Self {
        self.copy_folder(&folder).await;
        Self::new(self.number, folder, self.settings, self.pace)
    }

    /// From now on the node's disk finishes no write.
    pub(crate) fn hang_disk(&self) {
        self.hang.begin();
    }

    /// The disk finishes the writes that hang, and works again.
    pub(crate) async fn free_disk(&self) {
        self.hang.end(&self.disk.as_ref().expect("the node is stopped").inner).await;
    }

    /// What the node's disk refuses from now on; `None`: nothing.
    pub(crate) fn refuse(&self, what: Option<Refused>) {
        self.hang.refuse(what);
    }

    /// How long the node's disk has not finished a write.
    pub(crate) fn hanging_for(&self) -> Duration {
        self.disk.as_ref().map_or(Duration::ZERO, |disk| disk.hanging_for())
    }

    pub(crate) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    pub(crate) fn replica(&self) -> &Replica {
        &self.running.as_ref().expect("the node is stopped").replica
    }

    /// Starts the node from its folder.
    pub(crate) async fn start(&mut self) {
        self.try_start().await.unwrap_or_else(|error| panic!("node {} did not start: {error}", self.number));
    }

    pub(crate) async fn try_start(&mut self) -> Result<(), StartError> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let disk = Arc::new(self.open_hanging_disk().await);
        self.disk = Some(Arc::clone(&disk));
        let (settings, pace, address) = (self.settings, self.pace, self.address);
        let served_as = (self.is_older, self.snapshots_break_after_bytes);
        let environment =
            Environment::new(self.clock.clone(), connect(), (self.number, u64::from_be_bytes(random())), Arc::new(()));
        let started = runtime.spawn(async move {
            let replica = Replica::start_at_pace(disk, &settings, environment, pace).await?;
            serve(&replica, address, served_as).await;
            Ok(replica)
        });
        match started.await.unwrap() {
            Ok(replica) => {
                self.running = Some(Running { runtime, replica });
                Ok(())
            }
            Err(error) => {
                self.disk = None;
                stop(runtime).await;
                Err(error)
            }
        }
    }

    /// Opens the disk of the stopped node.
    pub(crate) async fn open_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.open_hanging_disk().await)
    }

    async fn open_hanging_disk(&self) -> HangingDisk {
        let disk = SledDisk::start(self.open_store().await, &self.folder, |_| {}).unwrap();
        #[cfg(feature = "fault-injection")]
        let disk = if self.settings.keep_purged { disk.keeping_purged().unwrap() } else { disk };
        HangingDisk { inner: disk, hang: self.hang.clone() }
    }

    /// Opens the store of the stopped node; a node that was killed releases it a moment later.
    pub(crate) async fn open_store(&self) -> Arc<Store> {
        let mut opened = None;
        eventually("the store is free", || {
            let uuid = Uuid::from_bytes(random());
            let owner = Owner { kind: Kind::Node, number: self.number, store_if_new: uuid };
            match Store::open(&self.folder.join("store"), owner) {
                Ok(store) => opened = Some(Arc::new(store)),
                Err(OpenError::InUse { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            std::future::ready(opened.is_some())
        })
        .await;
        opened.unwrap()
    }

    /// Stops the node as a crash would: without a hand-over, and with unfinished work.
    pub(crate) async fn stop_hard(&mut self) {
        let Running { runtime, replica } = self.running.take().expect("the node is stopped already");
        drop((replica, self.disk.take()));
        stop(runtime).await;
    }

    /// Stops the node as an administrator would.
    pub(crate) async fn stop(&mut self) {
        self.on(async |replica| replica.shutdown().await).await;
        self.stop_hard().await;
    }

    /// Removes everything that the stopped node had on disk.
    pub(crate) fn wipe(&mut self) {
        assert!(!self.is_running());
        fs::remove_dir_all(&self.folder).unwrap();
    }

    /// The node's own runtime.
    pub(crate) fn handle(&self) -> &Handle {
        self.running.as_ref().expect("the node is stopped").runtime.handle()
    }

    /// Runs `task` on the node's own runtime, as the daemon would.
    pub(crate) async fn on<T, F>(&self, task: impl FnOnce(Replica) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.handle().spawn(task(self.replica().clone())).await.unwrap()
    }

    /// A request of `machine`, whose clock is that of this node.
    pub(crate) async fn submit(&self, machine: u64) -> Result<Recorded, Unavailable> {
        self.submit_at(machine, self.clock_ms()).await
    }

    /// A request of `machine`, whose clock shows `client_time_ms`.
    pub(crate) async fn submit_at(&self, machine: u64, client_time_ms: u64) -> Result<Recorded, Unavailable> {
        let record = world::record(self.number, machine, client_time_ms);
        self.on(async move |replica| replica.submit(&record).await).await
    }

    pub(crate) fn clock_ms(&self) -> u64 {
        replication::Clock::wall_ms(&*self.clock)
    }

    /// The number of machines in the node's counts, at its own clock's time.
    pub(crate) fn known_machines(&self) -> u32 {
        self.replica().view(|state| state.counts(self.clock_ms()).iter().map(|application| application.count).sum())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(Running { runtime, .. }) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

async fn stop(runtime: Runtime) {
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10))).await.unwrap();
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let to = to.join(item.file_name());
        if item.file_type().unwrap().is_dir() {
            copy_folder(&item.path(), &to);
        } else {
            fs::copy(item.path(), to).unwrap();
        }
    }
}

/// A service without the calls that the previous version does not have, or one on which snapshots break.
#[derive(Clone)]
struct Served<S> {
    service: S,
    is_older: bool,
    snapshots_break_after_bytes: Option<usize>,
}

impl<S: NamedService> NamedService for Served<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Served<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let is = |call: &str| request.uri().path().ends_with(call);
        if self.is_older && (is("/Hello") || is("/SendSnapshot")) {
            return Box::pin(async { Ok(Status::unimplemented("an earlier version").into_http()) });
        }
        let request = match self.snapshots_break_after_bytes.filter(|_| is("/SendSnapshot")) {
            Some(left_bytes) => request.map(|body| Body::new(Breaking { body, left_bytes })),
            None => request,
        };
        Box::pin(self.service.call(request))
    }
}

/// The body of a call that breaks.
struct Breaking {
    body: Body,
    left_bytes: usize,
}

impl HttpBody for Breaking {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        match self.left_bytes.checked_sub(bytes) {
            Some(left_bytes) => {
                self.left_bytes = left_bytes;
                Poll::Ready(frame)
            }
            None => Poll::Ready(Some(Err(Status::unavailable("the connection broke")))),
        }
    }
}

async fn serve(replica: &Replica, address: SocketAddr, (is_older, snapshots_break_after_bytes): (bool, Option<usize>)) {
    let deadline = Duration::from_secs(10);
    let bound = timeout(deadline, async {
        loop {
            if let Ok(listener) = TcpListener::bind(address).await {
                return listener;
            }
            tokio::task::yield_now().await;
        }
    });
    let incoming = TcpIncoming::from(bound.await.expect("the port is taken")).with_nodelay(Some(true));
    let service = replica.peer_service(Arc::new(Echo(replica.identity().owner)));
    let mut builder = Server::builder()
        .http2_max_pending_accept_reset_streams(Some(1000))
        .http2_max_local_error_reset_streams(Some(1000));
    let service = Served { service, is_older, snapshots_break_after_bytes };
    tokio::spawn(builder.add_service(service).serve_with_incoming(incoming));
}

fn connect() -> Connect {
    Arc::new(|address| {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        Ok(endpoint.tcp_nodelay(true).connect_timeout(Duration::from_millis(200)).connect_lazy())
    })
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
