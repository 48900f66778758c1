//! Errors of a client machine's operations, with an HRESULT for each.

use std::path::PathBuf;

use activation::channel::{InstallKeyError, KeyStillNeeded};
use activation::hresult;
use activation::lifecycle::{LifecycleError, NoRearmsLeft};
use activation::status::Status;
use thiserror::Error;

use crate::request::NoEntropy;
use crate::state::StateError;

/// Why an operation failed. The state is unchanged.
#[derive(Debug, Error)]
pub enum ClientError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error(
        "{}: {error}; restore client.toml in this folder, or delete it and run `quorate client install-key` again",
        folder.display()
    )]
    Times { folder: PathBuf, error: LifecycleError },
    #[error(transparent)]
    Key(#[from] InstallKeyError),
    #[error(
        "the trust file has no catalog, so keys and products are unknown: get a trust file with the catalog from the \
         publisher"
    )]
    NoCatalog,
    #[error("no setup key is installed, so the machine cannot be activated by a host")]
    NotForHosts,
    #[error(transparent)]
    KeyStillNeeded(#[from] KeyStillNeeded),
    #[error(transparent)]
    NoRearmsLeft(#[from] NoRearmsLeft),
    #[error(transparent)]
    NoEntropy(#[from] NoEntropy),
}

impl ClientError {
    /// The HRESULT for events and programs: a code of volume activation where there is one, otherwise the code of
    /// the system error with the same meaning.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::State(error) => error.status(),
            Self::Times { error: LifecycleError::Malformed(_), .. } => hresult::INVALID_DATA,
            Self::Times { error: LifecycleError::Newer(_), .. } => hresult::NEWER_FORMAT,
            Self::Key(error) => error.status(),
            Self::NoCatalog | Self::NotForHosts => hresult::NOT_INSTALLED,
            Self::KeyStillNeeded(KeyStillNeeded) => hresult::WRONG_STATE,
            Self::NoRearmsLeft(NoRearmsLeft) => hresult::NO_REARM_LEFT,
            Self::NoEntropy(_) => hresult::NO_ENTROPY,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    /// The name of each variant. A new variant does not compile until it has a name here; add it to the table below
    /// as well.
    fn name(error: &ClientError) -> &'static str {
        match error {
            ClientError::State(StateError::InUse { .. }) => "in use",
            ClientError::State(StateError::Newer { .. }) => "newer state",
            ClientError::State(StateError::Damaged { .. }) => "damaged state",
            ClientError::State(StateError::Denied { .. }) => "denied",
            ClientError::State(StateError::Io { .. }) => "io",
            ClientError::State(StateError::NoEntropy(_)) => "no entropy for the state",
            ClientError::Times { error: LifecycleError::Malformed(_), .. } => "damaged times",
            ClientError::Times { error: LifecycleError::Newer(_), .. } => "newer times",
            ClientError::Key(_) => "key",
            ClientError::NoCatalog => "no catalog",
            ClientError::NotForHosts => "not for hosts",
            ClientError::KeyStillNeeded(_) => "key still needed",
            ClientError::NoRearmsLeft(_) => "no rearms left",
            ClientError::NoEntropy(_) => "no entropy",
        }
    }
    const NAMES: usize = 14;

    fn io(kind: ErrorKind) -> ClientError {
        StateError::Io { path: "client.toml".into(), source: Error::from(kind) }.into()
    }

    #[test]
    fn every_reason_has_its_own_status_and_only_a_bad_key_is_an_invalid_key() {
        let path = || PathBuf::from("client.toml");
        let no_entropy = || NoEntropy::from(getrandom::Error::UNSUPPORTED);
        let table = [
            (StateError::InUse { folder: path() }.into(), 0x8007_0020),
            (StateError::Newer { path: path(), found: 9 }.into(), 0x8007_051A),
            (StateError::Damaged { path: path(), problem: "cmid".into() }.into(), 0x8007_000D),
            (StateError::Denied { path: path() }.into(), 0x8007_0005),
            (io(ErrorKind::StorageFull), 0x8007_0070),
            (io(ErrorKind::ReadOnlyFilesystem), 0x8007_0013),
            (io(ErrorKind::NotFound), 0x8007_0003),
            (io(ErrorKind::PermissionDenied), 0x8007_0005),
            (io(ErrorKind::Other), 0x8007_045D),
            (StateError::from(no_entropy()).into(), 0x8009_0020),
            (ClientError::Times { folder: path(), error: LifecycleError::Malformed("format") }, 0x8007_000D),
            (ClientError::Times { folder: path(), error: LifecycleError::Newer(9) }, 0x8007_051A),
            (InstallKeyError::HostKey.into(), 0xC004_F050),
            (ClientError::NoCatalog, 0x8007_0490),
            (ClientError::NotForHosts, 0x8007_0490),
            (KeyStillNeeded.into(), 0x8007_139F),
            (NoRearmsLeft.into(), 0x8007_0718),
            (no_entropy().into(), 0x8009_0020),
        ];
        let mut seen = std::collections::BTreeSet::new();
        for (error, status) in table {
            let error: ClientError = error;
            assert_eq!(error.status(), Status(status), "{error}");
            let is_key = matches!(error, ClientError::Key(_));
            assert_eq!(error.status() == Status::KEY_INVALID, is_key, "{error}");
            seen.insert(name(&error));
        }
        assert_eq!(seen.len(), NAMES, "a variant is missing in the table: {seen:?}");
    }
}
