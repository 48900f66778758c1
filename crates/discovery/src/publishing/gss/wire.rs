//! TKEY and TSIG records with GSS tokens, as bytes (RFC 2930, RFC 3645, RFC 8945). Pure.

use domain::base::iana::Class;
use domain::base::message_builder::PushError;
use domain::base::name::{Name, ParsedName};
use domain::base::rdata::UnknownRecordData;
use domain::base::{Rtype, ToName as _, Ttl};
use domain::rdata::AllRecordData;

use super::super::message::{self, Incoming, Malformed, Outgoing};
use crate::limits::{CONTEXT_LIFE, RECORDS_MAX, SIGNATURE_FUDGE_SECONDS};
use crate::name::DnsName;

/// The mode for negotiation by GSS-API (RFC 2930 section 2.5).
const MODE_GSS: u16 = 3;

/// The algorithm name of GSS contexts (RFC 3645).
pub(super) fn algorithm() -> Name<Vec<u8>> {
    Name::vec_from_str("gss-tsig").unwrap_or_else(|_| Name::root_vec())
}

/// A name in the form that signatures cover: uncompressed, in lower case.
fn canonical(name: &Name<Vec<u8>>) -> Vec<u8> {
    name.as_slice().to_ascii_lowercase()
}

/// The query that carries a token to the server, with a TKEY record in the additional section (RFC 2930 section
/// 4.3).
pub(in super::super) fn tkey_query(key: &DnsName, token: &[u8], now_unix_seconds: u64) -> Result<Outgoing, PushError> {
    let mut message = message::query_of_class(key, Rtype::TKEY, Class::ANY)?;
    // Times have 32 bits and wrap (RFC 2930 section 2.3).
    let seconds = |at: u64| u32::try_from(at & u64::from(u32::MAX)).unwrap_or_default().to_be_bytes();
    let length = u16::try_from(token.len()).map_err(|_| PushError::ShortBuf)?;
    let mut rdata = canonical(&algorithm());
    rdata.extend(seconds(now_unix_seconds));
    rdata.extend(seconds(now_unix_seconds + CONTEXT_LIFE.as_secs()));
    rdata.extend(MODE_GSS.to_be_bytes());
    rdata.extend(0_u16.to_be_bytes());
    rdata.extend(length.to_be_bytes());
    rdata.extend(token);
    rdata.extend(0_u16.to_be_bytes());
    let rdata = UnknownRecordData::from_octets(Rtype::TKEY, rdata).map_err(|_| PushError::ShortBuf)?;
    message.push((key.wire(), Class::ANY, Ttl::from_secs(0), rdata))?;
    Ok(message)
}

/// The content of the server's TKEY record.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Tkey {
    pub(in super::super) error: u16,
    pub(in super::super) token: Vec<u8>,
}

/// The TKEY record of an answer; `None` where the answer has none.
pub(in super::super) fn read_tkey(answer: &Incoming, key: &DnsName) -> Result<Option<Tkey>, Malformed> {
    const UNREADABLE: &str = "its TKEY record cannot be read";
    for record in answer.answer().map_err(|_| UNREADABLE)?.take(RECORDS_MAX) {
        let record = record.map_err(|_| UNREADABLE)?;
        if record.rtype() != Rtype::TKEY || DnsName::from_wire(&record.owner()) != *key {
            continue;
        }
        let record = record.into_any_record::<AllRecordData<_, ParsedName<_>>>().map_err(|_| UNREADABLE)?;
        let AllRecordData::Unknown(rdata) = record.data() else { return Err(UNREADABLE) };
        return tkey(rdata.data()).map(Some).ok_or(UNREADABLE);
    }
    Ok(None)
}

fn tkey(rdata: &[u8]) -> Option<Tkey> {
    let mut rest = after_name(rdata)?;
    let mut number = |bytes: usize| {
        let (value, left) = rest.split_at_checked(bytes)?;
        rest = left;
        Some(value)
    };
    number(8)?;
    let mode = u16::from_be_bytes(number(2)?.try_into().ok()?);
    let error = u16::from_be_bytes(number(2)?.try_into().ok()?);
    let length = u16::from_be_bytes(number(2)?.try_into().ok()?);
    let token = number(usize::from(length))?.to_vec();
    (mode == MODE_GSS || error != 0).then_some(Tkey { error, token })
}

/// The bytes after a name, which ends with an empty label or a pointer.
fn after_name(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, rest) = bytes.split_first()?;
        match *length {
            0 => return Some(rest),
            1..=63 => bytes = rest.get(usize::from(*length)..)?,
            192.. => return rest.get(1..),
            _ => return None,
        }
    }
}

/// The variables of a signature, in the form that it covers (RFC 8945 section 4.3.3).
#[derive(Debug)]
pub(super) struct Variables<'a> {
    pub(super) key: &'a DnsName,
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) error: u16,
    pub(super) other: &'a [u8],
}

impl Variables<'_> {
    /// The variables of a query that is signed at `time`, in seconds since 1970.
    pub(super) fn of_question(key: &DnsName, time: u64) -> Variables<'_> {
        Variables { key, time, fudge: SIGNATURE_FUDGE_SECONDS, error: 0, other: &[] }
    }

    /// Appends the variables to the signed bytes.
    pub(super) fn append_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend(canonical(self.key.wire()));
        bytes.extend(Class::ANY.to_int().to_be_bytes());
        bytes.extend(0_u32.to_be_bytes());
        bytes.extend(canonical(&algorithm()));
        // The lower six bytes.
        bytes.extend(self.time.to_be_bytes().into_iter().skip(2));
        bytes.extend(self.fudge.to_be_bytes());
        bytes.extend(self.error.to_be_bytes());
        bytes.extend(u16::try_from(self.other.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend(self.other);
    }
}

/// The TSIG record at the end of an answer, and the answer without it, which its signature covers.
#[derive(Debug)]
pub(super) struct Trailer {
    pub(super) message: Vec<u8>,
    pub(super) key: DnsName,
    pub(super) of_context: bool,
    pub(super) time: u64,
    pub(super) fudge: u16,
    pub(super) mac: Vec<u8>,
    pub(super) error: u16,
    pub(super) other: Vec<u8>,
}

/// The TSIG record of an answer; `None` where its last record is not a TSIG record.
pub(super) fn trailer(answer: &Incoming) -> Result<Option<Trailer>, Malformed> {
    const UNREADABLE: &str = "its last records cannot be read";
    let mut section = answer.additional().map_err(|_| UNREADABLE)?;
    let (mut start, mut last) = (section.pos(), None);
    for position in 0.. {
        let here = section.pos();
        let Some(record) = section.next() else { break };
        if position >= RECORDS_MAX {
            return Err("it has too many records");
        }
        (start, last) = (here, Some(record.map_err(|_| UNREADABLE)?));
    }
    let Some(record) = last.filter(|record| record.rtype() == Rtype::TSIG) else { return Ok(None) };
    let key = DnsName::from_wire(&record.owner());
    let record = record.into_any_record::<AllRecordData<_, ParsedName<_>>>().map_err(|_| UNREADABLE)?;
    let AllRecordData::Tsig(tsig) = record.data() else { return Ok(None) };
    let mut message = answer.as_slice().get(..start).unwrap_or_default().to_vec();
    // Restores the header from before the record was added: the original id, and one record less.
    let others = answer.header_counts().arcount().saturating_sub(1);
    for (place, number) in [(0, tsig.original_id()), (10, others)] {
        let header = message.get_mut(place..place + 2).ok_or(UNREADABLE)?;
        header.copy_from_slice(&number.to_be_bytes());
    }
    Ok(Some(Trailer {
        message,
        key,
        of_context: tsig.algorithm().name_eq(&algorithm()),
        time: tsig.time_signed().into(),
        fudge: tsig.fudge(),
        mac: tsig.mac_slice().to_vec(),
        error: tsig.error().to_int(),
        other: tsig.other().to_vec(),
    }))
}

#[cfg(test)]
mod tests;
