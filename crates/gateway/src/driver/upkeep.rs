//! The one task of a gateway beside its associations: probes, lookups of `srv:` names, associations with mirrors.

use std::{sync::Arc, time::Duration};

use discovery::{DnsName, Srv};
use futures::{
    future::{BoxFuture, FutureExt as _},
    stream::{FuturesUnordered, StreamExt as _},
};
use tokio::{
    sync::watch,
    time::{sleep_until, timeout},
};

use crate::{
    driver::{
        inner::Inner,
        names::{Found, NotFound},
        observer::UpstreamId,
    },
    failure::Failure,
    limits::{LOOKUP_TIMEOUT, MIRROR_ASSOCIATIONS_MAX, PROBE_INTERVAL},
};

/// What ended.
enum Done {
    Probe(UpstreamId, Result<Duration, Failure>),
    Lookup(DnsName, Result<Found<Srv>, NotFound>),
}

/// Runs until `stopping`.
pub(super) async fn run(inner: Arc<Inner>, mut stopping: watch::Receiver<bool>) {
    let mut running: FuturesUnordered<BoxFuture<'_, Done>> = FuturesUnordered::new();
    let mut mirrors = FuturesUnordered::new();
    let mut jobs = inner.mirror_queue.lock().await;
    loop {
        running.extend(inner.begin_due());
        let due = inner.state().due().unwrap_or_else(|| inner.now() + PROBE_INTERVAL);
        tokio::select! {
            // A dropped sender means that the node has ended.
            _stopped_or_gone = stopping.wait_for(|stopping| *stopping) => return,
            Some(done) = running.next() => inner.done(done),
            Some(()) = mirrors.next() => {}
            Some(job) = jobs.recv(), if mirrors.len() < MIRROR_ASSOCIATIONS_MAX => mirrors.push(inner.mirror(job)),
            () = inner.changed.notified() => {}
            () = sleep_until(inner.instant(due)) => {}
        }
    }
}

impl Inner {
    fn begin_due(&self) -> Vec<BoxFuture<'_, Done>> {
        let now = self.now();
        let (probes, names) = {
            let mut state = self.state();
            (state.begin_probes(now), state.srv.begin(now))
        };
        let probes = probes.into_iter().map(|task| {
            async move {
                let result = self.probe(&task).await;
                Done::Probe(task.upstream, result)
            }
            .boxed()
        });
        let lookups = names.into_iter().map(|name| {
            async move {
                let found = timeout(LOOKUP_TIMEOUT, self.environment.names.targets(&name)).await;
                let found = found.unwrap_or_else(|_| Err(NotFound(format!("no answer within {LOOKUP_TIMEOUT:?}"))));
                Done::Lookup(name, found)
            }
            .boxed()
        });
        probes.chain(lookups).collect()
    }

    fn done(&self, done: Done) {
        match done {
            Done::Probe(upstream, result) => self.probed(&upstream, result),
            Done::Lookup(name, result) => {
                if let Err(error) = &result {
                    tracing::warn!(%name, %error, "the targets of an upstream's SRV name were not found");
                }
                let now = self.now();
                let changed = self.state().srv_ended(&name, result, now);
                if let Some(targets) = changed {
                    self.environment.observer.targets_changed(&name.to_string(), targets);
                }
            }
        }
    }
}
