//! Channels to the other nodes: one open channel to each, shared by all callers in this process.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use api::peer::v1::peer_client::PeerClient;
use tonic::{
    Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};
use uuid::Uuid;

use crate::{environment::Connect, limits::PEER_MESSAGE_BYTES_MAX, raft::types::Member};

/// Metadata key of the calling node's number.
pub const FROM: &str = "quorate-from";
/// Metadata key of the UUID of the calling node's store.
const FROM_STORE: &str = "quorate-from-store";
/// Metadata key of the calling process. Earlier versions do not send it.
const FROM_BOOT: &str = "quorate-from-boot";
/// Metadata key of the UUID of the store that the caller expects at the called node's number.
const TO_STORE: &str = "quorate-to-store";

/// A channel to a member that adds this node's [`Introduction`] to every call.
pub type PeerChannel = InterceptedService<Channel, Introduction>;

/// A client of the peer service of one member.
pub(crate) type Peer = PeerClient<PeerChannel>;

/// Why there is no channel to a node.
#[derive(Debug, thiserror::Error)]
pub enum NoChannel {
    /// The node is not in the membership.
    #[error("node {node} is not a member of this cluster")]
    NotMember {
        /// Number of the node.
        node: u64,
    },
    /// The node's address in the membership is not a valid endpoint.
    #[error("node {node} has the address {address:?}, which cannot be used: {source}")]
    Address {
        /// Number of the node.
        node: u64,
        /// The node's address, HOST:PORT.
        address: String,
        /// The error of the address.
        source: tonic::transport::Error,
    },
}

impl From<NoChannel> for Status {
    fn from(error: NoChannel) -> Self {
        match error {
            NoChannel::NotMember { .. } => Self::not_found(error.to_string()),
            NoChannel::Address { .. } => Self::unavailable(error.to_string()),
        }
    }
}

/// Metadata that identifies the calling node and the store that it expects to reach.
#[derive(Clone, Debug)]
pub struct Introduction {
    from: MetadataValue<Ascii>,
    from_store: MetadataValue<Ascii>,
    from_boot: MetadataValue<Ascii>,
    to_store: MetadataValue<Ascii>,
}

impl Introduction {
    fn new(from: u64, (from_store, from_boot): (Uuid, u64), to_store: Uuid) -> Self {
        let uuid = |uuid: Uuid| {
            MetadataValue::try_from(uuid.to_string()).expect("a UUID in text is ASCII without control characters")
        };
        Self { from: from.into(), from_store: uuid(from_store), from_boot: from_boot.into(), to_store: uuid(to_store) }
    }
}

impl Interceptor for Introduction {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        let metadata = request.metadata_mut();
        metadata.insert(FROM, self.from.clone());
        metadata.insert(FROM_STORE, self.from_store.clone());
        metadata.insert(FROM_BOOT, self.from_boot.clone());
        metadata.insert(TO_STORE, self.to_store.clone());
        Ok(request)
    }
}

/// The open channels of a node.
pub(crate) struct Peers {
    node: u64,
    store: Uuid,
    boot: u64,
    connect: Connect,
    open: Mutex<BTreeMap<u64, (Member, PeerChannel)>>,
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Peers {
    pub(crate) fn new(node: u64, store: Uuid, boot: u64, connect: Connect) -> Self {
        Self { node, store, boot, connect, open: Mutex::default() }
    }

    /// The channel to `node`, opened once and kept while the node's address and store stay the same.
    pub(crate) fn channel(&self, node: u64, member: &Member) -> Result<PeerChannel, NoChannel> {
        // A cache of channels, changed by single insertions: it is consistent after a panic.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, channel)) = open.get(&node)
            && known == member
        {
            return Ok(channel.clone());
        }
        let address = || member.address.clone();
        let channel = (self.connect)(&member.address).map_err(|source| NoChannel::Address {
            node,
            address: address(),
            source,
        })?;
        let introduction = Introduction::new(self.node, (self.store, self.boot), member.store);
        let channel = InterceptedService::new(channel, introduction);
        open.insert(node, (member.clone(), channel.clone()));
        Ok(channel)
    }

    /// The client of `node`, over its [channel](Self::channel).
    pub(crate) fn client(&self, node: u64, member: &Member) -> Result<Peer, NoChannel> {
        Ok(client_over(self.channel(node, member)?))
    }

    /// A client on the channel that was opened last to the node with this store, at any address; `None` if there is
    /// none.
    pub(crate) fn newest(&self, node: u64, store: Uuid) -> Option<Peer> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, channel) = open.get(&node).filter(|(member, _)| member.store == store)?;
        Some(client_over(channel.clone()))
    }

    /// A client for an unidentified node at `address`, for the one call that needs no introduction.
    pub(crate) fn stranger(&self, address: &str) -> Result<PeerClient<Channel>, tonic::transport::Error> {
        Ok(PeerClient::new((self.connect)(address)?))
    }
}

fn client_over(channel: PeerChannel) -> Peer {
    let client = PeerClient::new(channel);
    client.max_decoding_message_size(PEER_MESSAGE_BYTES_MAX).max_encoding_message_size(PEER_MESSAGE_BYTES_MAX)
}

/// The calling process; `None` if its version does not send it.
pub(crate) fn calling_boot(metadata: &MetadataMap) -> Option<u64> {
    metadata.get(FROM_BOOT)?.to_str().ok()?.parse().ok()
}

/// Checks a caller: it must expect this node's store, and must not use the number of a member that has another
/// store.
///
/// A node that lost its data and returned under its old number is refused in both roles, as callee and as caller.
pub(crate) fn admit(
    metadata: &MetadataMap,
    own_store: Uuid,
    known_store: impl FnOnce(u64) -> Option<Uuid>,
) -> Result<u64, Status> {
    let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
    let uuid = |name| text(name).and_then(|text| Uuid::try_parse(text).ok());
    let (Some(from), Some(from_store), Some(to_store)) =
        (text(FROM).and_then(|text| text.parse().ok()), uuid(FROM_STORE), uuid(TO_STORE))
    else {
        return Err(Status::unauthenticated("the metadata that identifies the caller and the called node is missing"));
    };
    if to_store != own_store {
        return Err(Status::failed_precondition(format!(
            "this node's store is {own_store}, the caller expects {to_store}: a node that lost its data joins under a \
             new number"
        )));
    }
    match known_store(from) {
        Some(known) if known != from_store => Err(Status::permission_denied(format!(
            "node {from} is a member with store {known}, the caller has {from_store}: a node that lost its data joins \
             under a new number"
        ))),
        _ => Ok(from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn introduced(from: u64, from_store: u128, to_store: u128) -> MetadataMap {
        let mut introduction = Introduction::new(from, (Uuid::from_u128(from_store), 7), Uuid::from_u128(to_store));
        introduction.call(tonic::Request::new(())).unwrap().metadata().clone()
    }

    fn admit_at_store_9(metadata: &MetadataMap) -> Result<u64, tonic::Code> {
        admit(metadata, Uuid::from_u128(9), |node| (node == 2).then(|| Uuid::from_u128(22)))
            .map_err(|status| status.code())
    }

    #[test]
    fn a_call_names_the_process_that_makes_it() {
        assert_eq!(calling_boot(&introduced(2, 22, 9)), Some(7));
        assert_eq!(calling_boot(&MetadataMap::new()), None);
    }

    #[test]
    fn only_a_caller_that_names_this_store_and_its_own_node_is_admitted() {
        let cases = [
            (introduced(2, 22, 9), Ok(2), "a known member"),
            (introduced(3, 33, 9), Ok(3), "a node not yet in the membership"),
            (introduced(2, 23, 9), Err(tonic::Code::PermissionDenied), "node 2 with a new store"),
            (introduced(2, 22, 8), Err(tonic::Code::FailedPrecondition), "names another store"),
            (MetadataMap::new(), Err(tonic::Code::Unauthenticated), "names nothing"),
        ];
        for (metadata, expected, case) in cases {
            assert_eq!(admit_at_store_9(&metadata), expected, "{case}");
        }
    }
}
