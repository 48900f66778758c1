//! Disks that are lost entirely, and disks whose snapshot is damaged.

use std::time::Duration;

use api::log::v1 as log;
use bytes::Bytes;
use prost::Message;
use turmoil::Sim;

use super::{Faults, Nodes};
use crate::disk::DiskBay;

/// Within this time a node restarts and notices that its snapshot is damaged.
const DAMAGE_NOTICED: Duration = Duration::from_secs(10);

impl Faults {
    /// Replaces a disk by an empty one, and starts the node on it under its old number; does nothing where the other
    /// nodes are no majority without it.
    pub(super) fn wipe(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes, node: u64, now: Duration) {
        if !nodes.can_spare_one(&self.world) || self.is_one_damaged(now) {
            return;
        }
        self.world.fault("wiped_disk", format_args!("node {node}"));
        self.crash(sim, nodes, node, now, 50..1000);
        self.renew_disk(nodes, node);
        nodes.lost.insert(node);
    }

    /// Whether a snapshot was damaged so recently that its node may not have noticed yet. The disk of that node will
    /// be lost.
    fn is_one_damaged(&self, now: Duration) -> bool {
        self.damaged_at.is_some_and(|at| now.saturating_sub(at) < DAMAGE_NOTICED)
    }

    /// Changes the index in a node's snapshot file, as a disk fault would.
    pub(super) fn damage(&mut self, sim: &mut Sim<'_>, nodes: &mut Nodes, node: u64, now: Duration) {
        let has_snapshot = nodes.bays.get(&node).is_some_and(DiskBay::has_snapshot);
        if !nodes.can_spare_one(&self.world) || self.is_one_damaged(now) || !has_snapshot {
            return;
        }
        self.damaged_at = Some(now);
        self.world.fault("damaged_snapshot", format_args!("node {node}"));
        self.crash(sim, nodes, node, now, 50..1000);
        if let Some(bay) = nodes.bays.get(&node) {
            bay.damage_snapshot(another_index);
        }
    }
}

fn another_index(file: Bytes) -> Bytes {
    let Ok(mut snapshot) = log::Snapshot::decode(file.clone()) else { return file };
    if let Some(last) = &mut snapshot.last {
        last.index += 1;
    }
    snapshot.encode_to_vec().into()
}
