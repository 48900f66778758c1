//! The verbs for a client machine.

use std::path::PathBuf;

use crate::{
    client_command::{
        activate::Activate,
        fixed_host::{ClearHost, SetHost},
        install_key::InstallKey,
        life::Rearm,
        remove_key::{ClearKey, RemoveKey},
        state::ClientStateArgs,
        status::StatusArgs,
        trust::TrustArg,
    },
    output::{CommandResult, Failure, Output},
};

/// A verb that is run on this machine as a client machine.
pub(super) struct OnClient<'a> {
    /// The argument after the verb; empty where the verb takes none.
    pub(super) argument: &'a str,
    /// Folder in which the machine keeps its state.
    pub(super) state: PathBuf,
    /// File with the publisher's keys and catalog, for installing a key.
    pub(super) trust: Option<PathBuf>,
    pub(super) output: &'a Output,
}

pub(super) fn install_key(client: OnClient<'_>) -> CommandResult {
    InstallKey::new(client.argument.to_owned(), client.state, TrustArg::given(client.trust)).run(client.output)
}

pub(super) fn activate(client: OnClient<'_>) -> CommandResult {
    Activate::as_set_up(client.state).run(client.output)
}

pub(super) fn status(client: OnClient<'_>) -> CommandResult {
    StatusArgs::of(ClientStateArgs::at(client.state)).run(client.output)
}

pub(super) fn remove_key(client: OnClient<'_>) -> CommandResult {
    RemoveKey::of(ClientStateArgs::at(client.state)).run(client.output)
}

pub(super) fn set_host(client: OnClient<'_>) -> CommandResult {
    let host = client.argument.parse().map_err(Failure::usage)?;
    SetHost::new(host, client.state).run(client.output)
}

pub(super) fn clear_host(client: OnClient<'_>) -> CommandResult {
    ClearHost::new(client.state).run(client.output)
}

pub(super) fn clear_key(client: OnClient<'_>) -> CommandResult {
    ClearKey::of(ClientStateArgs::at(client.state)).run(client.output)
}

pub(super) fn rearm(client: OnClient<'_>) -> CommandResult {
    Rearm::of(ClientStateArgs::at(client.state)).run(client.output)
}
