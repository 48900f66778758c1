//! Associations with mirrors, each on a connection of its own and apart from the client's: nothing here delays a client.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dcerpc::relay::BindAck;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::{Instant, timeout, timeout_at},
};

use crate::{
    choice::health::State,
    driver::{
        inner::Inner,
        link::{Link, Read},
        mirror_job::{MirrorBind, MirrorJob},
        observer::{MirrorOutcome, UpstreamId},
    },
    limits::{MIRROR_ANSWER_TIMEOUT, MIRROR_LINGER, MIRROR_QUEUE_MAX, READ_BYTES},
    mirror::{
        session::{MirrorEnd, MirrorSession},
        tap::Item,
    },
};

/// The client's side: where the requests of one association go.
pub(super) struct Mirrors {
    chosen: UpstreamId,
    bind: Option<(Vec<u8>, BindAck)>,
    queues: Vec<(UpstreamId, Option<mpsc::Sender<Item>>)>,
}

impl Mirrors {
    /// Mirrors of an association with `chosen`; their connections are opened with the first request.
    pub(super) fn new(chosen: UpstreamId, bind: Vec<u8>, ack: BindAck) -> Self {
        Self { chosen, bind: Some((bind, ack)), queues: Vec::new() }
    }

    /// Queues requests; never waits. What does not fit is counted and left out.
    pub(super) fn send(&mut self, inner: &Inner, items: Vec<Item>, dropped: u64) {
        if dropped > 0 {
            inner.environment.observer.mirrored(None, MirrorOutcome::Dropped, dropped);
        }
        if items.is_empty() {
            return;
        }
        if let Some((octets, ack)) = self.bind.take() {
            self.open(inner, octets, ack);
        }
        for (mirror, queue) in &mut self.queues {
            for item in &items {
                let is_queued = match queue.as_ref().map(|queue| queue.try_send(item.clone())) {
                    Some(Ok(())) => true,
                    // An alter_context that is left out leaves the mirror without the contexts of what follows.
                    Some(Err(TrySendError::Full(_))) if item.expected().is_none() => false,
                    Some(Err(_)) => {
                        *queue = None;
                        false
                    }
                    None => false,
                };
                if !is_queued {
                    inner.mirror_dropped(mirror, 1);
                }
            }
        }
    }

    fn open(&mut self, inner: &Inner, octets: Vec<u8>, ack: BindAck) {
        let mirrors = inner.state().mirrors(&self.chosen);
        let Some(grant) = inner.mirror_budget.take(octets.len()) else {
            self.queues = mirrors.into_iter().map(|(mirror, _)| (mirror, None)).collect();
            return;
        };
        let bind = Arc::new(MirrorBind { octets, ack, _grant: grant });
        let open = |(mirror, state): (UpstreamId, State)| {
            // Nothing is kept for a mirror that is out, so nothing is replayed when it comes back.
            if state == State::Failing {
                return (mirror, None);
            }
            let (queue, items) = mpsc::channel(MIRROR_QUEUE_MAX);
            let job = MirrorJob { mirror: mirror.clone(), bind: Arc::clone(&bind), items };
            let is_taken = inner.mirror_jobs.try_send(job).is_ok();
            (mirror, is_taken.then_some(queue))
        };
        self.queues = mirrors.into_iter().map(open).collect();
    }
}

impl Inner {
    fn mirror_dropped(&self, mirror: &UpstreamId, requests: u64) {
        self.counters(mirror).mirror_dropped.fetch_add(requests, Ordering::Relaxed);
        self.environment.observer.mirrored(Some(mirror), MirrorOutcome::Dropped, requests);
    }

    /// Runs one association with a mirror until its client's has ended and its queue is empty, or it fails.
    pub(super) async fn mirror(&self, mut job: MirrorJob) {
        let ended = self.mirror_requests(&mut job).await;
        if let Err(why) = ended {
            self.environment.observer.mirror_ended(&job.mirror, why);
        }
        job.items.close();
        let mut left: u64 = 0;
        while job.items.try_recv().is_ok() {
            left += 1;
        }
        if left > 0 {
            self.mirror_dropped(&job.mirror, left);
        }
    }

    async fn mirror_requests(&self, job: &mut MirrorJob) -> Result<(), MirrorEnd> {
        let timeouts = self.state().settings.timeouts();
        let stream = match self.connect(&job.mirror, timeouts.connect).await {
            Ok(stream) => stream,
            Err(failure) => {
                self.association_failed(&job.mirror, failure);
                return Ok(());
            }
        };
        let mut link = Link::new(stream);
        let mut bind = job.bind.octets.clone();
        let mut session = MirrorSession::begin(&mut bind, job.bind.ack.clone());
        if !exchange(&mut link, &mut session, &bind, timeouts.bind).await? {
            self.association_failed(&job.mirror, crate::failure::Failure::Silent);
            return Ok(());
        }
        // Set when the client's association has ended: what waits may still go out for a while.
        let mut ends: Option<Instant> = None;
        loop {
            let item = match ends {
                Some(ends) => timeout_at(ends, job.items.recv()).await.ok().flatten(),
                None => job.items.recv().await,
            };
            let Some(item) = item else { return Ok(()) };
            if job.items.is_closed() && ends.is_none() {
                ends = Some(Instant::now() + MIRROR_LINGER);
            }
            let is_request = item.expected().is_none();
            session.sent(&item);
            let answered = exchange(&mut link, &mut session, item.bytes(), MIRROR_ANSWER_TIMEOUT).await;
            if !matches!(answered, Ok(true)) {
                self.mirror_dropped(&job.mirror, 1);
                answered?;
                self.association_failed(&job.mirror, crate::failure::Failure::Slow);
                return Ok(());
            }
            if is_request {
                self.counters(&job.mirror).mirrored.fetch_add(1, Ordering::Relaxed);
                self.environment.observer.mirrored(Some(&job.mirror), MirrorOutcome::Answered, 1);
            }
        }
    }
}

/// Sends PDUs of one call and waits for its answer, which is discarded. False: the mirror closed, or the deadline passed.
async fn exchange(
    link: &mut Link,
    session: &mut MirrorSession,
    bytes: &[u8],
    deadline: Duration,
) -> Result<bool, MirrorEnd> {
    let exchanging = async {
        if link.send(bytes).is_err() {
            return Ok(false);
        }
        loop {
            let is_broken = tokio::select! {
                ready = link.stream.readable() => ready.is_err(),
                ready = link.stream.writable(), if link.is_stalled() => ready.is_err(),
            };
            if is_broken || link.flush().is_err() {
                return Ok(false);
            }
            match receive(link, session)? {
                Some(true) if session.is_ready() && !link.is_stalled() => return Ok(true),
                Some(true) | None => {}
                Some(false) => return Ok(false),
            }
        }
    };
    timeout(deadline, exchanging).await.unwrap_or(Ok(false))
}

/// Reads once. `Some(false)`: the mirror closed; `None`: nothing was there.
fn receive(link: &mut Link, session: &mut MirrorSession) -> Result<Option<bool>, MirrorEnd> {
    let mut buffer = [0; READ_BYTES];
    match link.read(&mut buffer) {
        Read::Bytes(bytes) => session.received(bytes).map(|()| Some(true)),
        Read::Nothing => Ok(None),
        Read::Ended | Read::Broken => Ok(Some(false)),
    }
}
