//! Administration on a Unix socket in the data folder: whoever may open the socket is an administrator.

mod keys;
mod listing;

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use activation::{catalog::SignedCatalog, id::Fingerprint, state::Command};
use api::admin::v1::{self as proto, admin_server};
use replication::{ProposeError, Replica, Unavailable};
use tokio::net::UnixSocket;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use self::keys::Keys;
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
        propose(&self.replica, Command::InstallCatalog { signed: opened.bytes }).await?;
        Ok(Response::new(reply))
    }

    async fn show_catalogs(&self, _: Request<proto::ShowCatalogsRequest>) -> Reply<proto::ShowCatalogsReply> {
        self.replica.read_point().await.map_err(unavailable)?;
        let signed_catalogs =
            self.replica.view(|state| state.publishers().map(|publisher| publisher.opened().bytes.clone()).collect());
        Ok(Response::new(proto::ShowCatalogsReply { signed_catalogs }))
    }

    async fn install_key(&self, request: Request<proto::InstallKeyRequest>) -> Reply<proto::InstallKeyReply> {
        Keys(&self.replica).install(request.into_inner()).await.map(Response::new)
    }

    async fn list_keys(&self, _: Request<proto::ListKeysRequest>) -> Reply<proto::ListKeysReply> {
        Keys(&self.replica).list().await.map(Response::new)
    }

    async fn request_activation(
        &self,
        request: Request<proto::RequestActivationRequest>,
    ) -> Reply<proto::RequestActivationReply> {
        Keys(&self.replica).request(request.into_inner()).await.map(Response::new)
    }

    async fn install_activation(
        &self,
        request: Request<proto::InstallActivationRequest>,
    ) -> Reply<proto::InstallActivationReply> {
        Keys(&self.replica).install_answer(request.into_inner()).await.map(Response::new)
    }

    async fn release_activation(
        &self,
        request: Request<proto::ReleaseActivationRequest>,
    ) -> Reply<proto::ReleaseActivationReply> {
        Keys(&self.replica).release(request.into_inner()).await.map(Response::new)
    }
}

/// Carries a command out, so that an administrator who asks this node next finds what was just done.
async fn propose(replica: &Replica, command: Command) -> Result<(), Status> {
    let index = replica.propose(&command).await.map_err(propose_error)?;
    replica.wait_applied(index).await.map_err(unavailable)
}
