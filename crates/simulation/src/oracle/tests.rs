//! Tests of the oracle: it accepts correct behaviour of the product, and reports what is wrong.

use activation::{
    clock::{SkewReference, Stamp},
    id::{Cmid, MachineDigest},
    message::Record,
    state::{Applied, Batch, Command, Counted, Format, RecordOutcome, State},
};
use replication::AppliedEntry;

use super::*;
use crate::publisher::{PRODUCTS, START_MS};

const HOUR_MS: u64 = 60 * 60 * 1000;

/// The product's state machine together with the oracle.
struct Both {
    publisher: Publisher,
    state: State,
    oracle: Oracle,
    index: u64,
}

impl Both {
    /// An activated node with the number 1.
    fn new() -> Self {
        let publisher = Publisher::new();
        let mut both = Self { publisher, state: State::new(), oracle: Oracle::default(), index: 0 };
        let node_key = activation::SigningKey::from_bytes(&[5; 32]).verifying_key().to_bytes();
        let [catalog, key] = both.publisher.installation();
        for command in [catalog, key, both.publisher.activation(1, &node_key)] {
            assert_eq!(both.apply(&command), Applied::Done);
        }
        both
    }

    fn apply(&mut self, command: &Command) -> Applied {
        let encoded = command.encode();
        let applied = self.state.apply(self.index, &encoded);
        self.tell(&encoded, Duration::ZERO);
        applied
    }

    fn tell(&mut self, command: &[u8], now: Duration) {
        let entry = AppliedEntry { term: 1, leader: 1, index: self.index, command: Some(command) };
        self.oracle.applied(1, &entry, &self.state, &self.publisher, (now, now));
        self.index += 1;
    }

    fn record(&self, machine: u64, product: usize, time_ms: u64) -> Record {
        Record {
            node: 1,
            publisher: self.publisher.id,
            product: self.publisher.product_id(&PRODUCTS[product]),
            cmid: Cmid(u128::from(machine).to_be_bytes()),
            machine: MachineDigest(machine.to_be_bytes()),
            machine_name: "PC".parse().unwrap(),
            virtual_machine: false,
            client_time_ms: time_ms,
        }
    }

    /// Applies one request, `hours` after the beginning; returns the count, or `None` where it was refused.
    fn ask(&mut self, machine: u64, product: usize, hours: u64) -> Option<u32> {
        let time_ms = START_MS + hours * HOUR_MS;
        let records = vec![self.record(machine, product, time_ms)];
        let stamp = Stamp { time_ms, skew: SkewReference::ClusterTime, expiry_ms: None };
        let encoded = Command::Batch(Batch { stamp, records }).encode();
        let Applied::Batch { outcomes, .. } = self.state.apply(self.index, &encoded) else { panic!("a batch") };
        self.tell(&encoded, Duration::from_secs(hours * 3600));
        match outcomes[0] {
            RecordOutcome::Counted(Counted { count, .. }) => Some(count),
            RecordOutcome::Refused(_) => None,
        }
    }

    fn acknowledge(&mut self, machine: u64, index: u64, count: u32) {
        let at = Duration::from_secs(index);
        let (asked, answered) = (at, at + Duration::from_millis(1));
        self.oracle.acknowledged(Acknowledgement { machine: machine.into(), asked, answered, index, offset: 0, count });
    }

    fn kinds(&mut self) -> Vec<Kind> {
        self.oracle.check_end(Duration::ZERO);
        self.oracle.violations().iter().map(|violation| violation.kind).collect()
    }
}

#[test]
fn r10_r11_r12_the_oracle_and_the_product_agree_over_months() {
    let mut both = Both::new();
    let mut machine: u64 = 1;
    for step in 0..3000_u64 {
        // Machines with several requests, machines with one request, and every product.
        machine = machine.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (number, product) = ((machine >> 33) % 90, usize::try_from((machine >> 20) % 4).unwrap());
        let index = both.index;
        if let Some(count) = both.ask(number, product, step * 2) {
            both.acknowledge(number, index, count);
        }
    }
    assert_eq!(both.kinds(), Vec::<Kind>::new());
}

#[test]
fn the_oracle_names_a_lost_acknowledgement_a_wrong_count_and_a_wrong_order() {
    let told = |tell: fn(&mut Both)| {
        let mut both = Both::new();
        assert_eq!([1, 2, 3].map(|machine| both.ask(machine, 0, machine)), [Some(1), Some(2), Some(3)]);
        tell(&mut both);
        both.kinds()
    };
    // Entries 3, 4 and 5 hold machines 1, 2 and 3.
    assert_eq!(told(|both| both.acknowledge(2, 4, 2)), Vec::<Kind>::new());
    assert_eq!(told(|both| both.acknowledge(9, 4, 2)), ["acknowledged_lost"]);
    assert_eq!(told(|both| both.acknowledge(2, 9, 2)), ["acknowledged_lost"]);
    assert_eq!(told(|both| both.acknowledge(2, 4, 3)), ["wrong_count"]);
    let backwards = |both: &mut Both| {
        for (at, machine, index) in [(1, 2, 4), (2, 1, 3)] {
            let (asked, answered) = (Duration::from_secs(at), Duration::from_millis(at * 1000 + 1));
            let count = u32::try_from(machine).unwrap();
            let machine = u128::from(u32::try_from(machine).unwrap());
            both.oracle.acknowledged(Acknowledgement { machine, asked, answered, index, offset: 0, count });
        }
    };
    assert_eq!(told(backwards), ["order"]);
}

#[test]
fn the_oracle_names_another_entry_another_state_and_a_stale_read() {
    let mut both = Both::new();
    both.ask(1, 0, 1);
    let other = Command::Forget { node: 3 }.encode();
    let entry = AppliedEntry { term: 1, leader: 1, index: 3, command: Some(&other) };
    both.oracle.applied(2, &entry, &both.state, &both.publisher, (Duration::ZERO, Duration::ZERO));
    assert_eq!(both.kinds(), ["log_differs"]);

    let mut both = Both::new();
    both.ask(1, 0, 1);
    both.oracle.found(2, 3, digest_of(&State::new(), &both.publisher), Duration::ZERO);
    assert_eq!(both.kinds(), ["state_differs"]);

    let mut both = Both::new();
    both.oracle.read(1, 7, 7, Duration::ZERO);
    assert_eq!(both.kinds(), Vec::<Kind>::new());
    both.oracle.read(1, 7, 6, Duration::ZERO);
    assert_eq!(both.kinds(), ["stale_read"]);
}

#[test]
fn the_oracle_names_a_machine_that_expires_early_by_real_time() {
    let mut both = Both::new();
    // In earlier formats cluster time stands still during an alarm, and early expiry that follows from it is no
    // violation.
    let newest = Command::SetFormat { format: Format::NEWEST }.encode();
    both.state.apply(both.index, &newest);
    both.tell(&newest, Duration::from_secs(0));
    both.ask(1, 0, 1);
    // Cluster time is 40 days later, real time one hour later.
    let time_ms = START_MS + 40 * 24 * HOUR_MS;
    let records = vec![both.record(2, 0, time_ms)];
    let encoded = Command::Batch(Batch {
        stamp: Stamp { time_ms, skew: SkewReference::ClusterTime, expiry_ms: Some(time_ms) },
        records,
    })
    .encode();
    both.state.apply(both.index, &encoded);
    both.tell(&encoded, Duration::from_secs(2 * 3600));
    assert_eq!(both.kinds(), ["expired_early"]);
}

#[test]
fn the_oracle_accepts_time_that_an_administrator_set_back_to_wrong_clocks() {
    let mut both = Both::new();
    let newest = Command::SetFormat { format: Format::NEWEST };
    both.apply(&newest);
    both.ask(1, 0, 1);
    let day_ms = 24 * HOUR_MS;
    let batch = |both: &Both, machine, time_ms| {
        let stamp = Stamp { time_ms, skew: SkewReference::LeaveOut, expiry_ms: Some(time_ms) };
        Command::Batch(Batch { stamp, records: vec![both.record(machine, 0, time_ms)] }).encode()
    };
    let tell = |both: &mut Both, encoded: &[u8], real: u64| {
        both.state.apply(both.index, encoded);
        both.tell(encoded, Duration::from_millis(real));
    };
    // Forty days later, the clocks show the time of the beginning.
    let at_forty = batch(&both, 2, START_MS + 40 * day_ms);
    tell(&mut both, &at_forty, 40 * day_ms);
    let reset = Command::ResetClock { time_ms: START_MS }.encode();
    tell(&mut both, &reset, 40 * day_ms);
    let wrong = batch(&both, 3, START_MS);
    tell(&mut both, &wrong, 40 * day_ms + HOUR_MS);
    // The clocks are right again: machines stamped with the wrong time expire, as the administrator's command caused
    // it.
    let right = batch(&both, 4, START_MS + 40 * day_ms + 2 * HOUR_MS);
    tell(&mut both, &right, 40 * day_ms + 2 * HOUR_MS);
    assert_eq!(both.kinds(), Vec::<Kind>::new());
    // Machines recorded after that must not expire early.
    let early = batch(&both, 5, START_MS + 80 * day_ms);
    tell(&mut both, &early, 41 * day_ms);
    assert_eq!(both.kinds(), ["expired_early"]);
}
