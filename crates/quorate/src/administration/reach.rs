//! How to connect to a node's administration; kept, so that a connection that broke can be made again.

use std::{fmt, path::PathBuf, sync::Arc};

use anyhow::{Context as _, anyhow};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use transport::PresentedIdentity;

use super::{
    contexts::Context,
    unreached::{CONNECT_TIMEOUT, cause, unreached},
};

/// Address of a node's administration, and the identity to present there.
#[derive(Clone)]
pub(super) enum Reach {
    /// The socket in the node's data folder.
    Socket(PathBuf),
    /// HOST:PORT of the node's `admin.listen`.
    Afar { address: String, own: Arc<PresentedIdentity>, context: Context },
}

impl Reach {
    /// Connects to the administration, anew at each call.
    pub(super) async fn connect(&self) -> anyhow::Result<Channel> {
        match self {
            Self::Socket(path) => {
                let owned = path.clone();
                let connector = tower::service_fn(move |_: Uri| {
                    let path = owned.clone();
                    async move { UnixStream::connect(path).await.map(TokioIo::new) }
                });
                // tonic needs an address and does not use it: the connector opens the socket.
                let channel = Endpoint::from_static("http://node").connect_with_connector(connector).await;
                channel.map_err(|error| {
                    let cause = cause(&error);
                    anyhow!(
                        "cannot connect to the node at unix:{} ({cause}): check that the node runs and that this user \
                         may open the socket, or name another socket with --admin unix:PATH",
                        path.display()
                    )
                })
            }
            Self::Afar { address, own, context } => {
                let endpoint =
                    Endpoint::from_shared(format!("http://{address}")).with_context(|| format!("{address:?}"))?;
                let connector = transport::connector(Arc::clone(own), CONNECT_TIMEOUT);
                let channel = endpoint.connect_with_connector(connector.clone()).await;
                let channel = channel.map_err(|error| unreached(address, &error))?;
                if let Some(key) = connector.seen_key()
                    && let Err(why) = context.keep_node_key(key)
                {
                    tracing::warn!("cannot save the node's public key in the context: {why:#}");
                }
                Ok(channel)
            }
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "unix:{}", path.display()),
            Self::Afar { address, .. } => f.write_str(address),
        }
    }
}
