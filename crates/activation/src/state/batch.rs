//! A batch: all requests that waited at one time, in one log entry with one time stamp.

use bytes::Bytes;
use prost::{Message, length_delimiter_len};
use thiserror::Error;

use super::malformed::MalformedCommand;
use crate::clock::{SkewReference, Stamp};
use crate::limits::{BATCH_RECORDS_MAX, COMMAND_BYTES_MAX, TIME_MS_MAX};
use crate::message::{MalformedRecord, Record};
use crate::proto;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub stamp: Stamp,
    /// The requests, at most [`BATCH_RECORDS_MAX`].
    pub records: Vec<Record>,
}

impl From<Stamp> for proto::Stamp {
    fn from(stamp: Stamp) -> Self {
        let (reference, skew_reference_ms) = match stamp.skew {
            SkewReference::ClusterTime => (proto::SkewReference::ClusterTime, 0),
            SkewReference::Other(time_ms) => (proto::SkewReference::Other, time_ms),
            SkewReference::LeaveOut => (proto::SkewReference::LeaveOut, 0),
        };
        Self { time_ms: stamp.time_ms, skew_reference: reference.into(), skew_reference_ms, expiry_ms: stamp.expiry_ms }
    }
}

impl TryFrom<proto::Stamp> for Stamp {
    type Error = MalformedCommand;

    fn try_from(raw: proto::Stamp) -> Result<Self, MalformedCommand> {
        let times = [Some(raw.time_ms), Some(raw.skew_reference_ms), raw.expiry_ms];
        if times.into_iter().flatten().any(|time_ms| time_ms > TIME_MS_MAX) {
            return Err(MalformedCommand("stamp"));
        }
        let skew = match proto::SkewReference::try_from(raw.skew_reference) {
            Ok(proto::SkewReference::ClusterTime) => SkewReference::ClusterTime,
            Ok(proto::SkewReference::Other) => SkewReference::Other(raw.skew_reference_ms),
            Ok(proto::SkewReference::LeaveOut) => SkewReference::LeaveOut,
            Err(_) => return Err(MalformedCommand("skew reference")),
        };
        Ok(Self { time_ms: raw.time_ms, skew, expiry_ms: raw.expiry_ms })
    }
}

impl TryFrom<proto::Batch> for Batch {
    type Error = MalformedCommand;

    fn try_from(raw: proto::Batch) -> Result<Self, MalformedCommand> {
        if raw.records.len() > BATCH_RECORDS_MAX {
            return Err(MalformedCommand("too many records"));
        }
        let stamp = raw.stamp.ok_or(MalformedCommand("stamp"))?.try_into()?;
        let records = raw.records.into_iter().map(Record::try_from).collect::<Result<_, _>>();
        Ok(Self { stamp, records: records.map_err(|MalformedRecord(field)| MalformedCommand(field))? })
    }
}

/// The batch holds as many records or bytes as it may. Propose it and begin another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the batch is full")]
pub struct BatchFull;

/// Why an encoded record was not added to the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PushError {
    #[error(transparent)]
    Full(#[from] BatchFull),
    #[error(transparent)]
    Malformed(#[from] MalformedRecord),
}

/// Builds the encoded command of a batch while records arrive. It never exceeds [`COMMAND_BYTES_MAX`] or
/// [`BATCH_RECORDS_MAX`].
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    body: Vec<u8>,
    records: usize,
}

/// Tag of field 1, length-delimited: the batch in a command, and the stamp in a batch.
const FIELD_1: u8 = 0x0a;
/// Tag of field 2, length-delimited: a record in a batch.
const FIELD_2: u8 = 0x12;

impl BatchBuilder {
    #[must_use]
    pub fn new(stamp: Stamp) -> Self {
        let mut body = vec![FIELD_1];
        body.extend(proto::Stamp::from(stamp).encode_length_delimited_to_vec());
        Self { body, records: 0 }
    }

    #[must_use]
    pub fn records(&self) -> usize {
        self.records
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Length in bytes of the command that [`Self::finish`] would return now.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        command_len(self.body.len())
    }

    pub fn push(&mut self, record: &Record) -> Result<(), BatchFull> {
        let raw = record.to_proto();
        self.reserve(raw.encoded_len())?;
        raw.encode(&mut self.body).expect("a vector grows as needed");
        Ok(())
    }

    /// Adds a record that another node encoded. It is validated here, because one malformed record would make every
    /// node refuse the whole batch.
    pub fn push_encoded(&mut self, record: &[u8]) -> Result<(), PushError> {
        Record::decode(record)?;
        self.reserve(record.len())?;
        self.body.extend_from_slice(record);
        Ok(())
    }

    /// Returns the encoded command.
    #[must_use]
    pub fn finish(self) -> Bytes {
        let mut command = Vec::with_capacity(self.len_bytes());
        // If a leader proposed a longer command, every node would refuse all requests in it.
        assert!(self.len_bytes() <= COMMAND_BYTES_MAX && self.records <= BATCH_RECORDS_MAX, "the batch is too large");
        command.push(FIELD_1);
        put_length(self.body.len(), &mut command);
        command.extend_from_slice(&self.body);
        command.into()
    }

    /// Writes tag and length of a record if the record still fits.
    fn reserve(&mut self, record_bytes: usize) -> Result<(), BatchFull> {
        let body_bytes = self.body.len() + 1 + length_delimiter_len(record_bytes) + record_bytes;
        if self.records == BATCH_RECORDS_MAX || command_len(body_bytes) > COMMAND_BYTES_MAX {
            return Err(BatchFull);
        }
        self.records += 1;
        self.body.push(FIELD_2);
        put_length(record_bytes, &mut self.body);
        Ok(())
    }
}

fn command_len(body_bytes: usize) -> usize {
    1 + length_delimiter_len(body_bytes) + body_bytes
}

fn put_length(length: usize, buffer: &mut Vec<u8>) {
    prost::encode_length_delimiter(length, buffer).expect("a vector grows as needed");
}
