//! The phase in which every byte passes: headers are read, bodies are not.

use std::time::Duration;

use dcerpc::relay::{BindAck, FragmentTooShort, Header, Kind, Part, Pdus};

use super::{
    calls::Calls,
    ending::{Ending, Side},
};
use crate::{mirror::tap::Tap, settings::Timeouts};

#[derive(Debug, Default)]
struct Direction {
    pdus: Pdus,
    /// When the first byte of the unfinished PDU arrived.
    mid_pdu_since: Option<Duration>,
    /// Since when bytes for this side wait.
    stalled_since: Option<Duration>,
    has_ended: bool,
}

/// An association whose bind was answered.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) acknowledgement: Option<BindAck>,
    pub(super) answered: u64,
    pub(super) tap: Option<Box<Tap>>,
    timeouts: Timeouts,
    /// What the client sends, and what is sent to the client.
    client: Direction,
    /// What the upstream sends, and what is sent to the upstream.
    upstream: Direction,
    calls: Calls,
    last_byte: Duration,
}

impl Open {
    pub(super) fn new(acknowledgement: Option<BindAck>, timeouts: Timeouts, now: Duration) -> Self {
        Self {
            acknowledgement,
            answered: 0,
            tap: None,
            timeouts,
            client: Direction::default(),
            upstream: Direction::default(),
            calls: Calls::default(),
            last_byte: now,
        }
    }

    pub(super) fn has_calls(&self) -> bool {
        !self.calls.is_empty() || self.client.pdus.is_mid_pdu() || self.upstream.pdus.is_mid_pdu()
    }

    pub(super) fn received(&mut self, side: Side, bytes: &[u8], now: Duration) -> Result<(), FragmentTooShort> {
        self.last_byte = now;
        let mut input = bytes;
        loop {
            let direction = self.direction(side);
            let Some(part) = direction.pdus.next(&mut input) else { break };
            let part = part?;
            match part {
                Part::Header(header, _) => self.begins(side, &header),
                Part::End(header) => {
                    self.direction(side).mid_pdu_since = None;
                    self.ends(side, &header);
                }
                Part::Body(_) => {}
            }
            if let Some(tap) = &mut self.tap {
                match side {
                    Side::Client => tap.client_sent(&part),
                    Side::Upstream => tap.upstream_sent(&part),
                }
            }
        }
        let direction = self.direction(side);
        if direction.pdus.is_mid_pdu() {
            direction.mid_pdu_since.get_or_insert(now);
        }
        Ok(())
    }

    fn begins(&mut self, side: Side, header: &Header) {
        let opens = matches!(header.kind, Kind::Request | Kind::AlterContext);
        if side == Side::Client && opens && header.is_first() {
            self.calls.begin(header.call_id);
        }
    }

    fn ends(&mut self, side: Side, header: &Header) {
        match (side, header.kind) {
            (Side::Upstream, Kind::Response | Kind::Fault) if header.is_last() => {
                self.answered += u64::from(self.calls.end(header.call_id));
            }
            (Side::Upstream, Kind::AlterContextResponse) if header.is_last() => {
                self.calls.end(header.call_id);
            }
            (Side::Client, Kind::Orphaned) => {
                self.calls.end(header.call_id);
            }
            _ => {}
        }
    }

    /// Returns whether both sides have ended.
    pub(super) fn ended(&mut self, side: Side) -> bool {
        self.direction(side).has_ended = true;
        self.client.has_ended && self.upstream.has_ended
    }

    pub(super) fn stalled(&mut self, side: Side, is_stalled: bool, now: Duration) {
        let since = &mut self.direction(side).stalled_since;
        if is_stalled {
            since.get_or_insert(now);
        } else {
            *since = None;
        }
    }

    pub(super) fn deadline(&self) -> Duration {
        let sides = [&self.client, &self.upstream];
        let pdu = sides.into_iter().flat_map(|side| [side.mid_pdu_since, side.stalled_since]).flatten().min();
        let idle = self.last_byte + self.timeouts.idle;
        pdu.map_or(idle, |since| idle.min(since + self.timeouts.pdu))
    }

    pub(super) fn expired(&self, now: Duration) -> Option<Ending> {
        let is_late = |since: Option<Duration>| since.is_some_and(|since| now >= since + self.timeouts.pdu);
        for (side, direction) in [(Side::Upstream, &self.upstream), (Side::Client, &self.client)] {
            // A side that does not take what the other one sent is the slow one, also where the PDU is unfinished.
            if is_late(direction.stalled_since) {
                return Some(Ending::Slow(side));
            }
        }
        if is_late(self.upstream.mid_pdu_since) {
            return Some(Ending::Slow(Side::Upstream));
        }
        if is_late(self.client.mid_pdu_since) {
            return Some(Ending::Slow(Side::Client));
        }
        (now >= self.last_byte + self.timeouts.idle).then_some(Ending::Idle)
    }

    fn direction(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }
}
