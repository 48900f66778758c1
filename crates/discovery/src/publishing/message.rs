//! Encodes queries and updates, and decodes answers, whose bytes are untrusted.
//!
//! Invariant: never reads more than [`crate::limits::RECORDS_MAX`] records of an answer, and never follows an alias.

use std::net::IpAddr;

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::message_builder::{AdditionalBuilder, PushError, StreamTarget};
use domain::base::name::ParsedName;
use domain::base::{Message, MessageBuilder, RecordData, Rtype, Ttl};
use domain::rdata::tsig::Time48;
use domain::rdata::{A, Aaaa, AllRecordData, Srv as SrvData};

use super::difference::{RecordChange, Update};
use crate::limits::RECORDS_MAX;
use crate::name::DnsName;
use crate::record::{AddressRecord, Srv, SrvRecord};

/// A message to be signed and sent, preceded by the two bytes of its length.
pub(super) type Outgoing = AdditionalBuilder<StreamTarget<Vec<u8>>>;

/// A message as received.
pub(super) type Incoming = Message<Vec<u8>>;

/// The error text for malformed bytes of an answer.
pub(super) type Malformed = &'static str;

pub(super) fn query(name: &DnsName, rtype: Rtype) -> Result<Outgoing, PushError> {
    query_of_class(name, rtype, Class::IN)
}

pub(super) fn query_of_class(name: &DnsName, rtype: Rtype, class: Class) -> Result<Outgoing, PushError> {
    let mut builder = builder()?;
    builder.header_mut().set_random_id();
    let mut question = builder.question();
    question.push((name.wire(), rtype, class))?;
    Ok(question.additional())
}

/// Encodes an update (RFC 2136): the zone, no prerequisites, the changes in their order.
pub(super) fn update(zone: &DnsName, update: &Update) -> Result<Outgoing, PushError> {
    let mut builder = builder()?;
    builder.header_mut().set_random_id();
    builder.header_mut().set_opcode(Opcode::UPDATE);
    let mut zone_section = builder.question();
    zone_section.push((zone.wire(), Rtype::SOA, Class::IN))?;
    let mut updates = zone_section.authority();
    let (service, target) = (update.service_name.wire(), update.target.wire());
    // RFC 2136 section 2.5.4: class NONE and TTL 0 delete the single record with this rdata.
    let gone = Ttl::from_secs(0);
    for change in &update.changes {
        match change {
            RecordChange::DeleteSrv(srv) => updates.push((service, Class::NONE, gone, rdata(srv)))?,
            RecordChange::AddSrv { srv, ttl_seconds } => {
                updates.push((service, Class::IN, Ttl::from_secs(*ttl_seconds), rdata(srv)))?;
            }
            RecordChange::DeleteAddress(IpAddr::V4(address)) => {
                updates.push((target, Class::NONE, gone, A::new(*address)))?;
            }
            RecordChange::DeleteAddress(IpAddr::V6(address)) => {
                updates.push((target, Class::NONE, gone, Aaaa::new(*address)))?;
            }
            RecordChange::AddAddress { address: IpAddr::V4(address), ttl_seconds } => {
                updates.push((target, Class::IN, Ttl::from_secs(*ttl_seconds), A::new(*address)))?;
            }
            RecordChange::AddAddress { address: IpAddr::V6(address), ttl_seconds } => {
                updates.push((target, Class::IN, Ttl::from_secs(*ttl_seconds), Aaaa::new(*address)))?;
            }
        }
    }
    Ok(updates.additional())
}

/// Names are not compressed: RFC 2782 forbids it in SRV records, and messages are small.
fn builder() -> Result<MessageBuilder<StreamTarget<Vec<u8>>>, PushError> {
    MessageBuilder::from_target(StreamTarget::new(Vec::new()).map_err(|_| PushError::ShortBuf)?)
        .map_err(|_| PushError::ShortBuf)
}

fn rdata(srv: &Srv) -> SrvData<&domain::base::Name<Vec<u8>>> {
    SrvData::new(srv.priority, srv.weight, srv.port, srv.target.wire())
}

/// Checks that the answer belongs to the message: same id, same operation, not truncated.
pub(super) fn check_header(answer: &Incoming, id: u16, opcode: Opcode) -> Result<(), Malformed> {
    let header = answer.header();
    if !header.qr() {
        Err("it is not an answer")
    } else if header.id() != id {
        Err("it has the id of another query")
    } else if header.opcode() != opcode {
        Err("it answers another operation")
    } else if header.tc() {
        Err("it is truncated, over TCP")
    } else {
        Ok(())
    }
}

/// Checks that the answer repeats the query.
pub(super) fn check_question(answer: &Incoming, name: &DnsName, rtype: Rtype) -> Result<(), Malformed> {
    let question = answer.sole_question().map_err(|_| "it does not repeat the question")?;
    let same = DnsName::from_wire(question.qname()) == *name && question.qtype() == rtype;
    if same { Ok(()) } else { Err("it answers another query") }
}

/// The content of the TSIG record at the end, not verified yet: the error, and the server's time where the record
/// has it.
pub(super) fn signature_error(answer: &Incoming) -> Option<(u16, Option<u64>)> {
    let record = answer.additional().ok()?.take(RECORDS_MAX).last()?.ok()?;
    match record.into_any_record::<AllRecordData<_, ParsedName<_>>>().ok()?.data() {
        AllRecordData::Tsig(tsig) => {
            Some((tsig.error().to_int(), tsig.other_time().map(|time: Time48| u64::from(time))))
        }
        _ => None,
    }
}

/// The records of the answer section at exactly this name.
#[derive(Debug, Default)]
pub(super) struct RecordsAtName {
    pub(super) srv: Vec<SrvRecord>,
    pub(super) addresses: Vec<AddressRecord>,
    pub(super) is_alias: bool,
    /// The owner of an SOA record in the answer section or, where that is empty, in the authority section.
    pub(super) zone: Option<DnsName>,
    /// MNAME of that SOA record: the primary, by its own name.
    pub(super) zone_primary: Option<DnsName>,
}

/// Reads the records at `name`. Records of other types are ignored.
pub(super) fn read(answer: &Incoming, name: &DnsName) -> Result<RecordsAtName, Malformed> {
    const UNREADABLE: &str = "a record cannot be read";
    let mut read = RecordsAtName::default();
    let (_, answers, authority, _) = answer.sections().map_err(|_| UNREADABLE)?;
    for (position, record) in answers.chain(authority).enumerate() {
        if position >= RECORDS_MAX {
            return Err("it has too many records");
        }
        let record = record.map_err(|_| UNREADABLE)?;
        let (owner, ttl_seconds) = (DnsName::from_wire(&record.owner()), record.ttl().as_secs());
        if record.class() != Class::IN {
            continue;
        }
        let record = record.into_any_record::<AllRecordData<_, ParsedName<_>>>().map_err(|_| UNREADABLE)?;
        match record.data() {
            AllRecordData::Soa(soa) if name.is_in(&owner) => {
                read.zone_primary = Some(DnsName::from_wire(soa.mname()));
                read.zone = Some(owner);
            }
            _ if owner != *name => {}
            AllRecordData::Cname(_) => read.is_alias = true,
            AllRecordData::Srv(srv) => read.srv.push(SrvRecord {
                srv: Srv {
                    target: DnsName::from_wire(srv.target()),
                    port: srv.port(),
                    priority: srv.priority(),
                    weight: srv.weight(),
                },
                ttl_seconds,
            }),
            AllRecordData::A(a) => {
                read.addresses.push(AddressRecord { address: a.addr().into(), ttl_seconds });
            }
            AllRecordData::Aaaa(aaaa) => {
                read.addresses.push(AddressRecord { address: aaaa.addr().into(), ttl_seconds });
            }
            other => debug_assert!(!matches!(other.rtype(), Rtype::SRV | Rtype::A | Rtype::AAAA), "{}", other.rtype()),
        }
    }
    Ok(read)
}

/// Whether the response code is a valid answer: success, or that the name does not exist.
pub(super) fn is_plain(rcode: Rcode) -> bool {
    matches!(rcode, Rcode::NOERROR | Rcode::NXDOMAIN)
}
