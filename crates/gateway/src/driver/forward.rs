//! One association between a client and its upstream: performs what the state machine says.

use std::{
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dcerpc::relay::Bind;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{Instant, Sleep, sleep_until, timeout},
};
use transport::{Activity, Call};

use crate::{
    association::{
        Action, Association, Event, Step,
        ending::{Ending, Side},
        first_bind::FirstBind,
    },
    driver::{
        inner::Inner,
        issued::GroupPart,
        link::{Link, Read},
        mirroring::Mirrors,
        observer::{AssociationEnd, UpstreamId},
        upstreams::Counters,
    },
    failure::Failure,
    limits::{CLOSE_TIMEOUT, READ_BYTES},
    mirror::tap::Tap,
    settings::{GroupName, Timeouts},
};

/// A connection whose first bind was read, and which is to be forwarded.
#[derive(Debug)]
pub struct Accepted {
    pub stream: TcpStream,
    /// The client's address; from the PROXY header where a trusted proxy sent one.
    pub client: SocketAddr,
    pub bind: FirstBind,
    /// Activity of the connection's slot: calls without an answer keep it from being closed for another connection.
    pub activity: Activity,
}

/// What is told about an association when it ends, also where its task is dropped.
struct Record {
    inner: Arc<Inner>,
    end: AssociationEnd,
    began: Instant,
    /// Counters of the upstream that answered the bind.
    open: Option<Arc<Counters>>,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end.duration = self.began.elapsed();
        if let Some(counters) = &self.open {
            counters.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.inner.environment.observer.association_ended(&self.end);
    }
}

struct Forwarding {
    inner: Arc<Inner>,
    client: Link,
    upstream: Option<Link>,
    machine: Association,
    candidates: Vec<UpstreamId>,
    /// The candidate that is tried, or that answered.
    candidate: usize,
    /// Empty once it was answered, unless mirrors need it.
    bind: Vec<u8>,
    /// The fields of the bind.
    proposed: Bind,
    /// What the client sent behind the bind.
    behind: Vec<u8>,
    activity: Activity,
    call: Option<Call>,
    record: Record,
    /// Answered requests that the observer knows of.
    told: u64,
    group: Option<GroupPart>,
    mirrors: Option<Mirrors>,
    connect_began: Instant,
    timeouts: Timeouts,
    /// Whether the bytes of the current event broke the other side's connection.
    broken: Option<Side>,
}

/// Forwards one association until it ends.
pub(super) async fn forward(
    inner: Arc<Inner>,
    group: GroupName,
    accepted: Accepted,
    stopping: watch::Receiver<bool>,
) -> Ending {
    inner.environment.observer.association_began(&group);
    let Accepted { stream, client, bind, activity } = accepted;
    let FirstBind { bind: proposed, octets, behind } = bind;
    let interface = proposed.interfaces.first().map(|interface| interface.uuid);
    let issuer = if proposed.group == 0 { None } else { inner.issued.issuer(client.ip(), proposed.group) };
    let (candidates, timeouts) = {
        let state = inner.state();
        // Another upstream does not know the group, so there is no other one to try.
        let issuer = issuer.filter(|issuer| state.upstreams.contains_key(issuer));
        (issuer.map_or_else(|| state.candidates(&group), |issuer| vec![issuer]), state.settings.timeouts())
    };
    if candidates.is_empty() {
        inner.want_probes(&group);
    }
    let (machine, first) = Association::begin(candidates.len(), timeouts, inner.now());
    let end = AssociationEnd {
        client,
        group,
        upstream: None,
        interface,
        duration: Duration::ZERO,
        client_bytes: 0,
        upstream_bytes: 0,
        requests: 0,
        ending: Ending::Dropped,
    };
    let record = Record { inner: Arc::clone(&inner), end, began: Instant::now(), open: None };
    let call = Some(activity.call());
    let forwarding = Forwarding {
        inner,
        client: Link::new(stream),
        upstream: None,
        machine,
        candidates,
        candidate: 0,
        bind: octets,
        proposed,
        behind,
        activity,
        call,
        record,
        told: 0,
        group: None,
        mirrors: None,
        connect_began: Instant::now(),
        timeouts,
        broken: None,
    };
    // Boxed, so that its memory is no part of the caller's own connections.
    Box::pin(forwarding.run(first, stopping)).await
}

impl Forwarding {
    async fn run(mut self, first: Step, mut stopping: watch::Receiver<bool>) -> Ending {
        let mut step = first;
        let mut is_stopping = false;
        let mut timer = Box::pin(sleep_until(Instant::now() + self.timeouts.connect));
        loop {
            if let Some((candidate, failure)) = step.failed.take()
                && let Some(upstream) = self.candidates.get(candidate)
            {
                self.inner.association_failed(upstream, failure);
            }
            step = match step.action {
                Action::Nothing => match self.broken.take() {
                    Some(side) => self.machine.take(Event::Broken(side), self.inner.now()),
                    None => self.next_event(&mut timer, &mut stopping, &mut is_stopping).await,
                },
                Action::Connect(candidate) => {
                    self.connect(candidate, &mut timer, &mut stopping, &mut is_stopping).await
                }
                Action::SendBind => self.send_bind(),
                Action::PassOn(answer) => self.pass_on(&answer),
                Action::EndSending(side) => {
                    if let Some(link) = self.link(side) {
                        link.end_sending().await;
                    }
                    Action::Nothing.into()
                }
                Action::Refuse(refusal) => {
                    let _gone = self.client.send(&refusal);
                    self.record.end.upstream_bytes += length(&refusal);
                    return self.close(Ending::Refused).await;
                }
                Action::Close(ending) => return self.close(ending).await,
            };
        }
    }

    fn link(&mut self, side: Side) -> Option<&mut Link> {
        match side {
            Side::Client => Some(&mut self.client),
            Side::Upstream => self.upstream.as_mut(),
        }
    }

    async fn connect(
        &mut self,
        candidate: usize,
        timer: &mut Pin<Box<Sleep>>,
        stopping: &mut watch::Receiver<bool>,
        is_stopping: &mut bool,
    ) -> Step {
        (self.upstream, self.candidate) = (None, candidate);
        self.connect_began = Instant::now();
        let Some(id) = self.candidates.get(candidate) else {
            return self.machine.take(Event::Failed(Failure::Connect), self.inner.now());
        };
        let (inner, id) = (Arc::clone(&self.inner), id.clone());
        self.record.end.upstream = Some(id.address.clone());
        let mut connecting = pin!(inner.connect(&id, self.timeouts.connect));
        loop {
            self.set_timer(timer);
            let event = tokio::select! {
                connected = &mut connecting => match connected {
                    Ok(stream) => {
                        self.upstream = Some(Link::new(stream));
                        Event::Connected
                    }
                    Err(failure) => Event::Failed(failure),
                },
                () = timer.as_mut() => Event::Time,
                () = stopped(stopping), if !*is_stopping => {
                    *is_stopping = true;
                    Event::Stopping
                }
            };
            let step = self.machine.take(event, inner.now());
            // The timer may have been set for an earlier deadline than this attempt's.
            if step.action != Action::Nothing {
                return step;
            }
        }
    }

    fn send_bind(&mut self) -> Step {
        let now = self.inner.now();
        let Some(upstream) = &mut self.upstream else { return Action::Nothing.into() };
        // A server that speaks before it is asked is none of DCE/RPC.
        match upstream.read(&mut [0; READ_BYTES]) {
            Read::Nothing => {}
            Read::Bytes(_) => return self.machine.take(Event::Failed(Failure::Protocol), now),
            Read::Ended | Read::Broken => return self.machine.take(Event::Failed(Failure::Closed), now),
        }
        match upstream.send(&self.bind) {
            Ok(()) => Action::Nothing.into(),
            Err(_) => self.machine.take(Event::Failed(Failure::Closed), now),
        }
    }

    /// The bind was answered: what the client sent behind it may follow.
    fn pass_on(&mut self, answer: &[u8]) -> Step {
        self.record.end.client_bytes += length(&self.bind);
        let bind = std::mem::take(&mut self.bind);
        self.bound(bind);
        self.note_calls();
        if self.forward_bytes(Side::Upstream, answer).is_err() {
            return self.machine.take(Event::Broken(Side::Client), self.inner.now());
        }
        let behind = std::mem::take(&mut self.behind);
        for chunk in behind.chunks(READ_BYTES) {
            let step = self.machine.take(Event::Received(Side::Client, chunk), self.inner.now());
            if self.forward_bytes(Side::Client, chunk).is_err() {
                return self.machine.take(Event::Broken(Side::Upstream), self.inner.now());
            }
            if step.action != Action::Nothing {
                return step;
            }
        }
        self.after_bytes();
        Action::Nothing.into()
    }

    /// Notes what is known once the bind was answered.
    fn bound(&mut self, bind: Vec<u8>) {
        let Some(id) = self.candidates.get(self.candidate).cloned() else { return };
        let took = self.connect_began.elapsed();
        let counters = self.inner.counters(&id);
        counters.open.fetch_add(1, Ordering::Relaxed);
        counters.associations.fetch_add(1, Ordering::Relaxed);
        self.record.open = Some(counters);
        self.inner.environment.observer.bound(&id, took);
        let Some(ack) = self.machine.acknowledgement().cloned() else {
            self.inner.state().bound(&id, None, took);
            return;
        };
        let interfaces = std::mem::take(&mut self.proposed.interfaces);
        let accepted = interfaces.iter().zip(&ack.answers).find(|(_, answer)| answer.result == 0);
        let accepted = accepted.map(|(interface, _)| *interface);
        let is_mirrored = {
            let mut state = self.inner.state();
            state.bound(&id, accepted, took);
            !self.proposed.is_authenticated && !state.mirrors(&id).is_empty()
        };
        if ack.group != 0 {
            self.group = self.inner.issued.note(self.record.end.client.ip(), ack.group, &id);
        }
        if is_mirrored {
            self.machine.mirror_with(Tap::new(self.inner.mirror_budget.clone()));
            self.mirrors = Some(Mirrors::new(id, bind, ack));
        }
    }

    /// Waits for the next event, and has the machine take it. Bytes were forwarded when it returns.
    async fn next_event(
        &mut self,
        timer: &mut Pin<Box<Sleep>>,
        stopping: &mut watch::Receiver<bool>,
        is_stopping: &mut bool,
    ) -> Step {
        self.set_timer(timer);
        let is_open = self.machine.is_open();
        let (client, upstream) = (&self.client, self.upstream.as_ref());
        let is_stalled = |link: Option<&Link>| link.is_some_and(Link::is_stalled);
        // A side is read only while the other one took all it sent, and the client only once its bind was answered.
        let reads_client = is_open && !client.has_ended && !is_stalled(upstream);
        let reads_upstream = upstream.is_some_and(|link| !link.has_ended) && !client.is_stalled();
        tokio::select! {
            ready = readable(Some(client)), if reads_client => self.receive(Side::Client, ready),
            ready = readable(upstream), if reads_upstream => self.receive(Side::Upstream, ready),
            ready = writable(Some(client)), if client.is_stalled() => self.flush(Side::Client, ready).await,
            ready = writable(upstream), if is_stalled(upstream) => self.flush(Side::Upstream, ready).await,
            () = timer.as_mut() => self.machine.take(Event::Time, self.inner.now()),
            () = stopped(stopping), if !*is_stopping => {
                *is_stopping = true;
                self.machine.take(Event::Stopping, self.inner.now())
            }
        }
    }

    fn set_timer(&self, timer: &mut Pin<Box<Sleep>>) {
        let Some(deadline) = self.machine.deadline() else { return };
        let deadline = self.inner.instant(deadline);
        // A later deadline is looked at when the timer fires: most of them move with every byte.
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
    }

    fn receive(&mut self, side: Side, ready: std::io::Result<()>) -> Step {
        let now = self.inner.now();
        let mut buffer = [0; READ_BYTES];
        let Some(link) = self.link(side) else { return Action::Nothing.into() };
        let read = if ready.is_ok() { link.read(&mut buffer) } else { Read::Broken };
        match read {
            Read::Nothing => Action::Nothing.into(),
            Read::Ended => self.machine.take(Event::Ended(side), now),
            Read::Broken => {
                link.has_ended = true;
                self.machine.take(Event::Broken(side), now)
            }
            Read::Bytes(bytes) => {
                let was_open = self.machine.is_open();
                let step = self.machine.take(Event::Received(side, bytes), now);
                if was_open {
                    if self.forward_bytes(side, bytes).is_err() {
                        self.broken = Some(side.other());
                    }
                    self.after_bytes();
                }
                step
            }
        }
    }

    /// Writes bytes that came from `side` to the other one.
    fn forward_bytes(&mut self, side: Side, bytes: &[u8]) -> std::io::Result<()> {
        match side {
            Side::Client => {
                self.record.end.client_bytes += length(bytes);
                self.activity.received();
            }
            Side::Upstream => self.record.end.upstream_bytes += length(bytes),
        }
        let to = side.other();
        let Some(link) = self.link(to) else { return Ok(()) };
        link.send(bytes)?;
        if link.is_stalled() {
            self.machine.take(Event::Stalled(to, true), self.inner.now());
        }
        Ok(())
    }

    /// Tells of answered requests, and hands to mirrors what is theirs.
    fn after_bytes(&mut self) {
        self.note_calls();
        let answered = self.machine.answered();
        if answered > self.told {
            if let Some(id) = self.candidates.get(self.candidate) {
                self.inner.state().last_request = Some(self.inner.now());
                let client = self.record.end.client.ip();
                self.inner.environment.observer.answered(client, id, answered - self.told);
            }
            self.told = answered;
            self.record.end.requests = answered;
        }
        if let Some(mirrors) = &mut self.mirrors {
            let (items, dropped) = self.machine.mirrored();
            mirrors.send(&self.inner, items, dropped);
        }
    }

    fn note_calls(&mut self) {
        match (self.machine.has_calls(), &self.call) {
            (true, None) => self.call = Some(self.activity.call()),
            (false, Some(_)) => self.call = None,
            _ => {}
        }
    }

    async fn flush(&mut self, side: Side, ready: std::io::Result<()>) -> Step {
        let now = self.inner.now();
        let Some(link) = self.link(side) else { return Action::Nothing.into() };
        if ready.is_err() || link.flush().is_err() {
            return self.machine.take(Event::Broken(side), now);
        }
        link.end_if_due().await;
        let is_stalled = link.is_stalled();
        self.machine.take(Event::Stalled(side, is_stalled), now)
    }

    /// Writes what waits for sides that still take it, and closes.
    async fn close(mut self, ending: Ending) -> Ending {
        self.record.end.ending = ending;
        let writes = |side| ending != Ending::Slow(side) && (side, ending) != (Side::Client, Ending::ClientGone);
        let limit = if ending == Ending::Stopped { CLOSE_TIMEOUT } else { self.timeouts.pdu };
        let client = async {
            if writes(Side::Client) {
                let _slow = timeout(limit, self.client.finish()).await;
            }
        };
        let upstream = async {
            if let Some(upstream) = self.upstream.as_mut().filter(|_| writes(Side::Upstream)) {
                let _slow = timeout(limit, upstream.finish()).await;
            }
        };
        tokio::join!(client, upstream);
        ending
    }
}

impl Inner {
    /// A client came for a group of which no upstream can be used: see whether that is still so.
    fn want_probes(&self, group: &GroupName) {
        let mut state = self.state();
        let of_group = state.upstreams.iter_mut().filter(|(id, _)| id.group == *group);
        of_group.for_each(|(_, upstream)| upstream.want_probe());
        drop(state);
        self.changed.notify_one();
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

async fn readable(link: Option<&Link>) -> std::io::Result<()> {
    match link {
        Some(link) => link.stream.readable().await,
        None => std::future::pending().await,
    }
}

async fn writable(link: Option<&Link>) -> std::io::Result<()> {
    match link {
        Some(link) => link.stream.writable().await,
        None => std::future::pending().await,
    }
}

/// Returns when the node begins to stop.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // A dropped sender means that the node has ended.
    let _stopped_or_gone = stopping.wait_for(|stopping| *stopping).await;
}
