//! The peer port: the peer service and the node service over TLS, for nodes of the cluster only; and the node service
//! within the process.

use std::sync::Arc;

use api::node::v1::node_server::NodeServer;
use futures::future::join;
use replication::Replica;
use tokio::net::TcpListener;
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Server};
use transport::{Admission, Audience, Caller, PresentedIdentity, Subject, listen};

use super::{in_process::Incoming, node_service::NodeService};
use crate::{
    admin_service::ACCESS_DENIED,
    limits::PEER_RESET_STREAMS_MAX,
    tasks::{HostTask, NamedCalls},
};

/// Serves the replica and the node service to other nodes, and the node service to this process, until it is dropped.
pub(crate) async fn serve(
    (listener, own, admission): (TcpListener, Arc<PresentedIdentity>, Admission),
    in_process: Incoming,
    replica: Replica,
    service: NodeService,
) {
    let (accepting, connections) = listen(listener, own, Audience::Certified, admission);
    let peer_service = replica.peer_service(Arc::new(service.clone()));
    let here = Server::builder()
        .layer(NamedCalls::new(HostTask::InProcessCall))
        .http2_max_pending_accept_reset_streams(Some(PEER_RESET_STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(PEER_RESET_STREAMS_MAX))
        .add_service(NodeServer::new(service.clone()))
        .serve_with_incoming(in_process);
    let introduced = move |request: Request<()>| {
        let request = admit(request)?;
        replica.admit(request.metadata())?;
        Ok(request)
    };
    let server = Server::builder()
        .layer(NamedCalls::new(HostTask::PeerCall))
        .http2_max_pending_accept_reset_streams(Some(PEER_RESET_STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(PEER_RESET_STREAMS_MAX))
        .add_service(InterceptedService::new(peer_service, admit))
        .add_service(InterceptedService::new(NodeServer::new(service), introduced))
        .serve_with_incoming(connections);
    let served = join(here, server);
    tokio::select! {
        () = accepting => {}
        (here, server) = served => {
            for error in [here.err(), server.err()].into_iter().flatten() {
                tracing::error!(%error, "the node service ended");
            }
        }
    }
}

/// Only nodes pass, and each as itself alone. What it says of its store is looked at further in.
fn admit(request: Request<()>) -> Result<Request<()>, Status> {
    let subject = request.extensions().get::<Caller>().and_then(|caller| caller.subject.as_ref());
    let Some(Subject::Node(node)) = subject else {
        return Err(Status::permission_denied(format!("{ACCESS_DENIED}: only nodes of the cluster may ask this")));
    };
    // Identify is asked before the two know each other.
    match request.metadata().get(replication::FROM) {
        Some(from) if from.to_str().ok().and_then(|from| from.parse().ok()) != Some(*node) => {
            Err(Status::permission_denied(format!("{ACCESS_DENIED}: node {node} says that it is another one")))
        }
        _ => Ok(request),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use transport::{Activity, Role};

    use super::*;

    #[test]
    fn only_a_node_passes_and_only_as_itself() {
        let reader = Subject::Person { name: "Ada".into(), role: Role::Administrator };
        let cases = [
            (None, None, false, "nobody"),
            (Some(reader), None, false, "an administrator"),
            (Some(Subject::Node(2)), None, true, "a node that says nothing of itself"),
            (Some(Subject::Node(2)), Some("2"), true, "a node as itself"),
            (Some(Subject::Node(2)), Some("3"), false, "a node as another"),
            (Some(Subject::Node(2)), Some("two"), false, "nonsense"),
        ];
        for (subject, from, passes, case) in cases {
            let mut request = Request::new(());
            let address = SocketAddr::from(([127, 0, 0, 1], 1));
            request.extensions_mut().insert(Caller {
                subject,
                ends_ms: u64::MAX,
                address,
                activity: Activity::default(),
            });
            if let Some(from) = from {
                request.metadata_mut().insert(replication::FROM, from.parse().unwrap());
            }
            assert_eq!(admit(request).is_ok(), passes, "{case}");
        }
        assert!(admit(Request::new(())).is_err(), "a connection that knows nobody");
    }
}
