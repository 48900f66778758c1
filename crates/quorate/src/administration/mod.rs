//! Connections to a node's administration: over its local socket, or over the network with a saved certificate.

pub(crate) mod contexts;
pub(crate) mod enrolment;
pub(crate) mod key_password;
mod reach;
mod repeating;
mod unreached;

use std::{net::Ipv6Addr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use api::admin::v1::{RenewCertificateRequest, admin_client::AdminClient};
use tokio::time::{sleep, timeout};
use transport::{PresentedIdentity, is_host_and_port};

pub(crate) use self::unreached::{CONNECT_TIMEOUT, unreached};
use self::{
    contexts::Context,
    reach::Reach,
    repeating::Repeating,
    unreached::{cause, certificates},
};
use crate::output::Failure;

/// Pause between two connection attempts while [`AdminArgs::gone`] waits for a node to stop.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// Timeout for renewing a person's certificate before the command's own request is sent.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(3);

/// The node to which a command connects.
#[derive(Debug, clap::Args)]
pub(crate) struct AdminArgs {
    /// The node's administration: unix:PATH of the socket in its data folder, a saved context's name, or HOST[:PORT].
    #[arg(long, env = "QUORATE_ADMIN", value_name = "ADDRESS", default_value = "unix:/var/lib/quorate/admin.sock")]
    admin: Address,
    /// Over the network, present the certificate of this saved context instead of the one saved for the address.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// Default port of a node's administration over the network.
const PORT: u16 = 1690;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Address {
    Socket(PathBuf),
    Context(String),
    Afar(String),
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Socket(path.into())),
            None if text.starts_with('/') => Ok(Self::Socket(text.into())),
            None if is_host_and_port(text) => Ok(Self::Afar(text.into())),
            None if let Ok(address) = text.parse::<Ipv6Addr>() => Ok(Self::Afar(format!("[{address}]:{PORT}"))),
            None if contexts::is_name(text) => Ok(Self::Context(text.into())),
            _ => Err(anyhow!(
                "expected unix:PATH (for example unix:/var/lib/quorate/admin.sock), HOST[:PORT], or the name of a \
                 context that `quorate cluster login` saved"
            )),
        }
    }
}

/// A connection to a node's administration. A request that changes something is repeated where its reply was lost,
/// and is carried out once.
pub(crate) type Admin = AdminClient<Repeating>;

impl AdminArgs {
    /// The administration that `text` names, in the form that `--admin` takes.
    pub(crate) fn at(text: &str) -> anyhow::Result<Self> {
        Ok(Self { admin: text.parse()?, context: None })
    }

    /// The same administration, with the certificate of this saved context.
    pub(crate) fn with_context(self, name: &str) -> anyhow::Result<Self> {
        match self.admin {
            Address::Socket(_) => Err(anyhow!(
                "no user can be given for a Unix socket: every account that may open the node's socket acts as \
                 administrator"
            )),
            _ => Ok(Self { context: Some(name.into()), ..self }),
        }
    }

    /// Connects, and runs `work` with the connection.
    pub(crate) fn run<T>(&self, work: impl AsyncFnOnce(Admin) -> Result<T, Failure>) -> Result<T, Failure> {
        block_on(async { work(self.connect().await?).await })?
    }

    /// Connects, and makes one call.
    pub(crate) fn ask<Reply>(
        &self,
        call: impl AsyncFnOnce(&mut Admin) -> Result<tonic::Response<Reply>, tonic::Status>,
    ) -> Result<Reply, Failure> {
        self.run(async |mut admin| Ok(call(&mut admin).await.map_err(refused)?.into_inner()))
    }

    /// Waits until no connection to the node's administration succeeds any more.
    pub(crate) async fn gone(&self) {
        while self.connect().await.is_ok() {
            sleep(LOOK_PAUSE).await;
        }
    }

    /// Connects to the administration.
    pub(crate) async fn connect(&self) -> anyhow::Result<Admin> {
        let shown = self.context.as_deref().map(Context::named).transpose()?;
        let at = async |address: &str, saved: Option<Context>| {
            let context = match shown.or(saved) {
                Some(context) => context,
                None => Context::for_address(address)?,
            };
            connect_afar(address, &context).await
        };
        match &self.admin {
            Address::Socket(path) => connect(path).await,
            Address::Afar(address) => at(address, None).await,
            Address::Context(name) => match Context::saved(name)? {
                Some(context) => {
                    let address = context.address().to_owned();
                    at(&address, Some(context)).await
                }
                // The argument is neither a socket nor a saved context, so it is the name of a host.
                None => {
                    let reached = at(&format!("{name}:{PORT}"), None).await;
                    reached.map_err(|why| {
                        anyhow!("no context named {name:?} is saved, and connecting to it as a host name failed: {why}")
                    })
                }
            },
        }
    }
}

/// Runs a command's asynchronous work on a runtime that is made for it.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start a runtime")?;
    Ok(runtime.block_on(work))
}

/// Connects to the socket at `path`.
pub(crate) async fn connect(path: &std::path::Path) -> anyhow::Result<Admin> {
    Ok(AdminClient::new(Repeating::connect(Reach::Socket(path.to_owned())).await?))
}

async fn connect_afar(address: &str, context: &Context) -> anyhow::Result<Admin> {
    let identity = context.identity()?;
    let is_renewed = identity.certificate().is_in_last_third_at(client::time_ms());
    let own = Arc::new(PresentedIdentity::new(identity));
    let mut admin = AdminClient::new(
        Repeating::connect(Reach::Afar { address: address.to_owned(), own, context: context.clone() }).await?,
    );
    if is_renewed {
        // The request can still be sent with the certificate as it is, and must not wait for a cluster without a
        // leader.
        match timeout(RENEWAL_TIMEOUT, renew(&mut admin, context)).await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                tracing::warn!("the certificate of this context expires soon and could not be renewed: {why:#}")
            }
            Err(_) => {
                tracing::warn!("the certificate of this context expires soon and could not be renewed: timed out")
            }
        }
    }
    Ok(admin)
}

/// Renews the certificate of a context, which is in the last third of its validity.
async fn renew(admin: &mut Admin, context: &Context) -> anyhow::Result<()> {
    let Some(request) = context.renewal_request()? else { return Ok(()) };
    let asked = RenewCertificateRequest { request: request.into() };
    let reply = admin.renew_certificate(asked).await.map_err(|status| anyhow!("{}", status.message()))?.into_inner();
    context.renew(&reply.certificate, &reply.authority)
}

/// A refusal or failure, with the message that the node sent.
pub(crate) fn refused(status: tonic::Status) -> Failure {
    // That the node refuses the caller's certificate is known only with the first reply.
    let cause = cause(&status);
    match certificates(&cause) {
        Some(why) => anyhow!("{why} ({cause})").into(),
        None => anyhow!("{}", status.message()).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_admin_names() {
        let cases = [
            ("unix:/run/a.sock", Some(Address::Socket("/run/a.sock".into()))),
            ("/run/a.sock", Some(Address::Socket("/run/a.sock".into()))),
            ("site-2", Some(Address::Context("site-2".into()))),
            ("host.example.test:1690", Some(Address::Afar("host.example.test:1690".into()))),
            ("[::1]:1690", Some(Address::Afar("[::1]:1690".into()))),
            ("::1", Some(Address::Afar("[::1]:1690".into()))),
            ("[::1]", None),
            ("unix:", None),
            ("a/b", None),
            ("host:0", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse().ok(), expected, "{text:?}");
        }
    }
}
