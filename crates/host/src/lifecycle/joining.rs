//! A node that joined with a token adds itself to the cluster when it first runs.
//!
//! ```text
//! DATA/joining.toml          the members to call, and the node's own peer address; removed when the node is a member
//! ```

use std::{
    fs::{self, File},
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use api::node::v1::{JoinRequest, joining_client::JoiningClient};
use replication::Replica;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tonic::{Code, Status, transport::Endpoint};
use transport::{Connector, PresentedIdentity, connector};

use crate::{
    config::Config,
    limits::{
        JOIN_FILE_BYTES_MAX, JOIN_MESSAGE_BYTES_MAX, JOIN_PAUSE_MAX, JOIN_PAUSE_MIN, JOIN_TIMEOUT, PEER_CONNECT_TIMEOUT,
    },
    tasks::{self, HostTask},
};

/// The members that a node calls to add itself, and its own address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    /// HOST:PORT of the node's peer service; empty: the address from which the node calls.
    address: String,
    /// The port of the node's peer service.
    port: u16,
    /// The peer addresses of the cluster's members, HOST:PORT.
    members: Vec<String>,
}

impl Plan {
    fn path(data: &Path) -> PathBuf {
        data.join("joining.toml")
    }

    /// `None` if the node does not add itself.
    fn read(data: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(Self::path(data)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut text = String::new();
        file.take(JOIN_FILE_BYTES_MAX).read_to_string(&mut text)?;
        toml::from_str(&text).map(Some).map_err(io::Error::other)
    }

    fn forget(data: &Path) -> io::Result<()> {
        match fs::remove_file(Self::path(data)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Calls one member after the other, until one adds the node or refuses to.
    async fn ask(&self, connector: &Connector) -> Result<(), Status> {
        let mut last = Status::unavailable("no member is known");
        for member in &self.members {
            match self.ask_at(member, connector).await {
                Err(status) if status.code() != Code::PermissionDenied => {
                    last = Status::new(status.code(), format!("{member}: {}", status.message()));
                }
                decided => return decided,
            }
        }
        Err(last)
    }

    async fn ask_at(&self, member: &str, connector: &Connector) -> Result<(), Status> {
        let endpoint = Endpoint::from_shared(format!("http://{member}"));
        let endpoint = endpoint.map_err(|error| Status::invalid_argument(error.to_string()))?.timeout(JOIN_TIMEOUT);
        let channel = endpoint.connect_with_connector(connector.clone()).await;
        let channel = channel.map_err(|error| Status::unavailable(with_causes(&error)))?;
        let mut members = JoiningClient::new(channel).max_decoding_message_size(JOIN_MESSAGE_BYTES_MAX);
        let asked = JoinRequest { address: self.address.clone(), port: self.port.into() };
        members.join(asked).await.map(drop)
    }
}

/// Stores the members that a node calls to add itself when it first runs. `members` are their peer addresses,
/// HOST:PORT.
pub fn keep(config: &Config, members: Vec<String>) -> io::Result<()> {
    let listen = config.peers.listen;
    let address = config.peers.members.get(&config.node).cloned();
    let plan = Plan {
        address: address.or_else(|| specific(listen).map(|listen| listen.to_string())).unwrap_or_default(),
        port: listen.port(),
        members,
    };
    let text = toml::to_string(&plan).map_err(io::Error::other)?;
    storage::durable::create_folder(&config.data)?;
    storage::durable::replace_private_file(&Plan::path(&config.data), text.as_bytes())
}

/// The address; `None` for an address that means all addresses of the machine.
fn specific(listen: SocketAddr) -> Option<SocketAddr> {
    (!listen.ip().is_unspecified()).then_some(listen)
}

/// Whether the node in this data folder adds itself to a cluster.
pub(crate) fn is_planned(data: &Path) -> bool {
    Plan::path(data).exists()
}

/// Adds the node to its cluster, if it joined with a token and is not a member yet. Returns when the node is a member
/// or was refused.
pub(crate) async fn join(data: PathBuf, replica: Replica, shown: Arc<PresentedIdentity>) {
    let folder = data.clone();
    let plan = match tasks::blocking(HostTask::JoinFile, move || Plan::read(&folder)).await {
        Ok(Ok(Some(plan))) => plan,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            let file = Plan::path(&data).display().to_string();
            return tracing::error!(file, %error, "cannot read how this node joins: add it with `quorate cluster add`");
        }
    };
    let own = replica.identity().owner;
    let connector = connector(shown, PEER_CONNECT_TIMEOUT);
    let (mut pause, mut told) = (JOIN_PAUSE_MIN, None);
    while !replica.cluster().members.contains_key(&own) {
        match plan.ask(&connector).await {
            Ok(()) => break,
            Err(refused) if refused.code() == Code::PermissionDenied => {
                return tracing::error!(why = refused.message(), "the cluster refused to add this node");
            }
            Err(why) if told.as_deref() == Some(why.message()) => {}
            Err(why) => {
                tracing::warn!(why = why.message(), "this node is not a member of its cluster yet: it will try again");
                told = Some(why.message().to_owned());
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(JOIN_PAUSE_MAX);
    }
    tracing::info!("this node is a member of its cluster");
    let forgotten = tasks::blocking(HostTask::JoinFile, move || Plan::forget(&data)).await.and_then(|done| done);
    if let Err(error) = forgotten {
        // The file has no effect: at the next start the node is a member already.
        tracing::warn!(%error, "cannot remove the file with the members to call");
    }
}

/// The error with its causes, which the error of a channel does not include.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn where_a_node_joins_is_kept_for_its_account_alone_until_it_has_joined() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("node4");
        assert_eq!(Plan::read(&data).unwrap(), None);
        for (listen, members, address) in [
            ("10.0.0.4:1689", "", "10.0.0.4:1689"),
            ("0.0.0.0:1689", "", ""),
            ("[::]:1689", "", ""),
            ("0.0.0.0:1689", "members = [\"4=node4.example.test:1689\"]", "node4.example.test:1689"),
        ] {
            let text = format!("node = 4\ndata = {data:?}\n[peers]\nlisten = {listen:?}\n{members}");
            let config = Config::parse(&text, "node4.toml", &Overrides::default()).unwrap();
            keep(&config, vec!["10.0.0.1:1689".into()]).unwrap();
            let plan = Plan { address: address.into(), port: 1689, members: vec!["10.0.0.1:1689".into()] };
            assert_eq!(Plan::read(&data).unwrap(), Some(plan), "{listen} {members}");
        }
        let mode = fs::metadata(Plan::path(&data)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        Plan::forget(&data).unwrap();
        Plan::forget(&data).unwrap();
        assert!(!is_planned(&data));
    }
}
