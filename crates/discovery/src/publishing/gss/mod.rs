//! Updates signed with a Kerberos context (GSS-TSIG, RFC 3645): what the "secure only" zones of Active Directory take.
//!
//! An account's keytab gives a ticket for `DNS/<host name of the primary>`; one exchange of TKEY records (RFC 2930) on the
//! connection makes a context of it; then every message is signed in that context, over the bytes that a TSIG MAC covers.
//!
//! Invariant: a context counts only once the server has proven that it holds the service's key; no call that may wait for a
//! KDC runs on a thread of the runtime, and of one key only one at a time.

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
    /// The account `principal` (`NAME@REALM`) of a keytab, or the first one in it. The keytab is read again when a ticket
    /// is needed, so it may be replaced.
    ///
    /// # Errors
    /// Where the file cannot be read or is no keytab. What else is wrong shows when records are published.
    pub fn from_keytab(path: PathBuf, principal: Option<String>) -> Result<Self, KerberosError> {
        Ok(Self { account: Account::new(path, principal)?, turn: Arc::new(Semaphore::new(1)) })
    }

    /// A context with the DNS service on `host`, and the first bytes for it.
    pub(super) async fn begin(&self, host: &DnsName) -> Result<(Context, Vec<u8>), PublishError> {
        let (account, service) = (self.account.clone(), service(host));
        self.waiting(move || Context::begin(&account, &service)).await
    }

    /// The server's answer taken: the context, and what it needs next.
    pub(super) async fn step(&self, mut context: Context, answer: Vec<u8>) -> Result<(Context, Stage), PublishError> {
        self.waiting(move || context.step(&answer).map(|stage| (context, stage))).await
    }

    /// After a refusal the next context begins with new tickets.
    pub(super) fn forget(&self) {
        self.account.forget();
    }

    /// On a thread that may wait. One that waits on is left behind, and the next call waits for its end.
    async fn waiting<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> Result<T, KerberosError> + Send + 'static,
    ) -> Result<T, PublishError> {
        let stopped = || KerberosError::Other { cause: "the node stops".to_owned() };
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

/// What tickets are for (RFC 3645 section 3.1.1).
pub(super) fn service(host: &DnsName) -> String {
    format!("DNS@{}", host.to_string().trim_end_matches('.').to_ascii_lowercase())
}
