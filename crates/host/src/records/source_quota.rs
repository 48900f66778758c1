//! A quota for each source of requests within a time, so that one source cannot use up the others' share.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use transport::source;

use crate::limits::QUOTA_SOURCES_MAX;

/// Counts per source, restarted after each `window`.
#[derive(Debug)]
pub(crate) struct SourceQuota {
    window: Duration,
    counted: Mutex<Option<Window>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    by_source: BTreeMap<IpAddr, u32>,
    /// The count of all sources above [`QUOTA_SOURCES_MAX`] together.
    of_others: u32,
}

impl SourceQuota {
    pub(crate) fn every(window: Duration) -> Self {
        Self { window, counted: Mutex::default() }
    }

    /// Counts one event of the source of `address`. Returns whether the source is within `max` events in this
    /// window. The sources above [`QUOTA_SOURCES_MAX`] in a window share the quota of one source.
    pub(crate) fn admits(&self, address: IpAddr, max: u32, now: Instant) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let window = counted.take().filter(|window| now.duration_since(window.began) < self.window);
        let window = counted.insert(window.unwrap_or(Window { began: now, by_source: BTreeMap::new(), of_others: 0 }));
        let source = source(address);
        let is_known = window.by_source.len() < QUOTA_SOURCES_MAX || window.by_source.contains_key(&source);
        let count = if is_known { window.by_source.entry(source).or_default() } else { &mut window.of_others };
        *count = count.saturating_add(1);
        *count <= max
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_source_has_a_separate_quota() {
        let quota = SourceQuota::every(WINDOW);
        let start = Instant::now();
        let admitted = |from: &str, at| (0..5).filter(|_| quota.admits(address(from), 2, at)).count();
        assert_eq!(admitted("192.0.2.1", start), 2);
        assert_eq!(admitted("::ffff:192.0.2.1", start), 0, "an address has two forms");
        assert_eq!(admitted("192.0.2.2", start + WINDOW / 2), 2);
        assert_eq!(admitted("2001:db8::1", start), 2);
        assert_eq!(admitted("2001:db8::2", start), 0, "one /64 is one source");
        assert_eq!(admitted("2001:db8:0:1::1", start), 2);
        assert_eq!(admitted("192.0.2.1", start + WINDOW), 2);
    }

    #[test]
    fn sources_beyond_the_table_share_one_quota_and_use_none_of_the_earlier_sources() {
        let quota = SourceQuota::every(WINDOW);
        let now = Instant::now();
        let network = |number: u128| IpAddr::from(Ipv6Addr::from(0x2001_0db8_u128 << 96 | number << 64));
        assert!(quota.admits(network(0), 2, now));
        let admitted = (1..10_000).filter(|number| quota.admits(network(*number), 2, now)).count();
        assert_eq!(admitted, QUOTA_SOURCES_MAX - 1 + 2);
        assert!(quota.admits(network(0), 2, now));
        let counted = quota.counted.lock().unwrap();
        assert_eq!(counted.as_ref().unwrap().by_source.len(), QUOTA_SOURCES_MAX);
    }
}
