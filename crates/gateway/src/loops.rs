//! Recognises the cluster's own probes, so that an upstream that leads back to the cluster is found.
//!
//! A probe is a bind of this cluster's own making, so nothing foreign is changed: the number of its call is a keyed hash
//! of the upstream that it is for. A gateway that forwards the probe passes the number on, so it is recognised on
//! whatever way it comes back, also through another cluster, and it says which upstream is the loop.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use crate::{address::HostPort, settings::GroupName};

/// A secret that only the nodes of a cluster know: 16 bytes, the same on every node.
#[derive(Clone, Copy)]
pub struct LoopKey(pub [u8; 16]);

impl LoopKey {
    /// The call number of probes of one upstream. Clients count their calls from 1, so it has the highest bit set.
    pub(crate) fn call_id(self, group: &GroupName, address: &HostPort) -> u32 {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(group.as_str().as_bytes());
        hasher.write_u8(0);
        hasher.write(address.to_string().as_bytes());
        let [_, _, _, _, a, b, c, d] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d]) | 1 << 31
    }
}

impl std::fmt::Debug for LoopKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoopKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_probe_depends_on_cluster_and_upstream() {
        let (group, host) = (GroupName::default_group(), |name| HostPort::new(name, 1688).unwrap());
        let (ours, theirs) = (LoopKey([1; 16]), LoopKey([2; 16]));
        assert_eq!(ours.call_id(&group, &host("a")), ours.call_id(&group, &host("A")));
        assert_ne!(ours.call_id(&group, &host("a")), ours.call_id(&group, &host("b")));
        assert_ne!(ours.call_id(&group, &host("a")), theirs.call_id(&group, &host("a")));
        assert!(ours.call_id(&group, &host("a")) >= 1 << 31);
    }
}
