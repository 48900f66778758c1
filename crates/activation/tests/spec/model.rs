//! The state machine against a naive model: one flat list of requests, which is scanned from end to end each time.
//!
//! The model has no groups, certificates or catalogs: a table states which node answers for which product, and the
//! rules of the count are applied to the whole list each time.

use activation::clock::SkewReference;
use activation::id::{Cmid, NodeId};
use activation::message::Record;
use activation::state::{Command, Format, RecordOutcome, Refusal};
use proptest::prelude::*;

use super::world::*;

/// Product, application, threshold, and how nodes 1 to 5 answer requests for it.
type Row = (&'static str, &'static str, usize, [Result<u8, Refusal>; 5]);

const NO: Result<u8, Refusal> = Err(Refusal::NotCovered);
const BLOCKED: Result<u8, Refusal> = Err(Refusal::KeyBlocked);
const NONE: Result<u8, Refusal> = Err(Refusal::NotActivated);

/// Node 1 holds key 1 for server-b, node 2 key 1 for clients, node 3 key 1 for server-b and key 2 for the suite,
/// node 4 a blocked key, node 5 no key.
const PRODUCTS: [Row; 6] = [
    ("workstation-professional-2", "platform", 25, [Ok(1), Ok(1), Ok(1), BLOCKED, NONE]),
    ("workstation-business-1", "platform", 25, [Ok(1), Ok(1), Ok(1), BLOCKED, NONE]),
    ("server-standard-2", "platform", 5, [Ok(1), NO, Ok(1), BLOCKED, NONE]),
    ("server-datacenter-2", "platform", 5, [NO, NO, NO, BLOCKED, NONE]),
    ("suite-standard-1", "suite", 5, [NO, NO, Ok(2), BLOCKED, NONE]),
    ("no-such-product", "", 0, [NO, NO, NO, BLOCKED, NONE]),
];

fn cluster() -> Cluster {
    let mut cluster = Cluster::empty();
    let blocked = format!("\nkeys = [\"{}\"]", host_key(3).key_id());
    cluster.install_catalog(&example_with("\nkeys = []", &blocked));
    for key in 1..=3 {
        cluster.install_key(&host_key(key));
    }
    for (node, key, group, platform) in [(1, 1, 3, 4), (2, 1, 1, 1), (3, 1, 3, 4), (3, 2, 10, 1), (4, 3, 4, 5)] {
        cluster.certify(node, &host_key(key), group, platform);
    }
    cluster
}

#[derive(Clone, Debug)]
struct Asked {
    application: &'static str,
    cmid: Cmid,
    time_ms: u64,
}

#[derive(Default)]
struct Model {
    /// Every request that still counts, in the order of arrival.
    list: Vec<Asked>,
    /// Every threshold that was used in a count.
    thresholds: Vec<(&'static str, usize)>,
}

impl Model {
    fn limit(&self, application: &str) -> usize {
        let of_application = self.thresholds.iter().filter(|(name, _)| *name == application);
        2 * of_application.map(|(_, threshold)| *threshold).max().unwrap_or(0)
    }

    fn count(&self, application: &str, now_ms: u64) -> usize {
        let young = |asked: &&Asked| asked.application == application && now_ms - asked.time_ms < 30 * DAY_MS;
        self.list.iter().filter(young).count()
    }

    fn ask(
        &mut self,
        row: &Row,
        node: NodeId,
        cmid: Cmid,
        client_ms: u64,
        now_ms: u64,
    ) -> Result<(u8, usize), Refusal> {
        let (_, application, threshold, says) = row;
        let key = says[usize::try_from(node).unwrap() - 1]?;
        if client_ms.max(now_ms) - client_ms.min(now_ms) > 4 * HOUR_MS {
            return Err(Refusal::ClockSkew);
        }
        self.thresholds.push((application, *threshold));
        self.list.retain(|asked| {
            let own = asked.application == *application;
            !own || (now_ms - asked.time_ms < 30 * DAY_MS && asked.cmid != cmid)
        });
        self.list.push(Asked { application, cmid, time_ms: now_ms });
        while self.count(application, now_ms) > self.limit(application) {
            let oldest = self.list.iter().position(|asked| asked.application == *application).unwrap();
            self.list.remove(oldest);
        }
        Ok((key, self.count(application, now_ms)))
    }
}

#[derive(Clone, Debug)]
struct Ask {
    product: usize,
    node: NodeId,
    machine: u32,
    client_skew_ms: i64,
}

fn any_ask() -> impl Strategy<Value = Ask> {
    let hours = 4 * i64::try_from(HOUR_MS).unwrap();
    let skew =
        prop_oneof![10 => Just(0), 1 => Just(hours), 1 => Just(-hours), 1 => Just(hours + 1), 1 => Just(-hours - 1)];
    let product = prop_oneof![3 => Just(0usize), 3 => Just(2), 2 => Just(4), 1 => 0..PRODUCTS.len()];
    let node = prop_oneof![6 => Just(1u64), 4 => Just(3), 1 => 1..=5u64];
    (product, node, 0..70u32, skew).prop_map(|(product, node, machine, client_skew_ms)| Ask {
        product,
        node,
        machine,
        client_skew_ms,
    })
}

/// The time that passed since the last batch, and the requests that waited then.
fn any_batches() -> impl Strategy<Value = Vec<(u64, Vec<Ask>)>> {
    let passed = prop_oneof![
        4 => 0..HOUR_MS,
        3 => DAY_MS..8 * DAY_MS,
        1 => Just(30 * DAY_MS - 1),
        1 => Just(30 * DAY_MS),
    ];
    proptest::collection::vec((passed, proptest::collection::vec(any_ask(), 0..40)), 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_state_machine_counts_like_a_list_that_is_scanned(batches in any_batches(), newest in any::<bool>()) {
        let mut cluster = cluster();
        if newest {
            cluster.apply(&Command::SetFormat { format: Format::NEWEST });
        }
        let mut model = Model::default();
        for (passed_ms, asks) in batches {
            cluster.now_ms += passed_ms;
            let now_ms = cluster.now_ms;
            let client_ms = |ask: &Ask| now_ms.checked_add_signed(ask.client_skew_ms).unwrap();
            let records = asks.iter().map(|ask| Record {
                node: ask.node,
                client_time_ms: client_ms(ask),
                ..cluster.record(PRODUCTS[ask.product].0, ask.machine)
            });
            let outcomes = cluster.batch(SkewReference::ClusterTime, records.collect());
            for (ask, outcome) in asks.iter().zip(outcomes) {
                let row = &PRODUCTS[ask.product];
                let expected = model.ask(row, ask.node, cmid(ask.machine), client_ms(ask), now_ms);
                let given = match outcome {
                    RecordOutcome::Refused(refusal) => Err(refusal),
                    RecordOutcome::Counted(counted) => {
                        prop_assert_eq!(counted.threshold as usize, row.2);
                        let key = (1..=3).find(|key| host_key(*key).key_id() == counted.key).unwrap();
                        Ok((key, counted.count as usize))
                    }
                };
                prop_assert_eq!(given, expected, "{:?}", ask);
            }
            for application in ["platform", "suite"] {
                for later_ms in [0, DAY_MS, 29 * DAY_MS, 30 * DAY_MS] {
                    let counts = cluster.state.counts(now_ms + later_ms);
                    let count = counts.iter().find(|count| count.application.as_str() == application).unwrap();
                    prop_assert_eq!(count.count as usize, model.count(application, now_ms + later_ms));
                    prop_assert_eq!(count.cache_limit as usize, model.limit(application));
                }
            }
        }
    }
}
