//! The election profile in force on a node: that of its configuration file, else the replicated setting
//! `raft.profile` as applied on this node.
//!
//! A follower with the timeouts of `near` would stand for election although a leader with the heartbeats of `far`
//! is healthy. Therefore, for a change to `far`, the followers change first, one after the other, and the leader
//! changes after all followers that answer. For a change to `near`, the leader changes first. A leader transfers
//! leadership before it changes, if it can. No node waits longer than [`PROFILE_ORDER_MAX`].

use std::sync::Arc;

use activation::settings::ElectionProfile;
use tokio::time::{Instant, sleep};

use crate::{
    leader::handover,
    limits::{PROFILE_LOOK_PAUSE, PROFILE_ORDER_MAX, PROFILE_STAGGER},
    raft::consensus::ChangeError,
    replica::running::RunningReplica,
};

/// A change of the profile that waits for its turn.
#[derive(Clone, Copy)]
struct Pending {
    profile: ElectionProfile,
    since: Instant,
}

/// Follows the node's configuration file and the replicated setting until the replica stops.
pub(crate) async fn follow(replica: Arc<RunningReplica>) {
    let mut progress = replica.state_machine.progress();
    let mut own = replica.own_profile.subscribe();
    let mut pending: Option<Pending> = None;
    let mut refused = None;
    // A profile that was in the log when the node started is adopted at once: the node does not lead yet.
    let mut has_just_started = true;
    loop {
        let seen = progress.borrow_and_update().configuration_index;
        own.mark_unchanged();
        let profile = replica.wanted_profile();
        refused = refused.filter(|refused| *refused == profile);
        let is_new = profile != replica.consensus.profile() && refused.is_none();
        pending = is_new.then(|| match pending {
            Some(pending) if pending.profile == profile => pending,
            _ => Pending { profile, since: Instant::now() },
        });
        if pending.is_some_and(|pending| has_just_started || has_turn(&replica, pending)) {
            match take(&replica, profile).await {
                Ok(()) => {}
                Err(ChangeError::Settings(error)) => {
                    tracing::error!(
                        %error,
                        %profile,
                        "the election profile cannot be combined with the timeouts in this node's configuration"
                    );
                    refused = Some(profile);
                }
                Err(ChangeError::Ended) => return,
                Err(error) => {
                    tracing::error!(%error, "could not change the election profile");
                    return;
                }
            }
        }
        has_just_started = false;
        tokio::select! {
            () = replica.consensus.has_ended() => return,
            changed = progress.wait_for(|progress| progress.configuration_index > seen) => if changed.is_err() { return },
            changed = own.changed() => if changed.is_err() { return },
            () = sleep(PROFILE_LOOK_PAUSE), if pending.is_some() => {}
        }
    }
}

/// Whether this node may change now. A profile from the node's configuration file is adopted at once: the
/// administrator chooses the order in which the nodes' files change.
fn has_turn(replica: &RunningReplica, pending: Pending) -> bool {
    if replica.own_profile.borrow().is_some() {
        return true;
    }
    let waited = pending.since.elapsed();
    let metrics = replica.server_metrics();
    let membership = metrics.membership_config.membership();
    let (node, leads) = (replica.identity.owner, metrics.state.is_leader());
    let position = membership.nodes().take_while(|(member, _)| **member < node).count();
    let stagger = PROFILE_STAGGER * u32::try_from(position).unwrap_or(u32::MAX);
    let has = |member: u64| replica.profiles.of(member) == Some(pending.profile);
    let is_in_order = match (pending.profile, leads) {
        (ElectionProfile::Far, false) => waited >= stagger,
        (ElectionProfile::Far, true) => {
            let others = membership.voter_ids().filter(|voter| *voter != node);
            others.filter(|voter| replica.profiles.of(*voter).is_some()).all(has)
        }
        (ElectionProfile::Near, false) => metrics.current_leader.is_none_or(has) && waited >= stagger,
        (ElectionProfile::Near, true) => true,
    };
    is_in_order || waited >= PROFILE_ORDER_MAX
}

async fn take(replica: &RunningReplica, profile: ElectionProfile) -> Result<(), ChangeError> {
    let metrics = replica.server_metrics();
    let mut others =
        metrics.membership_config.membership().voter_ids().filter(|voter| *voter != replica.identity.owner);
    let (leads, is_alone) = (metrics.state.is_leader(), others.next().is_none());
    if leads && !is_alone && !replica.consensus.has_times_of(profile) {
        handover::hand_over(replica).await;
    }
    let began = Instant::now();
    replica.consensus.change(profile, replica.seed()).await?;
    let (took_ms, bearable_ms) = (began.elapsed().as_millis(), replica.consensus.round_trip_max().as_millis());
    tracing::info!(%profile, took_ms, bearable_ms, "the election profile has changed");
    if leads && is_alone {
        // Stands for election at once, without waiting for an election timeout: no other voter could lead.
        let _stopped = replica.raft().trigger().elect(false).await;
    }
    Ok(())
}
