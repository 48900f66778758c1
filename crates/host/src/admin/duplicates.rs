//! CMIDs that several machines share: what every node knows of them, merged.

use std::collections::{BTreeMap, BTreeSet};

use api::admin::v1::{
    DuplicateCmid, DuplicatesQuestion, DuplicatesReply, node_answer::Answer, node_question::Question,
};
use bytes::Bytes;
use futures::future::join_all;
use replication::Replica;

use crate::{
    duplicates::merge,
    limits::{DUPLICATES_SHOWN_MAX, WORK_TIMEOUT},
    question,
};

/// First which CMIDs any node suspects, then what all know of these: each machine may have asked another node.
pub(crate) async fn gather(replica: &Replica) -> DuplicatesReply {
    let suspected = ask(replica, DuplicatesQuestion::default()).await;
    let cmids: BTreeSet<Bytes> = suspected.duplicates.iter().map(|suspect| suspect.cmid.clone()).collect();
    if cmids.is_empty() {
        return suspected;
    }
    let cmids = cmids.into_iter().take(DUPLICATES_SHOWN_MAX).collect();
    let known = ask(replica, DuplicatesQuestion { cmids }).await;
    let mut of_cmid: BTreeMap<Bytes, Vec<DuplicateCmid>> = BTreeMap::new();
    for part in known.duplicates {
        of_cmid.entry(part.cmid.clone()).or_default().push(part);
    }
    let duplicates = of_cmid.into_values().filter_map(|parts| merge(parts.into_iter())).collect();
    DuplicatesReply { duplicates, passed_over: known.passed_over }
}

/// Of all members.
async fn ask(replica: &Replica, asked: DuplicatesQuestion) -> DuplicatesReply {
    let members = replica.cluster().members;
    let asked = members.keys().map(|&node| {
        let asked = asked.clone();
        async move { (node, question::ask(replica, node, Question::Duplicates(asked), WORK_TIMEOUT).await) }
    });
    let mut whole = DuplicatesReply::default();
    for (node, answer) in join_all(asked).await {
        match answer {
            Ok(Answer::Duplicates(part)) => whole.duplicates.extend(part.duplicates),
            Ok(_) => whole.passed_over.push(format!("node {node}: it answered something else")),
            Err(why) => whole.passed_over.push(format!("node {node}: {why}")),
        }
    }
    whole
}
