//! One forwarded association as a state machine: events in, effects out. Pure: bytes, ends and time are arguments.
//!
//! It has two phases. While it is **binding**, the client's bind is held and nothing else of the client is read; one
//! upstream after the other may get the bind, until one answered it. From then on it is **open**: every byte passes,
//! nothing is held here, and nothing is ever tried again.

mod binding;
mod calls;
pub(crate) mod ending;
pub(crate) mod first_bind;
mod open;
#[cfg(test)]
mod tests;

use std::time::Duration;

use dcerpc::relay::BindAck;

use self::{
    binding::{Answered, Binding},
    ending::{Ending, Side},
    open::Open,
};
use crate::{
    failure::Failure,
    limits::STOP_TIMEOUT,
    mirror::tap::{Item, Tap},
    settings::Timeouts,
};

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// The connection that [`Action::Connect`] asked for is established.
    Connected,
    /// The connection was not established, or the bind could not be written.
    Failed(Failure),
    /// Bytes arrived, at most `READ_BYTES` at once. While open, they are to be forwarded to the other side, also where
    /// the action is a close.
    Received(Side, &'a [u8]),
    /// A side sends no more.
    Ended(Side),
    /// A side reset its connection, or does not take bytes any more.
    Broken(Side),
    /// Bytes for this side wait, because it does not take them; or they were taken.
    Stalled(Side, bool),
    /// The node stops.
    Stopping,
    /// A deadline may have passed.
    Time,
}

/// What the driver has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    /// Drop the connection to the upstream, if there is one, and connect to the candidate of this index.
    Connect(usize),
    /// Write the bind to the upstream.
    SendBind,
    /// The bind was answered: write these bytes to the client. From now on the association is open.
    PassOn(Vec<u8>),
    /// Write these bytes to the client and close.
    Refuse(Vec<u8>),
    /// Close the sending half of this side's connection, after the bytes that wait for it.
    EndSending(Side),
    /// Write what waits, and close both connections.
    Close(Ending),
}

/// The effects of one event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) action: Action,
    /// The candidate that failed, which calls for a probe.
    pub(crate) failed: Option<(usize, Failure)>,
}

impl From<Action> for Step {
    fn from(action: Action) -> Self {
        Self { action, failed: None }
    }
}

/// One association.
#[derive(Debug)]
pub(crate) struct Association {
    phase: Phase,
    timeouts: Timeouts,
    stop_at: Option<Duration>,
    /// The candidate that the association is with, or tries.
    candidate: usize,
    /// Requests that were answered; also after the association is over.
    answered: u64,
}

#[derive(Debug)]
enum Phase {
    Binding(Binding),
    Open(Box<Open>),
    Over,
}

impl Association {
    /// An association with `candidates` upstreams to try, and its first step.
    pub(crate) fn begin(candidates: usize, timeouts: Timeouts, now: Duration) -> (Self, Step) {
        let mut association = Self {
            phase: Phase::Binding(Binding::new(candidates, timeouts, now)),
            timeouts,
            stop_at: None,
            candidate: 0,
            answered: 0,
        };
        let action = if candidates == 0 { association.over(Ending::NoUpstream) } else { Action::Connect(0) };
        (association, action.into())
    }

    /// Performs one event.
    pub(crate) fn take(&mut self, event: Event<'_>, now: Duration) -> Step {
        match &mut self.phase {
            Phase::Over => Action::Nothing.into(),
            Phase::Binding(_) => self.while_binding(event, now),
            Phase::Open(_) => self.while_open(event, now),
        }
    }

    /// When [`Event::Time`] is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Over => None,
            Phase::Binding(binding) => Some(binding.deadline()),
            Phase::Open(open) => Some(self.stop_at.map_or(open.deadline(), |stop| stop.min(open.deadline()))),
        }
    }

    /// The bind_ack that was passed on; `None` before, and where the answer was another one.
    pub(crate) fn acknowledgement(&self) -> Option<&BindAck> {
        let Phase::Open(open) = &self.phase else { return None };
        open.acknowledgement.as_ref()
    }

    /// Whether the answer to the bind was passed on.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// Whether a call waits for its answer, or is being sent.
    pub(crate) fn has_calls(&self) -> bool {
        matches!(&self.phase, Phase::Open(open) if open.has_calls())
    }

    /// Requests that were answered, by a response or a fault.
    pub(crate) fn answered(&self) -> u64 {
        self.answered
    }

    /// Bytes that the machine itself holds.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.phase {
            Phase::Binding(binding) => binding.held_bytes(),
            Phase::Open(_) | Phase::Over => 0,
        }
    }

    /// Has an open association note what its mirrors need.
    pub(crate) fn mirror_with(&mut self, tap: Tap) {
        if let Phase::Open(open) = &mut self.phase {
            open.tap = Some(Box::new(tap));
        }
    }

    /// What mirrors are to get, in the order of the answers; and how many requests were left out.
    pub(crate) fn mirrored(&mut self) -> (Vec<Item>, u64) {
        let Phase::Open(open) = &mut self.phase else { return (Vec::new(), 0) };
        open.tap.as_mut().map_or((Vec::new(), 0), |tap| tap.ready())
    }

    fn over(&mut self, ending: Ending) -> Action {
        self.phase = Phase::Over;
        Action::Close(ending)
    }

    fn while_binding(&mut self, event: Event<'_>, now: Duration) -> Step {
        let Phase::Binding(binding) = &mut self.phase else { return Action::Nothing.into() };
        match event {
            Event::Connected => {
                binding.connected(now);
                Action::SendBind.into()
            }
            Event::Failed(failure) => self.next_upstream(failure, now),
            Event::Received(Side::Upstream, bytes) => match binding.received(bytes) {
                Answered::NotYet => Action::Nothing.into(),
                Answered::Transient => self.next_upstream(Failure::Refused, now),
                Answered::Wrong => self.next_upstream(Failure::Protocol, now),
                Answered::With(acknowledgement, bytes) => self.open(acknowledgement, bytes, now),
            },
            Event::Ended(Side::Upstream) | Event::Broken(Side::Upstream) => self.next_upstream(Failure::Closed, now),
            Event::Broken(Side::Client) => self.over(Ending::ClientGone).into(),
            Event::Stopping => self.over(Ending::Stopped).into(),
            Event::Time => match binding.expired(now) {
                Some(failure) => self.next_upstream(failure, now),
                None => Action::Nothing.into(),
            },
            // Nothing behind the bind is read before its answer was passed on; that the client sends no more is
            // forwarded afterwards.
            Event::Received(Side::Client, _) | Event::Ended(Side::Client) | Event::Stalled(..) => {
                Action::Nothing.into()
            }
        }
    }

    fn next_upstream(&mut self, failure: Failure, now: Duration) -> Step {
        let Phase::Binding(binding) = &mut self.phase else { return Action::Nothing.into() };
        let failed = Some((self.candidate, failure));
        if let Some(next) = binding.next(now) {
            self.candidate = next;
            return Step { action: Action::Connect(next), failed };
        }
        let action = match binding.take_refusal() {
            Some(refusal) => {
                self.phase = Phase::Over;
                Action::Refuse(refusal)
            }
            None => self.over(Ending::NoUpstream),
        };
        Step { action, failed }
    }

    fn open(&mut self, acknowledgement: Option<BindAck>, bytes: Vec<u8>, now: Duration) -> Step {
        let mut open = Open::new(acknowledgement, self.timeouts, now);
        let is_malformed = open.received(Side::Upstream, &bytes, now).is_err();
        self.phase = Phase::Open(Box::new(open));
        if is_malformed {
            // The answer itself was whole, so this is what stands behind it.
            self.phase = Phase::Over;
            return Action::Refuse(bytes).into();
        }
        Action::PassOn(bytes).into()
    }

    fn while_open(&mut self, event: Event<'_>, now: Duration) -> Step {
        let Phase::Open(open) = &mut self.phase else { return Action::Nothing.into() };
        match event {
            Event::Received(side, bytes) => {
                let received = open.received(side, bytes, now);
                self.answered = open.answered;
                if received.is_err() {
                    let failed = (side == Side::Upstream).then_some((self.candidate, Failure::Protocol));
                    return Step { action: self.over(Ending::Malformed(side)), failed };
                }
                if self.stop_at.is_some() && !open.has_calls() {
                    return self.over(Ending::Stopped).into();
                }
                Action::Nothing.into()
            }
            Event::Ended(side) => {
                // An upstream that leaves calls without an answer has failed; the client is told by the same end.
                let failed = (side == Side::Upstream && open.has_calls()).then_some((self.candidate, Failure::Closed));
                let action =
                    if open.ended(side) { self.over(Ending::Finished) } else { Action::EndSending(side.other()) };
                Step { action, failed }
            }
            Event::Broken(Side::Client) => self.over(Ending::ClientGone).into(),
            Event::Broken(Side::Upstream) | Event::Failed(_) => {
                let action = self.over(Ending::Failed(Failure::Closed));
                Step { action, failed: Some((self.candidate, Failure::Closed)) }
            }
            Event::Stalled(side, is_stalled) => {
                open.stalled(side, is_stalled, now);
                Action::Nothing.into()
            }
            Event::Stopping if !open.has_calls() => self.over(Ending::Stopped).into(),
            Event::Stopping => {
                let stop = now + STOP_TIMEOUT;
                self.stop_at = Some(self.stop_at.map_or(stop, |earlier| earlier.min(stop)));
                Action::Nothing.into()
            }
            Event::Time => self.time_while_open(now),
            Event::Connected => Action::Nothing.into(),
        }
    }

    fn time_while_open(&mut self, now: Duration) -> Step {
        let Phase::Open(open) = &mut self.phase else { return Action::Nothing.into() };
        if self.stop_at.is_some_and(|at| now >= at) {
            return self.over(Ending::Stopped).into();
        }
        let Some(ending) = open.expired(now) else { return Action::Nothing.into() };
        let is_upstreams = ending == Ending::Slow(Side::Upstream) || (ending == Ending::Idle && open.has_calls());
        let failed = is_upstreams.then_some((self.candidate, Failure::Slow));
        Step { action: self.over(ending), failed }
    }
}
