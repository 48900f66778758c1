//! The administration service: on a Unix socket in the data folder, where every caller that can open the socket is
//! an administrator, and remotely over TLS, where the caller's certificate gives its role ([`rights`]).

mod acting;
mod audit;
mod audit_log;
mod authority;
mod caller;
mod enrolment;
mod events;
mod joining;
mod keys;
mod members;
mod refused_enrolments;
mod request_ids;
mod revocation;
mod rights;
mod status;

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use activation::{
    catalog::SignedCatalog,
    coded::{Code, Coded},
    id::{Cmid, Fingerprint},
    settings::{Scope, SettingChange, SettingError},
    state::Command,
};
use api::{
    admin::v1::{self as proto, admin_server},
    node::v1::{FollowSettingsRequest, GatewayReportRequest, SettleDnsRequest},
};
use futures::{
    FutureExt, StreamExt,
    future::{OptionFuture, join, join_all},
    stream::{self, BoxStream},
};
use metrics::Counter;
use replication::Replica;
use tokio::net::TcpListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use transport::{Admission, Audience, PresentedIdentity, listen_privately};

pub use self::audit_log::AUDIT_TARGET;
pub(crate) use self::{acting::Acting, joining::JoiningService, keys::Keys, status::ACCESS_DENIED};
use self::{
    enrolment::Enrolment,
    members::Members,
    rights::Guarded,
    status::{invalid, propose_error, unavailable},
};
use crate::{
    credentials::issuing::Issuer,
    dns::{self, Dns},
    forwarding,
    http::console::Console,
    lifecycle::{drain::Drain, registration::Registrar},
    limits::{
        ADMIN_KEEP_ALIVE_INTERVAL, ADMIN_MESSAGE_BYTES_MAX, ADMIN_STREAMS_MAX, BACKUP_PART_BYTES, LOOK_TIMEOUT,
        PEER_KEEP_ALIVE_TIMEOUT, SETTLE_TIMEOUT, SOCKET_PATH_BYTES_MAX, WORK_TIMEOUT,
    },
    observation::{self, cluster_status, counts},
    peers::node_client::NodeClient,
    tasks::{HostTask, NamedCalls},
};

/// Why the administration socket cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The path exceeds the system's limit of `SOCKET_PATH_BYTES_MAX` bytes.
    #[error("the path of the administration socket, {}, is longer than {SOCKET_PATH_BYTES_MAX} bytes: choose a shorter `data`", path.display())]
    PathTooLong {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The system refused to create the socket.
    #[error("cannot make the administration socket {}: {source}", path.display())]
    Io {
        /// The path of the socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// The parts of a node that the administration service works on.
pub(crate) struct Parts {
    pub(crate) nodes: NodeClient,
    pub(crate) dns: Option<Arc<Dns>>,
    pub(crate) drain: Arc<Drain>,
    /// The console; `None` where `metrics.listen` is off.
    pub(crate) console: Option<Arc<Console>>,
    /// Issues certificates.
    pub(crate) issuer: Issuer,
    /// Counts wrong join tokens.
    pub(crate) refused_enrolments: Counter,
    pub(crate) registrar: Registrar,
}

/// Creates the socket and returns a future that serves it, and remote administration where `afar` has a listener for
/// it.
pub(crate) fn serve(
    path: &Path,
    afar: Option<(TcpListener, Arc<PresentedIdentity>, Admission)>,
    parts: Parts,
) -> Result<impl Future<Output = ()> + use<>, AdminError> {
    if path.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
        return Err(AdminError::PathTooLong { path: path.to_owned() });
    }
    let listener = listen_privately(path).map_err(|source| AdminError::Io { path: path.to_owned(), source })?;
    let Parts { nodes, dns, drain, console, issuer, refused_enrolments, registrar } = parts;
    let registered = Arc::clone(&registrar.registered);
    let enrolment = Arc::new(Enrolment::new(issuer, refused_enrolments));
    let (recording, recorder) = (Arc::clone(&enrolment), nodes.clone());
    let service = admin_server::AdminServer::new(Admin {
        replica: nodes.replica().clone(),
        nodes,
        dns,
        drain,
        console,
        enrolment,
        registrar,
    })
    .max_decoding_message_size(ADMIN_MESSAGE_BYTES_MAX)
    .max_encoding_message_size(ADMIN_MESSAGE_BYTES_MAX);
    let service = Guarded { service, registered: Arc::clone(&registered) };
    Ok(async move {
        let from_afar = afar.map(|afar| serve_afar(afar, service.clone()));
        let incoming = UnixListenerStream::new(listener);
        let here = Server::builder()
            .layer(NamedCalls::new(HostTask::AdminCall))
            .add_service(service)
            .serve_with_incoming(incoming);
        let served = join(here, OptionFuture::from(from_afar).map(Option::unwrap_or_default));
        tokio::select! {
            (served, ()) = served => if let Err(error) = served {
                tracing::error!(%error, "the administration socket accepts no more calls");
            },
            () = recording.record_refused(&recorder) => {}
        }
    })
}

async fn serve_afar(
    (listener, own, admission): (TcpListener, Arc<PresentedIdentity>, Admission),
    service: Guarded<admin_server::AdminServer<Admin>>,
) {
    let (accepting, connections) = transport::listen(listener, own, Audience::Anybody, admission);
    let server = Server::builder()
        .layer(NamedCalls::new(HostTask::AdminCall))
        .max_concurrent_streams(ADMIN_STREAMS_MAX)
        .http2_keepalive_interval(Some(ADMIN_KEEP_ALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(PEER_KEEP_ALIVE_TIMEOUT))
        .add_service(service)
        .serve_with_incoming(connections);
    tokio::select! {
        () = accepting => {}
        served = server => if let Err(error) = served {
            tracing::error!(%error, "the administration port accepts no more calls");
        }
    }
}

struct Admin {
    nodes: NodeClient,
    replica: Replica,
    dns: Option<Arc<Dns>>,
    drain: Arc<Drain>,
    console: Option<Arc<Console>>,
    enrolment: Arc<Enrolment>,
    registrar: Registrar,
}

type Reply<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl admin_server::Admin for Admin {
    type EventsStream = events::Stream;
    type BackupStream = BoxStream<'static, Result<proto::BackupPart, Status>>;

    async fn backup(&self, request: Request<proto::BackupRequest>) -> Reply<Self::BackupStream> {
        let backup = async { self.replica.backup().await.map_err(unavailable) };
        let mut file = self.acting(&request)?.noted(Coded::bare(Code::BackUp), backup).await?;
        let parts = std::iter::from_fn(move || {
            let part = file.split_to(file.len().min(BACKUP_PART_BYTES));
            (!part.is_empty()).then_some(Ok(proto::BackupPart { part }))
        });
        Ok(Response::new(stream::iter(parts).boxed()))
    }

    async fn count(&self, request: Request<proto::CountRequest>) -> Reply<proto::CountReply> {
        let wanted = request.into_inner().application;
        let point = self.replica.read_point().await.map_err(unavailable)?;
        let mut reply = self.replica.view(|state| counts::counts(state, point.expiry_ms));
        reply.applications.retain(|application| wanted.is_empty() || application.application == wanted);
        if reply.applications.is_empty() && !wanted.is_empty() {
            return Err(Status::not_found(format!("no installed catalog has an application {wanted:?}")));
        }
        Ok(Response::new(reply))
    }

    async fn cluster_status(&self, _: Request<proto::ClusterStatusRequest>) -> Reply<proto::ClusterStatusReply> {
        Ok(Response::new(cluster_status::gather(&self.nodes).await))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Reply<proto::TransferLeaderReply> {
        let acting = self.acting(&request)?;
        self.members(&acting).transfer_leader(request.into_inner()).await.map(Response::new)
    }

    async fn clock(&self, request: Request<proto::ClockRequest>) -> Reply<proto::ClockReply> {
        use proto::clock_request::Action;
        let action = request.get_ref().action();
        let act = match action {
            Action::Accept => Code::AcceptClock,
            Action::Reset => Code::ResetClock,
            Action::Unspecified => {
                return Err(invalid(
                    "the request must say whether to accept the clocks or to reset cluster time to them",
                ));
            }
        };
        let acting = self.acting(&request)?;
        // Only the id matters here: the leader makes the actual command, and its time is not known yet.
        let id = acting.id_for(&match action {
            Action::Accept => Command::AcceptClock { time_ms: 0 },
            _ => Command::ResetClock { time_ms: 0 },
        });
        let work = async {
            let set = match action {
                Action::Accept => self.replica.accept_clock(id).await,
                _ => self.replica.reset_clock(id).await,
            };
            set.map_err(propose_error)
        };
        acting.noted(Coded::bare(act), work).await?;
        let point = self.replica.read_point().await.map_err(unavailable)?;
        Ok(Response::new(proto::ClockReply { cluster_time_ms: point.cluster_time_ms }))
    }

    async fn install_catalog(
        &self,
        request: Request<proto::InstallCatalogRequest>,
    ) -> Reply<proto::InstallCatalogReply> {
        let acting = self.acting(&request)?;
        let proto::InstallCatalogRequest { signed_catalog, trust } = request.into_inner();
        let opened = SignedCatalog::open(&signed_catalog).map_err(invalid)?;
        let trusted: Fingerprint = trust.parse().map_err(invalid)?;
        if trusted.0 != opened.publisher {
            return Err(Status::permission_denied(format!(
                "the catalog is signed by {}, not by {trusted}: ask the publisher for its fingerprint",
                Fingerprint(opened.publisher)
            )));
        }
        let reply = proto::InstallCatalogReply {
            publisher: opened.catalog.publisher_name().to_owned(),
            publisher_id: opened.publisher.to_string(),
            serial: opened.catalog.serial(),
        };
        acting.propose(Command::InstallCatalog { signed: opened.bytes }).await?;
        Ok(Response::new(reply))
    }

    async fn show_catalogs(&self, _: Request<proto::ShowCatalogsRequest>) -> Reply<proto::ShowCatalogsReply> {
        self.replica.read_point().await.map_err(unavailable)?;
        let signed_catalogs =
            self.replica.view(|state| state.publishers().map(|publisher| publisher.opened().bytes.clone()).collect());
        Ok(Response::new(proto::ShowCatalogsReply { signed_catalogs }))
    }

    async fn install_key(&self, request: Request<proto::InstallKeyRequest>) -> Reply<proto::InstallKeyReply> {
        let acting = self.acting(&request)?;
        Keys(&acting).install(request.into_inner()).await.map(Response::new)
    }

    async fn list_keys(&self, request: Request<proto::ListKeysRequest>) -> Reply<proto::ListKeysReply> {
        let acting = self.acting(&request)?;
        Keys(&acting).list().await.map(Response::new)
    }

    async fn request_activation(
        &self,
        request: Request<proto::RequestActivationRequest>,
    ) -> Reply<proto::RequestActivationReply> {
        let acting = self.acting(&request)?;
        Keys(&acting).request(request.into_inner()).await.map(Response::new)
    }

    async fn install_activation(
        &self,
        request: Request<proto::InstallActivationRequest>,
    ) -> Reply<proto::InstallActivationReply> {
        let acting = self.acting(&request)?;
        Keys(&acting).install_answer(request.into_inner()).await.map(Response::new)
    }

    async fn get_settings(&self, request: Request<proto::GetSettingsRequest>) -> Reply<proto::GetSettingsReply> {
        let node = self.of_node(request.into_inner().node)?;
        self.replica.read_point().await.map_err(unavailable)?;
        let settings = self.replica.view(|state| counts::settings(state, node));
        Ok(Response::new(proto::GetSettingsReply { settings }))
    }

    async fn change_settings(
        &self,
        request: Request<proto::ChangeSettingsRequest>,
    ) -> Reply<proto::ChangeSettingsReply> {
        let acting = self.acting(&request)?;
        let request = request.into_inner();
        let node = self.of_node(request.node)?;
        let scope = if node.is_some() { Scope::Node } else { Scope::Cluster };
        let changes = request.changes.iter();
        // Refuse a wrong name or value before it is proposed.
        let changes = changes.map(|change| SettingChange::parse(scope, change.name.parse()?, &change.value));
        let changes: Vec<_> = changes.collect::<Result<_, SettingError>>().map_err(invalid)?;
        self.replica.view(|state| forwarding::check_changes(state, &changes)).map_err(invalid)?;
        let index = acting.propose(Command::ChangeSettings { node, changes }).await?;
        let problem = match node {
            None => String::new(),
            Some(node) => self.problem_of(node, index).await,
        };
        Ok(Response::new(proto::ChangeSettingsReply { problem }))
    }

    async fn gateway_status(&self, _: Request<proto::GatewayStatusRequest>) -> Reply<proto::GatewayStatusReply> {
        let members = self.replica.cluster().members;
        let asked = members.keys().map(|&node| self.nodes.ask(node, GatewayReportRequest {}, LOOK_TIMEOUT));
        let mut reply = proto::GatewayStatusReply::default();
        for answered in join_all(asked).await {
            match answered {
                Ok(node) => reply.nodes.push(node),
                Err(error) => reply.passed_over.push(error.to_string()),
            }
        }
        reply.clients = forwarding::take_clients(&mut reply.nodes);
        Ok(Response::new(reply))
    }

    async fn dns_status(&self, _: Request<proto::DnsStatusRequest>) -> Reply<proto::DnsStatusReply> {
        Ok(Response::new(dns::status(self.dns()?).await))
    }

    async fn dns_settle(&self, request: Request<proto::DnsSettleRequest>) -> Reply<proto::DnsSettleReply> {
        self.acting(&request)?.noted(Coded::bare(Code::SettleDns), async { Ok(()) }).await?;
        let members = self.replica.cluster().members;
        let asked = members.keys().map(|&node| async move {
            let settled = self.nodes.ask(node, SettleDnsRequest {}, SETTLE_TIMEOUT).await;
            settled.unwrap_or_else(|error| proto::DnsSettled {
                node,
                passed_over: error.to_string(),
                domains: Vec::new(),
            })
        });
        Ok(Response::new(proto::DnsSettleReply { nodes: join_all(asked).await }))
    }

    async fn dns_zone(&self, _: Request<proto::DnsZoneRequest>) -> Reply<proto::DnsZoneReply> {
        self.replica.read_point().await.map_err(unavailable)?;
        dns::zone(self.dns()?).await.map(Response::new).map_err(|error| Status::internal(error.to_string()))
    }

    async fn release_activation(
        &self,
        request: Request<proto::ReleaseActivationRequest>,
    ) -> Reply<proto::ReleaseActivationReply> {
        let acting = self.acting(&request)?;
        Keys(&acting).release(request.into_inner()).await.map(Response::new)
    }

    async fn drain(&self, request: Request<proto::DrainRequest>) -> Reply<proto::DrainReply> {
        // Draining needs the role operator; leaving the cluster needs the role administrator.
        if request.get_ref().leave {
            rights::admit("RemoveNode", &caller::of(&request))?;
        }
        let acting = self.acting(&request)?;
        let request = request.into_inner();
        let own = self.replica.identity().owner;
        let node = self.of_node(request.node)?.unwrap_or(own);
        let (force, leave) = (request.force, request.leave);
        let work = async {
            if node == own { self.drain.begin(request).await } else { self.members(&acting).drain(node, request).await }
        };
        let act = match leave {
            true => Coded::new(Code::DrainLeavingNode, [node]),
            false => Coded::new(Code::DrainNode, [node]),
        };
        let drained = if force { acting.noted_if_possible(act, work).await } else { acting.noted(act, work).await };
        drained.map(Response::new)
    }

    async fn add_node(&self, request: Request<proto::AddNodeRequest>) -> Reply<proto::MembersReply> {
        let acting = self.acting(&request)?;
        self.members(&acting).add(request.into_inner()).await.map(Response::new)
    }

    async fn remove_node(&self, request: Request<proto::RemoveNodeRequest>) -> Reply<proto::MembersReply> {
        let acting = self.acting(&request)?;
        self.members(&acting).remove(request.into_inner()).await.map(Response::new)
    }

    async fn promote_node(&self, request: Request<proto::PromoteNodeRequest>) -> Reply<proto::MembersReply> {
        let acting = self.acting(&request)?;
        self.members(&acting).promote(request.into_inner()).await.map(Response::new)
    }

    async fn rejoin_node(&self, request: Request<proto::RejoinNodeRequest>) -> Reply<proto::MembersReply> {
        let acting = self.acting(&request)?;
        self.members(&acting).rejoin(request.into_inner()).await.map(Response::new)
    }

    async fn events(&self, request: Request<proto::EventsRequest>) -> Reply<Self::EventsStream> {
        Ok(Response::new(events::stream(self.nodes.clone(), request.into_inner())))
    }

    async fn counted_in(&self, request: Request<proto::CountedInRequest>) -> Reply<proto::CountedInReply> {
        let cmid =
            <[u8; 16]>::try_from(request.into_inner().cmid.as_ref()).map_err(|_| invalid("a CMID has 16 bytes"))?;
        let point = self.replica.read_point().await.map_err(unavailable)?;
        let reply = self.replica.view(|state| observation::counted_in::counted_in(state, Cmid(cmid), point.expiry_ms));
        Ok(Response::new(reply))
    }

    async fn duplicates(&self, _: Request<proto::DuplicatesRequest>) -> Reply<proto::DuplicatesReply> {
        Ok(Response::new(observation::duplicates::gather(&self.nodes).await))
    }

    async fn examine(&self, _: Request<proto::ExamineRequest>) -> Reply<proto::ExamineReply> {
        Ok(Response::new(proto::ExamineReply { nodes: counts::probe_machines(&self.nodes).await }))
    }

    async fn console_ticket(&self, request: Request<proto::ConsoleTicketRequest>) -> Reply<proto::ConsoleTicketReply> {
        let console = self.console.as_ref().ok_or_else(|| {
            Status::failed_precondition(
                "this node has no HTTP port for the console: set metrics.listen in its configuration",
            )
        })?;
        let holder = caller::of(&request).certificate;
        let reply = console.ticket(holder).map_err(|error| Status::failed_precondition(error.to_string()))?;
        if reply.valid_s > 0 {
            tracing::info!(caller = %caller::of(&request), "issued a ticket for the console");
        }
        Ok(Response::new(reply))
    }

    async fn audit(&self, request: Request<proto::AuditRequest>) -> Reply<proto::AuditReply> {
        audit::read(&self.acting(&request)?).await.map(Response::new)
    }

    async fn set_format(&self, request: Request<proto::SetFormatRequest>) -> Reply<proto::SetFormatReply> {
        audit::set_format((&self.acting(&request)?, &self.registrar), &caller::of(&request), request.get_ref())
            .await
            .map(Response::new)
    }

    async fn create_token(&self, request: Request<proto::CreateTokenRequest>) -> Reply<proto::CreateTokenReply> {
        self.enrolment.create(&self.acting(&request)?, request.get_ref()).await.map(Response::new)
    }

    async fn list_tokens(&self, _: Request<proto::ListTokensRequest>) -> Reply<proto::ListTokensReply> {
        revocation::list_tokens(&self.replica).await.map(Response::new)
    }

    async fn revoke_token(&self, request: Request<proto::RevokeTokenRequest>) -> Reply<proto::RevokeTokenReply> {
        revocation::revoke_token(&self.acting(&request)?, request.get_ref()).await.map(Response::new)
    }

    async fn revoke(&self, request: Request<proto::RevokeRequest>) -> Reply<proto::RevokeReply> {
        revocation::revoke((&self.acting(&request)?, &self.registrar), request.get_ref()).await.map(Response::new)
    }

    async fn registry(&self, _: Request<proto::RegistryRequest>) -> Reply<proto::RegistryReply> {
        revocation::registry(&self.replica).await.map(Response::new)
    }

    async fn rotate_authority(
        &self,
        request: Request<proto::RotateAuthorityRequest>,
    ) -> Reply<proto::RotateAuthorityReply> {
        let (acting, caller) = (self.acting(&request)?, caller::of(&request));
        authority::rotate((&acting, &self.registrar.source), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn renew_certificate(
        &self,
        request: Request<proto::RenewCertificateRequest>,
    ) -> Reply<proto::RenewCertificateReply> {
        let acting = self.acting(&request)?;
        self.enrolment.renew(&acting, &caller::of(&request), request.get_ref()).await.map(Response::new)
    }

    async fn certify_node(&self, request: Request<proto::CertifyNodeRequest>) -> Reply<proto::CertifyNodeReply> {
        self.enrolment.certify_node(&self.acting(&request)?, request.get_ref()).await.map(Response::new)
    }

    async fn enroll(&self, request: Request<proto::EnrollRequest>) -> Reply<proto::EnrollReply> {
        // The request has arrived completely: keep its connection open until the answer is sent. This is the only
        // call without a certificate.
        let _call = request.extensions().get::<transport::Caller>().map(|caller| caller.activity.call());
        self.enrolment.enroll(self.acting(&request)?, request.get_ref()).await.map(Response::new)
    }
}

impl Admin {
    fn acting<T>(&self, request: &Request<T>) -> Result<Acting<'_>, Status> {
        Acting::of(&self.nodes, request)
    }

    fn members<'a>(&'a self, acting: &'a Acting<'a>) -> Members<'a> {
        Members { acting, registrar: &self.registrar }
    }

    /// The member with this number; `None` for 0, which means the cluster.
    fn of_node(&self, node: u64) -> Result<Option<u64>, Status> {
        if node > 0 && !self.replica.cluster().members.contains_key(&node) {
            return Err(Status::not_found(format!(
                "node {node} is not a member of this cluster: `quorate cluster status` lists them"
            )));
        }
        Ok((node > 0).then_some(node))
    }

    /// Why the node does not follow its settings up to this entry; empty where it does.
    async fn problem_of(&self, node: u64, log_index: u64) -> String {
        match self.nodes.ask(node, FollowSettingsRequest { log_index }, WORK_TIMEOUT).await {
            Ok(followed) => followed.problem,
            Err(why) => format!("it does not respond now ({why}): it applies the setting when it is back"),
        }
    }

    fn dns(&self) -> Result<&Dns, Status> {
        self.dns.as_deref().ok_or_else(|| {
            Status::failed_precondition("this node has no name in DNS: set dns.target in its configuration")
        })
    }
}
