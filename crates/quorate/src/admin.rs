//! Talking to a node's administration.

use std::{path::PathBuf, str::FromStr, time::Duration};

use anyhow::{Context, anyhow};
use api::admin::v1::admin_client::AdminClient;
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::sleep};
use tonic::transport::{Channel, Endpoint, Uri};

use crate::output::Failure;

/// Pause between two looks at a node that is to go away.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Which node to talk to.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// The node's administration: unix:PATH of the socket in its data folder.
    #[arg(long, env = "QUORATE_ADMIN", value_name = "unix:PATH", default_value = "unix:/var/lib/quorate/admin.sock")]
    admin: Address,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Address(PathBuf);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self(path.into())),
            _ => Err("give unix:PATH, as in unix:/var/lib/quorate/admin.sock".into()),
        }
    }
}

/// An open administration.
pub(crate) type Admin = AdminClient<Channel>;

impl AdminArgs {
    /// The administration that the text names.
    pub(crate) fn at(text: &str) -> Result<Self, String> {
        Ok(Self { admin: text.parse()? })
    }

    /// Connects, and runs `work` with the connection.
    pub(crate) fn run<T>(&self, work: impl AsyncFnOnce(Admin) -> Result<T, Failure>) -> Result<T, Failure> {
        block_on(async { work(self.connect().await?).await })?
    }

    /// Waits until nobody answers there any more.
    pub(crate) async fn gone(&self) {
        while UnixStream::connect(&self.admin.0).await.is_ok() {
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Connects.
    pub(crate) async fn connect(&self) -> anyhow::Result<Admin> {
        connect(&self.admin.0).await
    }
}

/// Runs a command's work on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    Ok(runtime.block_on(work))
}

/// Connects to the socket at `path`.
pub(crate) async fn connect(path: &std::path::Path) -> anyhow::Result<Admin> {
    let owned = path.to_owned();
    let connector = tower::service_fn(move |_: Uri| {
        let path = owned.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    });
    // The address is not used: the connector knows the socket.
    let channel = Endpoint::from_static("http://node").connect_with_connector(connector).await.map_err(|error| {
        let cause = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).last();
        let cause = cause.map_or_else(|| error.to_string(), ToString::to_string);
        anyhow!(
            "no node answers at unix:{} ({cause}); is it running, and may this user open the socket? \
             Another one is named by --admin unix:PATH",
            path.display()
        )
    })?;
    Ok(AdminClient::new(channel))
}

/// A refusal or a failure, in the node's own words.
pub(crate) fn refused(status: tonic::Status) -> Failure {
    anyhow!("{}", status.message()).into()
}
