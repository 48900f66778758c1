//! What machines asked and were answered: every node's own log, merged.

use std::collections::BTreeMap;

use activation::id::{ProductId, PublisherId};
use api::admin::v1::{
    self as proto, ActivationEvent, EventsFilter, EventsPart, node_answer::Answer, node_question::Question,
};
use futures::future::join_all;
use replication::Replica;
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    limits::{ACTIVATIONS_FOLLOW_INTERVAL, WORK_TIMEOUT},
    question,
};

pub(super) type Stream = ReceiverStream<Result<EventsPart, Status>>;

/// Until the asker is gone, where it follows.
pub(super) fn stream(replica: Replica, asked: proto::EventsRequest) -> Stream {
    let (parts, received) = mpsc::channel(1);
    tokio::spawn(async move {
        let filter = asked.filter.unwrap_or_default();
        let mut last = BTreeMap::new();
        let mut first = true;
        loop {
            let part = gather(&replica, &filter, &mut last).await;
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

/// What every member has behind its `last` event, in the order of time.
pub(crate) async fn gather(replica: &Replica, filter: &EventsFilter, last: &mut BTreeMap<u64, u64>) -> EventsPart {
    let members = replica.cluster().members;
    let asked = members.keys().map(|&node| {
        let after_number = last.get(&node).copied().unwrap_or(filter.after_number);
        let filter = EventsFilter { after_number, ..filter.clone() };
        async move { (node, question::ask(replica, node, Question::Events(filter), WORK_TIMEOUT).await) }
    });
    let mut whole = EventsPart::default();
    for (node, answer) in join_all(asked).await {
        match answer {
            Ok(Answer::Events(part)) => {
                if let Some(newest) = part.events.last() {
                    last.insert(node, newest.number);
                }
                whole.events.extend(part.events);
            }
            Ok(_) => whole.passed_over.push(format!("node {node}: it answered something else")),
            Err(why) => whole.passed_over.push(format!("node {node}: {why}")),
        }
    }
    whole.events.sort_by_key(|event| (event.time_ms, event.node, event.number));
    replica.view(|state| {
        for event in &mut whole.events {
            event.product_name = product_name(state, event).unwrap_or_default();
        }
    });
    whole
}

fn product_name(state: &activation::state::State, event: &ActivationEvent) -> Option<String> {
    let publisher = PublisherId(event.publisher.as_ref().try_into().ok()?);
    let product = ProductId(event.product.as_ref().try_into().ok()?);
    Some(state.publisher(publisher)?.opened().product(product)?.name.to_string())
}
