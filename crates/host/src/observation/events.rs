//! Activation events of all nodes: every node's own activation log, merged.

use std::collections::BTreeMap;

use activation::{
    id::{ProductId, PublisherId},
    state::State,
};
use api::admin::v1::{ActivationEvent, EventsFilter, EventsPart};
use futures::future::join_all;

use crate::{limits::WORK_TIMEOUT, peers::node_client::NodeClient};

/// The events of every member after its number in `last`, in order of time.
pub(crate) async fn gather(nodes: &NodeClient, filter: &EventsFilter, last: &mut BTreeMap<u64, u64>) -> EventsPart {
    let members = nodes.replica().cluster().members;
    let asked = members.keys().map(|&node| {
        let after_number = last.get(&node).copied().unwrap_or(filter.after_number);
        let filter = EventsFilter { after_number, ..filter.clone() };
        async move { (node, nodes.ask(node, filter, WORK_TIMEOUT).await) }
    });
    let mut whole = EventsPart::default();
    for (node, answer) in join_all(asked).await {
        match answer {
            Ok(part) => {
                if let Some(newest) = part.events.last() {
                    last.insert(node, newest.number);
                }
                whole.events.extend(part.events);
            }
            Err(why) => whole.passed_over.push(format!("node {node}: {why}")),
        }
    }
    whole.events.sort_by_key(|event| (event.time_ms, event.node, event.number));
    nodes.replica().view(|state| {
        for event in &mut whole.events {
            (event.product_name, event.application) = product_of(state, event).unwrap_or_default();
        }
    });
    whole
}

/// The names of an event's product and of its application.
fn product_of(state: &State, event: &ActivationEvent) -> Option<(String, String)> {
    let publisher = PublisherId(event.publisher.as_ref().try_into().ok()?);
    let product = ProductId(event.product.as_ref().try_into().ok()?);
    let product = state.publisher(publisher)?.opened().product(product)?;
    Some((product.name.to_string(), product.application.to_string()))
}
