//! The peer port: the peer service and the node service over TLS, for nodes of the cluster only; and the node
//! service within the process.

use std::sync::Arc;

use api::node::v1::{joining_server::JoiningServer, node_server::NodeServer};
use futures::future::join;
use replication::Replica;
use tokio::net::TcpListener;
use tonic::{Request, Status, service::interceptor::InterceptedService, transport::Server};
use transport::{Admission, Audience, Caller, Certificate, PresentedIdentity, Subject, listen};

use super::{in_process::Incoming, node_service::NodeService};
use crate::{
    admin_service::{ACCESS_DENIED, JoiningService},
    credentials::registered::{NotLetIn, Registered},
    limits::{JOIN_MESSAGE_BYTES_MAX, PEER_RESET_STREAMS_MAX},
    tasks::{HostTask, NamedCalls},
};

/// Serves the replica and the node service to other nodes, the joining service to joining nodes, and the node service
/// to this process, until it is dropped.
pub(crate) async fn serve(
    (listener, own, admission): (TcpListener, Arc<PresentedIdentity>, Admission),
    in_process: Incoming,
    replica: Replica,
    (service, joining): (NodeService, JoiningService),
    registered: Arc<Registered>,
) {
    let (accepting, connections) = listen(listener, own, Audience::Certified, admission);
    let peer_service = replica.peer_service(Arc::new(service.clone()));
    let here = Server::builder()
        .layer(NamedCalls::new(HostTask::InProcessCall))
        .http2_max_pending_accept_reset_streams(Some(PEER_RESET_STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(PEER_RESET_STREAMS_MAX))
        .add_service(NodeServer::new(service.clone()))
        .serve_with_incoming(in_process);
    let admitting = Arc::clone(&registered);
    let admit_peer = move |request: Request<()>| admit(request, &*admitting);
    let introduced = move |request: Request<()>| {
        let request = admit(request, &*registered)?;
        replica.admit(request.metadata())?;
        Ok(request)
    };
    let server = Server::builder()
        .layer(NamedCalls::new(HostTask::PeerCall))
        .http2_max_pending_accept_reset_streams(Some(PEER_RESET_STREAMS_MAX))
        .http2_max_local_error_reset_streams(Some(PEER_RESET_STREAMS_MAX))
        .add_service(InterceptedService::new(peer_service, admit_peer))
        .add_service(InterceptedService::new(NodeServer::new(service), introduced))
        // Not behind the registry: this service checks itself which nodes may join.
        .add_service(JoiningServer::new(joining).max_decoding_message_size(JOIN_MESSAGE_BYTES_MAX))
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

/// Decides which subject the holder of a certificate is admitted as.
trait LetsIn {
    fn node(&self, certificate: &Certificate) -> Result<Subject, NotLetIn>;
}

impl LetsIn for Registered {
    fn node(&self, certificate: &Certificate) -> Result<Subject, NotLetIn> {
        self.node(certificate)
    }
}

/// Admits a call only from a node that the registry admits, and only under its own number. The replica checks the
/// node's store afterwards.
fn admit(request: Request<()>, registered: &impl LetsIn) -> Result<Request<()>, Status> {
    let certificate = request.extensions().get::<Caller>().and_then(|caller| caller.certificate.as_ref());
    let no_node =
        || Status::permission_denied(format!("{ACCESS_DENIED}: only nodes of the cluster may make this call"));
    let subject = registered.node(certificate.ok_or_else(no_node)?);
    let subject = subject.map_err(|why| Status::permission_denied(format!("{ACCESS_DENIED}: {why}")))?;
    let Subject::Node(node) = subject else { return Err(no_node()) };
    // A call without the sender's number passes: Identify is called before the two nodes are introduced to each other.
    match request.metadata().get(replication::FROM) {
        Some(from) if from.to_str().ok().and_then(|from| from.parse().ok()) != Some(node) => {
            Err(Status::permission_denied(format!("{ACCESS_DENIED}: node {node} claims to be another node")))
        }
        _ => Ok(request),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use transport::{Activity, Role};

    use super::*;

    /// Admits all keys but this one.
    struct AllBut([u8; 32]);

    impl LetsIn for AllBut {
        fn node(&self, certificate: &Certificate) -> Result<Subject, NotLetIn> {
            if certificate.key == self.0 { Err(NotLetIn::Unregistered) } else { Ok(certificate.subject.clone()) }
        }
    }

    #[test]
    fn only_an_admitted_node_may_call_and_only_as_itself() {
        let reader = Subject::Person { name: "Ada".into(), role: Role::Administrator };
        let cases = [
            (None, 1, None, false, "a caller without a certificate"),
            (Some(reader), 1, None, false, "an administrator"),
            (Some(Subject::Node(2)), 1, None, true, "a node that claims no number"),
            (Some(Subject::Node(2)), 1, Some("2"), true, "a node as itself"),
            (Some(Subject::Node(2)), 1, Some("3"), false, "a node as another"),
            (Some(Subject::Node(2)), 1, Some("two"), false, "nonsense"),
            (Some(Subject::Node(2)), 9, Some("2"), false, "a node whose key is not registered"),
        ];
        for (subject, key, from, passes, case) in cases {
            let mut request = Request::new(());
            let address = SocketAddr::from(([127, 0, 0, 1], 1));
            let certificate = subject.map(|subject| {
                let (key, serial) = ([key; 32], vec![1]);
                Arc::new(Certificate { subject, key, serial, issuer: [0; 32], begins_ms: 0, ends_ms: u64::MAX })
            });
            request.extensions_mut().insert(Caller { certificate, address, activity: Activity::default() });
            if let Some(from) = from {
                request.metadata_mut().insert(replication::FROM, from.parse().unwrap());
            }
            assert_eq!(admit(request, &AllBut([9; 32])).is_ok(), passes, "{case}");
        }
        assert!(admit(Request::new(()), &AllBut([9; 32])).is_err(), "a connection without known keys");
    }
}
