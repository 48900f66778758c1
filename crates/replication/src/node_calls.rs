//! What another service on the peer port needs of the replica: whom it may answer, and channels to the other members.

use tonic::{Status, metadata::MetadataMap};

use crate::{
    peers::{NoChannel, PeerChannel},
    replica::Replica,
};

impl Replica {
    /// Checks the caller of another service on the peer port by the rules of the peer service, and returns its node number.
    ///
    /// The caller must mean this node's store, and must not use the number of a member that has another store. `metadata` is
    /// that of the call, as a [`PeerChannel`] writes it.
    pub fn admit(&self, metadata: &MetadataMap) -> Result<u64, Status> {
        self.0.admit(metadata)
    }

    /// A channel to the member `node` that introduces this node with each call. It is the one that the replica itself uses;
    /// it connects when it is first used, and again after a failure.
    pub fn channel(&self, node: u64) -> Result<PeerChannel, NoChannel> {
        self.0.channel(node)
    }
}
