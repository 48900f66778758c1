//! Answers one query to the cluster's own zone. Pure: bytes in, bytes out.
//!
//! Invariant: never answers for a name outside the zone, never asks another server, and never returns more bytes
//! than the client accepts.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, OptRcode, Rcode};
use domain::base::message_builder::{AdditionalBuilder, AnswerBuilder, PushError};
use domain::base::{Message, MessageBuilder, Rtype, Serial, Ttl};
use domain::rdata::{A, Aaaa, Ns, Soa, Srv as SrvData};

use super::cookies::Presented;
use super::zone::{Delegated, Snapshot};
use crate::limits::{HOSTS_MAX, MESSAGE_BYTES_MAX, UDP_BYTES_MAX, UDP_BYTES_MIN};
use crate::name::DnsName;

/// The length of the OPT record of an answer without options, in bytes (RFC 6891).
const OPT_BYTES: usize = 11;

/// The timers of the SOA record, which only secondaries use; there are none.
const SECONDARIES: Ttl = Ttl::from_secs(3600);

type Builder = AdditionalBuilder<Vec<u8>>;

/// Length of a cookie option with a server cookie of RFC 9018: code 2, length 2, client cookie 8, server cookie 16.
const COOKIE_BYTES: usize = 28;

/// A message, and the transport on which it arrived.
pub(super) struct Query<'a> {
    pub(super) message: &'a [u8],
    /// The verified cookie of the message.
    pub(super) cookie: Presented,
    pub(super) over_tcp: bool,
}

/// The answer to a query; `None` where the message is itself an answer or has no complete header.
///
/// Over TCP an answer may have any length. Over UDP an answer that does not fit is truncated, so that the
/// client asks again over TCP.
///
/// Without a snapshot this server cannot answer for the zone now: it returns SERVFAIL, so that the client asks
/// another server, and never that there are no hosts.
pub(super) fn answer(delegated: &Delegated, snapshot: Option<&Snapshot>, query: &Query<'_>) -> Option<Vec<u8>> {
    let message = Message::from_octets(query.message).ok().filter(|message| !message.header().qr())?;
    let reply = Reply::to(&message, query);
    match reply.answered(delegated, snapshot, &message) {
        Ok(bytes) => Some(bytes),
        // RFC 2181 section 9: a truncated answer states that there is more, and holds nothing that could mislead.
        Err(_) => reply.bare(&message, Rcode::NOERROR, true).ok(),
    }
}

/// An empty UDP answer to a query above the limit of answers; `None` where [`answer`] returns `None`. For a client that
/// supports cookies it is BADCOOKIE, with a cookie for its next query (RFC 7873 section 5.2.3); for others it is
/// truncated, so that they query again over TCP.
pub(super) fn over_limit(query: &Query<'_>) -> Option<Vec<u8>> {
    let message = Message::from_octets(query.message).ok().filter(|message| !message.header().qr())?;
    let reply = Reply::to(&message, query);
    match query.cookie {
        Presented::ClientOnly(_) | Presented::Invalid(_) => reply.bad_cookie(&message),
        Presented::None | Presented::Malformed | Presented::Valid(_) => reply.bare(&message, Rcode::NOERROR, true),
    }
    .ok()
}

/// The form of answer that the client accepts.
struct Reply<'a> {
    bytes_max: usize,
    has_opt: bool,
    is_bad_version: bool,
    cookie: &'a Presented,
}

impl<'a> Reply<'a> {
    fn to(message: &Message<&[u8]>, query: &'a Query<'_>) -> Self {
        let opt = message.opt();
        let offered = opt.as_ref().map_or(UDP_BYTES_MIN, |opt| usize::from(opt.udp_payload_size()));
        Self {
            bytes_max: if query.over_tcp { MESSAGE_BYTES_MAX } else { offered.clamp(UDP_BYTES_MIN, UDP_BYTES_MAX) },
            has_opt: opt.is_some(),
            is_bad_version: opt.is_some_and(|opt| opt.version() != 0),
            cookie: &query.cookie,
        }
    }

    fn builder(&self) -> Result<MessageBuilder<Vec<u8>>, PushError> {
        let mut builder = MessageBuilder::from_target(Vec::new()).map_err(|_| PushError::ShortBuf)?;
        let cookie = if self.cookie.answered().is_some() { COOKIE_BYTES } else { 0 };
        builder.set_push_limit(self.bytes_max - if self.has_opt { OPT_BYTES + cookie } else { 0 });
        Ok(builder)
    }

    fn answered(
        &self,
        delegated: &Delegated,
        snapshot: Option<&Snapshot>,
        message: &Message<&[u8]>,
    ) -> Result<Vec<u8>, PushError> {
        if message.header().opcode() != Opcode::QUERY {
            return self.bare(message, Rcode::NOTIMP, false);
        }
        if *self.cookie == Presented::Malformed {
            return self.bare(message, Rcode::FORMERR, false);
        }
        if message.header_counts().qdcount() == 0 && self.cookie.answered().is_some() && !self.is_bad_version {
            // A query for a cookie alone (RFC 7873 section 5.4).
            return match self.cookie {
                Presented::Invalid(_) => self.bad_cookie(message),
                _ => self.bare(message, Rcode::NOERROR, false),
            };
        }
        let Ok(question) = message.sole_question() else { return self.bare(message, Rcode::FORMERR, false) };
        let (name, rtype) = (DnsName::from_wire(question.qname()), question.qtype());
        let is_ours = question.qclass() == Class::IN && name.is_in(&delegated.zone);
        if !is_ours || matches!(rtype, Rtype::AXFR | Rtype::IXFR | Rtype::ANY) || self.is_bad_version {
            return self.bare(message, Rcode::REFUSED, false);
        }
        let Some(snapshot) = snapshot else { return self.bare(message, Rcode::SERVFAIL, false) };
        let exists = delegated.exists(snapshot, &name);
        let mut answer =
            self.builder()?.start_answer(message, if exists { Rcode::NOERROR } else { Rcode::NXDOMAIN })?;
        answer.header_mut().set_aa(true);
        let zone = Contents { delegated, snapshot, ttl: Ttl::from_secs(delegated.ttl_seconds) };
        zone.push_answers(&mut answer, &name, rtype)?;
        let is_empty = answer.counts().ancount() == 0;
        let mut authority = answer.authority();
        if is_empty {
            authority.push((delegated.zone.wire(), Class::IN, zone.ttl, zone.soa()))?;
        }
        let mut additional = authority.additional();
        if rtype == Rtype::SRV && !is_empty {
            zone.push_additional(&mut additional);
        }
        self.finished(additional)
    }

    /// An answer without records.
    fn bare(&self, message: &Message<&[u8]>, rcode: Rcode, truncated: bool) -> Result<Vec<u8>, PushError> {
        let mut answer = self.builder()?.start_error(message, rcode);
        answer.header_mut().set_tc(truncated);
        answer.header_mut().set_aa(truncated);
        self.finished(answer.additional())
    }

    /// An answer without records, after which the client repeats its query with the cookie in it.
    fn bad_cookie(&self, message: &Message<&[u8]>) -> Result<Vec<u8>, PushError> {
        let answer = self.builder()?.start_error(message, Rcode::NOERROR);
        self.finished_with(answer.additional(), Some(OptRcode::BADCOOKIE))
    }

    fn finished(&self, additional: Builder) -> Result<Vec<u8>, PushError> {
        self.finished_with(additional, self.is_bad_version.then_some(OptRcode::BADVERS))
    }

    /// Adds the OPT record, with this extended code where there is one.
    fn finished_with(&self, mut additional: Builder, rcode: Option<OptRcode>) -> Result<Vec<u8>, PushError> {
        if self.has_opt {
            additional.as_builder_mut().set_push_limit(self.bytes_max);
            let size = u16::try_from(UDP_BYTES_MAX).unwrap_or(u16::MAX);
            additional.opt(|opt| {
                opt.set_udp_payload_size(size);
                if let Some(rcode) = rcode {
                    opt.set_rcode(rcode);
                }
                self.cookie.answered().map_or(Ok(()), |cookie| opt.cookie(cookie.clone()))
            })?;
        }
        Ok(additional.finish())
    }
}

/// The content of the zone at one time.
struct Contents<'a> {
    delegated: &'a Delegated,
    snapshot: &'a Snapshot,
    ttl: Ttl,
}

impl Contents<'_> {
    fn push_answers(&self, answer: &mut AnswerBuilder<Vec<u8>>, name: &DnsName, rtype: Rtype) -> Result<(), PushError> {
        let (owner, ttl) = (name.wire(), self.ttl);
        match rtype {
            Rtype::SRV if *name == self.delegated.service_name => {
                for srv in self.snapshot.ready.iter().take(HOSTS_MAX) {
                    let data = SrvData::new(srv.priority, srv.weight, srv.port, srv.target.wire());
                    answer.push((owner, Class::IN, ttl, data))?;
                }
            }
            Rtype::SOA if *name == self.delegated.zone => answer.push((owner, Class::IN, ttl, self.soa()))?,
            Rtype::NS if *name == self.delegated.zone => {
                for server in self.snapshot.name_servers.iter().take(HOSTS_MAX) {
                    answer.push((owner, Class::IN, ttl, Ns::new(server.wire())))?;
                }
            }
            Rtype::A | Rtype::AAAA => {
                for address in self.delegated.addresses(self.snapshot, name) {
                    match address {
                        IpAddr::V4(v4) if rtype == Rtype::A => answer.push((owner, Class::IN, ttl, A::new(*v4)))?,
                        IpAddr::V6(v6) if rtype == Rtype::AAAA => {
                            answer.push((owner, Class::IN, ttl, Aaaa::new(*v6)))?
                        }
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds addresses of the hosts as far as there is room. Where some do not fit, the client can query them (RFC
    /// 2181 section 9).
    fn push_additional(&self, additional: &mut Builder) {
        for srv in self.snapshot.ready.iter().take(HOSTS_MAX) {
            let owner = srv.target.wire();
            for address in self.delegated.addresses(self.snapshot, &srv.target) {
                let pushed = match address {
                    IpAddr::V4(v4) => additional.push((owner, Class::IN, self.ttl, A::new(*v4))),
                    IpAddr::V6(v6) => additional.push((owner, Class::IN, self.ttl, Aaaa::new(*v6))),
                };
                if pushed.is_err() {
                    return;
                }
            }
        }
    }

    /// The SOA record. Its minimum is how long resolvers may cache that a name does not exist (RFC 2308).
    fn soa(&self) -> Soa<&domain::base::Name<Vec<u8>>> {
        let zone = self.delegated.zone.wire();
        let primary = self.snapshot.name_servers.first().map_or(zone, DnsName::wire);
        Soa::new(primary, zone, Serial(self.snapshot.serial), SECONDARIES, SECONDARIES, SECONDARIES, self.ttl)
    }
}

#[cfg(test)]
mod tests;
