//! CMIDs that several machines share: the records of all nodes, merged.

use std::collections::{BTreeMap, BTreeSet};

use api::{
    admin::v1::{DuplicateCmid, DuplicatesReply},
    node::v1::DuplicatesRequest,
};
use bytes::Bytes;
use futures::future::join_all;

use crate::{
    limits::{DUPLICATES_SHOWN_MAX, WORK_TIMEOUT},
    peers::node_client::NodeClient,
    records::duplicates::merge,
};

/// Asks all nodes first which CMIDs they suspect, then for all records of these CMIDs: each machine may have sent
/// its requests to another node.
pub(crate) async fn gather(nodes: &NodeClient) -> DuplicatesReply {
    let suspected = ask(nodes, DuplicatesRequest::default()).await;
    let cmids: BTreeSet<Bytes> = suspected.duplicates.iter().map(|suspect| suspect.cmid.clone()).collect();
    if cmids.is_empty() {
        return suspected;
    }
    let cmids = cmids.into_iter().take(DUPLICATES_SHOWN_MAX).collect();
    let known = ask(nodes, DuplicatesRequest { cmids }).await;
    let mut of_cmid: BTreeMap<Bytes, Vec<DuplicateCmid>> = BTreeMap::new();
    for part in known.duplicates {
        of_cmid.entry(part.cmid.clone()).or_default().push(part);
    }
    let duplicates = of_cmid.into_values().filter_map(|parts| merge(parts.into_iter())).collect();
    DuplicatesReply { duplicates, passed_over: known.passed_over }
}

/// Asks all members, and joins their replies in one list.
async fn ask(nodes: &NodeClient, asked: DuplicatesRequest) -> DuplicatesReply {
    let members = nodes.replica().cluster().members;
    let asked = members.keys().map(|&node| {
        let asked = asked.clone();
        async move { (node, nodes.ask(node, asked, WORK_TIMEOUT).await) }
    });
    let mut whole = DuplicatesReply::default();
    for (node, answer) in join_all(asked).await {
        match answer {
            Ok(part) => whole.duplicates.extend(part.duplicates),
            Err(why) => whole.passed_over.push(format!("node {node}: {why}")),
        }
    }
    whole
}
