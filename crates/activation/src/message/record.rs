//! The part of a request that the log keeps: all that the count needs on every node, and no detail of the transport.

use bytes::Bytes;
use prost::Message;
use thiserror::Error;

use super::ValidRequest;
use crate::id::{Cmid, MachineDigest, MachineName, NodeId, ProductId, PublisherId, node_id};
use crate::{limits, proto};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The node that holds the client's connection and will sign the answer.
    pub node: NodeId,
    pub publisher: PublisherId,
    pub product: ProductId,
    pub cmid: Cmid,
    pub machine: MachineDigest,
    pub machine_name: MachineName,
    pub virtual_machine: bool,
    pub client_time_ms: u64,
}

/// Bytes that are not a record. Holds the name of the malformed field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed record: {0}")]
pub struct MalformedRecord(pub &'static str);

impl Record {
    #[must_use]
    pub fn new(node: NodeId, request: &ValidRequest) -> Self {
        let request = request.request();
        Self {
            node,
            publisher: request.publisher,
            product: request.product,
            cmid: request.cmid,
            machine: request.machine,
            machine_name: request.machine_name.clone(),
            virtual_machine: request.virtual_machine,
            client_time_ms: request.client_time_ms,
        }
    }

    pub(crate) fn to_proto(&self) -> proto::Record {
        proto::Record {
            // A node id is at most 65535; every parser refuses a larger one, which would not decode either.
            node: u32::try_from(self.node).unwrap_or(u32::MAX),
            publisher: Bytes::copy_from_slice(&self.publisher.0),
            product: Bytes::copy_from_slice(&self.product.0),
            cmid: Bytes::copy_from_slice(&self.cmid.0),
            machine: Bytes::copy_from_slice(&self.machine.0),
            machine_name: Bytes::copy_from_slice(self.machine_name.as_bytes()),
            virtual_machine: self.virtual_machine,
            client_time_ms: self.client_time_ms,
        }
    }

    /// Appends the encoded record.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        self.to_proto().encode(buffer).expect("a vector grows as needed");
    }

    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.to_proto().encoded_len()
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedRecord> {
        if bytes.len() > limits::REQUEST_BYTES_MAX {
            return Err(MalformedRecord("too long"));
        }
        // One copy of the bytes, which all fields share, instead of one copy for each field.
        let bytes = Bytes::copy_from_slice(bytes);
        let length = bytes.len();
        let raw = proto::Record::decode(bytes).map_err(|_| MalformedRecord("encoding"))?;
        // The decoder drops fields that it does not know, so re-encoding gives fewer bytes.
        if raw.encoded_len() != length {
            return Err(MalformedRecord("a field that this version does not know"));
        }
        raw.try_into()
    }
}

impl TryFrom<proto::Record> for Record {
    type Error = MalformedRecord;

    fn try_from(raw: proto::Record) -> Result<Self, MalformedRecord> {
        if raw.client_time_ms > limits::TIME_MS_MAX {
            return Err(MalformedRecord("client time"));
        }
        Ok(Self {
            node: node_id(raw.node.into()).map_err(|_| MalformedRecord("node"))?,
            publisher: PublisherId::try_from(raw.publisher.as_ref()).map_err(|_| MalformedRecord("publisher"))?,
            product: ProductId::try_from(raw.product.as_ref()).map_err(|_| MalformedRecord("product"))?,
            cmid: Cmid::try_from(raw.cmid.as_ref()).map_err(|_| MalformedRecord("CMID"))?,
            machine: MachineDigest::try_from(raw.machine.as_ref()).map_err(|_| MalformedRecord("machine"))?,
            machine_name: MachineName::try_from(raw.machine_name.as_ref())
                .map_err(|_| MalformedRecord("machine name"))?,
            virtual_machine: raw.virtual_machine,
            client_time_ms: raw.client_time_ms,
        })
    }
}
