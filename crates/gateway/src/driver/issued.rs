//! Association groups that upstreams issued: an association that asks for one goes to the upstream that knows it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{driver::observer::UpstreamId, limits::ISSUED_GROUPS_MAX};

type Groups = BTreeMap<(IpAddr, u32), (UpstreamId, usize)>;

/// The groups of all open associations, by client and number: each upstream counts its own.
#[derive(Clone, Debug, Default)]
pub(super) struct Issued(Arc<Mutex<Groups>>);

/// An association's part in its group, which ends on drop.
#[derive(Debug)]
pub(super) struct GroupPart {
    issued: Issued,
    key: (IpAddr, u32),
    upstream: UpstreamId,
}

impl Issued {
    pub(super) fn issuer(&self, client: IpAddr, group: u32) -> Option<UpstreamId> {
        let groups = self.lock();
        groups.get(&(client.to_canonical(), group)).map(|(upstream, _)| upstream.clone())
    }

    /// Notes that `upstream` answered a bind of `client` with this group. `None` where the table is full, or another
    /// upstream issued the same number to the client before.
    pub(super) fn note(&self, client: IpAddr, group: u32, upstream: &UpstreamId) -> Option<GroupPart> {
        let key = (client.to_canonical(), group);
        let mut groups = self.lock();
        if groups.len() >= ISSUED_GROUPS_MAX && !groups.contains_key(&key) {
            return None;
        }
        let (issuer, parts) = groups.entry(key).or_insert_with(|| (upstream.clone(), 0));
        if issuer != upstream {
            return None;
        }
        *parts += 1;
        Some(GroupPart { issued: self.clone(), key, upstream: upstream.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        // Every change is complete before the lock is released, also where a panic releases it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GroupPart {
    fn drop(&mut self) {
        let mut groups = self.issued.lock();
        let Some((issuer, parts)) = groups.get_mut(&self.key) else { return };
        if *issuer == self.upstream {
            *parts = parts.saturating_sub(1);
            if *parts == 0 {
                groups.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{address::HostPort, settings::GroupName};

    #[test]
    fn a_group_is_known_by_its_client_as_long_as_an_association_holds_it() {
        let upstream =
            |name| UpstreamId { group: GroupName::default_group(), address: HostPort::new(name, 1).unwrap() };
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let issued = Issued::default();
        let first = issued.note(one, 7, &upstream("a")).unwrap();
        let second = issued.note(one, 7, &upstream("a")).unwrap();
        let _others = issued.note(other, 7, &upstream("b")).unwrap();
        assert!(issued.note(one, 7, &upstream("b")).is_none());
        drop(first);
        assert_eq!(issued.issuer(one, 7), Some(upstream("a")));
        assert_eq!(issued.issuer(other, 7), Some(upstream("b")));
        drop(second);
        assert_eq!(issued.issuer(one, 7), None);
    }
}
