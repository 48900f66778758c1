//! How many connections each address has open: one source must not take them all.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Open connections by address.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    open: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    connections_max: Arc<AtomicUsize>,
}

/// One connection of a source; given back when dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    sources: Sources,
    address: IpAddr,
}

impl Sources {
    pub(crate) fn new(connections_max: usize) -> Self {
        Self { open: Arc::default(), connections_max: Arc::new(AtomicUsize::new(connections_max)) }
    }

    /// From the next connection on.
    pub(crate) fn set_max(&self, connections_max: usize) {
        self.connections_max.store(connections_max, Ordering::Relaxed);
    }

    /// A place for one more connection from `address`, if it may have one.
    pub(crate) fn admit(&self, address: IpAddr) -> Option<ConnectionSlot> {
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.connections_max.load(Ordering::Relaxed) {
            return None;
        }
        *count += 1;
        Some(ConnectionSlot { sources: self.clone(), address })
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self.sources.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_its_places_and_no_more_and_gets_them_back() {
        let sources = Sources::new(2);
        let [one, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let first = sources.admit(one).unwrap();
        let _second = sources.admit(one).unwrap();
        assert!(sources.admit(one).is_none());
        assert!(sources.admit(other).is_some(), "another source is not held up");
        drop(first);
        assert!(sources.admit(one).is_some());
    }

    #[test]
    fn an_address_counts_once_in_both_its_forms() {
        let sources = Sources::new(1);
        let _place = sources.admit("192.0.2.1".parse().unwrap()).unwrap();
        assert!(sources.admit("::ffff:192.0.2.1".parse().unwrap()).is_none());
    }
}
