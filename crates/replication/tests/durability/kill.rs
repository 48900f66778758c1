use std::env;

use crate::writer::{Barrier, Snapshots, Writer, check};

/// Number of stores of the soak test. Each begins empty, so that it is opened and checked quickly.
const STORES: usize = 10;

const KILLS_PER_STORE: usize = 100;

const KILLS_PER_CHECK: usize = 50;

/// Environment variable: replays only the store of the soak test with this number.
const REPLAY: &str = "QUORATE_SOAK_STORE";

/// A kill of the process keeps the operating system's cache, so this test shows that sled recovers, not that the
/// barrier works; the other durability tests show that.
#[test]
fn machine_thirty_kills_of_one_store_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut acknowledged = Vec::new();
    for round in 0..30 {
        let mut writer = Writer::start(&data, Barrier::InPlace, Snapshots::Never);
        writer.wait_for(20 + 53 * (round % 7));
        acknowledged.extend(writer.kill());
        let lost = check(&data, &acknowledged, folder.path());
        assert_eq!(lost, Ok(()), "after kill {round}, of {} acknowledged", acknowledged.len());
    }
}

#[test]
fn the_checker_notices_an_activation_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut writer = Writer::start(&data, Barrier::InPlace, Snapshots::Never);
    writer.wait_for(10);
    let acknowledged = writer.kill();
    assert_eq!(check(&data, &acknowledged, folder.path()), Ok(()));
    let words: Vec<_> = acknowledged[5].split(' ').collect();
    let wrong = [
        format!("{} {} 00000000-0000-0000-0000-0000000000ff\n", words[0], words[1]),
        format!("{} 1023 {}", words[0], words[2]),
        format!("1000000 {} {}", words[1], words[2]),
    ];
    for line in wrong {
        assert!(check(&data, std::slice::from_ref(&line), folder.path()).is_err(), "{line}");
    }
}

/// Kills the writer of one store repeatedly, as the store's number determines: every other store makes snapshots
/// and purges its log. Returns the number of acknowledged activations.
fn kill_again_and_again(store: usize) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let snapshots = if store.is_multiple_of(2) { Snapshots::EveryEntries(16) } else { Snapshots::Never };
    let mut acknowledged = Vec::new();
    for kill in 1..=KILLS_PER_STORE {
        let mut writer = Writer::start(&data, Barrier::InPlace, snapshots);
        writer.wait_for(1 + (store * KILLS_PER_STORE + kill) * 7919 % 401);
        acknowledged.extend(writer.kill());
        if kill % KILLS_PER_CHECK == 0
            && let Err(lost) = check(&data, &acknowledged, folder.path())
        {
            let all = acknowledged.len();
            panic!(
                "store {store}, after kill {kill}, of {all} acknowledged: {lost}\nrun it again with {REPLAY}={store}"
            );
        }
    }
    assert_eq!(data.join("snapshots/snapshot").exists(), snapshots != Snapshots::Never, "store {store}");
    acknowledged.len()
}

#[test]
fn soak_one_thousand_kills_under_load_lose_nothing_acknowledged() {
    let stores = env::var(REPLAY).map_or_else(|_| (0..STORES).collect(), |store| vec![store.parse().unwrap()]);
    let mut acknowledged = 0;
    for (done, store) in (1..).zip(stores) {
        acknowledged += kill_again_and_again(store);
        let kills = done * KILLS_PER_STORE;
        eprintln!("kills: {kills} of {done} stores; {acknowledged} activations acknowledged, all of them found");
    }
}
