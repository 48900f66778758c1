//! Every call of the node service as a type: its request, its reply, and the encoding of both that nodes of the
//! version before use inside the peer service's `Ask` call.

use api::{
    admin::v1::{
        DnsSettled, DrainReply, DrainRequest, DuplicatesReply, EventsFilter, EventsPart, ExamineRequest, GatewayNode,
        MachineReport, NodeStatus, TransferLeaderReply, TransferLeaderRequest,
    },
    node::v1::{
        CertifyReply, CertifyRequest, DistinctMachinesReply, DistinctMachinesRequest, DnsPublicationsReply,
        DnsPublicationsRequest, DuplicatesRequest, FollowSettingsReply, FollowSettingsRequest, GatewayReportRequest,
        HoldAuthorityReply, HoldAuthorityRequest, ReadinessReply, ReadinessRequest, SettleDnsRequest,
        SignActivationReply, SignActivationRequest, SignReleaseReply, SignReleaseRequest, StatusRequest,
        legacy_answer::Answer, legacy_question::Question, node_client::NodeClient,
    },
};
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use tonic::{Response, Status, body::Body, codegen::http, transport};
use tower::util::BoxCloneSyncService;

/// A channel to one node, over the network or within the process.
pub(crate) type NodeChannel = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, transport::Error>;

/// A request of the node service.
pub(crate) trait NodeRequest: Clone + Send + 'static {
    /// The reply to the request.
    type Reply: Send;

    /// Calls the service with this request.
    fn call(self, client: NodeClient<NodeChannel>) -> BoxFuture<'static, Result<Response<Self::Reply>, Status>>;

    /// This request inside an `Ask` call; `None` where the version before does not have it.
    fn legacy(self) -> Option<Question>;

    /// The reply inside the answer to an `Ask` call; `None` where the answer holds another reply.
    fn from_legacy(answer: Answer) -> Option<Self::Reply>;
}

/// Declares the calls, one line each: request -> reply, method, names in the `Ask` call, and how the reply is made
/// from the answer to the latter.
macro_rules! node_requests {
    ($($request:ty => $reply:ty, $method:ident, $question:ident, $answer:ident, $reply_of:expr;)*) => {$(
        impl NodeRequest for $request {
            type Reply = $reply;

            fn call(self, mut client: NodeClient<NodeChannel>) -> BoxFuture<'static, Result<Response<$reply>, Status>> {
                async move { client.$method(self).await }.boxed()
            }

            fn legacy(self) -> Option<Question> {
                Some(Question::$question(self))
            }

            fn from_legacy(answer: Answer) -> Option<$reply> {
                match answer {
                    Answer::$answer(reply) => Some($reply_of(reply)),
                    _ => None,
                }
            }
        }
    )*};
}

node_requests! {
    StatusRequest => NodeStatus, status, Status, Status, same;
    ReadinessRequest => ReadinessReply, readiness, Readiness, Readiness, same;
    SignActivationRequest => SignActivationReply, sign_activation, Activation, ActivationRequest, signed_activation;
    SignReleaseRequest => SignReleaseReply, sign_release, Release, Release, signed_release;
    SettleDnsRequest => DnsSettled, settle_dns, DnsSettle, DnsSettled, same;
    DnsPublicationsRequest => DnsPublicationsReply, dns_publications, DnsPublications, DnsPublications, same;
    FollowSettingsRequest => FollowSettingsReply, follow_settings, Follow, Followed, same;
    DrainRequest => DrainReply, drain, Drain, Drained, same;
    TransferLeaderRequest => TransferLeaderReply, transfer_leader, TransferLeader, Transferred, same;
    ExamineRequest => MachineReport, examine, Examine, Examined, same;
    EventsFilter => EventsPart, events, Events, Events, same;
    DuplicatesRequest => DuplicatesReply, duplicates, Duplicates, Duplicates, same;
    DistinctMachinesRequest => DistinctMachinesReply, distinct_machines, Distinct, Distinct, same;
}

/// Declares calls that the version before does not have.
macro_rules! newer_requests {
    ($($request:ty => $reply:ty, $method:ident;)*) => {$(
        impl NodeRequest for $request {
            type Reply = $reply;

            fn call(self, mut client: NodeClient<NodeChannel>) -> BoxFuture<'static, Result<Response<$reply>, Status>> {
                async move { client.$method(self).await }.boxed()
            }

            fn legacy(self) -> Option<Question> {
                None
            }

            fn from_legacy(_: Answer) -> Option<$reply> {
                None
            }
        }
    )*};
}

newer_requests! {
    CertifyRequest => CertifyReply, certify;
    HoldAuthorityRequest => HoldAuthorityReply, hold_authority;
    GatewayReportRequest => GatewayNode, gateway_report;
}

fn same<T>(reply: T) -> T {
    reply
}

fn signed_activation(request: Bytes) -> SignActivationReply {
    SignActivationReply { request }
}

fn signed_release(statement: Bytes) -> SignReleaseReply {
    SignReleaseReply { statement }
}
