//! Administration on a Unix socket in the data folder: whoever may open the socket is an administrator.

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use activation::{
    catalog::SignedCatalog,
    host_activation::{ActivationRequests, HostActivationRequest, SignedAnswers},
    id::{Fingerprint, KeyId, NodeId, PublisherId},
    key::{KeyKind, TypedKey},
    state::Command,
};
use api::admin::v1::{self as proto, admin_server, node_answer::Answer, node_question::Question};
use futures::future::join_all;
use prost::Message;
use replication::{ProposeError, Replica, Unavailable};
use tokio::net::UnixSocket;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    cluster_status,
    limits::{ADMIN_MESSAGE_BYTES_MAX, SOCKET_PATH_BYTES_MAX},
};

/// Why there is no administration socket.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The system's limit.
    #[error("the path of the administration socket, {}, is longer than {SOCKET_PATH_BYTES_MAX} bytes: choose a shorter `data`", path.display())]
    PathTooLong {
        /// The path.
        path: PathBuf,
    },
    /// The system's refusal.
    #[error("cannot make the administration socket {}: {source}", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the socket and returns what serves it.
pub(crate) fn serve(path: &Path, replica: Replica) -> Result<impl Future<Output = ()> + use<>, AdminError> {
    if path.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
        return Err(AdminError::PathTooLong { path: path.to_owned() });
    }
    let listener = listen(path).map_err(|source| AdminError::Io { path: path.to_owned(), source })?;
    let service = admin_server::AdminServer::new(Admin { replica })
        .max_decoding_message_size(ADMIN_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(ADMIN_MESSAGE_BYTES_MAX);
    Ok(async move {
        let incoming = UnixListenerStream::new(listener);
        if let Err(error) = Server::builder().add_service(service).serve_with_incoming(incoming).await {
            tracing::error!(%error, "administration is no longer served");
        }
    })
}

/// Its rights are set before anybody can connect.
fn listen(path: &Path) -> io::Result<tokio::net::UnixListener> {
    // The store's lock says that no other node lives in this folder: what is here was left by a crash.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(64)
}

struct Admin {
    replica: Replica,
}

type Reply<T> = Result<Response<T>, Status>;

fn unavailable(error: Unavailable) -> Status {
    Status::unavailable(error.to_string())
}

fn propose_error(error: ProposeError) -> Status {
    match error {
        ProposeError::Refused(why) => Status::failed_precondition(why),
        ProposeError::Unavailable(error) => unavailable(error),
    }
}

fn invalid(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

#[tonic::async_trait]
impl admin_server::Admin for Admin {
    async fn count(&self, request: Request<proto::CountRequest>) -> Reply<proto::CountReply> {
        let wanted = request.into_inner().application;
        let point = self.replica.read_point().await.map_err(unavailable)?;
        let counts = self.replica.view(|state| state.counts(point.cluster_time_ms));
        let applications: Vec<_> = counts
            .into_iter()
            .filter(|application| wanted.is_empty() || application.application.as_str() == wanted)
            .map(|application| proto::ApplicationCount {
                publisher: application.publisher_name,
                application: application.application.to_string(),
                count: application.count,
                cache_limit: application.cache_limit,
                products: application
                    .products
                    .into_iter()
                    .map(|product| proto::ProductCount {
                        product: product.name.to_string(),
                        group: product.group.to_string(),
                        threshold: product.threshold,
                        met: application.count >= product.threshold,
                    })
                    .collect(),
            })
            .collect();
        if applications.is_empty() && !wanted.is_empty() {
            return Err(Status::not_found(format!("no installed catalog has an application {wanted:?}")));
        }
        Ok(Response::new(proto::CountReply { applications, cluster_time_ms: point.cluster_time_ms }))
    }

    async fn cluster_status(&self, _: Request<proto::ClusterStatusRequest>) -> Reply<proto::ClusterStatusReply> {
        Ok(Response::new(cluster_status::gather(&self.replica).await))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Reply<proto::TransferLeaderReply> {
        let to = request.into_inner().to;
        let cluster = self.replica.cluster();
        if !cluster.voters.contains(&to) {
            return Err(invalid(format!("node {to} is no voter of this cluster; voters are {:?}", cluster.voters)));
        }
        match cluster.leader {
            Some(leader) if leader == to => {}
            Some(leader) if leader == cluster.node => self.replica.transfer_leader(to).await.map_err(unavailable)?,
            Some(leader) => {
                return Err(Status::failed_precondition(format!("node {leader} leads: ask it to hand over")));
            }
            None => return Err(unavailable(Unavailable::NoLeader)),
        }
        Ok(Response::new(proto::TransferLeaderReply { leader: to }))
    }

    async fn clock(&self, request: Request<proto::ClockRequest>) -> Reply<proto::ClockReply> {
        use proto::clock_request::Action;
        match request.into_inner().action() {
            Action::Accept => self.replica.accept_clock().await,
            Action::Reset => self.replica.reset_clock().await,
            Action::Unspecified => return Err(invalid("say whether to accept the clocks or to reset to them")),
        }
        .map_err(propose_error)?;
        let point = self.replica.read_point().await.map_err(unavailable)?;
        Ok(Response::new(proto::ClockReply { cluster_time_ms: point.cluster_time_ms }))
    }

    async fn install_catalog(
        &self,
        request: Request<proto::InstallCatalogRequest>,
    ) -> Reply<proto::InstallCatalogReply> {
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
        self.propose(Command::InstallCatalog { signed: opened.bytes }).await?;
        Ok(Response::new(reply))
    }

    async fn show_catalogs(&self, _: Request<proto::ShowCatalogsRequest>) -> Reply<proto::ShowCatalogsReply> {
        self.replica.read_point().await.map_err(unavailable)?;
        let signed_catalogs =
            self.replica.view(|state| state.publishers().map(|publisher| publisher.opened().bytes.clone()).collect());
        Ok(Response::new(proto::ShowCatalogsReply { signed_catalogs }))
    }

    async fn install_key(&self, request: Request<proto::InstallKeyRequest>) -> Reply<proto::InstallKeyReply> {
        let key: TypedKey = request.into_inner().key.parse().map_err(invalid)?;
        if key.kind() != KeyKind::Host {
            return Err(invalid("this is no host key: setup keys and direct keys belong on client machines"));
        }
        let key_id = key.key_id().to_string();
        let publisher = self.replica.view(only_publisher)?;
        self.propose(Command::InstallKey { publisher, key }).await?;
        Ok(Response::new(proto::InstallKeyReply { key_id }))
    }

    async fn list_keys(&self, _: Request<proto::ListKeysRequest>) -> Reply<proto::ListKeysReply> {
        self.replica.read_point().await.map_err(unavailable)?;
        let members: Vec<NodeId> = self.replica.cluster().members.into_keys().collect();
        let keys = self.replica.view(|state| installed_keys(state, &members));
        Ok(Response::new(proto::ListKeysReply { keys }))
    }

    async fn request_activation(
        &self,
        request: Request<proto::RequestActivationRequest>,
    ) -> Reply<proto::RequestActivationReply> {
        let proto::RequestActivationRequest { key_id, node } = request.into_inner();
        let wanted: Option<KeyId> = if key_id.is_empty() { None } else { Some(key_id.parse().map_err(invalid)?) };
        self.replica.read_point().await.map_err(unavailable)?;
        let members = self.replica.cluster().members;
        if node != 0 && !members.contains_key(&node) {
            return Err(invalid(format!("node {node} is no member of this cluster")));
        }
        let missing: Vec<(NodeId, KeyId)> = self.replica.view(|state| {
            let keys = state.keys().filter(|key| wanted.is_none_or(|wanted| wanted == key.id));
            keys.flat_map(|key| {
                let holds = |member| key.activations.contains_key(&member);
                members
                    .keys()
                    .copied()
                    .filter(|member| if node == 0 { !holds(*member) } else { *member == node })
                    .map(|member| (member, key.id))
                    .collect::<Vec<_>>()
            })
            .collect()
        });
        if missing.is_empty() {
            return Err(Status::failed_precondition(
                "nothing to activate: install a key first (`quorate key install`), or name a node to activate again",
            ));
        }
        let asked = missing.into_iter().map(|(node, key_id)| self.ask_for_request(node, key_id));
        let requests = join_all(asked).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let nodes = requests.iter().map(|request| request.asked().node).collect();
        let request = ActivationRequests { requests, releases: Vec::new() }.encode().into();
        Ok(Response::new(proto::RequestActivationReply { request, nodes }))
    }

    async fn install_activation(
        &self,
        request: Request<proto::InstallActivationRequest>,
    ) -> Reply<proto::InstallActivationReply> {
        let signed = request.into_inner().answer;
        let answers = SignedAnswers::decode(&signed).map_err(invalid)?;
        let nodes = answers.answers().answers.iter().map(|answer| answer.node).collect();
        self.propose(Command::InstallActivation { signed }).await?;
        Ok(Response::new(proto::InstallActivationReply { nodes }))
    }
}

impl Admin {
    async fn propose(&self, command: Command) -> Result<(), Status> {
        let index = self.replica.propose(&command).await.map_err(propose_error)?;
        // An administrator who asks this node next must find what was just done.
        self.replica.wait_applied(index).await.map_err(unavailable)
    }

    async fn ask_for_request(&self, node: NodeId, key_id: KeyId) -> Result<HostActivationRequest, Status> {
        let failed = |why: String| Status::unavailable(format!("node {node}: {why}"));
        let question = Question::Activation(proto::ActivationQuestion { key_id: key_id.as_ref().to_vec().into() });
        let question = proto::NodeQuestion { question: Some(question) }.encode_to_vec().into();
        let answer = self.replica.ask(node, question).await.map_err(failed)?;
        match proto::NodeAnswer::decode(answer).map_err(|error| failed(error.to_string()))?.answer {
            Some(Answer::ActivationRequest(bytes)) => {
                let requests = ActivationRequests::decode(&bytes).map_err(|error| failed(error.to_string()))?;
                requests.requests.into_iter().next().ok_or_else(|| failed("asks for nothing".into()))
            }
            _ => Err(failed("answered something else".into())),
        }
    }
}

/// The publisher that a key is of where nobody says.
fn only_publisher(state: &activation::state::State) -> Result<PublisherId, Status> {
    let installed: Vec<_> = state.publishers().map(activation::state::PublisherState::id).collect();
    match installed.as_slice() {
        [publisher] => Ok(*publisher),
        [] => Err(Status::failed_precondition("no catalog is installed: run `quorate catalog install` first")),
        [..] => Err(Status::failed_precondition("catalogs of several publishers are installed: say whose key it is")),
    }
}

fn installed_keys(state: &activation::state::State, members: &[NodeId]) -> Vec<proto::InstalledKey> {
    state
        .keys()
        .map(|key| {
            let publisher = state.publisher(key.publisher);
            let certified = key.activations.values().next().map(|activation| activation.certificate.group);
            let group = publisher
                .and_then(|publisher| publisher.catalog().group(certified.unwrap_or_else(|| key.key.group_hint())));
            let activations = members.iter().map(|&node| {
                let certificate = key.activations.get(&node).map(|activation| &activation.certificate);
                let blocked = |certificate| publisher.is_some_and(|publisher| publisher.catalog().blocks(certificate));
                proto::NodeActivation {
                    node,
                    state: match certificate {
                        None => "unactivated",
                        Some(certificate) if blocked(certificate) => "blocked",
                        Some(_) => "activated",
                    }
                    .into(),
                    issued_ms: certificate.map_or(0, |certificate| u64::from(certificate.issued_minutes) * 60_000),
                }
            });
            proto::InstalledKey {
                key_id: key.id.to_string(),
                masked: key.key.masked(),
                publisher: publisher.map_or(String::new(), |publisher| publisher.name().to_owned()),
                group: group.map_or(String::new(), |group| group.name.to_string()),
                activations: activations.collect(),
            }
        })
        .collect()
}
