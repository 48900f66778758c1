//! One node: a real replica and the host's real decisions, on a simulated disk and network.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use activation::status::Status;
use api::peer::v1::peer_server::PeerServer;
use bytes::Bytes;
use futures::future::BoxFuture;
use host::simulated::AnsweringHost;
use replication::{Computations, Environment, Health, LegacyRequests, Pace, Planted, RaftSettings, Replica};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};
use tonic::transport::Server;
use turmoil::net::{TcpListener, TcpStream};

use crate::{
    administrator,
    clock::NodeClock,
    disk::{DiskBay, Image, SimulatedDisk},
    network::{self, CLIENTS_PORT},
    peer_calls::WatchedCalls,
    world::{Seen, Watcher, Wish, World},
};

/// Size limit of a client's message, in bytes.
const REQUEST_BYTES_MAX: u16 = 1024;

/// How long a client may take to send its request.
const REQUEST_DEADLINE: Duration = Duration::from_secs(5);

/// A small size, because snapshots are small here and connections have to break while a snapshot is sent.
const SNAPSHOT_CHUNK_BYTES: usize = 1024;

/// Interval at which a node reports whether it is ready.
const READY_INTERVAL: Duration = Duration::from_millis(250);

/// How long a node on an older disk may report that it is ready. The leader's next check finds what the node lacks.
const STALE_READY_MAX: Duration = Duration::from_secs(3);

/// Options that are the same for all nodes of a run.
#[derive(Clone, Debug)]
pub(crate) struct NodeOptions {
    pub(crate) settings: RaftSettings,
    pub(crate) pace: Pace,
    /// Folder in which each node has a folder for its private keys.
    pub(crate) keys: PathBuf,
    pub(crate) machine_root: PathBuf,
}

impl NodeOptions {
    pub(crate) fn new(keys: PathBuf, machine_root: PathBuf, planted: Planted, snapshot_every_entries: u64) -> Self {
        let settings = RaftSettings { promote_after: Duration::from_secs(20), planted, ..RaftSettings::default() };
        let pace = Pace { snapshot_every_entries, snapshot_chunk_bytes: SNAPSHOT_CHUNK_BYTES, ..Pace::default() };
        Self { settings, pace, keys, machine_root }
    }
}

/// Refuses the questions of nodes of the previous version: a run has no such nodes.
struct NoLegacyRequests;

impl LegacyRequests for NoLegacyRequests {
    fn answer(&self, _question: Bytes) -> BoxFuture<'_, Result<Bytes, tonic::Status>> {
        Box::pin(async { Err(tonic::Status::unimplemented("not simulated")) })
    }
}

/// Runs a node until it ends by itself; a crash can drop it at any point.
pub(crate) async fn run(world: World, node: u64, bay: DiskBay, options: NodeOptions) -> turmoil::Result {
    let ended = start(&world, node, bay, options).await;
    world.node(node, crate::world::NodeState::ended);
    match ended {
        Ok(why) => world.trace(format_args!("node {node} ends: {why}")),
        Err(error) => world.trace(format_args!("node {node} ends: {error}")),
    }
    world.wish(Wish::Ended(node));
    // The node's sockets stay open until the simulation loop ends its process.
    std::future::pending().await
}

async fn start(world: &World, node: u64, bay: DiskBay, options: NodeOptions) -> turmoil::Result<&'static str> {
    let boot = bay.boot();
    look_at_promises(world, node, &bay.image());
    let watcher = Arc::new(Watcher { world: world.clone(), node });
    let is_failing = bay.is_failing();
    let disk = Arc::new(SimulatedDisk::open(bay.clone(), Arc::clone(&watcher) as _));
    let clock = Arc::new(NodeClock { world: world.clone(), node, origin: world.true_time() });
    let mut environment = Environment::new(clock, network::connect(world.clone(), boot), (boot, boot), watcher);
    // Computations run inline, because thread and completion time must not depend on the machine.
    environment.computations = Computations::new(|work| work());
    environment.newest_format = world.node(node, |state| state.newest_format);
    let settings = RaftSettings { profile: world.node(node, |state| state.profile), ..options.settings };
    let started = Replica::start_at_pace(disk, &settings, environment, options.pace).await;
    let replica = match started {
        Ok(replica) => replica,
        Err(error) if is_failing || bay.is_failing() || bay.is_damaged() => return Err(error.to_string().into()),
        Err(error) => {
            world.violated("node_failed", format_args!("node {node} starts on what its disk holds"), &error);
            return Err(error.to_string().into());
        }
    };
    look_at_state(world, node, &replica);
    // Private keys survive the loss of a disk here: a node that joins again is certified for the same key.
    let keys = options.keys.join(replica.identity().owner.to_string());
    std::fs::create_dir_all(&keys)?;
    let host = AnsweringHost::new(replica.clone(), &keys, &options.machine_root)?;
    let calls = WatchedCalls { calls: replica.peer_calls(Arc::new(NoLegacyRequests)), world: world.clone(), node };
    let incoming = network::incoming().await?;
    let serving = Server::builder()
        .http2_max_pending_accept_reset_streams(Some(1000))
        .http2_max_local_error_reset_streams(Some(1000))
        .add_service(
            PeerServer::new(calls)
                .max_decoding_message_size(replication::limits::PEER_MESSAGE_BYTES_MAX)
                .max_encoding_message_size(replication::limits::PEER_MESSAGE_BYTES_MAX),
        )
        .serve_with_incoming(incoming);
    tokio::spawn(host.clone().follow());
    tokio::spawn(watch_roles(world.clone(), node, replica.clone()));
    tokio::spawn(watch_readiness(world.clone(), node, host.clone()));
    tokio::spawn(watch_quarantine(world.clone(), node, replica.clone()));
    tokio::spawn(serve_clients(host.clone()));
    let orders = world.commands_of(node);
    tokio::spawn(administrator::obey(world.clone(), node, replica.clone(), host.clone(), orders));
    let look = {
        let (replica, publisher) = (replica.clone(), Arc::clone(&world.publisher));
        move || {
            let (applied, digest) =
                replica.view_at(|index, state| (index, crate::oracle::digest_of(state, &publisher)));
            let cluster = replica.cluster();
            Seen {
                applied,
                digest,
                members: cluster.members.into_keys().collect(),
                voters: cluster.voters.into_iter().collect(),
            }
        }
    };
    world.node(node, |state| {
        state.is_up = true;
        state.look = Some(Arc::new(look));
    });
    world.trace(format_args!("node {node} is up"));
    tokio::select! {
        served = serving => {
            served?;
            Ok("its node service ended")
        }
        failure = replica.failed() => {
            let is_failing = bay.is_failing() || bay.hanging_for() >= replication::limits::DISK_HANG_MAX;
            if !is_failing && failure != replication::Failure::Stopped {
                world.violated("node_failed", format_args!("node {node} runs on a disk that works"), &failure);
            }
            Ok("its replica has failed")
        }
        () = host.stop_when_drained() => Ok("it was drained"),
    }
}

/// Checks that the disk holds everything that the node promised before it stopped.
fn look_at_promises(world: &World, node: u64, image: &Image) {
    let (vote, last) = image.promised();
    let broken = world.oracle(|oracle| oracle.promises.starts(node, vote, last));
    world.trace(format_args!("node {node} starts with entry {last}"));
    if let Some((kind, expected, found)) = broken {
        world.violated(kind, expected, found);
    }
}

fn look_at_state(world: &World, node: u64, replica: &Replica) {
    let (index, found) = replica.view_at(|index, state| (index, crate::oracle::digest_of(state, &world.publisher)));
    let now = world.now();
    world.oracle(|oracle| oracle.found(node, index, found, now));
}

/// Records each change of the leader.
async fn watch_roles(world: World, node: u64, replica: Replica) {
    use futures::StreamExt;
    let mut leaders = replica.leaders();
    while let Some(leader) = leaders.next().await {
        world.election();
        world.trace(format_args!("node {node} follows node {leader}"));
    }
}

async fn watch_readiness(world: World, node: u64, host: AnsweringHost) {
    loop {
        let unready = host.unready_because();
        let now = world.now();
        let changed = world.node(node, |state| {
            let was = state.ready_since.is_some();
            state.ready_since = if unready.is_some() { None } else { state.ready_since.or(Some(now)) };
            was != unready.is_none()
        });
        let stale_for = world.node(node, |state| state.ready_since.filter(|_| state.is_stale)).map(|since| now - since);
        if stale_for.is_some_and(|time| time > STALE_READY_MAX) {
            let expected = format!("node {node}, whose disk is an older one or a copy, does not serve");
            world.violated("stale_disk_serves", expected, "it reports that it is ready");
        }
        if changed {
            match &unready {
                Some(why) => world.trace(format_args!("node {node} is not ready: {why}")),
                None => world.trace(format_args!("node {node} is ready")),
            }
        }
        sleep(READY_INTERVAL).await;
    }
}

/// Records that the node is quarantined. A node on its own newest disk must not be.
async fn watch_quarantine(world: World, node: u64, replica: Replica) {
    let reason = loop {
        match replica.health() {
            Health::Quarantined(reason) => break reason,
            _ => sleep(READY_INTERVAL).await,
        }
    };
    world.trace(format_args!("node {node} is quarantined: {reason}"));
    if !world.node(node, |state| state.is_older) {
        let expected = format!("node {node} runs on its own disk as it last was, and is not quarantined");
        world.violated("sound_node_quarantined", expected, reason);
    }
}

/// Serves machines: one request and one answer for each connection.
async fn serve_clients(host: AnsweringHost) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", CLIENTS_PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let host = host.clone();
        tokio::spawn(async move {
            // A client that disconnects is no failure of the node.
            let _gone = serve_client(stream, host).await;
        });
    }
}

async fn serve_client(mut stream: TcpStream, host: AnsweringHost) -> io::Result<()> {
    let request = timeout(REQUEST_DEADLINE, read_message(&mut stream)).await??;
    let (answer, status) = host.answer(&request).await.unwrap_or((Vec::new(), Status::FAILED));
    stream.write_u32(status.0).await?;
    write_message(&mut stream, &answer).await
}

/// Reads a message that follows its length of 2 bytes.
pub(crate) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    if length > REQUEST_BYTES_MAX {
        return Err(io::Error::other("a message that is too long"));
    }
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Sends a message after its length of 2 bytes.
pub(crate) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_u16(length).await?;
    stream.write_all(message).await?;
    stream.flush().await
}
