//! Updates signed in a Kerberos context (GSS-TSIG, RFC 3645), which the "secure only" zones of Active Directory
//! require.
//!
//! An account's keytab yields a ticket for `DNS/<host name of the primary>`. One exchange of TKEY records (RFC 2930)
//! on the connection establishes a context with it. Then every message is signed in that context, over the bytes
//! that a TSIG MAC covers.
//!
//! Invariant: never uses a context before the server has proven that it holds the service's key; never makes a call
//! that may wait for a KDC on a thread of the runtime, nor more than one at a time for one key.

mod agreement;
mod session;
mod wire;

use std::path::PathBuf;
use std::sync::Arc;

use kerberos::{Account, Context, KerberosError, Stage};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::error::PublishError;
use crate::limits::TICKET_TIMEOUT;
use crate::name::DnsName;

pub(super) use session::GssSession;

/// The keytab of a service account, with which updates are signed.
#[derive(Clone, Debug)]
pub struct GssKey {
    account: Account,
    turn: Arc<Semaphore>,
}

impl GssKey {
    /// The account `principal` (`NAME@REALM`) of a keytab, or the first account in it. The keytab is read again when
    /// a ticket is needed, so it may be replaced.
    ///
    /// # Errors
    /// [`KerberosError`] where the file cannot be read or is not a keytab. Other problems show when records are
    /// published.
    pub fn from_keytab(path: PathBuf, principal: Option<String>) -> Result<Self, KerberosError> {
        Ok(Self { account: Account::new(path, principal)?, turn: Arc::new(Semaphore::new(1)) })
    }

    /// Begins a context with the DNS service on `host`. Returns the context and the first token for the server.
    pub(super) async fn begin(&self, host: &DnsName) -> Result<(Context, Vec<u8>), PublishError> {
        let (account, service) = (self.account.clone(), service(host));
        self.waiting(move || Context::begin(&account, &service)).await
    }

    /// Processes the server's token. Returns the context and its next stage.
    pub(super) async fn step(&self, mut context: Context, answer: Vec<u8>) -> Result<(Context, Stage), PublishError> {
        self.waiting(move || context.step(&answer).map(|stage| (context, stage))).await
    }

    /// Discards the tickets after a refusal, so that the next context begins with new ones.
    pub(super) fn forget(&self) {
        self.account.forget();
    }

    /// Runs the call on a thread that may block. After a timeout the call continues in the background, and the next
    /// call waits for its end.
    async fn waiting<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Result<T, KerberosError> + Send + 'static,
    ) -> Result<T, PublishError> {
        let stopped = || KerberosError::Other { cause: "the node is stopping".to_owned() };
        let done = timeout(TICKET_TIMEOUT, async {
            let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(|_| stopped())?;
            let call = spawn_blocking(move || {
                let _turn = turn;
                call()
            });
            call.await.map_err(|_| stopped())?
        });
        let silent = |_| KerberosError::Kdc { cause: format!("no answer within {TICKET_TIMEOUT:?}") };
        Ok(done.await.map_err(silent)??)
    }
}

/// The name of the service for which tickets are requested (RFC 3645 section 3.1.1).
pub(super) fn service(host: &DnsName) -> String {
    format!("DNS@{}", host.to_string().trim_end_matches('.').to_ascii_lowercase())
}
