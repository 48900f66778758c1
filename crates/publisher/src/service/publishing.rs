//! Implements the two RPCs of `proto/publishing.proto`.

use activation::{direct::DirectRequest, host_activation::ActivationRequests, id::NodeId};
use api::publishing::v1::{self as proto, activate_reply, direct_activate_reply, publishing_server::Publishing};
use tonic::{Request, Response, Status};

use super::{
    connection::{Caller, Open},
    shared::SharedPublisher,
    sources::Sources,
};
use crate::{activate::ActivateError, direct_key::DirectError};

pub(super) struct Answers {
    pub(super) shared: SharedPublisher,
    pub(super) sources: Sources,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Publishing for Answers {
    async fn activate(&self, request: Request<proto::ActivateRequest>) -> Reply<proto::ActivateReply> {
        let (caller, _open, _turn) = self.begin(&request).await?;
        let requests = ActivationRequests::decode(&request.get_ref().requests).map_err(malformed)?;
        let activated = self.shared.publisher.activate(&requests).await;
        self.shared.notice();
        let outcome = match activated {
            Ok(answers) => {
                let answered = answers.answers();
                let (activated, released) = (answered.answers.len(), answered.released.len());
                tracing::info!(source = %caller.address, activated, released, "activation requests were answered");
                activate_reply::Outcome::Answers(answers.encode().into())
            }
            Err(ActivateError::Refused(refusals)) => {
                tracing::info!(source = %caller.address, %refusals, "nodes were refused");
                let refusals = refusals.0.iter();
                let refusals = refusals.map(|refusal| refused(refusal.node, refusal.reason.status(), &refusal.reason));
                activate_reply::Outcome::Refused(proto::Refused { refusals: refusals.collect() })
            }
            Err(error) => return Err(failed(&error)),
        };
        Ok(Response::new(proto::ActivateReply { outcome: Some(outcome) }))
    }

    async fn activate_directly(
        &self,
        request: Request<proto::DirectActivateRequest>,
    ) -> Reply<proto::DirectActivateReply> {
        let (caller, _open, _turn) = self.begin(&request).await?;
        let asked = DirectRequest::decode(&request.get_ref().request).map_err(malformed)?;
        let activated = self.shared.publisher.activate_directly(&asked).await;
        self.shared.notice();
        let outcome = match activated {
            Ok(certificate) => {
                tracing::info!(source = %caller.address, key = %certificate.key, "a machine was activated");
                direct_activate_reply::Outcome::Certificate(certificate.encode().into())
            }
            Err(DirectError::Refused(reason)) => {
                tracing::info!(source = %caller.address, %reason, "a machine was refused");
                let refusals = vec![refused(0, reason.status(), &reason)];
                direct_activate_reply::Outcome::Refused(proto::Refused { refusals })
            }
            Err(error) => return Err(failed(&error)),
        };
        Ok(Response::new(proto::DirectActivateReply { outcome: Some(outcome) }))
    }
}

impl Answers {
    /// Records the request on its connection, and waits for a slot among the requests of the same source.
    async fn begin<T>(
        &self,
        request: &Request<T>,
    ) -> Result<(Caller, Open, Option<tokio::sync::OwnedSemaphorePermit>), Status> {
        let caller = request.extensions().get::<Caller>();
        let caller = caller.ok_or_else(|| Status::internal("a request without a connection"))?.clone();
        let open = caller.open();
        let turn = self.sources.request(caller.address).await;
        let turn = turn.map_err(|_| Status::unavailable("the service is stopping: try again later"))?;
        Ok((caller, open, turn))
    }
}

fn refused(node: NodeId, status: activation::status::Status, reason: &impl std::fmt::Display) -> proto::Refusal {
    proto::Refusal { node, status: status.0, reason: reason.to_string() }
}

fn malformed(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// An internal failure of the publisher. The cause is logged and not sent to the client.
fn failed(error: &dyn std::error::Error) -> Status {
    tracing::error!(%error, "a request failed");
    Status::unavailable("the publisher cannot answer now: try again later with the same request")
}
