//! Detects a disk that hangs: a write returns neither success nor an error. A node on such a disk must not keep
//! leadership, which another node could take.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::{
    leader::handover,
    limits::{DISK_HANDOVER_AFTER, DISK_HANG_MAX, DISK_LOOK_INTERVAL},
    replica::running::{Hanging, RunningReplica},
};

/// Checks the disk until the replica stops. After [`DISK_HANDOVER_AFTER`] without a finished write the node
/// transfers leadership, after [`DISK_HANG_MAX`] the replica fails.
pub(crate) async fn follow(replica: Arc<RunningReplica>) {
    let mut looks = interval(DISK_LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let time = replica.disk.hanging_for();
        let hanging = judge(time);
        let has_changed = replica.hanging.send_if_modified(|before| std::mem::replace(before, hanging) != hanging);
        if has_changed {
            note(&replica, hanging, time);
        }
        match hanging {
            Hanging::No => {}
            // openraft itself may wait for the disk, and then does not reply.
            Hanging::ForSeconds if leads(&replica) => {
                let _looked_at_again = timeout(DISK_HANG_MAX - time, handover::hand_over(&replica)).await;
            }
            Hanging::ForSeconds => {}
            Hanging::TooLong => return,
        }
    }
}

fn judge(time: Duration) -> Hanging {
    if time >= DISK_HANG_MAX {
        Hanging::TooLong
    } else if time >= DISK_HANDOVER_AFTER {
        Hanging::ForSeconds
    } else {
        Hanging::No
    }
}

fn leads(replica: &RunningReplica) -> bool {
    replica.server_metrics().state.is_leader()
}

fn note(replica: &RunningReplica, hanging: Hanging, time: Duration) {
    let seconds = time.as_secs();
    match hanging {
        Hanging::No => tracing::warn!("the disk finishes writes again"),
        Hanging::ForSeconds if leads(replica) => {
            tracing::error!(seconds, "the disk has not finished a write: leadership is transferred");
        }
        Hanging::ForSeconds => {
            tracing::error!(seconds, "the disk has not finished a write: this node does not stand for election");
        }
        Hanging::TooLong => tracing::error!(seconds, "the disk has not finished a write: this node stops"),
    }
}
