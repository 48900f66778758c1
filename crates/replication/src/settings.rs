//! openraft's settings, each with the reason for its value.

use std::time::Duration;

use activation::settings::ElectionProfile;
use openraft::{Config, SnapshotPolicy};

use crate::planted::Planted;

use crate::limits::{
    APPEND_ENTRIES_MAX, CLOCK_SAMPLE_INTERVAL, LOOK_INTERVAL, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_EVERY_ENTRIES,
    SNAPSHOT_WHOLE_TIMEOUT,
};

/// Heartbeat interval, shortest and longest election timeout of a profile.
pub fn election_times(profile: ElectionProfile) -> [Duration; 3] {
    let times_ms = match profile {
        ElectionProfile::Near => [100, 300, 600],
        ElectionProfile::Far => [400, 600, 1200],
    };
    times_ms.map(Duration::from_millis)
}

/// The settings of elections that an administrator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaftSettings {
    /// The profile of this node, which overrides the cluster's setting `raft.profile`. `None` (default): the node
    /// follows the cluster's setting.
    pub profile: Option<ElectionProfile>,
    /// How often a leader sends a heartbeat. Zero (default): the profile's value.
    pub heartbeat_interval: Duration,
    /// Shortest time without a heartbeat after which a follower stands for election; the actual time is random
    /// between this and the maximum. Zero (default): the profile's value.
    pub election_timeout_min: Duration,
    /// Longest time without a heartbeat after which a follower stands for election. Zero (default): the profile's
    /// value.
    pub election_timeout_max: Duration,
    /// How long a voter must be unreachable before a learner replaces it as a voter (default 60 s).
    pub promote_after: Duration,
    /// Keep every entry: no snapshot is made automatically, and purged entries go to a file beside the snapshots.
    #[cfg(feature = "fault-injection")]
    pub keep_purged: bool,
    /// A bug that the simulation plants; none by default, and none in production.
    pub planted: Planted,
    /// With `keep_purged`: snapshots are made nevertheless, and the entries that they cover are purged.
    #[cfg(feature = "fault-injection")]
    pub purge_what_is_kept: bool,
}

impl Default for RaftSettings {
    fn default() -> Self {
        Self {
            profile: None,
            heartbeat_interval: Duration::ZERO,
            election_timeout_min: Duration::ZERO,
            election_timeout_max: Duration::ZERO,
            promote_after: Duration::from_secs(60),
            #[cfg(feature = "fault-injection")]
            keep_purged: false,
            planted: Planted::default(),
            #[cfg(feature = "fault-injection")]
            purge_what_is_kept: false,
        }
    }
}

/// Intervals of a replica's periodic work, and the size of the parts in which it sends a snapshot. The defaults are
/// the limits of this crate; tests choose shorter ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Number of entries after which a snapshot is made, and number of entries kept before it for followers that
    /// lag.
    pub snapshot_every_entries: u64,
    /// How often the leader samples the voters' clocks.
    pub clock_sample_interval: Duration,
    /// How often the leader checks whether the other nodes answer.
    pub look_interval: Duration,
    /// Size of one part of a snapshot, in bytes: at most [`SNAPSHOT_CHUNK_BYTES`].
    pub snapshot_chunk_bytes: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            snapshot_every_entries: SNAPSHOT_EVERY_ENTRIES,
            clock_sample_interval: CLOCK_SAMPLE_INTERVAL,
            look_interval: LOOK_INTERVAL,
            snapshot_chunk_bytes: SNAPSHOT_CHUNK_BYTES,
        }
    }
}

/// The settings contradict each other.
#[derive(Debug, thiserror::Error)]
#[error(
    "election settings: {0}; the heartbeat interval must be below the minimum election timeout, and that below the \
     maximum"
)]
pub struct SettingsError(String);

impl RaftSettings {
    /// Heartbeat interval, shortest and longest election timeout: the profile's value for each that is zero in
    /// these settings.
    pub fn times(&self, profile: ElectionProfile) -> [Duration; 3] {
        let given = [self.heartbeat_interval, self.election_timeout_min, self.election_timeout_max];
        let mut times = election_times(profile);
        for (time, given) in times.iter_mut().zip(given).filter(|(_, given)| !given.is_zero()) {
            *time = given;
        }
        times
    }

    /// The longest round trip between two nodes that these settings tolerate with this profile. openraft limits an
    /// append to the heartbeat interval, and the followers' disks need part of that.
    pub fn round_trip_max(&self, profile: ElectionProfile) -> Duration {
        let [heartbeat_interval, ..] = self.times(profile);
        heartbeat_interval * 3 / 4
    }

    pub(crate) fn to_openraft(self, profile: ElectionProfile, pace: Pace) -> Result<Config, SettingsError> {
        let [heartbeat_interval, election_timeout_min, election_timeout_max] = self.times(profile);
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let snapshot_policy = SnapshotPolicy::LogsSinceLast(pace.snapshot_every_entries);
        #[cfg(feature = "fault-injection")]
        let snapshot_policy =
            if self.keep_purged && !self.purge_what_is_kept { SnapshotPolicy::Never } else { snapshot_policy };
        let config = Config {
            cluster_name: "quorate".into(),
            heartbeat_interval: ms(heartbeat_interval),
            election_timeout_min: ms(election_timeout_min),
            election_timeout_max: ms(election_timeout_max),
            max_payload_entries: APPEND_ENTRIES_MAX,
            // For a peer whose version receives a snapshot as a whole. For other peers each part has its own
            // timeout.
            install_snapshot_timeout: ms(SNAPSHOT_WHOLE_TIMEOUT),
            replication_lag_threshold: 1000,
            snapshot_policy,
            max_in_snapshot_log_to_keep: pace.snapshot_every_entries,
            // Elections stay disabled until the membership lists the node with its store (`replica::elections`).
            enable_elect: false,
            // A node that returns must not unseat a healthy leader.
            enable_pre_vote: Some(true),
            // With the default, a leader that was killed and restarted at once leads on from its stored vote: reads
            // may be stale.
            enable_leader_restore: Some(false),
            removed_leader_step_down: openraft::StepDownPolicy::After(150),
            // A node that returns from a crash is caught up at once instead of after the longest pause.
            backoff: "20ms 40ms ...200ms".into(),
            ..Config::default()
        };
        config.validate().map_err(|error| SettingsError(error.to_string()))
    }
}
