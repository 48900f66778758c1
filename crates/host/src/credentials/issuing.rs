//! Issues certificates for nodes and persons: on this node where it holds the authority's key, otherwise on a member
//! that does.

use std::time::Duration;

use admin::wire::TextEnum;
use api::{admin::v1::CertificateRole, node::v1::CertifyRequest};
use replication::Clock;
use tonic::{Code, Status};
use transport::{
    Role, SigningRequest, Subject,
    limits::{NODE_LIFETIME, PERSON_LIFETIME},
};

use super::identity::{Certifies, Source};
use crate::{environment::SystemClock, limits::LOOK_TIMEOUT, peers::node_client::NodeClient, test_hooks};

/// Issues certificates, on this node or on another member. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Issuer {
    pub(crate) source: Source,
    pub(crate) nodes: NodeClient,
}

impl Issuer {
    /// Issues a certificate for `subject` in PEM, for the key that signed the request (PKCS #10, in DER).
    pub(crate) async fn issue(&self, request: Vec<u8>, subject: &Subject) -> Result<String, Status> {
        let asked = request_out(request, subject);
        match here(&self.source, &asked) {
            Err(status) if status.code() == Code::FailedPrecondition => {}
            issued => return issued,
        }
        let cluster = self.nodes.replica().cluster();
        let mut last = "no other member is known".to_owned();
        for node in cluster.members.into_keys().filter(|node| *node != cluster.node) {
            match self.nodes.ask(node, asked.clone(), LOOK_TIMEOUT).await {
                Ok(reply) => return Ok(reply.certificate),
                Err(why) => last = format!("node {node}: {why}"),
            }
        }
        Err(Status::unavailable(format!("no node that holds the authority's key answers: {last}")))
    }
}

impl Certifies for Issuer {
    async fn certify(&self, node: u64, request: Vec<u8>) -> Result<String, String> {
        self.issue(request, &Subject::Node(node)).await.map_err(|status| status.message().to_owned())
    }
}

/// Signs with the authority's key that this node holds. Error: `FAILED_PRECONDITION` where it holds none.
pub(crate) fn here(source: &Source, asked: &CertifyRequest) -> Result<String, Status> {
    let internal = |error: transport::TransportError| Status::internal(error.to_string());
    let invalid = |error: &dyn std::fmt::Display| Status::invalid_argument(error.to_string());
    let authority = source.authority().map_err(internal)?;
    let authority =
        authority.ok_or_else(|| Status::failed_precondition("this node does not hold the authority's key"))?;
    let request = SigningRequest::from_der(&asked.request).map_err(|error| invalid(&error))?;
    let role = match asked.role() {
        CertificateRole::Node => None,
        CertificateRole::Administrator => Some(Role::Administrator),
        CertificateRole::Operator => Some(Role::Operator),
        CertificateRole::Reader => Some(Role::Reader),
        CertificateRole::Unspecified => return Err(invalid(&"the role is unspecified")),
    };
    let (subject, lifetime) = match role {
        None => {
            let node = activation::id::node_id(asked.node).map_err(|error| invalid(&error))?;
            (Subject::Node(node), test_hooks::certificate_lifetime().unwrap_or(NODE_LIFETIME))
        }
        Some(role) => (Subject::person(&asked.name, role).map_err(|error| invalid(&error))?, person_lifetime()),
    };
    authority.issue(&request, &subject, SystemClock::default().wall_ms(), lifetime).map_err(internal)
}

fn request_out(request: Vec<u8>, subject: &Subject) -> CertifyRequest {
    let (node, name, role) = match subject {
        Subject::Node(node) => (*node, String::new(), CertificateRole::Node),
        Subject::Person { name, role } => (0, name.clone(), CertificateRole::from_text(role.name())),
    };
    CertifyRequest { request: request.into(), node, name, role: role.into() }
}

/// How long a person's certificate is valid.
fn person_lifetime() -> Duration {
    test_hooks::person_certificate_lifetime().unwrap_or(PERSON_LIFETIME)
}
