//! Activations per second of three nodes in one process, durable on disk, compared with the rate of bare fsyncs of
//! that disk.
//!
//! `cargo bench -p replication`. Compare ratios within one run, not absolute values of two machines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "a benchmark prints")]

#[path = "../tests/replicas/cluster/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod cluster;
#[path = "../tests/replicas/world.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod world;

use std::{
    fs::File,
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cluster::{Cluster, eventually};
use hdrhistogram::Histogram;
use replication::{Pace, RaftSettings};
use tokio::{task::JoinSet, time::Instant};

const CALLERS: [u64; 4] = [1, 64, 256, 1024];
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(4);

/// Bytes of one bare append: about the size of an entry with one request.
const APPEND_BYTES: usize = 4096;

struct Measured {
    callers: u64,
    per_second: f64,
    latency_us: Histogram<u64>,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let bare = bare_barriers_per_second();
        println!("bare append of {APPEND_BYTES} bytes and fdatasync: {bare:.0}/s\n");
        println!("asked node  callers  activations/s   p50 ms   p99 ms  to 1 caller  to bare");
        for asked in ["leader", "followers"] {
            let cluster = Cluster::activated_at(3, RaftSettings::default(), Pace::default()).await;
            let mut alone = None;
            for callers in CALLERS {
                let measured = measure(&cluster, asked, callers).await;
                let alone = *alone.get_or_insert(measured.per_second);
                print(asked, &measured, alone, bare);
            }
            cluster.assert_equal_states().await;
        }
    });
}

fn print(asked: &str, measured: &Measured, alone: f64, bare: f64) {
    let Measured { callers, per_second, latency_us } = measured;
    let quantile_ms = |quantile| Duration::from_micros(latency_us.value_at_quantile(quantile)).as_secs_f64() * 1000.0;
    let (p50, p99) = (quantile_ms(0.5), quantile_ms(0.99));
    let (to_alone, to_bare) = (per_second / alone, per_second / bare);
    println!("{asked:<10}  {callers:>7}  {per_second:>13.0}  {p50:>7.2}  {p99:>7.2}  {to_alone:>11.1}  {to_bare:>7.2}");
}

/// The rate of appends with fdatasync on the same disk, without this project's code.
fn bare_barriers_per_second() -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut file = File::create(folder.path().join("bare")).unwrap();
    let began = Instant::now();
    let mut appends = 0u32;
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&[7; APPEND_BYTES]).unwrap();
        file.sync_data().unwrap();
        appends += 1;
    }
    f64::from(appends) / began.elapsed().as_secs_f64()
}

/// Runs `callers` concurrent callers, each of which sends its next request as soon as the last is answered.
async fn measure(cluster: &Cluster, asked: &str, callers: u64) -> Measured {
    eventually("the leader answers", || async { cluster.node(1).submit(0).await.is_ok() }).await;
    let leader = cluster.leader().await;
    let nodes: Vec<_> = match asked {
        "leader" => vec![leader],
        _ => (1..=3).filter(|&node| node != leader).collect(),
    };
    let machines = Arc::new(AtomicU64::new(0));
    let begin = Instant::now() + WARM_UP;
    let end = begin + MEASURED;
    let mut asking = JoinSet::new();
    for caller in 0..callers {
        let node = cluster.node(nodes[usize::try_from(caller).unwrap() % nodes.len()]);
        let (number, replica, client_time_ms) = (node.number(), node.replica().clone(), node.clock_ms());
        let machines = Arc::clone(&machines);
        let asks = async move {
            let mut latency_us = Histogram::<u64>::new(3).unwrap();
            loop {
                let machine = machines.fetch_add(1, Ordering::Relaxed);
                let asked_at = Instant::now();
                replica.submit(&world::record(number, machine, client_time_ms)).await.unwrap();
                let now = Instant::now();
                if now >= end {
                    return latency_us;
                }
                if asked_at >= begin {
                    let latency = u64::try_from((now - asked_at).as_micros()).unwrap();
                    latency_us.record(latency).unwrap();
                }
            }
        };
        asking.spawn_on(asks, node.handle());
    }
    let mut latency_us = Histogram::new(3).unwrap();
    while let Some(one) = asking.join_next().await {
        latency_us.add(one.unwrap()).unwrap();
    }
    #[allow(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
    let per_second = latency_us.len() as f64 / MEASURED.as_secs_f64();
    Measured { callers, per_second, latency_us }
}
