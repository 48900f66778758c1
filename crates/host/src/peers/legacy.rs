//! The node service for nodes of the version before, which send their requests in the peer service's `Ask` call.
//! Remove it together with that call, one version after the node service was introduced.

use api::node::v1::{
    LegacyAnswer, LegacyQuestion, legacy_answer::Answer, legacy_question::Question, node_server::Node,
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use prost::Message;
use replication::LegacyRequests;
use tonic::{Request, Response, Status};

use super::node_service::NodeService;

impl LegacyRequests for NodeService {
    fn answer(&self, question: Bytes) -> BoxFuture<'_, Result<Bytes, Status>> {
        let answer = async move {
            let question = LegacyQuestion::decode(question)
                .map_err(|error| Status::failed_precondition(error.to_string()))?
                .question
                .ok_or_else(|| {
                    Status::failed_precondition("the request is empty, or of a newer version than this node's")
                })?;
            let answer = self.answered(question).await;
            // Nodes of the version before expect this code for every refusal.
            let answer = answer.map_err(|status| Status::failed_precondition(status.message()))?;
            Ok(LegacyAnswer { answer: Some(answer) }.encode_to_vec().into())
        };
        answer.boxed()
    }
}

impl NodeService {
    async fn answered(&self, question: Question) -> Result<Answer, Status> {
        fn inner<T>(reply: Response<T>) -> T {
            reply.into_inner()
        }
        Ok(match question {
            Question::Status(asked) => Answer::Status(self.status(Request::new(asked)).await.map(inner)?),
            Question::Activation(asked) => {
                Answer::ActivationRequest(self.sign_activation(Request::new(asked)).await.map(inner)?.request)
            }
            Question::Release(asked) => {
                Answer::Release(self.sign_release(Request::new(asked)).await.map(inner)?.statement)
            }
            Question::DnsSettle(asked) => Answer::DnsSettled(self.settle_dns(Request::new(asked)).await.map(inner)?),
            Question::DnsPublications(asked) => {
                Answer::DnsPublications(self.dns_publications(Request::new(asked)).await.map(inner)?)
            }
            Question::Readiness(asked) => Answer::Readiness(self.readiness(Request::new(asked)).await.map(inner)?),
            Question::Follow(asked) => Answer::Followed(self.follow_settings(Request::new(asked)).await.map(inner)?),
            Question::Drain(asked) => Answer::Drained(self.drain(Request::new(asked)).await.map(inner)?),
            Question::TransferLeader(asked) => {
                Answer::Transferred(self.transfer_leader(Request::new(asked)).await.map(inner)?)
            }
            Question::Examine(asked) => Answer::Examined(self.examine(Request::new(asked)).await.map(inner)?),
            Question::Events(asked) => Answer::Events(self.events(Request::new(asked)).await.map(inner)?),
            Question::Duplicates(asked) => Answer::Duplicates(self.duplicates(Request::new(asked)).await.map(inner)?),
            Question::Distinct(asked) => {
                Answer::Distinct(self.distinct_machines(Request::new(asked)).await.map(inner)?)
            }
        })
    }
}
