//! Acknowledged activations are never lost: a node is killed under load thirty times, and afterwards every
//! acknowledged activation is in the log of every node, at the index and offset that its answer named.

use quorate_tests::{Cluster, Load, Plan, Quorate, eventually};

const QUORATE: &str = env!("CARGO_BIN_EXE_quorate-under-test");
const ROUNDS: u64 = 30;
const CLIENTS: usize = 6;
/// How many answers the test waits for before it kills a node, and again before it starts the node.
const ANSWERS: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machine_every_acknowledged_activation_outlives_thirty_kills_under_load() {
    let plan = Plan { variables: &[("QUORATE_TEST_KEEP_LOG", "1")], ..Plan::of(3) };
    let mut cluster = Cluster::activated(&Quorate::at(QUORATE), plan).await;
    let load = Load::start(&cluster, &cluster.product("workstation-professional-2"), CLIENTS);
    for round in 0..ROUNDS {
        let victim = round % 3 + 1;
        load.more(ANSWERS).await;
        cluster.kill(victim).await;
        load.more(ANSWERS).await;
        cluster.start(victim);
        let witness = (round + 1) % 3 + 1;
        eventually("the killed node is back", async || {
            let standing = cluster.standing(witness).await?;
            standing.members.values().all(|member| member.ready).then_some(())
        })
        .await;
    }
    let answered = load.end().await;
    cluster.settled(1).await;
    println!("thirty kills: {answered}");
    answered.is_kept_by(&mut cluster).await;
}
