//! The open connections and requests of each source: one source must not use all capacity.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::limits::{CONNECTIONS_PER_SOURCE_MAX, REQUESTS_PER_SOURCE_MAX};

/// Sources with open connections.
#[derive(Clone, Default)]
pub(super) struct Sources(Arc<Mutex<BTreeMap<IpAddr, Source>>>);

struct Source {
    connections: usize,
    requests: Arc<Semaphore>,
}

/// The slot of one connection of a source; released when dropped.
pub(super) struct SourceSlot {
    sources: Sources,
    address: IpAddr,
}

impl Sources {
    /// A slot for another connection from the source of `address`; `None` where the source has reached its limit.
    pub(super) fn admit(&self, address: IpAddr) -> Option<SourceSlot> {
        let address = transport::source(address);
        let mut sources = self.lock();
        let new = || Source { connections: 0, requests: Arc::new(Semaphore::new(REQUESTS_PER_SOURCE_MAX)) };
        let source = sources.entry(address).or_insert_with(new);
        if source.connections >= CONNECTIONS_PER_SOURCE_MAX {
            return None;
        }
        source.connections += 1;
        Some(SourceSlot { sources: self.clone(), address })
    }

    /// Waits until another request from `address` may be decided.
    pub(super) async fn request(&self, address: IpAddr) -> Result<Option<OwnedSemaphorePermit>, AcquireError> {
        let requests = self.lock().get(&transport::source(address)).map(|source| Arc::clone(&source.requests));
        match requests {
            Some(requests) => requests.acquire_owned().await.map(Some),
            // The connection is closed, so no client waits for the answer.
            None => Ok(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Source>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SourceSlot {
    fn drop(&mut self) {
        let mut sources = self.sources.lock();
        if let Some(source) = sources.get_mut(&self.address) {
            source.connections -= 1;
            if source.connections == 0 {
                sources.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_slots_and_no_more_and_gets_them_back() {
        let sources = Sources::default();
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let mut slots: Vec<_> = (0..CONNECTIONS_PER_SOURCE_MAX).map(|_| sources.admit(one).unwrap()).collect();
        assert!(sources.admit(one).is_none());
        assert!(sources.admit("::ffff:192.0.2.1".parse().unwrap()).is_none(), "the same address in its other form");
        assert!(sources.admit(other).is_some(), "another source is not held up");
        let networks = ["2001:db8::1", "2001:db8::ffff:1"].map(|address| address.parse::<IpAddr>().unwrap());
        let of_one_64: Vec<_> = networks.into_iter().cycle().map_while(|address| sources.admit(address)).collect();
        assert_eq!(of_one_64.len(), CONNECTIONS_PER_SOURCE_MAX);
        drop(of_one_64);
        slots.pop();
        assert!(sources.admit(one).is_some());
        slots.clear();
        assert!(sources.lock().is_empty());
    }

    #[tokio::test]
    async fn requests_beyond_those_at_once_wait_for_one_to_end() {
        let sources = Sources::default();
        let address = IpAddr::from([192, 0, 2, 1]);
        let _place = sources.admit(address).unwrap();
        let mut under_way = Vec::new();
        for _ in 0..REQUESTS_PER_SOURCE_MAX {
            under_way.push(sources.request(address).await.unwrap());
        }
        let next = sources.request(address);
        tokio::pin!(next);
        let early = std::future::poll_fn(|context| std::task::Poll::Ready(next.as_mut().poll(context))).await;
        assert!(early.is_pending());
        under_way.pop();
        assert!(next.await.unwrap().is_some());
    }
}
