//! The count of one application: the CMIDs that asked for activation, in order of their last request (R10 to R12).
//!
//! Recording a request takes these steps in this order. Forget requests that are 30 days old or older by the clock
//! of expiry. Raise the limit to twice the product's threshold if it is lower. Remove the CMID and append it at the
//! end, so that its 30 days begin again. While there are more CMIDs than the limit, forget the oldest. Return the
//! number that remains. Reading changes nothing.
//!
//! Invariants: the limit never shrinks; the order of last requests is the order of their times; at most `limit` CMIDs.

use sha2::{Digest, Sha256};

use crate::id::{Cmid, MachineDigest, MachineName, NodeId, ProductId};
use crate::limits::{CACHE_FACTOR, CMID_LIFETIME_MS};
use crate::parted::{Parted, PartedMap};

/// What the count remembers of a machine's last request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The node that answered the request.
    pub node: NodeId,
    pub product: ProductId,
    pub machine: MachineDigest,
    pub machine_name: MachineName,
    pub virtual_machine: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    order: u64,
    time_ms: u64,
    seen: Seen,
}

/// A sum over the digests of entries, so that a change costs the same however many entries there are. Four numbers
/// of 64 bits, added without carry between them. It protects against corruption and divergence, not against an
/// attacker who chooses entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum([u64; 4]);

impl Sum {
    fn add(&mut self, cmid: Cmid, entry: &Entry) {
        let digest = entry.digest(cmid);
        self.0.iter_mut().zip(digest).for_each(|(sum, part)| *sum = sum.wrapping_add(part));
    }

    fn remove(&mut self, cmid: Cmid, entry: &Entry) {
        let digest = entry.digest(cmid);
        self.0.iter_mut().zip(digest).for_each(|(sum, part)| *sum = sum.wrapping_sub(part));
    }

    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(self.0.into_iter().flat_map(u64::to_be_bytes)).for_each(|(to, from)| *to = from);
        bytes
    }
}

impl Entry {
    /// SHA-256 over all that the count remembers of a CMID, as four numbers.
    fn digest(&self, cmid: Cmid) -> [u64; 4] {
        let Self { order, time_ms, seen: Seen { node, product, machine, machine_name, virtual_machine } } = self;
        let mut digest = Sha256::new();
        digest.update(b"quorate/seen/1");
        digest.update(cmid.0);
        digest.update(order.to_be_bytes());
        digest.update(time_ms.to_be_bytes());
        digest.update(node.to_be_bytes());
        digest.update(product.0);
        digest.update(machine.0);
        digest.update([u8::from(*virtual_machine)]);
        digest.update(machine_name.as_bytes());
        let mut parts = [0; 4];
        let bytes = digest.finalize();
        for (part, bytes) in parts.iter_mut().zip(bytes.chunks_exact(8)) {
            *part = bytes.iter().fold(0, |part, byte| part << 8 | u64::from(*byte));
        }
        parts
    }
}

/// When a count falls below a threshold, in milliseconds of cluster time. `None` where it is below already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// The exact time if no machine asked from now on.
    pub without_requests_ms: Option<u64>,
    /// The time if the machines that asked within the last 7 days continued to ask, and no other machine did. `None`
    /// also where the count stays above the threshold.
    pub with_trend_ms: Option<u64>,
}

/// The period of the trend: a machine that renews asks every 7 days (R14).
const TREND_MS: u64 = 7 * DAY_MS;

const DAY_MS: u64 = 86_400_000;

/// How many days a CMID counts after its last request; the length of [`Count::ages`].
pub const CMID_LIFETIME_DAYS: usize = 30;
const _: () = assert!(CMID_LIFETIME_MS == CMID_LIFETIME_DAYS as u64 * DAY_MS);

/// The remembered CMIDs of one application.
#[derive(Clone, Debug, Default)]
pub struct Count {
    limit: u32,
    next_order: u64,
    /// The sum over all entries.
    sum: Sum,
    entries: PartedMap<Cmid, Entry>,
    by_order: PartedMap<u64, Cmid>,
}

/// Splits CMIDs into 64 parts; they are random, so the parts have about the same size.
impl Parted for Cmid {
    fn part(&self) -> u64 {
        let Self([first, ..]) = self;
        u64::from(first >> 2)
    }
}

impl Count {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a request for a product with this threshold. Returns the count including this machine, and what was
    /// remembered of the CMID's last request. `now_ms` is cluster time, `expiry_ms` the clock by which requests
    /// expire; neither decreases from call to call, except through [`Self::reset_clock`].
    pub fn record(
        &mut self,
        threshold: u32,
        cmid: Cmid,
        seen: Seen,
        now_ms: u64,
        expiry_ms: u64,
    ) -> (u32, Option<Seen>) {
        // These assertions run in release builds, too: a wrong count is worse than a node that stops.
        assert!(self.newest_ms() <= Some(now_ms), "time runs backwards: a CMID was recorded after {now_ms} ms");
        assert!(expiry_ms <= now_ms, "requests expire by {expiry_ms} ms, and it is {now_ms} ms");
        self.expire(expiry_ms);
        self.limit = self.limit.max(CACHE_FACTOR.saturating_mul(threshold));
        let before = self.push(cmid, seen, now_ms);
        while self.entries.len() > self.limit as usize {
            self.drop_oldest();
        }
        assert!(self.len() <= self.limit, "the count {} is above its limit {}", self.len(), self.limit);
        (self.len(), before)
    }

    /// How many CMIDs are younger than 30 days at `now_ms`.
    #[must_use]
    pub fn live(&self, now_ms: u64) -> u32 {
        let expired = self.in_order().take_while(|(_, time_ms, _)| is_expired(*time_ms, now_ms)).count();
        self.len() - u32::try_from(expired).unwrap_or(u32::MAX)
    }

    /// When the count falls below `threshold`.
    #[must_use]
    pub fn forecast(&self, threshold: u32, now_ms: u64) -> Forecast {
        let live: Vec<_> = self.times(now_ms).collect();
        let falls_below_at = |times: &[u64], staying: usize| {
            // How many requests must expire before one is missing.
            let last = (times.len() + staying + 1).checked_sub(threshold as usize).filter(|_| threshold > 0)?;
            Some(times.get(last.checked_sub(1)?)? + CMID_LIFETIME_MS)
        };
        let stale = live.partition_point(|time_ms| now_ms.saturating_sub(*time_ms) > TREND_MS);
        let (old, recent) = live.split_at(stale);
        Forecast { without_requests_ms: falls_below_at(&live, 0), with_trend_ms: falls_below_at(old, recent.len()) }
    }

    /// How many of the CMIDs that count at `now_ms` will have expired `within_ms` later if they do not ask again.
    #[must_use]
    pub fn expiring_within(&self, within_ms: u64, now_ms: u64) -> u32 {
        let then_ms = now_ms.saturating_add(within_ms);
        let expiring = self.times(now_ms).take_while(|time_ms| is_expired(*time_ms, then_ms)).count();
        u32::try_from(expiring).unwrap_or(u32::MAX)
    }

    /// The number of CMIDs that count at `now_ms` and whose last request is more than `within_ms` earlier.
    #[must_use]
    pub fn silent_for(&self, within_ms: u64, now_ms: u64) -> u32 {
        let silent = self.times(now_ms).take_while(|time_ms| now_ms.saturating_sub(*time_ms) > within_ms).count();
        u32::try_from(silent).unwrap_or(u32::MAX)
    }

    /// The oldest last request that counts at `now_ms`.
    #[must_use]
    pub fn oldest_live_ms(&self, now_ms: u64) -> Option<u64> {
        self.times(now_ms).next()
    }

    /// How many of the CMIDs that count at `now_ms` last asked a given number of whole days ago, from 0 to 29.
    #[must_use]
    pub fn ages(&self, now_ms: u64) -> [u32; CMID_LIFETIME_DAYS] {
        let mut ages = [0_u32; CMID_LIFETIME_DAYS];
        for time_ms in self.times(now_ms) {
            let days = usize::try_from(now_ms.saturating_sub(time_ms) / DAY_MS).unwrap_or(usize::MAX);
            // CMIDs that count are younger than 30 days, so the index is in range.
            if let Some(age) = ages.get_mut(days) {
                *age += 1;
            }
        }
        ages
    }

    /// Times of the last requests that count at `now_ms`, the oldest first.
    fn times(&self, now_ms: u64) -> impl Iterator<Item = u64> {
        let times = self.in_order().map(|(_, time_ms, _)| time_ms);
        times.skip_while(move |time_ms| is_expired(*time_ms, now_ms))
    }

    /// R12: the most CMIDs that are kept; 0 before the first request.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// The last request of a CMID that is still remembered: its time and its content.
    #[must_use]
    pub fn get(&self, cmid: Cmid) -> Option<(u64, &Seen)> {
        self.entries.get(&cmid).map(|entry| (entry.time_ms, &entry.seen))
    }

    /// Whether a CMID counts at `now_ms`: its last request is remembered and younger than 30 days.
    #[must_use]
    pub fn counts(&self, cmid: Cmid, now_ms: u64) -> bool {
        self.entries.get(&cmid).is_some_and(|entry| !is_expired(entry.time_ms, now_ms))
    }

    /// All remembered requests, the oldest first: CMID, time and content.
    pub fn in_order(&self) -> impl Iterator<Item = (Cmid, u64, &Seen)> {
        self.records().map(|(cmid, entry)| (cmid, entry.time_ms, &entry.seen))
    }

    /// All remembered requests, the oldest first, each with its number in the order: number, CMID, time and content.
    pub(crate) fn with_order(&self) -> impl Iterator<Item = (u64, Cmid, u64, &Seen)> {
        self.records().map(|(cmid, entry)| (entry.order, cmid, entry.time_ms, &entry.seen))
    }

    fn records(&self) -> impl Iterator<Item = (Cmid, &Entry)> {
        self.by_order.iter().filter_map(|(_, cmid)| Some((*cmid, self.entries.get(cmid)?)))
    }

    /// Cluster time was set back to `time_ms`: requests that were recorded later now count as recorded at `time_ms`.
    pub fn reset_clock(&mut self, time_ms: u64) {
        let sum = &mut self.sum;
        for (cmid, entry) in self.entries.iter_mut().filter(|(_, entry)| entry.time_ms > time_ms) {
            sum.remove(*cmid, entry);
            entry.time_ms = time_ms;
            sum.add(*cmid, entry);
        }
    }

    /// Numbers the requests in their order again, from 0. From here on the numbers are the same on every node,
    /// whatever snapshots it started from.
    pub(crate) fn number_anew(&mut self) {
        let in_order: Vec<_> = std::mem::take(&mut self.by_order).iter().map(|(_, cmid)| *cmid).collect();
        (self.next_order, self.sum) = (0, Sum::default());
        for cmid in in_order {
            if let Some(entry) = self.entries.get_mut(&cmid) {
                entry.order = self.next_order;
                self.sum.add(cmid, entry);
                self.by_order.insert(entry.order, cmid);
                self.next_order += 1;
            }
        }
    }

    /// The number in the order that the next record gets, counted since the last [`Self::number_anew`].
    pub(crate) fn next_order(&self) -> u64 {
        self.next_order
    }

    /// The sum over all remembered requests and their order, which the state hash covers.
    pub(crate) fn sum(&self) -> [u8; 32] {
        self.sum.to_bytes()
    }

    /// The number of remembered CMIDs.
    pub(crate) fn remembered(&self) -> usize {
        self.entries.len()
    }

    /// Builds a count from a snapshot's requests, the oldest first, each with its number in the order where the
    /// snapshot has one. `None` if no sequence of requests leads to this count.
    pub(crate) fn restore(
        limit: u32,
        next_order: Option<u64>,
        seen: impl IntoIterator<Item = (Cmid, u64, Seen, u64)>,
    ) -> Option<Self> {
        let mut count = Self { limit, ..Self::default() };
        let (mut given, mut latest_ms) = (0, 0);
        for (cmid, time_ms, seen, order) in seen {
            if time_ms < latest_ms {
                return None;
            }
            if next_order.is_some() {
                if order < count.next_order {
                    return None;
                }
                count.next_order = order;
            }
            count.push(cmid, seen, time_ms);
            (given, latest_ms) = (given + 1, time_ms);
        }
        if let Some(next_order) = next_order {
            if next_order < count.next_order {
                return None;
            }
            count.next_order = next_order;
        }
        (count.entries.len() == given && given <= limit as usize).then_some(count)
    }

    /// Panics if an invariant is broken; for tests and the demo.
    pub fn check_invariants(&self) {
        assert!(self.entries.len() <= self.limit as usize, "more CMIDs than the limit");
        assert_eq!(self.entries.len(), self.by_order.len(), "the two indices differ in size");
        let mut latest_ms = 0;
        for (order, cmid) in self.by_order.iter() {
            let entry = self.entries.get(cmid).expect("every CMID in order is an entry");
            assert_eq!(entry.order, *order, "the two indices disagree");
            assert!(*order < self.next_order, "an order was given twice");
            assert!(entry.time_ms >= latest_ms, "order and times disagree");
            latest_ms = entry.time_ms;
        }
        let mut sum = Sum::default();
        self.entries.iter().for_each(|(cmid, entry)| sum.add(*cmid, entry));
        assert_eq!(sum, self.sum, "the sum is not that of the entries");
    }

    fn len(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    fn push(&mut self, cmid: Cmid, seen: Seen, time_ms: u64) -> Option<Seen> {
        let order = self.next_order;
        self.next_order += 1;
        let entry = Entry { order, time_ms, seen };
        self.sum.add(cmid, &entry);
        let before = self.entries.insert(cmid, entry);
        if let Some(before) = &before {
            self.by_order.remove(&before.order);
            self.sum.remove(cmid, before);
        }
        self.by_order.insert(order, cmid);
        before.map(|before| before.seen)
    }

    fn expire(&mut self, now_ms: u64) {
        while self.oldest_ms().is_some_and(|time_ms| is_expired(time_ms, now_ms)) {
            self.drop_oldest();
        }
    }

    fn oldest_ms(&self) -> Option<u64> {
        let (_, cmid) = self.by_order.first()?;
        self.entries.get(cmid).map(|entry| entry.time_ms)
    }

    fn newest_ms(&self) -> Option<u64> {
        let (_, cmid) = self.by_order.last()?;
        self.entries.get(cmid).map(|entry| entry.time_ms)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, cmid)) = self.by_order.pop_first()
            && let Some(entry) = self.entries.remove(&cmid)
        {
            self.sum.remove(cmid, &entry);
        }
    }
}

fn is_expired(time_ms: u64, now_ms: u64) -> bool {
    now_ms.saturating_sub(time_ms) >= CMID_LIFETIME_MS
}
