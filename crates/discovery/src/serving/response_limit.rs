//! Limits the UDP answers to each network. The source address of a datagram may be forged, and an answer is larger
//! than its query, so without a limit an attacker could use this server to flood a third party.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::limits::{UDP_ANSWERS_BURST, UDP_ANSWERS_PER_SECOND};

/// How a datagram is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// With the answer.
    Answer,
    /// With a truncated answer, as long as the query, which makes a genuine client ask again over TCP.
    Truncate,
    /// Not at all.
    Drop,
}

/// Counts answers by network. Networks share 65,536 counters by a hash with a random key, so the memory is bounded
/// however many addresses are forged.
pub(super) struct ResponseLimit {
    answers: DefaultKeyedRateLimiter<u16>,
    networks: RandomState,
    /// Of the datagrams above the limit every second one is truncated, and the others are dropped.
    truncates: AtomicBool,
}

impl Default for ResponseLimit {
    fn default() -> Self {
        let number = |number| NonZeroU32::new(number).expect("limits are not zero");
        let quota = Quota::per_second(number(UDP_ANSWERS_PER_SECOND)).allow_burst(number(UDP_ANSWERS_BURST));
        Self { answers: RateLimiter::keyed(quota), networks: RandomState::new(), truncates: AtomicBool::new(false) }
    }
}

impl ResponseLimit {
    pub(super) fn verdict(&self, from: IpAddr) -> Verdict {
        let [high, low, ..] = self.networks.hash_one(network(from)).to_be_bytes();
        if self.answers.check_key(&u16::from_be_bytes([high, low])).is_ok() {
            return Verdict::Answer;
        }
        match self.truncates.fetch_not(Ordering::Relaxed) {
            false => Verdict::Truncate,
            true => Verdict::Drop,
        }
    }
}

/// The /24 of an IPv4 address or the /56 of an IPv6 address, which is usually one site.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => Ipv4Addr::from(u32::from(address) >> 8 << 8).into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 72 << 72).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_24_or_a_56() {
        let cases = [
            ("192.0.2.77", "192.0.2.0"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2ff:3::4", "2001:db8:1:200::"),
        ];
        for (address, expected) in cases {
            assert_eq!(network(address.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{address}");
        }
    }

    #[test]
    fn above_the_limit_half_of_the_datagrams_are_truncated_and_the_others_dropped() {
        let limit = ResponseLimit::default();
        let from: IpAddr = "192.0.2.1".parse().unwrap();
        let mut verdicts = Vec::new();
        // Repeated until both verdicts have occurred, however fast this machine is.
        while verdicts.iter().filter(|verdict| **verdict != Verdict::Answer).count() < 2 {
            verdicts.push(limit.verdict(from));
            assert!(verdicts.len() < 1_000_000, "a limit is reached");
        }
        let burst = usize::try_from(UDP_ANSWERS_BURST).unwrap();
        assert!(verdicts.iter().take(burst).all(|verdict| *verdict == Verdict::Answer));
        let above: Vec<_> = verdicts.into_iter().filter(|verdict| *verdict != Verdict::Answer).collect();
        assert_eq!(above, [Verdict::Truncate, Verdict::Drop]);
    }
}
