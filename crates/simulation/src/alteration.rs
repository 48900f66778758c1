//! Alters the state in a snapshot file, as broken memory would. The file itself stays valid.

use activation::{
    clock::{SkewReference, Stamp},
    id::{Cmid, MachineDigest, NodeId},
    message::Record,
    state::{Batch, Command, State},
};
use api::log::v1 as log;
use bytes::Bytes;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::publisher::{PRODUCTS, Publisher, START_MS};

/// Number of machines in the altered state's count that never asked.
const MACHINES: u8 = 10;

/// The snapshot file with more machines in its state; unchanged where the file cannot be decoded.
pub(crate) fn with_more_machines(file: Bytes, publisher: &Publisher, activated: NodeId) -> Bytes {
    let Ok(mut snapshot) = log::Snapshot::decode(file.clone()) else { return file };
    let Ok(mut state) = State::decode_snapshot(&snapshot.state) else { return file };
    let record = |machine: u8| Record {
        node: activated,
        publisher: publisher.id,
        product: publisher.product_id(&PRODUCTS[0]),
        cmid: Cmid([0xA0 + machine; 16]),
        machine: MachineDigest([machine; 8]),
        machine_name: "ALTERED".parse().expect("a machine name"),
        virtual_machine: false,
        client_time_ms: START_MS,
    };
    let stamp = Stamp { time_ms: START_MS, skew: SkewReference::LeaveOut, expiry_ms: None };
    let batch = Command::Batch(Batch { stamp, records: (0..MACHINES).map(record).collect() });
    state.apply(1, &batch.encode());
    snapshot.state = state.encode_snapshot().into();
    snapshot.digest = Bytes::copy_from_slice(&Sha256::digest(&snapshot.state));
    // Without the seal, as an older version of the product writes snapshots.
    snapshot.seal = Bytes::new();
    snapshot.encode_to_vec().into()
}
