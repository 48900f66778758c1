//! What the tasks of one gateway share.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

use crate::{
    driver::{
        environment::Environment,
        issued::Issued,
        mirror_job::MirrorJob,
        observer::UpstreamId,
        state::GatewayState,
        upstreams::{Counters, UpstreamState},
    },
    failure::Failure,
    limits::{MIRROR_ASSOCIATIONS_MAX, MIRROR_BYTES_MAX},
    mirror::budget::Budget,
    settings::Settings,
};

pub(super) struct Inner {
    pub(super) environment: Environment,
    epoch: Instant,
    state: Mutex<GatewayState>,
    pub(super) issued: Issued,
    /// Notified when something may be due earlier than before.
    pub(super) changed: Notify,
    pub(super) mirror_budget: Budget,
    pub(super) mirror_jobs: mpsc::Sender<MirrorJob>,
    /// Taken by the task that runs them.
    pub(super) mirror_queue: tokio::sync::Mutex<mpsc::Receiver<MirrorJob>>,
}

impl Inner {
    pub(super) fn new(settings: Settings, environment: Environment) -> Self {
        let random = StdRng::seed_from_u64(environment.seed);
        let state = GatewayState::new(settings, environment.loop_key, random, Duration::ZERO);
        let (mirror_jobs, mirror_queue) = mpsc::channel(MIRROR_ASSOCIATIONS_MAX);
        Self {
            environment,
            epoch: Instant::now(),
            state: Mutex::new(state),
            issued: Issued::default(),
            changed: Notify::new(),
            mirror_budget: Budget::new(MIRROR_BYTES_MAX),
            mirror_jobs,
            mirror_queue: tokio::sync::Mutex::new(mirror_queue),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, GatewayState> {
        // Every change is complete before the lock is released, also where a panic releases it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(super) fn instant(&self, moment: Duration) -> Instant {
        self.epoch + moment
    }

    pub(super) fn counters(&self, id: &UpstreamId) -> Arc<Counters> {
        self.state().upstreams.get(id).map(|upstream| Arc::clone(&upstream.counters)).unwrap_or_default()
    }

    /// Changes what is known of an upstream, if it is still one.
    pub(super) fn with_upstream<T>(&self, id: &UpstreamId, change: impl FnOnce(&mut UpstreamState) -> T) -> Option<T> {
        self.state().upstreams.get_mut(id).map(change)
    }

    /// An association, or an attempt to get one, failed: this triggers a probe and nothing else.
    pub(super) fn association_failed(&self, id: &UpstreamId, failure: Failure) {
        self.environment.observer.failed(id, failure);
        if failure == Failure::Local {
            return;
        }
        let now = self.now();
        self.with_upstream(id, |upstream| {
            upstream.counters.failures.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            upstream.is_suspect(now);
            upstream.want_probe();
        });
        self.changed.notify_one();
    }

    /// Takes the result of a probe.
    pub(super) fn probed(&self, id: &UpstreamId, result: Result<Duration, Failure>) {
        let now = self.now();
        let changed = self.with_upstream(id, |upstream| {
            let has_changed = upstream.probe_ended(result, now);
            has_changed.then(|| (upstream.health.state(), upstream.health.last_failure()))
        });
        let observer = &self.environment.observer;
        observer.probed(id, result);
        if let Some(Some((state, why))) = changed {
            observer.state_changed(id, state, why);
        }
    }
}
