//! Which format the cluster writes (see [`Format`]): set when every member reads it. What a version cannot read that reads
//! this format is gone from a node's disk before anybody is told that it may start there.

use std::{
    io,
    sync::{Weak, atomic::Ordering},
};

use activation::state::{Act, Command as Domain, Format, MalformedCommand, State};
use api::peer::v1::IdentifyReply;
use bytes::Bytes;
use futures::future::join_all;
use openraft::{async_runtime::WatchReceiver, errors::Fatal};
use tokio::time::timeout;

use crate::{
    limits::RETRY_PAUSE,
    member::{Inner, Proposed},
    membership::{committed, identify},
    types::TypeConfig,
};

/// The newest format that a node's version reads.
pub(crate) fn read_by(reply: &IdentifyReply) -> Format {
    // A later version reads more than is known here.
    Format::new(reply.newest_format.min(Format::newest().number())).unwrap_or_default()
}

/// Takes an administrator's command on this node, which must lead, in the format that the cluster writes by then.
pub(crate) async fn propose(inner: &Inner, command: Bytes) -> Proposed {
    let decoded = match Domain::decode(&command) {
        Ok(decoded) => decoded,
        Err(MalformedCommand::NEWER) => {
            return Proposed::Refused(format!(
                "node {} leads, and its version does not know what was asked: upgrade it, or `quorate cluster transfer` \
                 to a newer one first",
                inner.identity.owner
            ));
        }
        Err(malformed) => return Proposed::Refused(malformed.to_string()),
    };
    if let Some(format) = decoded.sets_format() {
        return set(inner, format, command).await;
    }
    let _stands = inner.format.read().await;
    let Domain::Audited { act, .. } = decoded else { return inner.write(command).await };
    // All that was committed before is applied here, an earlier leader's change of the format, too.
    if inner.read_point_here().await.is_none() {
        return Proposed::Retry;
    }
    match act {
        _ if inner.machine.view(State::format).holds_audit() => inner.write(command).await,
        Act::Command(command) => inner.write(command.encode()).await,
        Act::Note { .. } => committed(inner),
    }
}

/// Every member must say that its version reads it, and no other one comes in meanwhile.
async fn set(inner: &Inner, format: Format, command: Bytes) -> Proposed {
    let _turn = inner.presence.turn.lock().await;
    let _alone = inner.format.write().await;
    let metrics = inner.server_metrics();
    if !metrics.state.is_leader() {
        return Proposed::Retry;
    }
    let membership = metrics.membership_config.membership();
    let others = membership.nodes().filter(|(node, _)| **node != inner.identity.owner);
    let asked = others.map(|(&node, member)| async move {
        let found = identify(inner, node, &member.address).await?;
        if found.format < format {
            return Err(format!("the version of node {node} reads formats up to {}: upgrade it first", found.format));
        }
        Ok(())
    });
    match join_all(asked).await.into_iter().collect::<Result<(), String>>() {
        Ok(()) => inner.write(command).await,
        Err(why) => Proposed::Refused(format!("every member must read format {format}: {why}")),
    }
}

/// The oldest format that a version must read to start from what this node has on its disk.
pub(crate) fn stored(inner: &Inner) -> Format {
    let due = inner.machine.progress().borrow().purge_due_index;
    if due > inner.clean_index.load(Ordering::Acquire) { Format::newest() } else { inner.machine.view(State::format) }
}

/// Makes room for older versions, each time that the format was lowered. Runs for as long as the replica does.
pub(crate) async fn follow(inner: Weak<Inner>) {
    let Some(mut progress) = inner.upgrade().map(|inner| inner.machine.progress()) else { return };
    let mut clean_index = 0;
    loop {
        let due = progress.wait_for(|progress| progress.purge_due_index > clean_index);
        let Ok(index) = due.await.map(|due| due.purge_due_index) else { return };
        let Some(inner) = inner.upgrade() else { return };
        match purge(&inner, index).await {
            Ok(()) => {
                clean_index = index;
                inner.clean_index.store(index, Ordering::Release);
                tracing::info!(index, "nothing of a newer format than the cluster writes is left on this disk");
            }
            // The replica has stopped, and says why itself.
            Err(error) => {
                tracing::warn!(%error, "what is of a newer format stays on this disk");
                return;
            }
        }
    }
}

/// Replaces the log up to `index` by a snapshot, for good.
async fn purge(inner: &Inner, index: u64) -> io::Result<()> {
    let mut metrics = inner.raft.metrics();
    let stopped = |fatal: Fatal<TypeConfig>| io::Error::other(fatal.to_string());
    while inner.log.purged().is_none_or(|purged| purged.index < index) {
        let snapshot = metrics.borrow_watched().snapshot.map_or(0, |id| id.index);
        // One that is being built already may be too early; one that is in the way of a follower waits. Asked again.
        if snapshot < index {
            inner.raft.trigger().snapshot().await.map_err(stopped)?;
        } else {
            inner.raft.trigger().purge_log(index).await.map_err(stopped)?;
        }
        let _changed_or_pause = timeout(RETRY_PAUSE, metrics.changed()).await;
    }
    inner.log.settle_purge().await
}
