//! What daemons ask each other, from the side that asks; the side that answers is the [desk](crate::desk).

use std::time::Duration;

use api::admin::v1::{NodeAnswer, NodeQuestion, node_answer::Answer, node_question::Question};
use prost::Message;
use replication::Replica;

/// Asks the daemon of a member; this one's own is asked without the network.
pub(crate) async fn ask(
    replica: &Replica,
    node: u64,
    question: Question,
    patience: Duration,
) -> Result<Answer, String> {
    let question = NodeQuestion { question: Some(question) }.encode_to_vec().into();
    let answer = replica.legacy_ask(node, question, patience).await.map_err(|status| status.message().to_owned())?;
    let answer = NodeAnswer::decode(answer).map_err(|error| error.to_string())?;
    answer.answer.ok_or_else(|| "it answered nothing, or something newer".to_owned())
}
