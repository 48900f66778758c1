//! Commands of the folder's owner over a Unix socket: one operation in JSON on each connection, and its result.
//!
//! File permissions control the access: only the owner can use the socket and enter its folder.

use std::{io, os::unix::ffi::OsStrExt, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use transport::{accept_within, listen_privately};
use zeroize::Zeroizing;

use super::{
    error::ServeError,
    shared::{SharedPublisher, stopped},
};
use crate::{
    credential::Passphrase,
    limits::{OPERATION_BYTES_MAX, OPERATION_DEADLINE, OPERATIONS_MAX, SOCKET_PATH_BYTES_MAX},
    operation::{Operation, OperationError, Report, perform},
    publisher::Publisher,
};

#[derive(Serialize, Deserialize)]
struct CommandRequest {
    operation: Operation,
    passphrase: Option<Zeroizing<String>>,
}

type OperationResult = Result<Report, OperationError>;

/// Why a service did not answer a command.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No service listens on the socket.
    #[error("cannot connect to the publisher's service at {path}: {source}")]
    NotReached {
        /// The path of the socket.
        path: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The service closed the connection. Whether the operation was performed is unknown.
    #[error(
        "the service stopped before it answered ({0}): check whether the operation was done, and run the command again"
    )]
    Broken(io::Error),
    /// The service runs another version.
    #[error("the service and this command do not understand each other: run the same version of both ({0})")]
    Version(serde_json::Error),
}

/// Sends an operation to the service that has the publisher's `folder` open, and returns its report.
pub async fn ask(
    folder: &Path,
    operation: Operation,
    passphrase: Option<&Passphrase>,
) -> Result<Result<Report, OperationError>, AskError> {
    let path = folder.join(Publisher::SOCKET);
    let not_reached = |source| AskError::NotReached { path: path.display().to_string(), source };
    let mut stream = UnixStream::connect(&path).await.map_err(not_reached)?;
    let passphrase = passphrase.map(|passphrase| passphrase.text().clone());
    let question = CommandRequest { operation, passphrase };
    let question = Zeroizing::new(serde_json::to_vec(&question).map_err(AskError::Version)?);
    stream.write_all(&question).await.map_err(AskError::Broken)?;
    stream.shutdown().await.map_err(AskError::Broken)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.map_err(AskError::Broken)?;
    if answer.is_empty() {
        return Err(AskError::Broken(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&answer).map_err(AskError::Version)
}

/// Creates the socket, and returns the future that serves it until the service is stopped.
pub(super) fn serve(
    path: &Path,
    shared: SharedPublisher,
    stopping: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + use<>, ServeError> {
    if path.as_os_str().as_bytes().len() > SOCKET_PATH_BYTES_MAX {
        return Err(ServeError::PathTooLong { path: path.to_owned() });
    }
    let listener = listen_privately(path);
    let listener = listener.map_err(|source| ServeError::Listen { address: path.display().to_string(), source })?;
    Ok(async move {
        let slots = Arc::new(Semaphore::new(OPERATIONS_MAX));
        let mut open = JoinSet::new();
        let stopped = stopped(stopping);
        tokio::pin!(stopped);
        loop {
            let accepted = tokio::select! {
                accepted = accept_within(&slots, || listener.accept()) => accepted,
                () = &mut stopped => break,
                Some(_) = open.join_next() => continue,
            };
            let Some(((stream, _), permit)) = accepted else { continue };
            let shared = shared.clone();
            open.spawn(async move {
                if let Ok(Err(error)) = timeout(OPERATION_DEADLINE, answer(stream, &shared)).await {
                    tracing::debug!(%error, "a command went away");
                }
                drop(permit);
            });
        }
        while open.join_next().await.is_some() {}
    })
}

async fn answer(mut stream: UnixStream, shared: &SharedPublisher) -> io::Result<()> {
    let mut question = Zeroizing::new(Vec::new());
    (&mut stream).take(OPERATION_BYTES_MAX as u64).read_to_end(&mut question).await?;
    let outcome = perform_question(&question, &shared.publisher).await;
    shared.notice();
    stream.write_all(&serde_json::to_vec(&outcome).map_err(io::Error::other)?).await?;
    stream.shutdown().await
}

async fn perform_question(question: &[u8], publisher: &Publisher) -> OperationResult {
    let understood = serde_json::from_slice::<CommandRequest>(question);
    let CommandRequest { operation, passphrase } = understood.map_err(|error| {
        OperationError::refused(format_args!("the service and this command have different versions ({error})"))
    })?;
    let passphrase = passphrase.map(Passphrase::new).transpose().map_err(OperationError::usage)?;
    perform(publisher, operation, passphrase).await
}
