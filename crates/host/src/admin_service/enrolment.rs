//! Join tokens, and the certificates that their bearers get.

use activation::{
    coded::{Code, Coded},
    limits::{CERTIFICATE_BYTES_MAX, JOINING_MS, NODE_ID_MAX},
    state::{Command, Enrolled, Grant, Joining, KeyDigest, OpenToken, Registration},
};
use admin::wire::{TextEnum, token_role};
use api::admin::v1::{self as proto, CertificateRole};
use metrics::Counter;
use replication::Replica;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tonic::Status;
use transport::{Authority, Certificate, Role, SigningRequest, Subject, Token};

use super::{
    acting::Acting,
    caller::Caller,
    refused_enrolments::RefusedEnrolments,
    status::{ACCESS_DENIED, invalid, unavailable},
};
use crate::{
    credentials::{issuing::Issuer, registered::registration},
    limits::TOKEN_VALID_S_MAX,
    peers::node_client::NodeClient,
    test_hooks,
};

/// Creates join tokens, and enrols the persons and nodes that present them.
pub(super) struct Enrolment {
    issuer: Issuer,
    /// Enrols one caller at a time: two nodes that ask for a free number get different ones, and callers without a
    /// token cannot cause much work.
    turn: Mutex<()>,
    refused: RefusedEnrolments,
}

impl Enrolment {
    pub(super) fn new(issuer: Issuer, refused: Counter) -> Self {
        Self { issuer, turn: Mutex::default(), refused: RefusedEnrolments::new(refused) }
    }

    /// Records refused tokens in the audit record. Does not return.
    pub(super) async fn record_refused(&self, nodes: &NodeClient) {
        self.refused.record(nodes).await;
    }

    /// The certificate of the cluster's authority, in PEM.
    fn authority(&self) -> Result<String, Status> {
        let authority = self.issuer.source.authority_pem().map_err(|error| Status::internal(error.to_string()))?;
        authority.ok_or_else(|| {
            Status::failed_precondition(
                "this cluster uses the authority of the organisation (tls.authority): request the certificate there",
            )
        })
    }

    pub(super) async fn create(
        &self,
        acting: &Acting<'_>,
        asked: &proto::CreateTokenRequest,
    ) -> Result<proto::CreateTokenReply, Status> {
        let grant = match token_role(asked) {
            CertificateRole::Node => Grant::Node,
            CertificateRole::Administrator => Grant::Administrator,
            CertificateRole::Operator => Grant::Operator,
            CertificateRole::Reader => Grant::Reader,
            CertificateRole::Unspecified => {
                let what = format!("{:?} is not a role: give node, reader, operator or administrator", asked.role_text);
                return Err(invalid(what));
            }
        };
        if !(1..=TOKEN_VALID_S_MAX).contains(&asked.valid_s) {
            return Err(invalid(format!("a token is valid for 1 to {TOKEN_VALID_S_MAX} seconds")));
        }
        let authority = self.authority()?;
        let now_ms = acting.replica.read_point().await.map_err(unavailable)?.expiry_ms;
        let expires_ms = now_ms.saturating_add(asked.valid_s.saturating_mul(1000));
        let fingerprint = Authority::fingerprint_of(&authority).map_err(|error| Status::internal(error.to_string()))?;
        let token = match acting.secret() {
            // A repeated request gets the same token.
            Some(secret) => Token::with_secret(secret, fingerprint),
            None => Token::create(fingerprint).map_err(|error| Status::internal(error.to_string()))?,
        };
        let open = OpenToken { grant, expires_ms };
        acting.propose(Command::AddToken { digest: token.digest(), token: open }).await?;
        let given = acting.replica.view(|state| state.open_token(&token.digest())).unwrap_or(open);
        Ok(proto::CreateTokenReply { token: token.text().to_string(), expires_ms: given.expires_ms })
    }

    pub(super) async fn enroll(
        &self,
        mut acting: Acting<'_>,
        asked: &proto::EnrollRequest,
    ) -> Result<proto::EnrollReply, Status> {
        self.refused.admit(acting.from())?;
        let _turn = self.turn.lock().await;
        let authority = self.authority()?;
        let digest = Token::digest_of(&asked.secret);
        let now_ms = acting.replica.read_point().await.map_err(unavailable)?.expiry_ms;
        let open = acting.replica.view(|state| state.open_token(&digest));
        if let Some(reply) = self.answered_before(acting.replica, asked, &digest)? {
            return Ok(reply);
        }
        // Check the token before any proposal: a caller without a valid token must not cause a log entry.
        let valid = match open {
            None => Err("the cluster knows no such token: it was used already, or belongs to another cluster"),
            Some(open) if open.expires_ms < now_ms => {
                Err("the token has expired: create another one (`quorate cluster token`)")
            }
            Some(open) => Ok(open),
        };
        let open = valid.map_err(|why| {
            self.refused.note(acting.from());
            refused(why)
        })?;
        let registers = acting.replica.view(|state| state.format().registers_keys());
        let spend = |node, registration, joining, certificate: &str| {
            let enrolled = if registers { enrolled(&asked.request, certificate)? } else { None };
            Ok::<_, Status>(Command::UseToken { digest, time_ms: now_ms, node, registration, enrolled, joining })
        };
        let role = match open.grant {
            // Only persons enrol with a name.
            Grant::Node if !asked.name.is_empty() => {
                return Err(invalid("the token is for a node: use it with `quorate host init --join`"));
            }
            Grant::Node => {
                let node = number(acting.replica, asked.node)?;
                let mut reply = self.certified_node(acting.replica, asked, node).await?;
                let joining = match registers {
                    true => Some(joining(&reply.certificate, node, now_ms)?),
                    false => None,
                };
                reply.adds_itself = joining.is_some();
                acting.bearing_token(&Subject::Node(node));
                acting.propose(spend(Some(node), None, joining, &reply.certificate)?).await?;
                tracing::info!(
                    node,
                    peer_address = asked.peer_address,
                    "issued a certificate to a node that presented a token"
                );
                return Ok(reply);
            }
            Grant::Administrator => Role::Administrator,
            Grant::Operator => Role::Operator,
            Grant::Reader => Role::Reader,
        };
        if asked.request.is_empty() {
            return Err(invalid(format!("the token is for the role {role}: use it with `quorate cluster login`")));
        }
        let subject = Subject::person(&asked.name, role).map_err(invalid)?;
        acting.bearing_token(&format_args!("{} ({role})", asked.name));
        let (certificate, registered) = self.issued(&asked.request, &subject).await?;
        // The entry that spends the token also registers the key, before the certificate is handed out.
        acting.propose(spend(None, registers.then_some(registered), None, &certificate)?).await?;
        tracing::info!(%subject, "issued a certificate to a person who presented a token");
        Ok(person_reply(certificate, authority, role))
    }

    /// The answer that was given before, for a bearer that lost it and repeats the same signing request; `None`
    /// otherwise.
    fn answered_before(
        &self,
        replica: &Replica,
        asked: &proto::EnrollRequest,
        digest: &[u8; 32],
    ) -> Result<Option<proto::EnrollReply>, Status> {
        let enrolled = replica.view(|state| state.enrolled(digest).cloned());
        let Some(enrolled) = enrolled.filter(|enrolled| enrolled.request == request_digest(&asked.request)) else {
            return Ok(None);
        };
        let authority = self.authority()?;
        let pem = Certificate::pem_of(&enrolled.certificate);
        let certificate = Certificate::from_pem(&pem).map_err(|error| Status::internal(error.to_string()))?;
        tracing::info!(
            subject = %certificate.subject,
            "a used token was presented again, with the same certificate signing request"
        );
        Ok(Some(match certificate.subject {
            Subject::Node(node) => {
                let adds_itself = replica.view(|state| state.registry().joining(&certificate.key).is_some());
                proto::EnrollReply { adds_itself, ..node_reply(replica, authority, node, pem) }
            }
            Subject::Person { role, .. } => person_reply(pem, authority, role),
        }))
    }

    /// Issues a certificate for a node's signing request, which an administrator received as a file. The certificate
    /// gives no access before the node is added.
    pub(super) async fn certify_node(
        &self,
        acting: &Acting<'_>,
        asked: &proto::CertifyNodeRequest,
    ) -> Result<proto::CertifyNodeReply, Status> {
        let authority = self.authority()?;
        let subject = SigningRequest::subject_of(&asked.request).map_err(invalid)?;
        let Subject::Node(node) = subject else {
            return Err(invalid("the signing request is for a person, not for a node: persons log in with a token"));
        };
        activation::id::node_id(node).map_err(invalid)?;
        acting.replica.read_point().await.map_err(unavailable)?;
        let members = peer_addresses(acting.replica);
        if members.iter().any(|member| member.node == node) {
            return Err(Status::already_exists(format!(
                "node {node} is a member already: run `quorate host init` on the new node with another number"
            )));
        }
        if acting.replica.view(|state| state.registry().joining_nodes().any(|(_, joining)| joining.node == node)) {
            return Err(Status::already_exists(format!(
                "number {node} was assigned to a node that joins with a token: run `quorate host init` on the new node \
                 with another number"
            )));
        }
        let issue = self.issuer.issue(asked.request.to_vec(), &subject);
        let certificate = acting.noted(Coded::new(Code::CertifyNode, [node]), issue).await?;
        tracing::info!(node, "issued a certificate for a node's signing request");
        Ok(proto::CertifyNodeReply { node, certificate, authority, members })
    }

    /// Issues another certificate for the key of the certificate that the caller presented.
    pub(super) async fn renew(
        &self,
        acting: &Acting<'_>,
        caller: &Caller,
        asked: &proto::RenewCertificateRequest,
    ) -> Result<proto::RenewCertificateReply, Status> {
        let Some(shown) = caller.certificate.as_deref() else {
            return Err(Status::failed_precondition(
                "a caller on the administration socket presents no certificate: there is none to renew",
            ));
        };
        let authority = self.authority()?;
        let (certificate, registered) = self.issued(&asked.request, &shown.subject).await?;
        if registered.0 != shown.key {
            return Err(invalid(
                "the certificate signing request is for another key than the presented certificate: log in again \
                 (`quorate cluster login`)",
            ));
        }
        if acting.replica.view(|state| state.format().registers_keys() && state.registry().is_in_force()) {
            acting.propose(Command::Register { keys: vec![registered], renews: true }).await?;
        }
        tracing::info!(subject = %shown.subject, "a person's certificate was renewed");
        Ok(proto::RenewCertificateReply { certificate, authority })
    }

    /// A person's certificate, and the registration of its key.
    async fn issued(&self, request: &[u8], subject: &Subject) -> Result<(String, (KeyDigest, Registration)), Status> {
        let failed = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
        let certificate = self.issuer.issue(request.to_vec(), subject).await?;
        let registered = Certificate::from_pem(&certificate).map_err(|error| failed(&error))?;
        let registered =
            registration(&registered).ok_or_else(|| failed(&"the serial number of the certificate is malformed"))?;
        Ok((certificate, registered))
    }

    /// The reply to a node: a certificate for its key. A node of the version before, which sends no signing request,
    /// gets the authority's key instead, as long as the format registers no keys.
    async fn certified_node(
        &self,
        replica: &Replica,
        asked: &proto::EnrollRequest,
        node: u64,
    ) -> Result<proto::EnrollReply, Status> {
        let mut reply = node_reply(replica, self.authority()?, node, String::new());
        if !asked.request.is_empty() {
            reply.certificate = self.issuer.issue(asked.request.to_vec(), &Subject::Node(node)).await?;
            return Ok(reply);
        }
        if replica.view(|state| state.format().registers_keys()) {
            return Err(invalid(
                "the joining node's version requests the authority's key, which joining nodes no longer receive: \
                 upgrade that node",
            ));
        }
        let authority = self.issuer.source.authority().map_err(|error| Status::internal(error.to_string()))?;
        let authority = authority.ok_or_else(|| {
            Status::failed_precondition(
                "this node does not hold the authority's key: repeat the command on another node of the cluster",
            )
        })?;
        reply.authority_key = authority.key_pem().to_string();
        Ok(reply)
    }
}

fn person_reply(certificate: String, authority: String, role: Role) -> proto::EnrollReply {
    proto::EnrollReply {
        certificate,
        authority,
        role: certificate_role(role).into(),
        role_text: certificate_role(role).text().into(),
        ..proto::EnrollReply::default()
    }
}

fn node_reply(replica: &Replica, authority: String, node: u64, certificate: String) -> proto::EnrollReply {
    proto::EnrollReply {
        certificate,
        authority,
        role: CertificateRole::Node.into(),
        role_text: CertificateRole::Node.text().into(),
        node,
        members: peer_addresses(replica),
        ..proto::EnrollReply::default()
    }
}

fn peer_addresses(replica: &Replica) -> Vec<proto::PeerAddress> {
    let members = replica.cluster().members.into_iter();
    members.map(|(node, member)| proto::PeerAddress { node, address: member.address }).collect()
}

/// The right of the node with this certificate to add itself.
fn joining(certificate: &str, node: u64, now_ms: u64) -> Result<(KeyDigest, Joining), Status> {
    let certificate = Certificate::from_pem(certificate).map_err(|error| Status::internal(error.to_string()))?;
    let lasts_ms = test_hooks::joining_ms().unwrap_or(JOINING_MS);
    Ok((certificate.key, Joining { node, until_ms: now_ms.saturating_add(lasts_ms) }))
}

fn request_digest(request: &[u8]) -> [u8; 32] {
    Sha256::digest(request).into()
}

/// The part of the answer that the log keeps so that the answer can be given again; `None` without a signing
/// request.
fn enrolled(request: &[u8], certificate: &str) -> Result<Option<Enrolled>, Status> {
    if request.is_empty() {
        return Ok(None);
    }
    let certificate = Certificate::der_of(certificate).map_err(|error| Status::internal(error.to_string()))?;
    // A certificate above the size limit is not kept, so that answer cannot be given again.
    let fits = certificate.len() <= CERTIFICATE_BYTES_MAX;
    Ok(fits.then(|| Enrolled { request: request_digest(request), certificate: certificate.into() }))
}

fn certificate_role(role: Role) -> CertificateRole {
    match role {
        Role::Administrator => CertificateRole::Administrator,
        Role::Operator => CertificateRole::Operator,
        Role::Reader => CertificateRole::Reader,
    }
}

fn refused(why: &str) -> Status {
    Status::permission_denied(format!("{ACCESS_DENIED}: {why}"))
}

/// The node number that was requested; otherwise the number after the highest that a member has or that was given
/// with a token.
fn number(replica: &Replica, wanted: u64) -> Result<u64, Status> {
    let members = replica.cluster().members;
    if wanted > 0 {
        activation::id::node_id(wanted).map_err(invalid)?;
        if members.contains_key(&wanted) {
            return Err(Status::already_exists(format!("node {wanted} is a member already: choose another number")));
        }
        return Ok(wanted);
    }
    let highest = members.keys().next_back().copied().unwrap_or(0);
    let next = highest.max(replica.view(|state| state.highest_enrolled())) + 1;
    if next > NODE_ID_MAX {
        return Err(invalid("the highest node number is in use: choose a free number"));
    }
    Ok(next)
}
