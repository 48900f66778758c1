//! Performs an operation on the publisher's records: in this process where the folder is free, else through the
//! service that has it open.

use std::time::Duration;

use anyhow::anyhow;
use publisher::{
    AskError, OpenError, Operation, OperationError, OperationErrorKind, Publisher, RecordsError, Report, Signing, ask,
    perform,
};
use tokio::time::{Instant, sleep};

use super::{
    folder::{Folder, open_failure},
    passphrase::PassphraseArgs,
};
use crate::{administration::block_on, output::Failure};

/// How long to wait for a folder that another command has open, or for a service that is not ready for commands.
const IN_USE_TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

impl Folder {
    /// Performs an operation that needs no private key.
    pub(super) fn perform(&self, operation: Operation) -> Result<Report, Failure> {
        block_on(self.done(operation, None))?
    }

    /// Performs an operation that signs.
    pub(super) fn sign(
        &self,
        operation: Operation,
        signing: Signing,
        passphrase: &PassphraseArgs,
    ) -> Result<Report, Failure> {
        block_on(self.done(operation, Some((signing, passphrase))))?
    }

    async fn done(&self, operation: Operation, signing: Option<(Signing, &PassphraseArgs)>) -> Result<Report, Failure> {
        let deadline = Instant::now() + IN_USE_TIMEOUT;
        loop {
            match self.attempt(&operation, signing).await? {
                Attempt::Done(report) => return Ok(report),
                Attempt::InUse(error) if Instant::now() >= deadline => return Err(open_failure(error)),
                Attempt::InUse(_) => sleep(PAUSE).await,
            }
        }
    }

    async fn attempt(
        &self,
        operation: &Operation,
        signing: Option<(Signing, &PassphraseArgs)>,
    ) -> Result<Attempt, Failure> {
        let passphrase = || match signing {
            Some((signing, passphrase)) => passphrase.for_signing(&self.path, signing),
            None => Ok(None),
        };
        match Publisher::open(&self.path) {
            Ok(publisher) => {
                let outcome = perform(&publisher, operation.clone(), passphrase()?).await;
                outcome.map(Attempt::Done).map_err(failure)
            }
            Err(in_use @ OpenError::Records(RecordsError::Open(storage::OpenError::InUse { .. }))) => {
                let outcome = match ask(&self.path, operation.clone(), None).await {
                    Ok(Err(error)) if error.kind == OperationErrorKind::NoPassphrase => {
                        ask(&self.path, operation.clone(), passphrase()?.as_ref()).await
                    }
                    outcome => outcome,
                };
                match outcome {
                    Ok(outcome) => outcome.map(Attempt::Done).map_err(failure),
                    Err(AskError::NotReached { .. }) => Ok(Attempt::InUse(in_use)),
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(open_failure(error)),
        }
    }
}

enum Attempt {
    Done(Report),
    /// Another process has the folder open and accepts no commands, or not yet.
    InUse(OpenError),
}

fn failure(error: OperationError) -> Failure {
    match error.kind {
        OperationErrorKind::Usage | OperationErrorKind::NoPassphrase => Failure::usage(error),
        OperationErrorKind::Refused => error.into(),
    }
}

/// The error for a report of another operation, as a service of another version may send it.
pub(super) fn unexpected(report: &Report) -> Failure {
    let name = match report {
        Report::KeyIssued(_) | Report::Keys(_) | Report::Key(_) => "host keys",
        Report::DirectKeyIssued(_) | Report::DirectKeys(_) | Report::DirectKey(_) => "direct keys",
        Report::Catalog(_) => "a catalog",
        Report::Activated(_) => "an activation",
        Report::Backup(_) => "a backup",
    };
    anyhow!("the service sent {name}, which was not requested: run the same version of the service and of this command")
        .into()
}
