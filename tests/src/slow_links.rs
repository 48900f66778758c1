//! Delays every byte on links between nodes, with relays that belong to the test.
//!
//! In each node's namespace, the addresses of all other nodes belong to the namespace too, and a relay listens on
//! each. The relay connects to the other node from outside the namespace, and forwards what it receives after a
//! delay.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    net::{SocketAddr, TcpListener as StdListener},
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{Cluster, Network};

/// How many pieces may be under way in one direction of one connection.
const PIECES_MAX: usize = 256;
const PIECE_BYTES: usize = 16 * 1024;

/// How long bytes from one node to another are under way, by pair of nodes.
#[derive(Clone, Debug, Default)]
struct Delays(Arc<Mutex<BTreeMap<[u64; 2], Duration>>>);

impl Delays {
    fn of(&self, pair: [u64; 2]) -> Duration {
        let delays = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        delays.get(&pair).copied().unwrap_or_default()
    }
}

/// The slow links between the nodes of a cluster; they end when this is dropped.
#[derive(Debug)]
pub struct SlowLinks {
    delays: Delays,
    _relays: JoinSet<()>,
}

impl SlowLinks {
    /// Starts a relay between each pair of nodes of `cluster`, at first without a delay. Call it before the nodes
    /// run.
    ///
    /// # Panics
    /// Where a namespace cannot be entered.
    pub async fn between(network: &Network, cluster: &Cluster) -> Self {
        let delays = Delays::default();
        let mut relays = JoinSet::new();
        for from in cluster.numbers() {
            for to in cluster.numbers().into_iter().filter(|to| *to != from) {
                let address = cluster.node(to).peers;
                network.also_has(from, address.ip()).await;
                let listener = listener_inside(from, address);
                relays.spawn(relay(listener, address, delays.clone(), [from, to]));
            }
        }
        Self { delays, _relays: relays }
    }

    /// Sets the round trip time between two nodes; half of it is added in each direction.
    pub fn set_round_trip(&self, one: u64, other: u64, round_trip: Duration) {
        let mut delays = self.delays.0.lock().unwrap_or_else(PoisonError::into_inner);
        for pair in [[one, other], [other, one]] {
            delays.insert(pair, round_trip / 2);
        }
    }
}

/// A listener in the namespace of a node; a thread enters the namespace to make it.
fn listener_inside(node: u64, address: SocketAddr) -> TcpListener {
    let listening = thread::spawn(move || -> io::Result<StdListener> {
        let inside = File::open(format!("/run/netns/node{node}"))?;
        move_into_link_name_space(inside.as_fd(), Some(LinkNameSpaceType::Network))?;
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    let listener = listening.join().expect("the thread does not panic");
    let listener = listener.unwrap_or_else(|error| panic!("the namespace of node {node}: {error}"));
    TcpListener::from_std(listener).expect("a runtime takes a listener")
}

/// Relays every connection of one node to another node.
async fn relay(listener: TcpListener, to: SocketAddr, delays: Delays, pair: [u64; 2]) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((inside, _)) = listener.accept().await else { return };
        connections.spawn(connect(inside, to, delays.clone(), pair));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(inside: TcpStream, to: SocketAddr, delays: Delays, pair: [u64; 2]) {
    let Ok(outside) = TcpStream::connect(to).await else { return };
    let _without = (inside.set_nodelay(true), outside.set_nodelay(true));
    let [from, to] = pair;
    let ((from_inside, to_inside), (from_outside, to_outside)) = (inside.into_split(), outside.into_split());
    let there = hand_on(from_inside, to_outside, delays.clone(), [from, to]);
    let back = hand_on(from_outside, to_inside, delays, [to, from]);
    tokio::join!(there, back);
}

/// Forwards bytes, each after the delay that applied when it was received, until the sender ends or the receiver has
/// closed.
async fn hand_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delays: Delays, pair: [u64; 2]) {
    let (queue, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES_MAX);
    let hear = async move {
        loop {
            let mut piece = vec![0; PIECE_BYTES];
            let Ok(length) = from.read(&mut piece).await else { return };
            piece.truncate(length);
            let due = Instant::now() + delays.of(pair);
            if length == 0 || queue.send((due, piece)).await.is_err() {
                return;
            }
        }
    };
    let say = async move {
        while let Some((due, piece)) = arriving.recv().await {
            sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _gone = to.shutdown().await;
    };
    // Forwards everything that was received before it returns.
    tokio::join!(hear, say);
}
