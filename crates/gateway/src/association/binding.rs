//! The phase in which a bind may still go to another upstream.

use std::time::Duration;

use dcerpc::relay::{BindAck, HEADER_BYTES, Kind, first_header, nak_reason};

use crate::{
    failure::Failure,
    limits::{ANSWER_BYTES_MAX, BINDING_TIMEOUT},
    settings::Timeouts,
};

/// Reasons of bind_nak that say nothing about the next upstream: temporary congestion, local limit exceeded (C706
/// section 12.6.3.1).
const TRANSIENT_REASONS: [u16; 2] = [1, 2];

/// Binding to one upstream after the other. Holds at most one answer and the bytes that arrived with it.
#[derive(Debug)]
pub(super) struct Binding {
    timeouts: Timeouts,
    candidates: usize,
    attempt: usize,
    is_connected: bool,
    held: Vec<u8>,
    /// The last transient bind_nak, for the client where no other upstream is left.
    refusal: Option<Vec<u8>>,
    /// Of this attempt.
    deadline: Duration,
    /// Of all attempts.
    ends: Duration,
}

/// What an upstream's bytes mean.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answered {
    NotYet,
    /// bind_nak with a transient reason.
    Transient,
    /// Not the answer to a bind.
    Wrong,
    /// The answer, with all bytes that arrived, for the client; decoded where it is a bind_ack.
    With(Option<BindAck>, Vec<u8>),
}

impl Binding {
    pub(super) fn new(candidates: usize, timeouts: Timeouts, now: Duration) -> Self {
        let mut binding = Self {
            timeouts,
            candidates,
            attempt: 0,
            is_connected: false,
            held: Vec::new(),
            refusal: None,
            deadline: now,
            ends: now + BINDING_TIMEOUT,
        };
        binding.deadline = binding.ends.min(now + timeouts.connect);
        binding
    }

    pub(super) fn deadline(&self) -> Duration {
        self.deadline
    }

    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held.capacity() + self.refusal.as_ref().map_or(0, Vec::capacity)
    }

    pub(super) fn connected(&mut self, now: Duration) {
        self.is_connected = true;
        self.deadline = self.ends.min(now + self.timeouts.bind);
    }

    /// Begins the next attempt, if one is left.
    pub(super) fn next(&mut self, now: Duration) -> Option<usize> {
        self.held = Vec::new();
        self.is_connected = false;
        self.attempt += 1;
        self.deadline = self.ends.min(now + self.timeouts.connect);
        (self.attempt < self.candidates && now < self.ends).then_some(self.attempt)
    }

    pub(super) fn take_refusal(&mut self) -> Option<Vec<u8>> {
        self.refusal.take()
    }

    /// How the attempt failed, where its deadline has passed.
    pub(super) fn expired(&self, now: Duration) -> Option<Failure> {
        (now >= self.deadline).then_some(if self.is_connected { Failure::Silent } else { Failure::Connect })
    }

    /// Takes bytes of the upstream.
    pub(super) fn received(&mut self, bytes: &[u8]) -> Answered {
        self.held.extend_from_slice(bytes);
        let Some(header) = first_header(&self.held) else { return Answered::NotYet };
        let length = usize::from(header.fragment_bytes);
        let is_answer = matches!(header.kind, Kind::BindAck | Kind::BindNak | Kind::Fault);
        if !is_answer || !(HEADER_BYTES..=ANSWER_BYTES_MAX).contains(&length) {
            return Answered::Wrong;
        }
        let Some(answer) = self.held.get(..length) else { return Answered::NotYet };
        match header.kind {
            Kind::BindAck => match BindAck::decode(answer) {
                Ok(acknowledgement) => Answered::With(Some(acknowledgement), std::mem::take(&mut self.held)),
                Err(_) => Answered::Wrong,
            },
            Kind::BindNak if nak_reason(answer).is_ok_and(|reason| TRANSIENT_REASONS.contains(&reason)) => {
                self.refusal = Some(answer.to_vec());
                Answered::Transient
            }
            _ => Answered::With(None, std::mem::take(&mut self.held)),
        }
    }
}
