//! Activation events of all nodes as a stream to the caller.

use std::collections::BTreeMap;

use api::admin::v1::{EventsPart, EventsRequest};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    limits::ACTIVATIONS_FOLLOW_INTERVAL,
    observation::events::gather,
    peers::node_client::NodeClient,
    tasks::{self, HostTask},
};

pub(super) type Stream = ReceiverStream<Result<EventsPart, Status>>;

/// Streams events to the caller. Where the caller follows, the stream lasts until the caller disconnects.
pub(super) fn stream(nodes: NodeClient, asked: EventsRequest) -> Stream {
    let (parts, received) = mpsc::channel(1);
    tasks::spawn_alone(HostTask::EventStream, async move {
        let filter = asked.filter.unwrap_or_default();
        let mut last = BTreeMap::new();
        let mut first = true;
        loop {
            let part = gather(&nodes, &filter, &mut last).await;
            let is_new = first || !part.events.is_empty();
            if is_new && parts.send(Ok(part)).await.is_err() || !asked.follow {
                return;
            }
            first = false;
            tokio::select! {
                () = sleep(ACTIVATIONS_FOLLOW_INTERVAL) => {}
                () = parts.closed() => return,
            }
        }
    });
    ReceiverStream::new(received)
}
