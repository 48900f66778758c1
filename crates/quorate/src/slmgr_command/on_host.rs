//! The verbs for a host.

use anyhow::anyhow;

use super::overview;
use crate::{
    administration::AdminArgs,
    cluster_commands::{
        dns,
        key::{activate::Activate, install::Install, list, release::Release},
        settings,
    },
    output::{CommandResult, Failure, Output},
    secrets::KeyArgs,
};
use std::process::ExitCode;

/// A verb, and the host on which it is run.
pub(super) struct OnHost<'a> {
    /// Name of the verb, without its slash.
    pub(super) verb: &'static str,
    pub(super) admin: AdminArgs,
    /// The argument after the verb; empty where the verb takes none.
    pub(super) argument: &'a str,
    /// Address of the publisher's activation service, HOST:PORT.
    pub(super) publisher: Option<&'a str>,
    pub(super) output: &'a Output,
}

impl OnHost<'_> {
    fn publisher(&self) -> Result<String, Failure> {
        self.publisher.map(str::to_owned).ok_or_else(|| {
            Failure::usage(anyhow!(
                "/{} contacts the publisher: give --publisher HOST:PORT, or use /dti and /atp",
                self.verb
            ))
        })
    }

    /// Changes a setting of the whole cluster.
    fn set(&self, name: &str, value: &str) -> CommandResult {
        settings::set(name, value, None, &self.admin, self.output)?;
        Ok(ExitCode::SUCCESS)
    }

    /// Changes a setting of the node to which the command is connected.
    fn set_on_node(&self, name: &str, value: &str) -> CommandResult {
        let node = overview::node(&self.admin)?;
        settings::set(name, value, Some(node), &self.admin, self.output)?;
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn install_key(host: OnHost<'_>) -> CommandResult {
    let install =
        Install { key: KeyArgs::of(host.argument.to_owned()), publisher: String::new(), yes: true, admin: host.admin };
    install.run(host.output)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn activate(host: OnHost<'_>) -> CommandResult {
    Activate::online(host.publisher()?, host.admin).run(host.output)
}

pub(super) fn overview(host: OnHost<'_>) -> CommandResult {
    overview::run(&host.admin, false, host.output)
}

pub(super) fn details(host: OnHost<'_>) -> CommandResult {
    overview::run(&host.admin, true, host.output)
}

pub(super) fn list_keys(host: OnHost<'_>) -> CommandResult {
    list::run(&host.admin, host.output)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn write_request(host: OnHost<'_>) -> CommandResult {
    Activate::offline(host.argument.into(), host.admin).run(host.output)
}

pub(super) fn install_answer(host: OnHost<'_>) -> CommandResult {
    Activate::answer(host.argument.into(), host.admin).run(host.output)
}

pub(super) fn release_key(host: OnHost<'_>) -> CommandResult {
    let node = overview::node(&host.admin)?;
    Release::online(node, host.publisher()?, host.admin).run(host.output)
}

pub(super) fn set_port(host: OnHost<'_>) -> CommandResult {
    host.set_on_node("clients.port", host.argument)
}

pub(super) fn publish_dns(host: OnHost<'_>) -> CommandResult {
    dns::publish(&[], &host.admin, host.output)
}

pub(super) fn withdraw_dns(host: OnHost<'_>) -> CommandResult {
    dns::withdraw(&host.admin, host.output)
}

pub(super) fn set_normal_priority(host: OnHost<'_>) -> CommandResult {
    host.set_on_node("process.low_priority", "false")
}

pub(super) fn set_low_priority(host: OnHost<'_>) -> CommandResult {
    host.set_on_node("process.low_priority", "true")
}

pub(super) fn set_activation_interval(host: OnHost<'_>) -> CommandResult {
    host.set("activation.interval_minutes", host.argument)
}

pub(super) fn set_renewal_interval(host: OnHost<'_>) -> CommandResult {
    host.set("renewal.interval_minutes", host.argument)
}
