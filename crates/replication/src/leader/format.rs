//! Which format the cluster writes (see [`Format`]). A format is set only when every member reads it. Before an
//! administrator is told that an older version may start on a node, everything that this version cannot read is
//! removed from the node's disk.

use std::{
    io,
    sync::{Weak, atomic::Ordering},
};

use activation::{
    audit::shortened,
    coded::{Code, Coded},
    state::{Act, Command as Domain, Format, MalformedCommand, State},
};
use bytes::Bytes;
use futures::future::join_all;
use openraft::async_runtime::WatchReceiver;
use tokio::time::sleep;

use crate::{
    leader::proposal::Proposed,
    limits::RETRY_PAUSE,
    peers::identify::{self, NotFound},
    replica::running::RunningReplica,
};

/// Why the cluster cannot write a format.
#[derive(Debug, thiserror::Error)]
enum NotReadable {
    #[error(transparent)]
    NotFound(#[from] NotFound),
    #[error("the version of node {node} reads formats up to {newest}: upgrade it first")]
    Older { node: u64, newest: Format },
}

/// Executes an administrator's command on this node, which must lead, encoded in the format that the cluster writes
/// at that time.
pub(crate) async fn propose(replica: &RunningReplica, command: Bytes) -> Proposed {
    let written = replica.state_machine.view(State::format);
    let decoded = match Domain::decode_written_in(written, replica.newest_format, &command) {
        Ok(decoded) => decoded,
        Err(MalformedCommand::NEWER) => {
            return Proposed::Refused(format!(
                "the version of the leader, node {}, does not support this command: upgrade it, or `quorate cluster \
                 transfer` to a newer node first",
                replica.identity.owner
            ));
        }
        Err(malformed) => {
            // The command may be well-formed in a format newer than the one that is written.
            let newer = Domain::decode_up_to(replica.newest_format, &command).ok().map(|command| command.format());
            let newer = newer.filter(|format| *format > written);
            return newer.map_or_else(|| Proposed::refused(malformed), |format| is_not_held(written, format));
        }
    };
    if let Some(format) = decoded.sets_format() {
        return set(replica, format, decoded).await;
    }
    let _stands = replica.format.read().await;
    // After this, all entries committed before are applied here, including a change of the format by an earlier
    // leader.
    if replica.read_point_here().await.is_none() {
        return Proposed::Retry;
    }
    let format = replica.state_machine.view(State::format);
    match put_in(format, decoded) {
        Some(command) if command.format() > format => is_not_held(format, command.format()),
        Some(command) => replica.write(command.encode()).await,
        None => replica.committed(),
    }
}

fn is_not_held(written: Format, needed: Format) -> Proposed {
    Proposed::Refused(format!(
        "the cluster writes format {written}, which does not support this: run `quorate cluster format set {needed}` \
         first"
    ))
}

/// A command as this format encodes it; `None` if the format has no such command and nothing must be executed.
fn put_in(format: Format, command: Domain) -> Option<Domain> {
    match command {
        Domain::Once { id, command } if format.remembers_commands() => {
            let command = Box::new(put_in(format, *command)?);
            Some(Domain::Once { id, command })
        }
        Domain::Once { command, .. } => put_in(format, *command),
        Domain::Audited { act: Act::Command(command), .. } if !format.holds_audit() => Some(*command),
        Domain::Audited { act: Act::Note { .. } | Act::Noted { .. }, .. } if !format.holds_audit() => None,
        Domain::Audited { origin, act: Act::Noted { what, refused } } if !format.holds_codes() => {
            let refused = refused.map_or_else(String::new, |status| Coded::new(Code::Status, [status]).to_string());
            let act = Act::Note { act: shortened(&what.to_string()), refused: shortened(&refused) };
            Some(Domain::Audited { origin, act })
        }
        command => Some(command),
    }
}

/// Sets the format. Every member must report that its version reads it, and no member may be added in the meantime.
async fn set(replica: &RunningReplica, format: Format, command: Domain) -> Proposed {
    let _turn = replica.presence.turn.lock().await;
    let _alone = replica.format.write().await;
    let metrics = replica.server_metrics();
    if !metrics.state.is_leader() {
        return Proposed::Retry;
    }
    if let Some((name, value, default)) = replica.state_machine.view(|state| state.settings().not_held_in(format)) {
        // Otherwise the cluster would fall back to another election profile than the nodes need, and stop working.
        return Proposed::Refused(format!(
            "format {format} does not support the setting {name}, which is {value}: set {name} in the configuration of \
             every node that needs it, and run `quorate settings set {name} {default}` first"
        ));
    }
    let membership = metrics.membership_config.membership();
    let others = membership.nodes().filter(|(node, _)| **node != replica.identity.owner);
    let asked = others.map(|(&node, member)| async move {
        let found = identify::find(&replica.peers, node, &member.address).await?;
        if found.format < format {
            return Err(NotReadable::Older { node, newest: found.format });
        }
        Ok(())
    });
    if replica.state_machine.view(State::format).holds_audit() && !format.holds_audit() {
        return Proposed::Refused(format!(
            "format {format} does not support the audit record, which cannot be removed: the oldest format for this \
             cluster is `quorate cluster format set {}`",
            Format::AUDITED
        ));
    }
    match join_all(asked).await.into_iter().collect::<Result<(), NotReadable>>() {
        Ok(()) => {
            // No batch that was stamped in the old format may follow.
            let _order = replica.clock.order().await;
            if replica.read_point_here().await.is_none() {
                return Proposed::Retry;
            }
            // Every member reads both formats, so the command may use the newer one.
            match put_in(replica.state_machine.view(State::format).max(format), command) {
                Some(command) => replica.write(command.encode()).await,
                None => replica.committed(),
            }
        }
        Err(why) => Proposed::Refused(format!("every member must read format {format}: {why}")),
    }
}

/// The oldest format that a version must read to start from this node's disk.
pub(crate) fn stored(replica: &RunningReplica) -> Format {
    let due = replica.state_machine.progress().borrow().purge_due_index;
    if due > replica.clean_index.load(Ordering::Acquire) {
        replica.newest_format
    } else {
        replica.state_machine.view(State::format)
    }
}

/// After each lowering of the format: removes what older versions cannot read. Runs until the replica stops.
pub(crate) async fn follow(replica: Weak<RunningReplica>) {
    let Some(mut progress) = replica.upgrade().map(|replica| replica.state_machine.progress()) else { return };
    let mut clean_index = 0;
    loop {
        let due = progress.wait_for(|progress| progress.purge_due_index > clean_index);
        let Ok(index) = due.await.map(|due| due.purge_due_index) else { return };
        let Some(replica) = replica.upgrade() else { return };
        match purge(&replica, index).await {
            Ok(()) => {
                clean_index = index;
                replica.clean_index.store(index, Ordering::Release);
                tracing::info!(index, "this disk holds no more data in formats newer than the cluster writes");
            }
            // The replica has stopped, and reports the reason itself.
            Err(error) => {
                tracing::warn!(%error, "could not remove data in newer formats from this disk");
                return;
            }
        }
    }
}

/// Replaces the log up to `index` by a snapshot, permanently.
async fn purge(replica: &RunningReplica, index: u64) -> io::Result<()> {
    while replica.log.purged().is_none_or(|purged| purged.index < index) {
        let raft = replica.raft();
        let snapshot = raft.metrics().borrow_watched().snapshot.map_or(0, |id| id.index);
        // Retried: a snapshot that is already being built may end too early, and a purge waits for a follower that
        // still needs the entries.
        let asked = match snapshot < index {
            true => raft.trigger().snapshot().await,
            false => raft.trigger().purge_log(index).await,
        };
        // If openraft is being restarted, the request is retried.
        if asked.is_err()
            && let Some(fatal) = replica.consensus.failure()
        {
            return Err(io::Error::other(fatal.to_string()));
        }
        // A pause, not the next change of the metrics: each trigger changes the metrics.
        sleep(RETRY_PAUSE).await;
    }
    replica.log.settle_purge().await
}
